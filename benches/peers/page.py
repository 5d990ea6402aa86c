"""Writes the page of the documentation from measures: ``python -m peers.page MEASURES.json ... >docs/peers.md``.

Each file is one run; its peers are compared with each other and never with those of another.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from . import table
from .bench import Measure

INTRODUCTION = Path(__file__).with_name("page.md")


def run(number: int, held: dict[str, Any]) -> str:
    """Return the part of the page that describes one run."""
    about = held["about"]
    measures = [Measure(**measure) for measure in held["measures"]]
    sizes = {measure.data: f"{measure.records:,} {measure.data}" for measure in measures if measure.message is None}
    before, after = (", ".join(map(str, about[name])) for name in ("load", "load_at_end"))
    lines = [
        f"## Run {number}: {' and '.join(sizes.values())}",
        "",
        f"{about['date']}; {about['machine']}; Postgres {about['postgres']}; qbo_rs {about['qbo_rs']}.",
        f"Load of the machine (1, 5 and 15 minutes) at the start {before}, at the end {after}. {about['note']}",
        "",
        f"Versions: {'; '.join(dict.fromkeys(about['versions'].values()))}.",
        "",
        *summary(measures),
        "",
    ]
    for name, group in table.cases(measures):
        lines += [f"### {name}", "", *rows(group), ""]
    return "\n".join(lines)


def summary(measures: list[Measure]) -> list[str]:
    """Return the table of all cases: how often as fast as the fastest other, and whether the goal is met."""
    lines = [f"| case | `qbo-rs`; {table.GOAL_TEXT} |", "| --- | --- |"]
    return lines + [f"| {name} | {table.verdict(group)} |" for name, group in table.cases(measures)]


def rows(group: list[Measure]) -> list[str]:
    """Return the table of one case."""
    lines = [f"| | {' | '.join(table.HEADINGS)} |", f"| --- |{' --- |' * len(table.HEADINGS)}"]
    for measure in group:
        told = table.cells(measure) if measure.message is None else (f"skipped: {measure.message}",)
        blank = ("",) * (len(table.HEADINGS) - len(told))
        lines.append(f"| {measure.peer} | {' | '.join(told + blank)} |")
    return lines


def main() -> None:
    """Print the page."""
    runs = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    figure = "![Rows a second of each program](images/peers.svg)\n"
    parts = [INTRODUCTION.read_text(), figure, *(run(number, held) for number, held in enumerate(runs, 1))]
    print("\n".join(parts).rstrip())


if __name__ == "__main__":
    main()
