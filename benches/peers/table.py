"""Prints measures, beside each other and as ratios."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .bench import Measure

HEADINGS = ("rows/s", "MB/s", "requests per 1,000", "CPU s", "peak MB", "lost", "left", "edits")
GOAL = 4
GOAL_TEXT = f"goal: {GOAL} times the fastest other, 0 lost"
OURS = "qbo-rs backfill"


def cells(measure: Measure) -> tuple[str, ...]:
    """Return the figures of a measure as text, in the order of HEADINGS."""
    return (
        f"{measure.rows_s:,.0f}",
        f"{measure.mb_s:.1f}",
        f"{measure.requests_per_1000:.1f}",
        f"{measure.cpu_s:.1f}",
        f"{measure.peak_mb:,.0f}",
        f"{measure.lost:,}",
        f"{measure.left:,}",
        f"{measure.edits:,}",
    )


def title(measure: Measure) -> str:
    """Return what a measure's case is."""
    edits = "edits during the read" if measure.edited else "no edits"
    return f"{measure.data}, {measure.latency_ms} ms, {edits}"


def cases(measures: Iterable[Measure]) -> list[tuple[str, list[Measure]]]:
    """Return the measures of each case, in the order in which they were made."""
    return [(name, list(group)) for name, group in groupby(measures, title)]


def ratio(group: Iterable[Measure]) -> tuple[float, Measure] | None:
    """Return our rate divided by that of the fastest other, and the other; nothing if either has none."""
    done = [measure for measure in group if measure.message is None]
    ours = next((measure for measure in done if measure.peer == OURS), None)
    fastest = max((measure for measure in done if measure.peer != OURS), key=lambda other: other.rows_s, default=None)
    return (ours.rows_s / fastest.rows_s, fastest) if ours and fastest and fastest.rows_s else None


def verdict(group: Iterable[Measure]) -> str:
    """Return how a case compares with the goal: so many times the fastest other, and nothing lost."""
    group = list(group)
    if (compared := ratio(group)) is None:
        return "no ratio: qbo-rs or all others have no figures"
    times, fastest = compared
    lost = next(measure.lost for measure in group if measure.peer == OURS)
    met = "met" if times >= GOAL and lost == 0 else "missed"
    return f"{times:.1f} times the fastest other ({fastest.peer}), {lost} lost: {met}"


def row(measure: Measure) -> str:
    """Return one line for a terminal."""
    if measure.message is not None:
        return f"{measure.peer:44}skipped: {measure.message}"
    widths = [max(len(heading), 8) + 2 for heading in HEADINGS]
    return f"{measure.peer:44}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(cells(measure), widths, strict=True)
    )


def head(name: str) -> str:
    """Return the line above the lines of a case."""
    return f"{name:44}" + "".join(f"{heading:>{max(len(heading), 8) + 2}}" for heading in HEADINGS)
