"""The tables that a call has written, by its report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from qbo_rs._types import SyncReport, why_not_in_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Written:
    """The rows of an entity that a call has written."""

    realm_id: str
    entity: str
    rows: int
    schema: str | None
    """Schema of its table; None if the call writes files."""
    folder: str | None = None
    """Directory of its landing files; None if it has none."""


@dataclass(frozen=True)
class Outcome:
    """The end of a call."""

    written: tuple[Written, ...] = ()
    failure: str | None = None
    """Reason of the first failure, one line."""


def outcome_of(report: Mapping[str, Any], verb: str, schema: str) -> Outcome:
    """Read a report, which is the `--json` object of the command, of a verb that loads into a schema or extracts."""
    if "error" in report:
        return Outcome(failure=report["error"]["message"])
    if "accounts" in report:
        return Outcome(tuple(_of_accounts(report)), next(_failed_accounts(report), None))
    runs = report["runs"]
    of_run = _of_files if verb == "extract" else partial(_of_table, schema=schema)
    return Outcome(tuple(map(of_run, runs)), next(_failed_windows(runs), None))


def _of_table(run: Mapping[str, Any], schema: str) -> Written:
    return Written(run["realm_id"], run["entity"], _sum(run, "inserted", "updated"), schema)


def _of_files(run: Mapping[str, Any]) -> Written:
    # A file that was there already is in the same directory as those that were written.
    paths = [window["path"] for window in run["windows"] if window.get("path")]
    return Written(
        run["realm_id"], run["entity"], _sum(run, "rows"), None, paths[0].rpartition("/")[0] if paths else None
    )


def _sum(run: Mapping[str, Any], *counts: str) -> int:
    # A window that is skipped has the counts of the run that has written it.
    return sum(window[name] for window in run["windows"] if window["status"] == "done" for name in counts)


def _of_accounts(report: Mapping[str, Any]) -> Iterator[Written]:
    for account in report["accounts"]:
        for each in account["entities"]:
            if each["status"] == "ok":
                rows = each["inserted"] + each["updated"] + each["deleted"]
                yield Written(account["realm_id"], each["entity"], rows, account["schema"])


def _failed_accounts(report: Mapping[str, Any]) -> Iterator[str]:
    for account in SyncReport.from_dict(report).accounts:
        reason = why_not_in_step(account)
        if reason is not None:
            yield f"company {account.realm_id}: {reason}"


def _failed_windows(runs: list[Mapping[str, Any]]) -> Iterator[str]:
    for run in runs:
        failed = [window for window in run["windows"] if window["status"] == "failed"]
        for window in failed[:1]:
            of = f"{len(failed)} of {len(run['windows'])} windows failed"
            yield f"{run['entity']}: {of}, first [{window['start']}, {window['end']}): {window['error']}"
        if run["totals"]["rejected"]:
            yield f"{run['entity']}: {run['totals']['rejected']} records were rejected"
