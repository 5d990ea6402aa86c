"""The small tables that blocks return, one row per window: users see them, and the downstream block reads them.

A DataFrame is the only container that Mage keeps in order, shows as a table, and passes on unchanged. Times are text
and missing values are empty text, since Mage changes the form of others.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from qbo_rs._types import Landing, RunReport, Totals, Window, WindowReport, parse_instant
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qbo_rs._books import BooksReport
    from qbo_rs._reports import ReportsReport
    from qbo_rs._types import SyncReport

TO_READ = "to read"
COMMITTED = "committed"
COUNTS = ("pages", "rows", "rejected", "requests", "retries", "duration_ms")
WINDOW_COLUMNS = ("start", "end", "status", *COUNTS, "path")
LANDING_COLUMNS = (*WINDOW_COLUMNS, "entity", "realm_id", "run_id")
LOADED = ("inserted", "updated", "unchanged")
LOAD_COLUMNS = ("start", "end", "status", "pages", "rows", *LOADED, "rejected", "duration_ms")


def plan_table(windows: Iterable[Window], remaining: Iterable[Window]) -> Any:
    """Make the table of a range: each window, with the status ``to read`` or ``committed``."""
    status = dict.fromkeys(remaining, TO_READ)
    # If the range was cut in another way before, parts of a window may remain; they take the place of the window.
    starts = sorted(window.start for window in status)
    for window in windows:
        if bisect_left(starts, window.start) == bisect_left(starts, window.end):
            status[window] = COMMITTED
    rows = [window.to_dict() | {"status": status[window]} for window in sorted(status)]
    return frame(rows, ("start", "end", "status"))


def windows_to_read(table: Any) -> list[dict[str, Any]]:
    """Return the windows that a table of :func:`plan_table` says are to be read."""
    return [row for row in _rows(table, ("start", "end", "status")) if row["status"] == TO_READ]


def planned_windows(table: Any) -> list[tuple[Window, bool]]:
    """Return the windows of a table of :func:`plan_table`, each with True if it is to be read."""
    rows = _rows(table, ("start", "end", "status"))
    windows = [Window(parse_instant(str(row["start"])), parse_instant(str(row["end"]))) for row in rows]
    return [(window, row["status"] == TO_READ) for window, row in zip(windows, rows, strict=True)]


def landing_table(landing: Landing, plan: Any) -> Any:
    """Make the table of an extract, with counts and files; windows that were committed before have none."""
    run = landing.run
    names = {"entity": run.entity, "realm_id": run.realm_id, "run_id": run.run_id}
    # A window that lies in the future has no file.
    rows = [names | _columns(window.to_dict(), WINDOW_COLUMNS) | {"path": window.path or ""} for window in run.windows]
    blank = names | dict.fromkeys(COUNTS, 0) | {"path": ""}
    rows += [blank | row for row in _rows(plan, ("start", "end", "status")) if row["status"] != TO_READ]
    return frame(sorted(rows, key=lambda row: str(row["start"])), LANDING_COLUMNS)


def landing_to_load(table: Any) -> Landing | None:
    """Return the landing that a table of :func:`landing_table` describes; None if it has no file."""
    rows = [row for row in _rows(table, LANDING_COLUMNS) if row["path"]]
    if not rows:
        return None
    zeros: dict[str, Any] = dict.fromkeys(LOADED, 0)
    windows = tuple(WindowReport.from_dict(_columns(row, WINDOW_COLUMNS) | zeros | {"error": None}) for row in rows)
    totals = Totals(windows=len(rows), **{name: sum(row[name] for row in rows) for name in COUNTS}, **zeros)
    entity, realm_id, run_id = (str(rows[0][name]) for name in ("entity", "realm_id", "run_id"))
    return Landing(
        RunReport(entity=entity, realm_id=realm_id, run_id=run_id, status="ok", windows=windows, totals=totals)
    )


def load_table(runs: Sequence[RunReport]) -> Any:
    """Make the table of a load, with the counts of each window."""
    rows = [_columns(window.to_dict(), LOAD_COLUMNS) for run in runs for window in run.windows]
    return frame(rows, LOAD_COLUMNS)


def sync_table(report: SyncReport) -> Any:
    """Make the table of a sync, with one row per company and entity."""
    names = ("entity", "status", "via", "rows", "inserted", "updated", "unchanged", "rejected", "deleted", "checkpoint")
    rows = [
        {"realm_id": account["realm_id"], "schema": account["schema"]} | _columns(entity, names)
        for account in report.to_dict()["accounts"]
        for entity in account["entities"]
    ]
    return frame(rows, ("realm_id", "schema", *names))


def reports_table(report: ReportsReport) -> Any:
    """Make the table of landed reports, with one row per report."""
    names = ("report", "basis", "start", "end", "status", "requests")
    rows = [
        {name: "" if getattr(landed, name) is None else str(getattr(landed, name)) for name in names}
        | {"realm_id": report.realm_id, "answers": len(landed.answers), "rows": sum(it.rows for it in landed.answers)}
        for landed in report.reports
    ]
    return frame(rows, ("realm_id", *names, "answers", "rows"))


def books_table(report: BooksReport) -> Any:
    """Make the table of a tie-out, with one row per account that differs, and cause.

    A transaction that no such row is about has one, too: it changes no account, or others make up for it, or it is of
    another day. So has a company of which nothing differs: ``agrees``.
    """
    rows: list[dict[str, Any]] = []
    for books in report.books:
        company = {"realm_id": books.realm_id, "as_of": str(books.as_of), "accounts": len(books.accounts)}
        found = [
            company
            | {"account_id": account.account_id, "name": account.name, "cause": part.cause, "amount": part.amount}
            for account in books.different
            for part in account.causes
        ]
        told = {(row["account_id"], row["cause"]) for row in found}
        blank = company | {"account_id": "", "name": ""}
        found += [
            blank | {"cause": each.cause, "amount": "", "transaction": f"{each.entity} {each.id}"}
            for each in books.transactions
            if not any((line.account_id, each.cause) in told for line in each.lines)
        ]
        rows += found
        if books.agrees:
            rows.append(blank | {"cause": "agrees", "amount": "0.00"})
    rows = [{"transaction": ""} | row | {"amount": str(row["amount"])} for row in rows]
    return frame(rows, ("realm_id", "as_of", "accounts", "account_id", "name", "cause", "amount", "transaction"))


def _columns(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def frame(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> Any:
    """Make a table."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns))


def _rows(table: Any, columns: Sequence[str]) -> list[dict[str, Any]]:
    names = getattr(table, "columns", None)
    if names is None:
        raise ConfigError("the upstream block returned no table; run it first")
    if missing := [name for name in columns if name not in list(names)]:
        raise ConfigError(f"the upstream block returned a table without {', '.join(missing)}")
    return [dict(row) for row in table.to_dict("records")]
