"""Records of a task's companies, as batches of Arrow. Memory holds a batch, and the ids of one entity."""

from __future__ import annotations

import logging
import shutil
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qbo_rs._language import spoken
from qbo_rs._plan import core
from qbo_rs._scratch import scratch
from qbo_rs._types import RunReport, format_instant, parse_instant
from qbo_rs._verbs import chunk_range
from qbo_rs.exceptions import ConfigError, IncompleteError, QboError
from qbo_rs.spark._options import Options
from qbo_rs.spark._schema import INSTANT, RAW, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from qbo_rs._plan import Company

LOG = logging.getLogger("qbo_rs.spark")
#: Companies of a task that are read at a time, and whose files are kept at a time.
READERS = 8
#: Rows in a batch.
BATCH = 8192

Read = dict[str, Any]
"""The answer of the core about a company: runs with files, and deletions."""
Span = tuple[str, str]
"""The first instant of a stretch of time, and the first one after it."""


def read_range(
    options: Options, entities: Sequence[str], companies: Sequence[Company], span: Span
) -> Iterator[pa.RecordBatch]:
    """Read the records that were last changed in a stretch of time, by months: several are read at a time."""
    if span[0] == span[1]:
        return iter(())
    windows = [window.to_dict() for window in chunk_range(*span, "month", tz=options.tz)]

    def extract(company: Company, folder: str) -> Read:
        arguments = {"entities": list(entities), "windows": windows, "page_size": str(options.page_size), "out": folder}
        read: Read = core("extract", arguments, options.references.settings(company.realm_id))
        return read

    return _read_all(options, companies, extract)


def span_of_range(options: Options) -> Span:
    """Return the instants of the range of the options: words such as `today` mean another one in each task."""
    for name in ("deletions", "every"):
        if getattr(options, name) != getattr(Options(), name):
            raise ConfigError(f"{name}: a frame has no {name}; it is an option of streams")
    if options.end is None:
        raise ConfigError(
            "end: not given; a frame needs start and end; an engine without streams, such as Sail, "
            "reads a stream as a frame"
        )
    if options.start is None:
        raise ConfigError("start: not given; a frame needs start and end")
    months = chunk_range(options.start, options.end, "month", tz=options.tz)
    start, end = months[0].start, months[-1].end
    if not options.end.strip()[:1].isdigit():
        # A word such as `now` means whatever can be read.
        present = options.references.present()
        if present < end:
            end = max(start, present)
            LOG.info("the frame ends at %s", format_instant(end))
    return format_instant(start), format_instant(end)


def read_changes(
    options: Options,
    entities: Sequence[str],
    companies: Sequence[Company],
    span: tuple[datetime, datetime],
    *,
    is_first: bool,
) -> Iterator[pa.RecordBatch]:
    """Read what was changed and deleted in a stretch of time. The first one follows no other: it needs no deletions."""
    start, end = (format_instant(instant) for instant in span)

    def changes(company: Company, folder: str) -> Read:
        arguments = {
            "entities": list(entities),
            "range": {"start": start, "end": end},
            "page_size": str(options.page_size),
            "out": folder,
        }
        read: Read = core("changes", arguments, options.references.settings(company.realm_id))
        if not is_first:
            _check_deletions(company, read, start, is_exact=options.deletions == "exact")
        return read

    return _read_all(options, companies, changes)


def _check_deletions(company: Company, read: Read, start: str, *, is_exact: bool) -> None:
    unknown = read["deletions_unknown"]
    runs = [RunReport.from_dict(run) for run in read["runs"]]
    lacking = {run.entity for run in runs if run.unavailable}
    unreported = [entity for entity in read["deletions_unreported"] if entity not in lacking]
    if not is_exact:
        if unknown or unreported:
            LOG.info("company %s: deletions of %s are not known", company.realm_id, ", ".join(unknown + unreported))
        return
    if unknown:
        gone = ", ".join(unknown)
        reason = (
            f"company {company.realm_id}: QuickBooks does not tell which {gone} were deleted since {start}: that is "
            "more than 29 days ago, or more than 1000 records have changed; copy again and begin a new stream, or set "
            "the option deletions to reported"
        )
        raise ConfigError(reason)
    if unreported:
        gone = ", ".join(unreported)
        reason = (
            f"company {company.realm_id}: QuickBooks does not report which {gone} were deleted; leave these entities "
            "out, or set the option deletions to reported"
        )
        raise ConfigError(reason)


