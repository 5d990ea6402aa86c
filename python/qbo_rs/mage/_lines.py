"""The lines of a pipeline in Mage's log: counts first, since the page of logs cuts off what is far to the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs._html import count
from qbo_rs._types import parse_instant
from qbo_rs.mage._spanish import BAR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qbo_rs.mage._zones import Clock

FAILED = "failed: "


def rewritten(message: str, fields: Mapping[str, Any], clock: Clock) -> tuple[str, dict[str, Any]]:
    """Return a line and its fields as Mage shows them.

    Args:
        message: Text of the core.
        fields: Fields of the event.
        clock: Zones of the pipeline.

    Returns:
        For an event with a window or with the totals of a run, a text that begins with the counts; for others, that of
        the core. An event with a window also gets its bounds in local time.

    """
    shown = dict(fields)
    event = fields.get("event")
    if event == "run_finished":
        return _run(fields), shown
    if "window_start" not in fields or "window_end" not in fields:
        return message, shown
    start, end = (parse_instant(str(fields[name])) for name in ("window_start", "window_end"))
    shown |= {"window_start_local": clock.in_local(start), "window_end_local": clock.in_local(end)}
    name = f"{fields.get('entity', '')} {clock.label(start, end)}".strip()
    times = clock.span(start, end)
    if event == "window_done":
        return " · ".join([count(fields["rows"], "row"), name, *_loaded(fields), times]), shown
    if event == "window_failed":
        cause = message.partition(FAILED)[2] or message
        spanish = _core.in_spanish(cause)
        line = f"FAILED · {name} · {cause} · {times}"
        return line + (f"{BAR}{spanish}" if spanish != cause else ""), shown
    return message, shown


def _loaded(fields: Mapping[str, Any]) -> list[str]:
    if fields.get("phase") != "load":
        return []
    return [", ".join(f"{fields[name]:,} {name}" for name in ("inserted", "updated", "unchanged"))]


def _run(fields: Mapping[str, Any]) -> str:
    parts = [count(fields["rows"], "row"), str(fields.get("entity", "")), *_loaded(fields)]
    cost = [count(fields["windows"], "window"), count(fields["requests"], "request"), f"{fields['duration_ms']:,} ms"]
    parts.append(", ".join(cost))
    return " · ".join(part for part in parts if part)
