"""The coverage of the tables, month by month: a block's table, a page in Mage's editor, and a chart of Mage.

Mage 0.9.80 has dashboards, too, but answers no request for the data of their charts: its route for the dashboard
takes those of the charts.
"""

from __future__ import annotations

from datetime import datetime, timezone
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qbo_rs._html import count
from qbo_rs._types import parse_instant
from qbo_rs.mage import _command, _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._guard import as_exception
from qbo_rs.mage._settings import read_settings
from qbo_rs.mage._variables import DEFAULT_SCHEMA
from qbo_rs.mage._zones import Clock, is_missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qbo_rs.mage._execution import Block, Execution

    Span = tuple[datetime, datetime]

MAX_MONTHS = 36
"""Months on the page; with more of them the cells would be too small to read."""
CHART_LIMIT_S = 15
"""Seconds for the data of a chart: Mage's web server waits for them."""
FULL = 0.9999
DAY = 86400


def show_coverage() -> Block:
    """Make the block that shows which months of which entities are committed; in Mage's editor it shows a page.

    It only asks the database. Its runtime variables are ``schema`` and ``zona``.

    Returns:
        A function for ``@data_loader``. It returns two DataFrames. The first has one row per entity: rows, days missing
        between the first and the last committed instant, records set aside, the last run, and per month the share in
        percent. The second has one row per missing range: entity, first and last instant, days.

    Example:
        ::

            show_coverage = data_loader(show_coverage())

    """

    def body(call: Execution) -> Any:
        schema = _schema(call.kwargs)
        entities = _status(call.settings.keywords, schema)["entities"]
        call.log.show(page_of(entities, schema, call.log.clock, datetime.now(timezone.utc)))
        for entity in entities:
            missing, last_run = _days_text(entity["gaps"]), _last_run(entity, call.log.clock)
            line = f"{count(entity['rows'], 'row')} · {entity['entity']} · {missing} missing · {last_run}"
            call.log.write("info", line, phase="chunk", event="coverage", entity=entity["entity"], rows=entity["rows"])
        # Two tables, since the page of Mage 0.9.80 breaks down ("html prop can't be null") when it shows a page of a
        # block that has left one.
        return [_table(entities, call.log.clock), _gaps(entities, call.log.clock)]

    return as_block("show_coverage", body)


