"""Tasks and flows of Prefect: syncs of companies by buckets, and backfills.

Settings come from the environment of the worker: Prefect keeps and shows parameters.

Example:
    ::

        from qbo_rs.prefect import sync_companies

        sync_companies.serve(name="books", cron="*/15 * * * *", parameters={"entities": ["customers", "invoices"]})

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbo_rs import _scheduled, buckets, lineage
from qbo_rs._company import settings_of
from qbo_rs._extras import needing
from qbo_rs._verbs import sync as sync_verb
from qbo_rs.exceptions import QboError

with needing("prefect", what="qbo_rs.prefect", install="prefect"):
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.futures import wait
    from prefect.runtime import task_run

if TYPE_CHECKING:
    from prefect.states import State


def _can_help(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Return true if a retry can help."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, QboError) or error.recovery == "retry"


@task(name="qbo sync", retries=2, retry_delay_seconds=60, retry_condition_fn=_can_help, cache_policy=NO_CACHE)
def sync(entities: list[str] | None = None, accounts: list[str] | None = None) -> dict[str, int]:
    """Bring companies into step; those that fail fail the task in one line, and the others go on.

    A retry goes on after what is committed, as every sync does.
    """
    report = lineage.run(sync_verb, entities, accounts=accounts)
    report.raise_for_failures()
    return _scheduled.counts_of_sync(report)


@task(name="qbo backfill", retries=2, retry_delay_seconds=60, retry_condition_fn=_can_help, cache_policy=NO_CACHE)
def backfill(
    entities: list[str],
    start: str,
    end: str,
    *,
    chunk: str = "month",
    realm_id: str | None = None,
    schema: str = "raw",
) -> dict[str, int]:
    """Copy ``[start, end)`` of a company; a retry leaves out what is committed."""
    is_retry = (task_run.run_count or 1) > 1
    settings = settings_of(realm_id, {})
    report = _scheduled.run_backfill(entities, (start, end), chunk, resume=is_retry, schema=schema, settings=settings)
    report.raise_for_failures()
    return _scheduled.counts_of_backfill(report)


@flow(name="qbo sync of companies")
def sync_companies(entities: list[str] | None = None, count: int | None = None) -> list[dict[str, int]]:
    """Sync every company, a task for each of at most ``count`` buckets; fails at the end if one of them did."""
    futures = [sync.submit(entities, accounts) for accounts in buckets.plan(count, entity=entities)]
    wait(futures)
    return [future.result() for future in futures]
