"""A sync whose companies are divided among executors."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from qbo_rs._types import IN_STEP, set_aside
from qbo_rs.exceptions import ConfigError, QboError
from qbo_rs.spark._frame import dotted, frame_of
from qbo_rs.spark._options import Options

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class SyncFailedError(QboError):
    """Some companies are not in step; what was committed stays.

    Attributes:
        report: The frame that :func:`sync` would have returned.

    """

    def __init__(self, message: str, report: Any) -> None:
        """Make an error from the report."""
        super().__init__(message, recovery="retry")
        self.report = report


def sync(
    spark: Any,
    entities: str | Iterable[str] = "all",
    *,
    accounts: str | Iterable[str] = "all",
    partitions: int | None = None,
    strict: bool = False,
    via: str = "auto",
    **options: Any,
) -> Any:
    """Bring companies into step with QuickBooks: executors run the ordinary sync into Postgres.

    It runs now, and once: the frame that comes back holds the report, and counting or showing it syncs nothing again.

    Args:
        spark: A session of Spark or Sail.
        entities: Names from :func:`qbo_rs.entities`; ``all``: every entity.
        accounts: Realm ids; ``all``: every company of the token store. An empty list is refused.
        partitions: Tasks; None: one for each 32 companies, as many as a process syncs at a time.
        strict: Raise an error at the end if a company is not in step or a record was set aside. No task fails, and
            nothing is repeated.
        via: ``source`` for the Data Source API of Spark 4, ``mapInArrow`` for Spark 3.5; ``auto`` takes the first one
            that this pyspark has.
        **options: ``page_size``, and where settings are found: ``setting_client_secret="env:NAME"``.

    Returns:
        A frame with a row for each company, and one for each of its entities: ``realm_id, entity, status, rows,
        inserted, updated, deleted, rejected, requests, seconds, window_from, window_until, error``. The row of a
        company has no entity; ``requests`` and ``seconds``, which its sync took, are its own. ``status`` is that of
        :func:`qbo_rs.sync`; a company that was forgotten since the driver planned has failed. A task that Spark repeats
        reports its own sync alone: what a killed attempt had committed is in none of the counts.

    Raises:
        ConfigError: An option is unusable, no company or not every one of ``accounts`` is known, or the database cannot
            be reached. By the Data Source API, some servers pass it on as an error of Spark.
        SyncFailedError: With ``strict``: a company is not in step, or a record was set aside.

    Example:
        ::

            report = qbo_rs.spark.sync(spark, ["customers", "invoices"], partitions=16)
            report.where("status not in ('ok', 'unavailable')").show()

    """
    given = {"entities": entities, "accounts": accounts, "partitions": partitions, "mode": "sync", **options}
    named = dotted(given)
    read = Options.of(named)
    if via not in ("auto", "source", "mapInArrow"):
        raise ConfigError(f"via: '{via}' is none of auto, source, mapInArrow")
    if via == "auto":
        via = "source" if importlib.util.find_spec("pyspark.sql.datasource") else "mapInArrow"
    frame = _by_source(spark, named) if via == "source" else frame_of(spark, read)
    rows = frame.collect()
    report = spark.createDataFrame(rows, frame.schema)
    if strict:
        _raise_for_failures(rows, report)
    return report


def _by_source(spark: Any, options: dict[str, str]) -> Any:
    from qbo_rs.spark import register

    register(spark)
    return spark.read.format("qbo").options(**options).load()


def _raise_for_failures(rows: Sequence[Any], report: Any) -> None:
    failed = [row for row in rows if row["entity"] is None and (row["status"] != IN_STEP or row["rejected"])]
    if failed:
        first = failed[0]
        of_entity = [row["error"] for row in rows if row["realm_id"] == first["realm_id"] and row["error"]]
        reason = first["error"] or next(iter(of_entity), set_aside(first["rejected"]) if first["rejected"] else "")
        companies = sum(row["entity"] is None for row in rows)
        text = f"{len(failed)} of {companies} companies are not in step, first {first['realm_id']}: {first['status']}"
        raise SyncFailedError(f"{text}: {reason}" if reason else text, report)
