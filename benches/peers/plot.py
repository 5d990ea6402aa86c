"""Draws measures: ``plot.py MEASURES.json ... FIGURE.svg``, by a Python that has matplotlib.

One panel for each company and latency without edits; beside a bar stands what was lost in the same case with edits.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

OURS, OTHERS, LOSS = "#1f6f8b", "#b8bec6", "#a33b2a"
# Text stays text, and the same measures give the same file.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "peers", "font.family": "sans-serif", "font.size": 9}


def panels(run):
    """Return the title of each panel of a run, with its measures and the losses of its peers under edits."""
    measures = run["measures"]
    found = []
    for key in dict.fromkeys((m["data"], m["latency_ms"]) for m in measures):
        case = [m for m in measures if (m["data"], m["latency_ms"]) == key]
        lost = {m["peer"]: "failed" if m["message"] else f"{m['lost']:,} lost" for m in case if m["edited"]}
        plain = [m for m in case if not m["edited"] and not m["message"]]
        if plain:
            size = plain[0]["records"]
            found.append((f"{size:,} {key[0]}, {key[1]} ms", plain, lost))
    return found


def draw(axes, title, measures, lost):
    """Draw one panel."""
    names = [m["peer"] for m in measures]
    rates = [m["rows_s"] for m in measures]
    axes.barh(names, rates, color=[OURS if name.startswith("qbo-rs") else OTHERS for name in names])
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlim(0, max(rates) * 1.45)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    for name, rate in zip(names, rates):
        axes.annotate(f"{rate:,.0f}", (rate, name), (4, 0), textcoords="offset points", va="center")
        if name in lost:
            color = "black" if lost[name] == "0 lost" else LOSS
            axes.annotate(
                lost[name], (1, name), xycoords=("axes fraction", "data"), ha="right", va="center", color=color
            )


def main():
    """Draw all panels below each other, two beside each other."""
    *names, figure = sys.argv[1:]
    found = [panel for name in names for panel in panels(json.loads(Path(name).read_text()))]
    lines = -(-len(found) // 2)
    with mpl.rc_context(SETTINGS):
        drawn, axes = plt.subplots(lines, 2, figsize=(11, 0.6 + 2.3 * lines), squeeze=False, sharey=True)
        for panel, place in zip(found, axes.flat):
            draw(place, *panel)
        # All share it.
        axes.flat[0].invert_yaxis()
        for place in list(axes.flat)[len(found) :]:
            place.set_visible(False)
        drawn.suptitle(
            "Rows a second into Postgres, and records lost when records are edited during the read", x=0.01, ha="left"
        )
        drawn.tight_layout()
        drawn.savefig(figure, metadata={"Date": None})


main()
