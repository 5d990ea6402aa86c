"""Frames without the Data Source API: for Spark 3.5, and for servers that do not take data sources."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qbo_rs.spark._options import SETTING, Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from qbo_rs._plan import Plan
    from qbo_rs.spark._records import Span


def frame(spark: Any, **options: Any) -> Any:
    """Return the frame of ``spark.read.format("qbo")`` by ``mapInArrow``, which Spark 3.5 has, too.

    Each evaluation reads QuickBooks again: write the frame, or ``cache`` it.

    Args:
        spark: A session.
        **options: The options of the data source, see ``docs/spark.md``; a setting is ``setting_KEYWORD``.

    Raises:
        ConfigError: An option is unknown or unusable, no company is known, or the database cannot be reached.

    An evaluation of the frame fails with :class:`~qbo_rs.IncompleteError`, as Spark passes on errors of tasks, if a
    company could not be read completely.

    Example:
        ::

            frame = qbo_rs.spark.frame(spark, entities="invoices", typed=True, start="2025-01-01", end="2026-01-01")

    """
    return frame_of(spark, Options.of(dotted(options)))


def dotted(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as the data source names them: Python takes no point in a keyword, and lists are text."""

    def text(value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, (list, tuple, set)) else str(value)

    return {
        (SETTING + name.removeprefix("setting_") if name.startswith("setting_") else name): text(value)
        for name, value in options.items()
        if value is not None
    }


def frame_of(spark: Any, options: Options) -> Any:
    """Return a frame with one task for each bucket of companies."""
    from qbo_rs.spark._schema import Columns, schema_of
    from qbo_rs.spark._task import plan_of, span_of

    span = span_of(options)
    planned = plan_of(options)
    count = len(planned.buckets)
    numbers = spark.range(0, count, 1, count)
    return numbers.mapInArrow(partial(run_buckets, options, planned, span), Columns(schema_of(options)))


def run_buckets(
    options: Options, planned: Plan, span: Span | None, numbers: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Run the buckets of these numbers, one after the other."""
    from qbo_rs.spark._task import run

    for batch in numbers:
        for number in batch.column(0).to_pylist():
            yield from run(options, planned.entities, planned.buckets[number], span)
