"""The data source ``qbo``, for Spark 4 and Sail."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSource, DataSourceReader, DataSourceStreamReader, InputPartition

from qbo_rs._types import format_instant, parse_instant
from qbo_rs._verbs import chunk_range
from qbo_rs.exceptions import ConfigError
from qbo_rs.spark._options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from qbo_rs._plan import Company, Plan
    from qbo_rs.spark._records import Span

LOG = logging.getLogger("qbo_rs.spark")
#: A change may become visible late (qbo-facts 3.9).
LOOK_BACK = timedelta(minutes=5)
_UNTIL, _FIRST, _COMPANIES, _ENTITIES = "until", "first", "companies", "entities"


class Bucket(InputPartition):
    """The companies of one task. It is pickled, and holds no secret."""

    def __init__(self, companies: Sequence[Company], entities: Sequence[str], span: Span | None) -> None:
        """Make the partition of a bucket: the span of its records, or None for a sync."""
        super().__init__(None)
        self.companies = tuple(companies)
        self.entities = tuple(entities)
        self.span = span


class Slice(InputPartition):
    """Companies of a bucket, and the time that a micro-batch of a stream reads of them."""

    def __init__(
        self,
        companies: Sequence[Company],
        entities: Sequence[str],
        span: tuple[datetime, datetime],
        *,
        is_first: bool,
    ) -> None:
        """Make the partition of companies and a micro-batch."""
        super().__init__(None)
        self.companies = tuple(companies)
        self.entities = tuple(entities)
        self.span = span
        self.is_first = is_first


class QboDataSource(DataSource):
    """QuickBooks for ``spark.read.format("qbo")`` and ``spark.readStream.format("qbo")``; see :func:`register`."""

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "qbo"

    def schema(self) -> str:
        """Return the columns. They depend on the options alone, never on the records."""
        from qbo_rs.spark._schema import Columns, schema_of

        return Columns(schema_of(Options.of(self.options)))

    def reader(self, schema: Any) -> QboReader:
        """Return the reader of a frame."""
        del schema
        return QboReader(Options.of(self.options))

    def streamReader(self, schema: Any) -> QboStreamReader:  # noqa: N802 - Spark's name
        """Return the reader of a stream."""
        del schema
        options = Options.of(self.options)
        if options.end is not None:
            raise ConfigError("end: a stream has no end; it is an option of frames")
        return QboStreamReader(options)


class QboReader(DataSourceReader):
    """Reads a frame. It is pickled with its options, which name the places of secrets only."""

    def __init__(self, options: Options) -> None:
        """Make the reader of a frame."""
        self.options = options

    def partitions(self) -> Sequence[Bucket]:
        """Divide the companies among tasks; QuickBooks gets no request."""
        from qbo_rs.spark._task import plan_of, span_of

        span = span_of(self.options)
        planned = plan_of(self.options)
        return [Bucket(companies, planned.entities, span) for companies in planned.buckets]

    def read(self, partition: Bucket) -> Iterator[pa.RecordBatch]:
        """Return the batches of a task."""
        # Here, and not above: the process may be the fork of one that has read nothing yet.
        from qbo_rs.spark._task import run

        return run(self.options, partition.entities, partition.companies, partition.span)


class QboStreamReader(DataSourceStreamReader):
    """Reads changes and deletions. Its offsets are instants: micro-batches are stretches of time.

    An offset also names the companies and the entities that were read up to it. A company that the offset before does
    not name is read from the option `start`: it was connected later, or has come back. So is an entity of all
    companies: the query was begun again with other options, under the same checkpoint. No offset says how far one had
    been read that is away, because Spark tells the source of the offset before only from 4.2 on, and not with
    `availableNow`; so no deletion of the time between is told, and a sink has to remove the rows of what leaves.

    A micro-batch that is repeated may hold newer versions than the first time, since QuickBooks has the last one only.
    No change is lost, and the last state is right.
    """

    def __init__(self, options: Options) -> None:
        """Make the reader of a stream."""
        if options.mode == "sync":
            raise ConfigError("mode: a stream hands out records; repeat qbo_rs.spark.sync to keep tables in step")
        if options.start is not None and not options.start.strip()[:1].isdigit():
            raise ConfigError(
                f"start: '{options.start}' means another instant each time it is read; write a date or an instant"
            )
        self.options = options
        self._latest: dict[str, str] = {}
        # Companies that the end of a micro-batch names and that it did not read.
        self._unread: set[str] = set()

    def initialOffset(self) -> dict[str, str]:  # noqa: N802 - Spark's name
        """Return the option start, or the present."""
        start = _start(self.options)
        return {_UNTIL: format_instant(_present(self.options) if start is None else start), _FIRST: "true"}

    def latestOffset(self, *_: Any) -> dict[str, str]:  # noqa: N802 - Spark's name
        """Return the last multiple of the option every that can be read, and the companies and entities of that time.

        Spark asks without a pause; the answer is another one after a step. Spark 4.2 passes a start and a limit,
        earlier ones nothing.
        """
        until = format_instant(_present(self.options))
        if self._latest.get(_UNTIL) != until:
            planned = self._plan()
            known = {company.realm_id for companies in planned.buckets for company in companies}
            named = {_COMPANIES: known - self._unread, _ENTITIES: planned.entities}
            self._latest = {_UNTIL: until} | {name: ",".join(sorted(each)) for name, each in named.items()}
        return dict(self._latest)

    def partitions(self, start: dict[str, str], end: dict[str, str]) -> Sequence[Slice]:
        """Divide the companies among tasks; QuickBooks gets no request."""
        before, named = _named(start, _COMPANIES), _named(end, _COMPANIES)
        entities_before, entities_named = _named(start, _ENTITIES), _named(end, _ENTITIES)
        begin, until = parse_instant(start[_UNTIL]), parse_instant(end[_UNTIL])
        since = begin if _FIRST in start else _start(self.options) or begin
        _warn_of_gone(before - named, "a company", "its")
        _warn_of_gone(entities_before - entities_named, "an entity", "their")
        planned = self._plan()
        entities = [entity for entity in planned.entities if entity in entities_named]
        kept = [entity for entity in entities if entity in entities_before]
        added = [entity for entity in entities if entity not in entities_before]
        slices = []

        def add(companies: Sequence[Company], entities: Sequence[str], first: datetime, *, is_first: bool) -> None:
            # No entity would mean all of them.
            if companies and entities and first < until:
                slices.append(Slice(companies, entities, (first, until), is_first=is_first))

        for bucket in planned.buckets:
            old = [company for company in bucket if company.realm_id in named & before]
            new = [company for company in bucket if company.realm_id in named - before]
            if begin < until:
                add(old, kept, begin - LOOK_BACK, is_first=False)
            add(old, added, since, is_first=True)
            add(new, entities, since, is_first=True)
        self._note_unread(named, {company.realm_id for bucket in planned.buckets for company in bucket})
        return slices

    def read(self, partition: Slice) -> Iterator[pa.RecordBatch]:
        """Return the batches of a task."""
        from qbo_rs.spark._records import read_changes

        entities, companies = partition.entities, partition.companies
        return read_changes(self.options, entities, companies, partition.span, is_first=partition.is_first)

    def commit(self, end: dict[str, str]) -> None:
        """Do nothing: the offsets of Spark are all that is kept."""

    def _note_unread(self, named: frozenset[str], known: set[str]) -> None:
        """Note the companies of a micro-batch that were forgotten since it was begun: the next offset is without them.

        So they are read from the start when they come back, although the offset of this one names them.
        """
        unread = named - known
        if unread:
            LOG.warning("the stream goes on without %s, which the token store does not hold", ", ".join(sorted(unread)))
            self._latest = {}
        self._unread = (self._unread & named) | unread

    def _plan(self) -> Plan:
        """Return the plan of a micro-batch, without entities of which an exact stream could not tell the deletions.

        Raises:
            ConfigError: Such an entity was named.

        """
        from qbo_rs.spark._task import plan_of

        planned = plan_of(self.options)
        unreported = planned.deletions_unreported
        if self.options.deletions != "exact" or not unreported:
            return planned
        if self.options.entities:
            gone = ", ".join(unreported)
            raise ConfigError(
                f"entities: QuickBooks reports no deletions of {gone}; leave these entities out, or set the option "
                "deletions to reported"
            )
        entities = tuple(entity for entity in planned.entities if entity not in unreported)
        return replace(planned, entities=entities)


#: An end that no range has.
_FAR = "9999-01-01"


def _start(options: Options) -> datetime | None:
    if options.start is None:
        return None
    return chunk_range(options.start, _FAR, "36500d", tz=options.tz)[0].start


def _present(options: Options) -> datetime:
    """Return the last end of a micro-batch that can be read."""
    present = options.references.present()
    epoch = datetime.fromtimestamp(0, timezone.utc)
    return epoch + (present - epoch) // options.every * options.every


def _named(offset: dict[str, str], what: str) -> frozenset[str]:
    """Return the companies or the entities that were read up to an offset.

    Raises:
        ConfigError: The offset does not say it.

    """
    if _FIRST in offset:
        return frozenset()
    if what not in offset:
        raise ConfigError(
            f"the offset {offset.get(_UNTIL)} names no companies or no entities, as those of earlier versions; begin a "
            "new stream, with a new checkpoint"
        )
    return frozenset(filter(None, offset[what].split(",")))


def _warn_of_gone(gone: frozenset[str], what: str, whose: str) -> None:
    """Say which companies or entities a stream goes on without."""
    if gone:
        text = (
            "the stream goes on without %s; remove %s rows from the sink: %s that comes back is read from the option "
            "start, and what is deleted meanwhile is not told"
        )
        LOG.warning(text, ", ".join(sorted(gone)), whose, what)
