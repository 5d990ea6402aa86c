"""Draws how near each measure is to its goal: ``plot.py MEASURES.json FIGURE.svg``, by a Python that has matplotlib."""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

MET, MISSED = "#1f6f8b", "#a33b2a"
# Text stays text, and the same measures give the same file.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif", "font.size": 9}


def shares(figures: list[dict]) -> list[tuple[str, float, str]]:
    """Return for each figure with a goal its name, its share of the goal (1 and more is met) and its text."""
    found = []
    for one in figures:
        # Of a goal of none there is no share.
        if not one["goal"]:
            continue
        value = max(one["value"], 1e-9)
        share = value / one["goal"] if one["bound"] == "at least" else one["goal"] / value
        # The same measure of several servers is told apart by their group.
        name = f"{one['name']} ({one['group']})" if "Postgres" in one["group"] else one["name"]
        found.append(
            (name.replace("`", ""), share, f"{one['value']:.3g} {one['unit']}, {one['bound']} {one['goal']:g}")
        )
    return found


def main() -> None:
    """Draw a bar for each goal."""
    measures, figure = sys.argv[1:]
    found = shares(json.loads(Path(measures).read_text())["figures"])
    names, lengths, texts = zip(*found, strict=True)
    with mpl.rc_context(SETTINGS):
        drawn, axes = plt.subplots(figsize=(11, 0.8 + 0.36 * len(found)))
        axes.barh(
            names, [min(length, 3) for length in lengths], color=[MET if length >= 1 else MISSED for length in lengths]
        )
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlim(0, 4.2)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.invert_yaxis()
        for side in ("top", "right", "bottom", "left"):
            axes.spines[side].set_visible(False)
        for name, length, text in zip(names, lengths, texts, strict=True):
            axes.annotate(text, (min(length, 3), name), (4, 0), textcoords="offset points", va="center")
        axes.set_title(
            "Each measure as a share of its goal; the line is the goal, bars end at three times it",
            loc="left",
            fontsize=10,
        )
        drawn.tight_layout()
        drawn.savefig(figure, metadata={"Date": None})


main()
