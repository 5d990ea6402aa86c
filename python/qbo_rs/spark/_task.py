"""The work of a task, whichever interface of Spark has started it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qbo_rs._plan import core, plan
from qbo_rs.exceptions import ConfigError
from qbo_rs.spark._options import naming_options
from qbo_rs.spark._records import Span, read_range, span_of_range
from qbo_rs.spark._report import is_repeated_task, sync_companies

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from qbo_rs._plan import Company, Plan
    from qbo_rs.spark._options import Options


def run(
    options: Options, entities: Sequence[str], companies: Sequence[Company], span: Span | None
) -> Iterator[pa.RecordBatch]:
    """Return the batches of a task. Records are those of the span that the driver has found."""
    if span is None:
        return sync_companies(options, entities, companies, is_repeated=is_repeated_task())
    return read_range(options, entities, companies, span)


def plan_of(options: Options) -> Plan:
    """Divide the companies of a frame among tasks; QuickBooks gets no request."""
    settings = options.references.settings()
    reads_records = options.mode == "records"
    if not reads_records:
        # A sync needs it, so its absence is told before what else is missing. No connection is opened.
        core("database", {}, settings)
    try:
        with naming_options():
            return plan(options.entities, options.accounts, options.partitions, settings, reads_records=reads_records)
    except ConfigError as error:
        # The core advises a login, whose token would be in a file of the driver.
        if str(error).startswith("QBO_REALM_ID: ") and "QBO_REALM_ID" not in os.environ:
            core("database", {}, settings)
        raise


def span_of(options: Options) -> Span | None:
    """Return the time of a frame's records, and None for a sync. The driver says it, so that all tasks read the same.

    Raises:
        ConfigError: The range is missing or unusable.

    """
    return span_of_range(options) if options.mode == "records" else None