def _read_all(
    options: Options, companies: Sequence[Company], read: Callable[[Company, str], Read]
) -> Iterator[pa.RecordBatch]:
    """Read companies, several at a time, and yield the batches of one after the other."""
    schema = schema_of(options)
    with scratch("spark") as folder, ThreadPoolExecutor(READERS) as pool:

        def landed(company: Company) -> tuple[Read, Path]:
            # A directory of this name gets files of Parquet.
            directory = folder / f"{company.realm_id}.parquet"
            directory.mkdir()
            try:
                return read(company, f"{directory}/"), directory
            except ConfigError:
                # A setting is that of the machine, and what is about a company says so.
                raise
            except QboError as error:
                error.args = (spoken(f"company {company.realm_id}: {error}"), *error.args[1:])
                raise

        waiting = iter(companies)
        under_way = deque(pool.submit(landed, company) for company in islice(waiting, READERS))
        try:
            while under_way:
                landing, directory = under_way.popleft().result()
                yield from _batches(landing, schema)
                # The disk of an executor holds a few companies, however many a task has.
                shutil.rmtree(directory)
                under_way.extend(pool.submit(landed, company) for company in islice(waiting, 1))
        finally:
            # Whoever takes no more batches does not wait for companies that nobody has asked for yet.
            pool.shutdown(wait=True, cancel_futures=True)


def _batches(read: Read, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for each in read["runs"]:
        run = RunReport.from_dict(each)
        _check(run)
        for batch in latest(sorted(_files(each["windows"]))):
            yield _raw(batch, run) if schema is RAW else batch.select(schema.names).cast(schema)
    if read.get("deletions"):
        yield _deleted(read, schema)


def _check(run: RunReport) -> None:
    """Raise an error if anything is missing: Spark would take what is left for the whole."""
    try:
        run.raise_for_failures()
    except IncompleteError as error:
        message = f"company {run.realm_id}: {error}"
        raise IncompleteError(message, report=run, recovery=error.recovery) from None
    if run.unavailable:
        LOG.warning("company %s has no %s: %s", run.realm_id, run.entity, run.unavailable)
    for window in run.windows:
        if window.read_until is not None and window.status == "done":
            until = format_instant(window.read_until)
            message = (
                f"company {run.realm_id}, {run.entity}: QuickBooks could be read up to {until} only; let a frame end "
                "'now', or set the clock of this machine if it is ahead"
            )
            raise IncompleteError(message, report=run)


def _files(windows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for window in windows:
        if window["status"] == "done" and window.get("path"):
            yield window["start"], window["path"]


def latest(files: Sequence[tuple[str, str]]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files in the order of change, the last of each record: an edited one may be there twice."""
    last: dict[str, int] = {}
    number = 0
    for _, path in files:
        for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=["id"]):
            for id_ in batch.column(0).to_pylist():
                last[id_] = number
                number += 1
    number = 0
    for _, path in files:
        for batch in pq.ParquetFile(path).iter_batches(BATCH):
            ids = batch.column("id").to_pylist()
            kept = pa.array([last[id_] == number + place for place, id_ in enumerate(ids)], pa.bool_())
            number += len(ids)
            yield batch.filter(kept)


def _raw(batch: pa.RecordBatch, run: RunReport) -> pa.RecordBatch:
    rows = batch.num_rows
    columns = {
        "realm_id": pa.array([run.realm_id] * rows, pa.string()),
        "entity": pa.array([run.entity] * rows, pa.string()),
        "id": batch.column("id"),
        "last_updated": batch.column("updated_at"),
        "deleted": pa.array([False] * rows, pa.bool_()),
        "payload": batch.column("payload"),
        "window_from": batch.column("extract_window_start_utc"),
        "window_until": batch.column("extract_window_end_utc"),
    }
    return pa.RecordBatch.from_arrays([pc.cast(columns[each.name], each.type) for each in RAW], schema=RAW)


def _deleted(read: Read, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows of deleted records: their ids, and when they were deleted."""
    deletions = read["deletions"]
    run = read["runs"][0]
    bounds = [parse_instant(run["windows"][0][name]) for name in ("start", "end")]
    at = pa.array([parse_instant(each["at"]) for each in deletions], INSTANT)
    rows = len(deletions)
    known: dict[str, Any] = {
        "realm_id": [run["realm_id"]] * rows,
        "id": [each["id"] for each in deletions],
    }
    if schema is RAW:
        known |= {"entity": [each["entity"] for each in deletions], "last_updated": at, "deleted": [True] * rows}
        known |= {"window_from": [bounds[0]] * rows, "window_until": [bounds[1]] * rows}
    else:
        known |= {"deleted_at": at}
    arrays = [pa.array(known.get(each.name, [None] * rows), each.type) for each in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
