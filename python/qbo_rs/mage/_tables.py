"""The small tables that blocks hand on, a row a window: what users see, and what the next block reads.

A DataFrame is the one container that Mage keeps in order, shows as a table, and gives back as it was. Times are text,
missing values are empty text: others come back in another form.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from qbo_rs._types import Landing, RunReport, Totals, Window, WindowReport
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qbo_rs._types import SyncReport

TO_READ = "to read"
COMMITTED = "committed"
COUNTS = ("pages", "rows", "rejected", "requests", "retries", "duration_ms")
WINDOW = ("start", "end", "status", *COUNTS, "path")
LANDED = (*WINDOW, "entity", "realm_id", "run_id")
LOADED = ("start", "end", "status", "pages", "rows", "inserted", "updated", "unchanged", "rejected", "duration_ms")


def plan(windows: Iterable[Window], left: Iterable[Window]) -> Any:
    """Make the table of a range: each window with whether it is to be read."""
    status = dict.fromkeys(left, TO_READ)
    # A range that was cut in another way before may leave parts of a window: they stand for it.
    starts = sorted(window.start for window in status)
    for window in windows:
        if bisect_left(starts, window.start) == bisect_left(starts, window.end):
            status[window] = COMMITTED
    rows = [window.to_dict() | {"status": status[window]} for window in sorted(status)]
    return _frame(rows, ("start", "end", "status"))


def planned(table: Any) -> list[dict[str, Any]]:
    """Return the windows to read of the table that the block before made."""
    return [row for row in _rows(table, ("start", "end", "status")) if row["status"] == TO_READ]


def landed(landing: Landing, plan_table: Any) -> Any:
    """Make the table of an extract: counts and files; windows that were committed before are in it, without."""
    run = landing.run
    names = {"entity": run.entity, "realm_id": run.realm_id, "run_id": run.run_id}
    # A window that lies in the future has no file.
    rows = [
        names | {name: getattr(window, name) for name in WINDOW} | {"path": window.path or ""} for window in run.windows
    ]
    blank = names | dict.fromkeys(COUNTS, 0) | {"path": ""}
    rows += [blank | row for row in _rows(plan_table, ("start", "end", "status")) if row["status"] != TO_READ]
    return _frame(sorted(rows, key=lambda row: str(row["start"])), LANDED)


def to_load(table: Any) -> Landing | None:
    """Return the landing of the table that the block before made; None if it holds no file."""
    rows = [row for row in _rows(table, LANDED) if row["path"]]
    if not rows:
        return None
    zeros: dict[str, Any] = dict.fromkeys(("inserted", "updated", "unchanged"), 0)
    windows = tuple(WindowReport(**{name: row[name] for name in WINDOW}, **zeros, error=None) for row in rows)
    totals = Totals(windows=len(rows), **{name: sum(row[name] for row in rows) for name in COUNTS}, **zeros)
    names = {name: str(rows[0][name]) for name in ("entity", "realm_id", "run_id")}
    return Landing(RunReport(**names, status="ok", windows=windows, totals=totals))


def loaded(runs: Sequence[RunReport]) -> Any:
    """Make the table of a load: what became of each window's records."""
    rows = [{name: getattr(window, name) for name in LOADED} for run in runs for window in run.windows]
    return _frame(rows, LOADED)


def synced(report: SyncReport) -> Any:
    """Make the table of a sync."""
    names = ("entity", "via", "rows", "inserted", "updated", "unchanged", "rejected", "deleted", "checkpoint")
    rows = [
        {"realm_id": account.realm_id, "schema": account.schema} | {name: getattr(entity, name) for name in names}
        for account in report.accounts
        for entity in account.entities
    ]
    return _frame(rows, ("realm_id", "schema", *names))


def _frame(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns))


def _rows(table: Any, columns: Sequence[str]) -> list[dict[str, Any]]:
    names = getattr(table, "columns", None)
    if names is None:
        raise ConfigError("the block before has handed on no table; run it first")
    if missing := [name for name in columns if name not in list(names)]:
        raise ConfigError(f"the block before handed on a table without {', '.join(missing)}")
    return [dict(row) for row in table.to_dict("records")]
