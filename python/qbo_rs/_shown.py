"""Results of the verbs as one line of text and as tables for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbo_rs._calendar import FAILED, SKIPPED, Counted, calendar, legend, levels_in, pieces_of, strip
from qbo_rs._html import (
    MAX_ROWS,
    Amount,
    Html,
    block,
    count,
    details,
    headline,
    instant,
    mark,
    markup,
    more,
    one_line,
    paragraph,
    plain,
    seconds,
    span,
    table,
    without_zeros,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qbo_rs._calendar import Piece
    from qbo_rs._types import (
        AccountSync,
        Connection,
        EntitySync,
        Landing,
        Report,
        RunReport,
        SyncReport,
        Totals,
        Verification,
        VerificationReport,
        Window,
        WindowReport,
    )

# A first look at records shows these, as far as they have them.
_FIRST_COLUMNS = (
    "Id",
    "DocNumber",
    "TxnDate",
    "DisplayName",
    "Name",
    "CustomerRef",
    "VendorRef",
    "TotalAmt",
    "Balance",
)
_UNTELLING = ("domain", "SyncToken")
_MAX_COLUMNS = 8
_TO_FRAMES = ".to_pandas(), .to_arrow(), .to_polars()"
_VERDICTS = {"ok": "ok", "done": "ok", "skipped": "care", "partial": "care", "unavailable": "care"}
_MAX_IDS = 10
# Companies and entities that are shown with all that is wrong.
_MAX_IN_FULL = 3


def verdict(status: str) -> str:
    """Return the verdict that a status stands for."""
    return _VERDICTS.get(status, "wrong")


def status_cell(status: str) -> Html:
    """Return a status behind its sign."""
    return Html(f"{mark(verdict(status))} {markup(status)}")


# Windows


def windows_line(windows: Sequence[Window]) -> str:
    """Return windows as one line."""
    if not windows:
        return "<Windows: none>"
    return f"<Windows: {count(len(windows), 'window')}, {span(windows[0].start, windows[-1].end)}>"


def windows_html(windows: Sequence[Window]) -> str:
    """Return a table of windows."""
    rows = [[instant(window.start), instant(window.end), _length(window)] for window in windows]
    whole = (count(len(windows), "window"), span(windows[0].start, windows[-1].end)) if windows else ("no window",)
    return block(headline("ok", whole), table(("start", "end (not inside)", "length"), rows, "windows"))


def _length(window: Window) -> str:
    length = window.end - window.start
    return count(length.days, "day") if length.seconds == 0 else plain(length)


def outcome_line(window: WindowReport) -> str:
    """Return the outcome of a window as one line."""
    reason = f": {plain(window.error)}" if window.error else ""
    counts = count(window.rows, "row")
    return f"<WindowReport {span(window.start, window.end)} {plain(window.status)}, {counts}{reason}>"


def outcomes_line(windows: Sequence[WindowReport]) -> str:
    """Return the outcomes of windows as one line."""
    parts = [count(len(windows), "window"), count(sum(window.rows for window in windows), "row")]
    for status in ("failed", "skipped"):
        number = sum(window.status == status for window in windows)
        parts += [f"{number:,} {status}"] if number else []
    return f"<WindowReports: {', '.join(parts)}>"


def outcomes_html(windows: Sequence[WindowReport]) -> str:
    """Return a table of the outcomes of windows, those first that matter most, and their calendar."""
    order = {"done": 1, "skipped": 2}
    listed = sorted(windows, key=lambda window: (order.get(window.status, 0), not window.rows, window.start))
    return block(calendar(_pieces(windows)), _windows(listed))


def _windows(windows: Sequence[WindowReport]) -> Html:
    columns = ["window", "status", "rows", "inserted", "updated", "unchanged", "set aside", "requests", "seconds"]
    rows = [
        [
            span(window.start, window.end),
            status_cell(window.status),
            window.rows,
            window.inserted,
            window.updated,
            window.unchanged,
            window.rejected,
            window.requests,
            seconds(window.duration_ms),
            window.error,
        ]
        for window in windows
    ]
    zeros = ("inserted", "updated", "unchanged", "set aside", "requests", "error")
    return table(*without_zeros([*columns, "error"], rows, zeros), "windows")


def _pieces(windows: Iterable[WindowReport]) -> list[Piece]:
    fixed = {"failed": FAILED, "skipped": SKIPPED}
    ends = ((window, window.read_until or window.end) for window in windows)
    return pieces_of(
        Counted(window.start, end, fixed.get(window.status), window.rows) for window, end in ends if end > window.start
    )


# Runs


def _counts(totals: Totals) -> list[str]:
    parts = [count(totals.rows, "row")]
    for number, words in ((totals.inserted, "inserted"), (totals.updated, "updated"), (totals.rejected, "set aside")):
        parts += [f"{number:,} {words}"] if number else []
    return parts


def run_line(run: RunReport, kind: str = "RunReport") -> str:
    """Return a run as one line."""
    failed = [f"{count(len(run.failed), 'window')} failed"] if run.failed else []
    return one_line(f"{kind} {plain(run.entity)} {plain(run.status)}:", *_counts(run.totals), *failed)


def landing_line(landing: Landing) -> str:
    """Return a landing as one line."""
    files = count(len(landing.paths), "file")
    return f"{run_line(landing.run, 'Landing').removesuffix('>')}, {files}>"


def report_line(report: Report) -> str:
    """Return a report as one line."""
    parts = [count(len(report.runs), "entity", "entities"), count(report.rows, "row")]
    for name, words in (("inserted", "inserted"), ("updated", "updated"), ("rejected", "set aside")):
        number = sum(getattr(run.totals, name) for run in report.runs)
        parts += [f"{number:,} {words}"] if number else []
    for status in ("failed", "skipped"):
        number = sum(window.status == status for run in report.runs for window in run.windows)
        parts += [f"{count(number, 'window')} {status}"] if number else []
    return one_line(f"Report {'ok' if report.ok else 'not complete'}:", *parts)


def report_html(report: Report) -> str:
    """Return a report as a table with one row an entity, the time of each as a strip, and what failed."""
    facts = report_line(report).removeprefix("<Report ").removesuffix(">").split(": ", 1)[1].split(", ")
    runs = report.runs
    facts.append(count(sum(run.totals.requests for run in runs), "request"))
    facts.append(seconds(sum(run.totals.duration_ms for run in runs)))
    parts: list[str] = [headline("ok" if report.ok else "wrong", facts), _runs(runs)]
    wrong = [run for run in runs if run.failed]
    parts += [_failures(run) for run in wrong[:_MAX_IN_FULL]]
    parts.append(more(len(wrong) - _MAX_IN_FULL, "entities with windows that failed"))
    if len(runs) == 1:
        parts.append(calendar(_pieces(runs[0].windows)))
    if report.connection:
        parts.append(connection_html(report.connection))
    return block(*parts)


def run_html(run: RunReport, more_facts: Iterable[str] = ()) -> str:
    """Return a run: its counts, its calendar, its windows."""
    facts = [run.entity, run.status, *_counts(run.totals), count(run.totals.requests, "request"), *more_facts]
    reason = [paragraph(run.unavailable)] if run.unavailable else []
    verdict_of_run = "care" if run.totals.rejected and run.status == "ok" else verdict(run.status)
    shown = details(count(len(run.windows), "window"), _windows([w for w in run.windows if w.status != "failed"]))
    return block(headline(verdict_of_run, facts), *reason, _failures(run), calendar(_pieces(run.windows)), shown)


def landing_html(landing: Landing) -> str:
    """Return a landing as a run, with its files."""
    paths = list(dict.fromkeys(landing.paths))
    listed = table(("file",), [[path] for path in paths], "files")
    return block(run_html(landing.run, [count(len(paths), "file")]), details(count(len(paths), "file"), listed))


def _runs(runs: Sequence[RunReport]) -> Html:
    pieces = [_pieces(run.windows) for run in runs]
    starts = [window.start for run in runs for window in run.windows]
    ends = [window.end for run in runs for window in run.windows]
    columns = ["entity", "status", "rows", "inserted", "updated", "unchanged", "set aside", "failed", "requests"]
    rows: list[list[object]] = []
    for run, places in zip(runs[:MAX_ROWS], pieces, strict=False):
        totals, drawn = run.totals, strip(places, min(starts), max(ends)) if starts else ""
        counts = [totals.rows, totals.inserted, totals.updated, totals.unchanged, totals.rejected, len(run.failed)]
        rows.append([run.entity, status_cell(run.status), *counts, totals.requests, drawn])
    when = span(min(starts), max(ends)) if starts else "windows"
    zeros = ("inserted", "updated", "unchanged", "set aside", "failed", "requests")
    shown = table(*without_zeros([*columns, when], rows, zeros))
    used = set().union(*(levels_in(places) for places in pieces)) if pieces else set()
    return block(shown, more(len(runs) - MAX_ROWS, "entities"), paragraph(legend(used)))


def _failures(run: RunReport) -> Html:
    if not run.failed:
        return Html("")
    reasons: dict[str, list[WindowReport]] = {}
    for window in run.failed:
        reasons.setdefault(window.error or "", []).append(window)
    rows = [[span(group[0].start, group[0].end), len(group), reason] for reason, group in reasons.items()]
    summary = f"{run.entity}: {count(len(run.failed), 'window')} failed"
    return details(summary, table(("first window", "windows", "reason"), rows, "reasons"), is_open=True)


def connection_line(connection: Connection) -> str:
    """Return the state of a connection as one line."""
    return one_line(f"Connection {plain(connection.realm_id)}:", *_of_connection(connection))


def _of_connection(connection: Connection) -> list[str]:
    left = "end unknown" if connection.days_left is None else f"{count(connection.days_left, 'day')} left"
    return [left, f"{count(connection.monthly_reads, 'read')} this month"]


def connection_html(connection: Connection) -> Html:
    """Return the state of a connection as a line."""
    line = paragraph(" · ".join([f"company {connection.realm_id}", *_of_connection(connection)]))
    return block(line, headline("care", [connection.warning])) if connection.warning else line


# Syncs


def sync_line(report: SyncReport) -> str:
    """Return a sync as one line."""
    entities = [entity for account in report.accounts for entity in account.entities]
    parts = [count(len(report.accounts), "company", "companies"), count(sum(e.rows for e in entities), "row")]
    parts += _changes(entities)
    return one_line(f"SyncReport {'ok' if report.ok else 'not complete'}:", *parts)


def account_line(account: AccountSync) -> str:
    """Return the sync of a company as one line."""
    counts = [count(len(account.entities), "entity", "entities"), *_changes(account.entities)]
    return one_line(f"AccountSync {plain(account.realm_id)} {plain(account.status)}:", *counts)


def _changes(entities: Iterable[EntitySync]) -> list[str]:
    listed, parts = list(entities), []
    for name, words in (
        ("inserted", "inserted"),
        ("updated", "updated"),
        ("deleted", "deleted"),
        ("rejected", "set aside"),
    ):
        number = sum(getattr(entity, name) for entity in listed)
        parts += [f"{number:,} {words}"] if number else []
    return parts


def sync_html(report: SyncReport) -> str:
    """Return the sync of each company, of at most three of them in full."""
    shown = sorted(report.accounts, key=lambda account: account.status == "ok")
    parts = [account_html(account) for account in shown[:_MAX_IN_FULL]]
    rest = [[account.realm_id, status_cell(account.status), account.error] for account in shown[_MAX_IN_FULL:]]
    parts += [table(("company", "status", "error"), rest, "companies")] if rest else []
    return block(headline("ok" if report.ok else "wrong", _facts(sync_line(report))), *parts)


def account_html(account: AccountSync) -> str:
    """Return the sync of a company: entities that failed or changed first."""

    def weight(entity: EntitySync) -> tuple[bool, bool, int]:
        return entity.status != "failed", not (entity.rejected or entity.status == "unavailable"), -entity.rows

    columns = ["entity", "status", "rows", "inserted", "updated", "deleted", "set aside", "up to", "reason"]
    rows = [
        [
            entity.entity,
            status_cell(entity.status),
            entity.rows,
            entity.inserted,
            entity.updated,
            entity.deleted,
            entity.rejected,
            entity.checkpoint,
            entity.error or entity.unavailable,
        ]
        for entity in sorted(account.entities, key=weight)
    ]
    facts = [f"company {account.realm_id}", account.status, f"schema {account.schema}"]
    facts += [count(account.requests, "request"), seconds(account.duration_ms)]
    reason = [paragraph(account.error)] if account.error else []
    zeros = ("inserted", "updated", "deleted", "set aside", "reason")
    shown = table(*without_zeros(columns, rows, zeros), "entities")
    return block(headline(verdict(account.status), facts), *reason, shown)


def _facts(line: str) -> list[str]:
    """Return the facts of a repr of one line."""
    return line.removesuffix(">").split(": ", 1)[1].split(", ")


# Verification


def verification_line(report: VerificationReport) -> str:
    """Return a verification as one line."""
    windows = sum(len(run.different) for run in report.runs)
    parts = [count(len(report.runs), "entity", "entities"), count(sum(run.source for run in report.runs), "record")]
    parts += [f"{count(windows, 'window')} different"] if windows else []
    rejects = sum(len(run.rejects) for run in report.runs)
    parts += [f"{rejects:,} set aside"] if rejects else []
    return one_line(f"VerificationReport {'ok' if report.ok else 'different'}:", *parts)


def compared_line(run: Verification) -> str:
    """Return the comparison of an entity as one line."""
    parts = [f"{run.source:,} in QuickBooks", f"{run.table:,} in the table"]
    parts += [f"{run.archived:,} archived"] if run.archived else []
    parts += [f"{count(len(run.different), 'window')} different"] if run.different else []
    return one_line(f"Verification {plain(run.entity)} {plain(run.status)}:", *parts)


def verification_html(report: VerificationReport) -> str:
    """Return a table with one row an entity, and the windows that differ."""
    columns = ["entity", "status", "QuickBooks", "table", "archived", "windows", "different", "missing", "stale"]
    columns += ["extra"]
    columns += ["set aside", "repaired", "requests"]
    rows = [
        [
            run.entity,
            status_cell(run.status),
            run.source,
            run.table,
            run.archived,
            run.windows,
            len(run.different),
            sum(len(window.missing) for window in run.different),
            sum(len(window.stale) for window in run.different),
            sum(len(window.extra) for window in run.different),
            len(run.rejects),
            run.repaired,
            run.requests,
        ]
        for run in report.runs
    ]
    zeros = ("archived", "different", "missing", "stale", "extra", "set aside", "repaired")
    shown = table(*without_zeros(columns, rows, zeros), "entities")
    wrong = [run for run in report.runs if run.different or run.rejects or run.unavailable]
    parts = [_differences(run) for run in wrong[:_MAX_IN_FULL]]
    parts.append(more(len(wrong) - _MAX_IN_FULL, "entities that differ"))
    return block(headline("ok" if report.ok else "wrong", _facts(verification_line(report))), shown, *parts)


def compared_html(run: Verification) -> str:
    """Return the comparison of an entity."""
    return block(headline(verdict(run.status), _facts(compared_line(run))), _differences(run))


def _differences(run: Verification) -> Html:
    parts: list[str] = [paragraph(run.unavailable)] if run.unavailable else []
    if run.different:
        rows = [
            [span(w.start, w.end), w.source, w.table, _ids(w.missing), _ids(w.stale), _ids(w.extra)]
            for w in run.different
        ]
        columns = ("window", "QuickBooks", "table", "missing ids", "stale ids", "extra ids")
        shown = table(*without_zeros(columns, rows, columns[3:]), "windows")
        parts.append(details(f"{run.entity}: {count(len(rows), 'window')} different", shown, is_open=True))
    if run.rejects:
        rejects = [[reject.id, reject.changed_at, reject.error, reject.intuit_tid] for reject in run.rejects]
        shown = table(("id", "changed", "reason", "intuit_tid"), rejects, "records")
        parts.append(details(f"{run.entity}: {len(rejects):,} set aside", shown))
    return block(*parts)


def _ids(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_MAX_IDS])
    return f"{shown} and {len(ids) - _MAX_IDS:,} more" if len(ids) > _MAX_IDS else shown


# Records


def records_line(entity: str, window: Window, rows: int | None) -> str:
    """Return records as one line."""
    known = "not read yet" if rows is None else count(rows, "record")
    return f"<Records {plain(entity)} {span(window.start, window.end)}: {known}; {_TO_FRAMES}>"


def table_line(entity: str, schema: str | None) -> str:
    """Return the records of a table as one line."""
    where = "" if schema is None else f" of schema {plain(schema)}"
    return f"<Table {plain(entity)}{where}: read when it is used; {_TO_FRAMES}>"


def records_html(entity: str, window: Window, rows: int | None, first: Sequence[Mapping[str, Any]]) -> str:
    """Return the first records, if they were read."""
    facts = [entity, span(window.start, window.end)]
    if rows is None:
        return block(headline("care", [*facts, "not read yet"]), paragraph(_TO_FRAMES))
    names = list(dict.fromkeys(name for record in first for name in record))
    wanted = [name for name in _FIRST_COLUMNS if name in names]
    wanted += [name for name in names if name not in wanted and _is_telling(first, name)]
    columns = wanted[:_MAX_COLUMNS]
    cells = [[_value(record.get(name)) for name in columns] for record in first]
    left = more(rows - len(first), "records")
    hidden = more(len(names) - len(columns), "properties, see .to_pandas()")
    return block(headline("ok", [*facts, count(rows, "record")]), table(columns, cells), left, hidden)


def _is_telling(records: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Return true if a column of this property would say something in a few letters."""
    return name not in _UNTELLING and not any(isinstance(record.get(name), (dict, list, bool)) for record in records)


def _value(value: object) -> object:
    """Return the value of a property as one cell: of a reference the name, of an amount every digit."""
    if isinstance(value, dict):
        return value.get("name") or value.get("value")
    # As QuickBooks wrote it, without commas; `Decimal` beside it stands at the right, too.
    return Amount(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
