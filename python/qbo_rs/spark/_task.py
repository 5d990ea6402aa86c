"""The work of a task, whichever interface of Spark has started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qbo_rs._plan import plan
from qbo_rs.spark._records import range_of, read_range
from qbo_rs.spark._report import is_repeated_task, sync_companies

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from qbo_rs._plan import Company, Plan
    from qbo_rs.spark._options import Options


def run(options: Options, entities: Sequence[str], companies: Sequence[Company]) -> Iterator[pa.RecordBatch]:
    """Return the batches of a task."""
    if options.mode == "sync":
        return sync_companies(options, entities, companies, is_repeated=is_repeated_task())
    return read_range(options, entities, companies)


def plan_of(options: Options) -> Plan:
    """Divide the companies of a frame among tasks; QuickBooks gets no request."""
    return plan(options.entities, options.accounts, options.partitions, options.references.settings())


def check(options: Options) -> None:
    """Raise an error about options that every task would raise.

    Raises:
        ConfigError: The range is missing or unusable.

    """
    if options.mode == "records":
        range_of(options)
