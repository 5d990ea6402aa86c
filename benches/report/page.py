"""Writes docs/benchmarks.md from one run: ``python -m report.page MEASURES.json >docs/benchmarks.md``."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from .figure import Figure, number

INTRODUCTION, REMARKS = (Path(__file__).with_name(name) for name in ("page.md", "remarks.md"))


def tables(figures: list[Figure]) -> str:
    """Return a table for each group."""
    lines: list[str] = []
    for group, held in groupby(figures, lambda figure: figure.group):
        lines += [f"## {group}", "", "| | measured | goal |", "| --- | --- | --- |"]
        lines += [f"| {one.name} | {number(one.value)} {one.unit} | {one.verdict} |" for one in held]
        lines.append("")
    return "\n".join(lines)


def page(held: dict[str, Any]) -> str:
    """Return the page for the measures of one run."""
    about = held["about"]
    figures = [Figure(**figure) for figure in held["figures"]]
    before, after = (", ".join(map(str, about[name])) for name in ("load", "load_at_end"))
    run = (
        f"{about['date']}; {about['machine']}; Postgres {about['postgres']}; qbo_rs {about['qbo_rs']}. "
        f"Load of the machine (1, 5 and 15 minutes) at the start {before}, at the end {after}.\n"
    )
    figure = "![Each measure as a share of its goal](images/benchmarks.svg)\n"
    return "\n".join([INTRODUCTION.read_text(), run, figure, tables(figures), REMARKS.read_text()]).rstrip()


def main() -> None:
    """Print the page."""
    print(page(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