def coverage_chart(*_: Any, **kwargs: Any) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of the chart ``qbo_coverage``, a table of Mage; without a database, the reason.

    Args:
        *_: Not used.
        **kwargs: Keywords that Mage passed to the chart; ``schema`` and ``zona`` are those of the pipeline.

    Returns:
        The columns and the rows.

    Example:
        ::

            qbo_coverage = xy(coverage_chart)

    """
    secrets: tuple[str, ...] = ()
    try:
        settings = read_settings()
        secrets = settings.secrets
        entities = _status(settings.keywords, _schema(kwargs), CHART_LIMIT_S)["entities"]
        table = _table(entities, Clock.of(kwargs.get("zona")))
    except Exception as error:  # noqa: BLE001 - Mage shows a traceback, which may hold a secret
        return ["error"], [[str(as_exception(error, secrets))]]
    return [str(name) for name in table.columns], table.to_numpy().tolist()


def page_of(entities: Sequence[Mapping[str, Any]], schema: str, clock: Clock, now: datetime) -> str:
    """Return the page for the entities of a status, as of ``now``."""
    title = f"<p>schema {escape(schema)} · {escape(clock.both(now))}</p>"
    if not entities:
        return _page(f"{title}<p>Nothing is loaded yet. | Aún no hay datos: ejecute qb_customers_backfill.</p>")
    months = _months(entities, clock)
    heads = "".join(f"<th class=month>{month:%m}<br>{month:%y}</th>" for month, _ in months)
    # The editor's column is narrow and cuts what is at the right: what is short and matters stands first.
    first, last = (
        "".join(f"<th>{'<br>'.join(name)}</th>" for name in names)
        for names in (
            ((), ("rows", "filas"), ("missing", "falta")),
            (("set aside", "apartadas"), ("last run", "última corrida")),
        )
    )
    rows = "".join(_row(entity, months, clock) for entity in entities)
    legend = (
        "<p><b class=full>■</b> committed | completo &nbsp; <b class=part>■</b> in part | en parte &nbsp; "
        "<b class=none>■</b> missing | falta</p>"
    )
    return _page(f"{title}<table><tr>{first}{heads}{last}</tr>{rows}</table>{legend}")


def _row(entity: Mapping[str, Any], months: Sequence[Span], clock: Clock) -> str:
    cells = []
    for (month, end), share in zip(months, _shares(entity, months), strict=True):
        kind = "full" if share >= FULL else "part" if share > 0 else "none"
        tip = f"{entity['entity']} {clock.label(month, end)}: {_percent(share)} %"
        cells.append(f'<td class=month><b class={kind} title="{escape(tip)}">■</b></td>')
    aside = _count(entity["rejects"]) if entity["rejects"] else "-"
    first, last = (
        "".join(f"<td>{escape(text)}</td>" for text in texts)
        for texts in (
            (str(entity["entity"]), _count(entity["rows"]), _days_text(entity["gaps"])),
            (aside, _last_run(entity, clock)),
        )
    )
    return f"<tr>{first}{''.join(cells)}{last}</tr>"


def _count(number: int) -> str:
    """Return a number in groups of digits that readers of English and of Spanish read the same."""
    return f"{number:_}".replace("_", "\u202f")


def _table(entities: Sequence[Mapping[str, Any]], clock: Clock) -> Any:
    months = _months(entities, clock) if entities else []
    names = [clock.label(*month) for month in months]
    rows = []
    for entity in entities:
        row = {"entity": entity["entity"], "rows": entity["rows"], "missing": _days_text(entity["gaps"])}
        row |= {"set_aside": entity["rejects"], "last_run": _last_run(entity, clock)}
        row |= dict(zip(names, map(_percent, _shares(entity, months)), strict=True))
        rows.append(row)
    return _tables.frame(rows, ("entity", "rows", "missing", "set_aside", "last_run", *names))


def _gaps(entities: Iterable[Mapping[str, Any]], clock: Clock) -> Any:
    rows = [
        {"entity": entity["entity"], "from": clock.both(start), "to": clock.both(end), "missing": _days_text([gap])}
        for entity in entities
        for gap, (start, end) in zip(entity["gaps"], _spans(entity["gaps"]), strict=True)
    ]
    return _tables.frame(rows, ("entity", "from", "to", "missing"))


def _status(keywords: Mapping[str, Any], schema: str, limit_s: float = _command.LIMIT_S) -> dict[str, Any]:
    return _command.run(keywords, "status", "--json", "--schema", schema, limit_s=limit_s).report()


def _schema(kwargs: Mapping[str, Any]) -> str:
    given = kwargs.get("schema")
    return DEFAULT_SCHEMA if is_missing(given) else str(given).strip()


def _spans(windows: Iterable[Mapping[str, str]]) -> list[Span]:
    return [(parse_instant(window["start"]), parse_instant(window["end"])) for window in windows]


def _months(entities: Iterable[Mapping[str, Any]], clock: Clock) -> list[Span]:
    """Return the months from the first committed instant to the last one, in the zone of the ranges."""
    committed = [span for entity in entities for span in _spans(entity["committed"])]
    if not committed:
        return []
    first = min(start for start, _ in committed).astimezone(clock.ranges)
    last = max(end for _, end in committed).astimezone(clock.ranges)
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    numbers = range(first.year * 12 + first.month - 1, first.year * 12 + first.month + count)
    begins = [datetime(number // 12, number % 12 + 1, 1, tzinfo=clock.ranges) for number in numbers]
    # The end of the last window may be the beginning of a month, which then has nothing.
    return [(begin, end) for begin, end in pairwise(begins) if begin < last][-MAX_MONTHS:]


def _shares(entity: Mapping[str, Any], months: Iterable[Span]) -> list[float]:
    spans = _spans(entity["committed"])
    shares = []
    for begin, end in months:
        seconds = sum(max(0.0, (min(end, last) - max(begin, first)).total_seconds()) for first, last in spans)
        shares.append(seconds / (end - begin).total_seconds())
    return shares


def _percent(share: float) -> int:
    # Neither a month with a gap is shown as full, nor one with a day as empty.
    return 100 if share >= FULL else min(99, max(1, round(share * 100))) if share > 0 else 0


def _days_text(gaps: Iterable[Mapping[str, str]]) -> str:
    seconds = sum((end - start).total_seconds() for start, end in _spans(gaps))
    if 0 < seconds < DAY:
        return f"{seconds / 3600:,.1f} h"
    return count(round(seconds / DAY), "day")


def _last_run(entity: Mapping[str, Any], clock: Clock) -> str:
    run = entity["last_run"]
    if run is None:
        return "never | nunca"
    ended = run["finished_at"] or run["started_at"]
    return f"{run['status']} {clock.both(parse_instant(ended))}"


def _page(body: str) -> str:
    # Mage puts the page into its own, so that a rule must not reach beyond it.
    style = (
        "{font:14px system-ui,sans-serif;padding:12px;color:#222;background:#fff;overflow-x:auto}",
        " table{border-collapse:collapse}",
        " td,{}th{padding:3px 5px;text-align:left;white-space:nowrap;font-weight:normal}",
        " th{font-size:12px;opacity:.75}",
        " td:nth-child(-n+3):nth-child(n+2),{}th:nth-child(-n+3){text-align:right}",
        " .month.month{padding:2px 1px;text-align:center}",
        " .month b{font-size:15px;line-height:1}",
        " .full{color:#2e9e5b}",
        " .part{color:#e0a100}",
        " .none{color:#c9ced6}",
    )
    rules = "".join(f".qbo-coverage{rule}" for rule in style).replace("{}th", ".qbo-coverage th")
    return f"<div class=qbo-coverage><style>{rules}</style>{body}</div>"
