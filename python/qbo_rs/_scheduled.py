"""The calls of a backfill and a sync and their counts, which all schedulers share.

Settings come from the environment of the worker, or in Airflow from a connection: arguments of operators are shown in
user interfaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbo_rs import lineage
from qbo_rs._verbs import backfill, sync
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qbo_rs._types import EntitySync, Report, SyncReport
    from qbo_rs._verbs import Instant

#: The counts that every report has.
COUNTS = ("rows", "inserted", "updated", "rejected")


def run_backfill(
    entities: Iterable[str] | None,
    span: tuple[Instant, Instant],
    chunk: str,
    *,
    resume: bool,
    schema: str,
    settings: Mapping[str, Any],
) -> Report:
    """Copy a range of a company. What failed is in the report.

    Raises:
        ConfigError: No entity is named.

    """
    if not entities:
        raise ConfigError("entities: not given; a backfill names its entities, or 'all'")
    return lineage.run(backfill, entities, *span, chunk, resume=resume, schema=schema, **settings)


def run_sync(
    entities: Iterable[str] | None,
    accounts: str | Iterable[str] | None,
    *,
    progress: bool | None = None,
    settings: Mapping[str, Any],
) -> SyncReport:
    """Bring companies into step. What failed is in the report, and so is a company that was forgotten since a plan."""
    return lineage.run(sync, entities, accounts=accounts, planned=True, progress=progress, **settings)


def counts_of_backfill(report: Report) -> dict[str, int]:
    """Return the counts of a backfill, small enough for a scheduler's database."""
    names = (*COUNTS, "requests", "windows")
    return {name: sum(getattr(run.totals, name) for run in report.runs) for name in names}


def counts_of_sync(report: SyncReport) -> dict[str, int]:
    """Return the counts of a sync."""
    each = [entity for account in report.accounts for entity in account.entities]
    requests = sum(account.requests for account in report.accounts)
    return {"companies": len(report.accounts), "requests": requests} | counts(each)


def counts(entities: Iterable[EntitySync]) -> dict[str, int]:
    """Return the sums over syncs of entities."""
    each = tuple(entities)
    return {name: sum(getattr(entity, name) for entity in each) for name in (*COUNTS, "deleted")}
