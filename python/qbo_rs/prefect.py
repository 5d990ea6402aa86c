"""Tasks and flows of Prefect: syncs of companies by buckets, and backfills.

Settings come from the environment of the worker: Prefect keeps and shows parameters.

Example:
    ::

        from qbo_rs.prefect import sync_companies

        sync_companies.serve(name="books", cron="*/15 * * * *", parameters={"entities": ["customers", "invoices"]})

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbo_rs import _scheduled, buckets
from qbo_rs._company import settings_of
from qbo_rs._extras import needing
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

    A retry goes on after what is committed, as every sync does. A failure that a retry cannot help is not retried.

    Args:
        entities: Names from :func:`qbo_rs.entities`; None: all.
        accounts: Realm ids, see :func:`qbo_rs.buckets.plan`; None: every company of the token store.

    Returns:
        The counts ``companies``, ``requests``, ``rows``, ``inserted``, ``updated``, ``rejected`` and ``deleted``.

    Raises:
        IncompleteError: A company is not in step; the others are.
        QboError: Nothing was synced: a setting, the database or the token store failed.

    """
    report = _scheduled.run_sync(entities, accounts, settings={})
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
    """Copy ``[start, end)`` of a company; a retry leaves out what is committed.

    Args:
        entities: Names from :func:`qbo_rs.entities`.
        start: First instant, such as ``2025-01-01``.
        end: First instant after the range.
        chunk: Size of the windows, such as ``day``, ``month`` or ``7d``.
        realm_id: Company id; None: the one that the environment names.
        schema: Schema of the raw tables; it holds one company.

    Returns:
        The counts ``rows``, ``inserted``, ``updated``, ``rejected``, ``requests`` and ``windows``.

    Raises:
        IncompleteError: A window failed or a record was rejected; everything else is committed.
        QboError: Nothing was copied: a setting, the credentials or the database failed.

    """
    is_retry = (task_run.run_count or 1) > 1
    settings = settings_of(realm_id, {})
    report = _scheduled.run_backfill(entities, (start, end), chunk, resume=is_retry, schema=schema, settings=settings)
    report.raise_for_failures()
    return _scheduled.counts_of_backfill(report)


@flow(name="qbo sync of companies")
def sync_companies(entities: list[str] | None = None, count: int | None = None) -> list[dict[str, int]]:
    """Sync every company, a task for each bucket; it fails at the end if one of them did.

    Args:
        entities: Names from :func:`qbo_rs.entities`; None: all.
        count: Buckets at most; None: one for each 32 companies.

    Returns:
        The counts of each task, see :func:`sync`.

    Raises:
        ConfigError: No company is known, or the database cannot be reached.
        QboError: What the first task raised that failed.

    """
    futures = [sync.submit(entities, accounts) for accounts in buckets.plan(count, entity=entities)]
    wait(futures)
    return [future.result() for future in futures]
