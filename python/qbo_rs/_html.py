"""HTML for notebooks: tables of a screen at most, readable on light and dark pages, without scripts or styles.

Every text may come from a stranger, so it is escaped here, once. Text that is HTML already is :class:`Html`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Rows of a table; the others are counted.
MAX_ROWS = 20
#: Characters of a text in a cell or a line.
MAX_TEXT = 200

# These are readable on white and on black.
GREEN, RED, AMBER = "#2da44e", "#e5534b", "#c69026"
_MARKS = {"ok": ("✔", GREEN), "wrong": ("✖", RED), "care": ("!", AMBER)}
_LEFT = ' style="text-align:left"'
# Texts of others must not drive a terminal, nor end a line, nor turn the direction of what stands around them.
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_LINE_ENDS = (0x2028, 0x2029)
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_UNSEEN = dict.fromkeys((*_CONTROLS, *_LINE_ENDS, *_DIRECTIONS), " ")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


class Amount(Html):
    """HTML of an amount, which stands at the right of its cell."""

    __slots__ = ()


def is_amount(text: str) -> bool:
    """Return true if a text is a number, as QuickBooks writes it."""
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def plain(value: object) -> str:
    """Return a value as text of one line; amounts and counts keep every digit."""
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, int):
        text = f"{value:,}"
    elif isinstance(value, Decimal):
        text = format(value, "f")
    elif isinstance(value, datetime):
        text = instant(value)
    else:
        text = "-" if value is None else visible(str(value))
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def visible(text: str) -> str:
    """Return a text of others without what drives a terminal, in one line."""
    return text.translate(_UNSEEN).strip()


def instant(value: datetime) -> str:
    """Return an instant in UTC, without the time if it is midnight."""
    utc = value.astimezone(timezone.utc)
    text = utc.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
    return text.removesuffix(" 00:00")


def span(start: datetime, end: datetime) -> str:
    """Return a half-open interval as text."""
    return f"[{instant(start)}, {instant(end)})"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def seconds(milliseconds: int) -> str:
    """Return a duration as text."""
    return f"{milliseconds / 1000:,.1f} s"


def length(spans: Iterable[timedelta]) -> str:
    """Return the sum of stretches of time as text: in days, or in hours if it is less than two of them."""
    hours = sum(spans, timedelta()) / timedelta(hours=1)
    if hours % 24 == 0 or hours >= 2 * 24:
        return count(round(hours / 24), "day")
    return f"{round(hours)} h" if hours >= 1 else "less than 1 h"


def markup(value: object) -> str:
    """Return a value as HTML."""
    return value if isinstance(value, Html) else escape(plain(value))


def mark(verdict: str) -> Html:
    """Return the sign of a verdict: ``ok``, ``wrong`` or ``care``."""
    sign, colour = _MARKS[verdict]
    return Html(f'<span style="color:{colour};font-weight:bold">{sign}</span>')


def headline(verdict: str, parts: Iterable[object]) -> Html:
    """Return a line of facts behind the sign of a verdict."""
    return Html(f'<div style="margin:.4em 0">{mark(verdict)} {" · ".join(markup(part) for part in parts)}</div>')


def paragraph(*parts: object) -> Html:
    """Return a line of text."""
    return Html(f'<div style="margin:.4em 0">{" ".join(markup(part) for part in parts)}</div>')


def block(*parts: str) -> Html:
    """Return parts below each other."""
    return Html("".join(parts))


def details(summary: str, body: str, *, is_open: bool = False) -> Html:
    """Return a part that can be opened."""
    state = " open" if is_open else ""
    return Html(f"<details{state}><summary>{markup(summary)}</summary>{body}</details>")


def more(number: int, what: str) -> Html:
    """Return the count of what a table leaves out."""
    return paragraph(f"and {number:,} more {what}") if number > 0 else Html("")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], what: str = "rows", caption: str = "") -> Html:
    """Return a table of at most :data:`MAX_ROWS` rows, and the count of the others."""
    title = f'<caption style="text-align:left">{escape(plain(caption))}</caption>' if caption else ""
    head = "".join(f"<th{_LEFT}>{escape(plain(column))}</th>" for column in columns)
    body = "".join(_row(row) for row in rows[:MAX_ROWS])
    shown = f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return Html(f'<div style="overflow-x:auto">{shown}</div>{more(len(rows) - MAX_ROWS, what)}')


def _row(cells: Iterable[object]) -> str:
    return f"<tr>{''.join(_cell(cell) for cell in cells)}</tr>"


def _cell(value: object) -> str:
    is_number = isinstance(value, (int, Decimal, Amount)) and not isinstance(value, bool)
    return f"<td{'' if is_number else _LEFT}>{markup(value)}</td>"


def without_zeros(
    columns: Sequence[str], rows: Sequence[Sequence[object]], optional: Iterable[str]
) -> tuple[list[str], list[list[object]]]:
    """Leave out those of the optional columns that say nothing: all zeros, or empty."""
    rare = set(optional)
    kept = [
        place
        for place, column in enumerate(columns)
        if column not in rare or any(row[place] not in (0, None, "") for row in rows)
    ]
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]


def one_line(kind: str, *parts: Any) -> str:
    """Return a text repr of one line, such as ``<Report ok: 3 entities, 5,800 rows>``."""
    return f"<{kind} {', '.join(plain(part) for part in parts)}>"
