"""Calendars and strips of time as inline SVG, in the colours of the page: light and dark.

Each day has a level: committed without records, committed with few or many, not committed, or failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from qbo_rs._html import GREEN, RED, Html, count, instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Words = Mapping[int, str]

# From the weakest to the strongest: what happened to a part of a day wins over what did not.
GAP, SKIPPED, EMPTY, FEW, SOME, MANY, FAILED = range(7)
_MEANINGS = ("not committed", "skipped", "committed, no records", "few records", "some", "many", "failed")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PAINT = {
    GAP: 'fill="none" stroke="currentColor" stroke-opacity=".3"',
    SKIPPED: 'fill="currentColor" fill-opacity=".2"',
    EMPTY: f'fill="{GREEN}" fill-opacity=".22"',
    FEW: f'fill="{GREEN}" fill-opacity=".5"',
    SOME: f'fill="{GREEN}" fill-opacity=".75"',
    MANY: f'fill="{GREEN}"',
    FAILED: f'fill="{RED}"',
}
_DAY, _STEP, _LEFT, _TOP = 9, 11, 30, 14
_MAX_YEARS = 3
_WIDTH, _HEIGHT, _PARTS = 240, 12, 120
_DAYS = ("Mon", "", "Wed", "", "Fri", "", "")
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Piece:
    """A stretch of time and what became of it."""

    start: datetime
    """First instant inside."""
    end: datetime
    """First instant after it."""
    level: int
    """One of the levels of this module."""


class Counted(NamedTuple):
    """A stretch of time with its level, or with None for the level of its records."""

    start: datetime
    end: datetime
    level: int | None
    rows: int = 0


def pieces_of(stretches: Iterable[Counted]) -> list[Piece]:
    """Give stretches of time their levels, by records a day."""
    listed = list(stretches)
    most = max((_density(each) for each in listed), default=0.0)
    return [Piece(each.start, each.end, _level(each, most)) for each in listed]


def _density(each: Counted) -> float:
    return each.rows / max((each.end - each.start) / _ONE_DAY, 1)


def _level(each: Counted, most: float) -> int:
    if each.level is not None:
        return each.level
    if each.rows == 0:
        return EMPTY
    share = _density(each) / most
    return FEW if share < 1 / 3 else SOME if share < 2 / 3 else MANY


def strip(pieces: Sequence[Piece], start: datetime, end: datetime, words: Words | None = None) -> Html:
    """Return time from left to right on one line."""
    whole = (end - start) / _PARTS
    levels = [GAP] * _PARTS
    for piece in pieces:
        first = max(int((piece.start - start) / whole), 0)
        # A piece that is shorter than a part is seen all the same.
        last = min(max(-int(-(piece.end - start) // whole), first + 1), _PARTS)
        for part in range(first, last):
            levels[part] = max(levels[part], piece.level)
    unit = _WIDTH // _PARTS
    paths: dict[int, str] = {}
    begin = 0
    for part in range(1, _PARTS + 1):
        if part == _PARTS or levels[part] != levels[begin]:
            # An outline lies half outside of its rectangle.
            x, y, width, height = begin * unit, 0, (part - begin) * unit, _HEIGHT
            if levels[begin] == GAP:
                x, y, width, height = x + 1, 1, max(width - 2, 1), height - 2
            paths[levels[begin]] = paths.get(levels[begin], "") + f"M{x} {y}h{width}v{height}h-{width}z"
            begin = part
    title = f"{instant(start)} to {instant(end)}: {_in_words(levels, words)}"
    return _svg(_WIDTH, _HEIGHT, _painted(paths), title)


def calendar(pieces: Sequence[Piece], words: Words | None = None) -> Html:
    """Return the days of at most three years, the last ones, a year below the other."""
    levels = _levels(pieces)
    if not levels:
        return Html("")
    shown = range(min(levels).year, max(levels).year + 1)
    parts, paths, top = [], dict.fromkeys(_PAINT, ""), _TOP
    for year in shown:
        parts.append(_labels(year, top))
        for day, level in levels.items():
            if day.year == year:
                paths[level] += f"M{_column(day)} {top + day.weekday() * _STEP}h{_DAY}v{_DAY}h-{_DAY}z"
        top += 7 * _STEP + _TOP + 4
    title = f"{min(levels)} to {max(levels)}: {_in_words(list(levels.values()), words, 'day')}"
    used = {level: path for level, path in paths.items() if path}
    drawing = _svg(_LEFT + 54 * _STEP, top - _TOP, "".join(parts) + _painted(used), title)
    left = shown[0] - min(piece.start for piece in pieces).astimezone(timezone.utc).year
    note = f" · {count(left, 'earlier year')} not shown" if left else ""
    return Html(f'<div style="overflow-x:auto">{drawing}</div><div>{legend(used, words)}{escape(note)}</div>')


def legend(levels: Iterable[int], words: Words | None = None) -> Html:
    """Return the meaning of the colours."""
    entries = []
    for level in sorted(levels):
        sample = f'<path d="M1 1h{_DAY}v{_DAY}h-{_DAY}z" {_PAINT[level]}/>'
        meaning = (words or {}).get(level, _MEANINGS[level])
        entries.append(f"{_svg(_DAY + 2, _DAY + 2, sample, '')} {meaning}")
    return Html(" &nbsp; ".join(entries))


def levels_in(pieces: Iterable[Piece]) -> set[int]:
    """Return the levels that pieces have."""
    return {piece.level for piece in pieces}


def _levels(pieces: Sequence[Piece]) -> dict[date, int]:
    """Return the level of each day between the first and the last piece, of the years that are shown."""
    if not pieces:
        return {}
    first = min(piece.start for piece in pieces).astimezone(timezone.utc).date()
    last = (max(piece.end for piece in pieces) - timedelta.resolution).astimezone(timezone.utc).date()
    first = max(first, date(max(last.year - _MAX_YEARS + 1, 1), 1, 1))
    levels = {first + _ONE_DAY * number: GAP for number in range((last - first).days + 1)}
    for piece in pieces:
        day = max(piece.start.astimezone(timezone.utc).date(), first)
        end = (piece.end - timedelta.resolution).astimezone(timezone.utc).date()
        while day <= end:
            levels[day] = max(levels[day], piece.level)
            day += _ONE_DAY
    return levels


def _column(day: date) -> int:
    monday_before = date(day.year, 1, 1).weekday()
    return _LEFT + (day.timetuple().tm_yday - 1 + monday_before) // 7 * _STEP


def _labels(year: int, top: int) -> str:
    texts = [
        f'<text x="{_column(date(year, month, 1))}" y="{top - 4}">{_MONTHS[month - 1]}</text>' for month in range(2, 13)
    ]
    texts.append(f'<text x="0" y="{top - 4}">{year}</text>')
    texts += [f'<text x="0" y="{top + row * _STEP + 8}">{name}</text>' for row, name in enumerate(_DAYS) if name]
    return f'<g font-size="9" fill="currentColor">{"".join(texts)}</g>'


def _painted(paths: dict[int, str]) -> str:
    return "".join(f'<path d="{path}" {_PAINT[level]}/>' for level, path in sorted(paths.items()))


def _in_words(levels: Sequence[int], words: Words | None, unit: str = "") -> str:
    """Return the levels in words, for those who do not see them."""
    meanings = dict(enumerate(_MEANINGS)) | dict(words or {})
    names = [(name, levels.count(level)) for level, name in meanings.items() if level in levels]
    return ", ".join(f"{name} {count(number, unit)}" if unit else name for name, number in names)


def _svg(width: int, height: int, content: str, title: str) -> Html:
    name = f"<title>{escape(title)}</title>" if title else ""
    role = 'role="img"' if title else 'aria-hidden="true"'
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    drawing = f'xmlns="http://www.w3.org/2000/svg" {role} {size} style="vertical-align:middle"'
    return Html(f"<svg {drawing}>{name}{content}</svg>")
