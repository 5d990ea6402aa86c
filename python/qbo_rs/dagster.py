"""Assets of Dagster: one for each entity, by months for a backfill, or without partitions for a sync.

Settings come from the environment of the worker, so that none is shown. Each materialization has the counts of its
entity, and one of a backfill also the gaps that are left in its months. What failed fails the step in one line, after
the others were materialized, and a failure that a retry cannot help is not retried.

Example:
    ::

        defs = dg.Definitions(assets=[backfill_assets(["customers", "invoices"], start="2024-01-01")])

"""

# Not postponed: Dagster reads the annotations of a context.
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from qbo_rs import _scheduled
from qbo_rs._company import settings_of
from qbo_rs._extras import needing
from qbo_rs._verbs import entities as known_entities
from qbo_rs._verbs import status
from qbo_rs.exceptions import ConfigError, QboError

with needing("dagster", what="qbo_rs.dagster", install="dagster"):
    import dagster as dg

_PREFIX = ("quickbooks",)


def backfill_assets(
    entities: Sequence[str],
    *,
    start: str,
    realm_id: str | None = None,
    schema: str = "raw",
    prefix: Sequence[str] = _PREFIX,
    retry_policy: dg.RetryPolicy | None = None,
) -> dg.AssetsDefinition:
    """Return assets of a company whose partitions are months.

    A run of several months is one backfill, and a retried step leaves out what is committed. A step ends with a
    ``Failure`` of Dagster if something failed, which is retried only if that can help.

    Args:
        entities: Names from :func:`qbo_rs.entities`; one asset each.
        start: First day of the first month, such as ``2024-01-01``.
        realm_id: Company id; None: the one that the environment names.
        schema: Schema of the raw tables; it holds one company.
        prefix: The parts of the assets' keys before the entity; also the name of the step, before ``_backfill``.
        retry_policy: Policy of Dagster for steps that fail.

    Raises:
        ConfigError: An entity is unknown.

    """

    def months_of_entities(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        names = _selected(context)
        span = (context.partition_time_window.start, context.partition_time_window.end)
        with _one_line():
            settings = settings_of(realm_id, {})
            is_retry = context.retry_number > 0
            report = _scheduled.run_backfill(names, span, "month", resume=is_retry, schema=schema, settings=settings)
            known = status(names, start=span[0], end=span[1], schema=schema, **settings)
            gaps = {each.entity: len(each.gaps) for each in known.entities}
            for run in report.runs:
                if run.status == "ok" and not run.totals.rejected:
                    counts = {name: getattr(run.totals, name) for name in (*_scheduled.COUNTS, "requests")}
                    yield _result(prefix, run.entity, counts | {"gaps": gaps.get(run.entity, 0)})
            report.raise_for_failures()

    months = dg.MonthlyPartitionsDefinition(start_date=start)
    return dg.multi_asset(
        name="_".join([*prefix, "backfill"]),
        specs=_specs(entities, prefix),
        partitions_def=months,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy,
        can_subset=True,
    )(months_of_entities)


def sync_assets(
    entities: Sequence[str],
    *,
    accounts: Sequence[str] | None = None,
    prefix: Sequence[str] = _PREFIX,
    retry_policy: dg.RetryPolicy | None = None,
) -> dg.AssetsDefinition:
    """Return assets that a run brings into step.

    An entity is materialized if it is in step in every company. A step ends with a ``Failure`` of Dagster if something
    failed, which is retried only if that can help.

    Args:
        entities: Names from :func:`qbo_rs.entities`; one asset each.
        accounts: Realm ids, see :func:`qbo_rs.buckets.plan`; None: every company of the token store.
        prefix: The parts of the assets' keys before the entity; also the name of the step, before ``_sync``.
        retry_policy: Policy of Dagster for steps that fail.

    Raises:
        ConfigError: An entity is unknown.

    """

    def companies(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        with _one_line():
            report = _scheduled.run_sync(_selected(context), accounts, settings={})
            for name in _selected(context):
                each = [entity for account in report.accounts for entity in account.entities if entity.entity == name]
                if len(each) == len(report.accounts) and not any(entity.error or entity.rejected for entity in each):
                    yield _result(prefix, name, {"companies": len(each)} | _scheduled.counts(each))
            report.raise_for_failures()

    name = "_".join([*prefix, "sync"])
    specs = _specs(entities, prefix)
    return dg.multi_asset(name=name, specs=specs, retry_policy=retry_policy, can_subset=True)(companies)


def _specs(entities: Sequence[str], prefix: Sequence[str]) -> list[dg.AssetSpec]:
    for name in entities:
        if name not in known_entities():
            raise ConfigError(f"entities: '{name}' is none; qbo_rs.entities() lists them")
    return [dg.AssetSpec([*prefix, name], kinds={"postgres"}, group_name="quickbooks") for name in entities]


def _selected(context: dg.AssetExecutionContext) -> list[str]:
    return sorted(key.path[-1] for key in context.selected_asset_keys)


def _result(prefix: Sequence[str], name: str, metadata: dict[str, Any]) -> dg.MaterializeResult:
    return dg.MaterializeResult(asset_key=[*prefix, name], metadata=metadata)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except QboError as error:
        raise dg.Failure(str(error), allow_retries=error.recovery == "retry") from None
