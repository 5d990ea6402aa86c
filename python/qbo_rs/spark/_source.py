"""The data source ``qbo``, for Spark 4 and Sail."""

from __future__ import annotations

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

    from qbo_rs._plan import Company

#: A change may become visible late (qbo-facts 3.9).
LOOK_BACK = timedelta(minutes=5)
#: A stream stays behind the driver's clock as long as a read does (`QBO_LAG_S`), and as long for clocks that differ.
LAGS = 2
_UNTIL, _FIRST = "until", "first"


class Bucket(InputPartition):
    """The companies of one task. It is pickled, and holds no secret."""

    def __init__(self, companies: Sequence[Company], entities: Sequence[str]) -> None:
        """Make the partition of a bucket."""
        super().__init__(None)
        self.companies = tuple(companies)
        self.entities = tuple(entities)


class Slice(Bucket):
    """A bucket, and the time that a micro-batch of a stream reads of it."""

    def __init__(self, bucket: Bucket, span: tuple[datetime, datetime], *, is_first: bool) -> None:
        """Make the partition of a bucket and a micro-batch."""
        super().__init__(bucket.companies, bucket.entities)
        self.span = span
        self.is_first = is_first


class QboDataSource(DataSource):
    """QuickBooks for ``spark.read.format("qbo")`` and ``spark.readStream.format("qbo")``."""

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
        return QboStreamReader(Options.of(self.options))


class QboReader(DataSourceReader):
    """Reads a frame. It is pickled with its options, which name the places of secrets only."""

    def __init__(self, options: Options) -> None:
        """Make the reader of a frame."""
        self.options = options

    def partitions(self) -> Sequence[Bucket]:
        """Divide the companies among tasks; QuickBooks gets no request."""
        from qbo_rs.spark._task import check

        check(self.options)
        return _buckets(self.options)

    def read(self, partition: Bucket) -> Iterator[pa.RecordBatch]:
        """Return the batches of a task."""
        # Here, and not above: the process may be the fork of one that has read nothing yet.
        from qbo_rs.spark._task import run

        return run(self.options, partition.entities, partition.companies)


class QboStreamReader(DataSourceStreamReader):
    """Reads changes and deletions. Its offsets are instants: micro-batches are stretches of time.

    A micro-batch that is repeated may hold newer versions than the first time, since QuickBooks has the last one only.
    No change is lost, and the last state is right.
    """

    def __init__(self, options: Options) -> None:
        """Make the reader of a stream."""
        if options.mode == "sync":
            raise ConfigError("mode: a stream hands out records; repeat qbo_rs.spark.sync to keep tables in step")
        self.options = options

    def initialOffset(self) -> dict[str, str]:  # noqa: N802 - Spark's name
        """Return the option start, or the present."""
        start = self.options.start
        begin = (
            _present(self.options) if start is None else chunk_range(start, _FAR, "36500d", tz=self.options.tz)[0].start
        )
        return {_UNTIL: format_instant(begin), _FIRST: "true"}

    def latestOffset(self, *_: Any) -> dict[str, str]:  # noqa: N802 - Spark's name
        """Return the end of the time that can be read. Spark 4.2 passes a start and a limit, earlier ones nothing."""
        return {_UNTIL: format_instant(_present(self.options))}

    def partitions(self, start: dict[str, str], end: dict[str, str]) -> Sequence[Slice]:
        """Divide the companies among tasks; QuickBooks gets no request."""
        is_first = _FIRST in start
        begin, until = parse_instant(start[_UNTIL]), parse_instant(end[_UNTIL])
        if until <= begin:
            return []
        span = (begin if is_first else begin - LOOK_BACK, until)
        return [Slice(bucket, span, is_first=is_first) for bucket in _buckets(self.options)]

    def read(self, partition: Slice) -> Iterator[pa.RecordBatch]:
        """Return the batches of a task."""
        from qbo_rs.spark._records import read_changes

        entities, companies = partition.entities, partition.companies
        return read_changes(self.options, entities, companies, partition.span, is_first=partition.is_first)

    def commit(self, end: dict[str, str]) -> None:
        """Do nothing: the offsets of Spark are all that is kept."""


#: An end that no range has.
_FAR = "9999-01-01"


def _present(options: Options) -> datetime:
    return (datetime.now(timezone.utc) - LAGS * options.references.lag()).replace(microsecond=0)


def _buckets(options: Options) -> list[Bucket]:
    from qbo_rs.spark._task import plan_of

    planned = plan_of(options)
    return [Bucket(companies, planned.entities) for companies in planned.buckets]
