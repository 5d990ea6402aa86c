"""Records for notebooks: as dicts, or as columns with types."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
import weakref
from contextlib import ExitStack
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from qbo_rs import _core, _shown
from qbo_rs._html import MAX_ROWS
from qbo_rs._keywords import check_keywords
from qbo_rs._scratch import scratch
from qbo_rs._tables import Columns, check_entity
from qbo_rs._types import Window
from qbo_rs._verbs import chunk_range, extract, extract_async
from qbo_rs.exceptions import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from typing_extensions import Unpack

    from qbo_rs._settings import Settings
    from qbo_rs._types import Landing
    from qbo_rs._verbs import Instant


#: Digits of a number that is read as an integer.
MAX_WHOLE = 4000
#: Name of the file that keeps what was read.
KEPT = "kept.jsonl.gz"
# What a line of a landing file has after entity, company and id.
_AFTER_ID = b',"ingested_at_utc":'
_PARAMETERS = ("entity", "start", "end", "tz", "page_size", "parse_float", "progress")


class Records(Columns):
    """The records of an entity; :func:`records` makes one.

    As dicts they are what QuickBooks sent; as a table they are columns with types, see :class:`Columns`. What was read
    once is kept in a temporary file for as long as the object is in use, so that a second iteration or table costs no
    request. Call :func:`records` again to read QuickBooks again.

    Example:
        ::

            invoices = qbo_rs.records("invoices", "2025-01-01", "2025-02-01")
            numbers = [invoice["DocNumber"] for invoice in invoices]
            total = invoices.to_pandas()["total_amt"].sum()

    """

    def __init__(
        self,
        entity: str,
        span: Window,
        read: Callable[[Path], Landing] | None,
        parse_float: Callable[[str], Any],
    ) -> None:
        """Make the records of a range.

        ``read`` extracts them into the file that it is given. It is None if they are there already: then they are put
        into :meth:`kept`.
        """
        self._entity = entity
        self._span = span
        self._read = read
        self._parse_float = parse_float
        self._directory: Path | None = None
        self._contents: _Contents | None = None
        self._lock = threading.Lock()

    def kept(self) -> Path:
        """Return the file for the records, in a directory that goes with this object."""
        if self._directory is None:
            held = ExitStack()
            self._directory = held.enter_context(scratch("records"))
            weakref.finalize(self, held.close)
        return self._directory / KEPT

    def _file(self) -> Path:
        """Return the file with the records, which QuickBooks is asked for once."""
        with self._lock:
            if self._read is not None:
                with scratch("records") as directory:
                    path = directory / KEPT
                    _check(self._read(path))
                    # What could not be read to its end is not kept.
                    shutil.move(path, self.kept())
                self._read = None
            return self.kept()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each record once, in its last version, in the order of change."""
        path = self._file()
        superseded = self._known().superseded
        for number, line in enumerate(_lines(path, self._parse_float)):
            if number not in superseded:
                yield line["payload"]

    def _stream(self, shape: str) -> Any:
        """Return the records as a stream of Arrow: each once, in its last version, in the order of change."""
        # Before a request is sent.
        _core.check_shape(self._entity, shape)
        return _core.landing_stream(os.fspath(self._file()), self._entity, shape)

    def __repr__(self) -> str:
        """Return the entity, the range, and how to read them; nothing is read."""
        return _shown.records_line(self._entity, self._span, self._known_rows())

    def _repr_html_(self) -> str:
        rows = self._known_rows()
        first = [] if rows is None else list(islice(self, MAX_ROWS))
        return _shown.records_html(self._entity, self._span, rows, first)

    def _known_rows(self) -> int | None:
        """Return the number of records, if they were read."""
        return self._known().rows if self._read is None else None

    def _known(self) -> _Contents:
        """Return what the file holds, for which it is read once."""
        path = self._file()
        with self._lock:
            if self._contents is None:
                self._contents = _contents_of(path)
            return self._contents


class Table(Columns):
    """The stored records of an entity; :func:`table` makes one."""

    def __init__(self, arguments: Mapping[str, Any], settings: Mapping[str, str]) -> None:
        """Make the records of a request of the core."""
        self._arguments = dict(arguments)
        self._settings = dict(settings)

    def _stream(self, shape: str) -> Any:
        """Return the records as a stream of Arrow, in the order of their ids."""
        request = {"table": self._arguments, "shape": json.loads(shape), "settings": self._settings}
        return _core.table_stream(json.dumps(request))

    def __repr__(self) -> str:
        """Return the entity and the schema, if it was named; nothing is read."""
        return _shown.table_line(self._arguments["entity"], self._arguments.get("schema"))


class _Contents(NamedTuple):
    """Contents of a file with records."""

    rows: int
    """Records."""
    superseded: frozenset[int]
    """Numbers of the lines of which a later one has a newer version: the record was edited during the read."""


def _contents_of(path: Path) -> _Contents:
    latest: dict[str, int] = {}
    superseded = set()
    with gzip.open(path) as lines:
        for number, line in enumerate(lines):
            key = _id_of(line)
            if key in latest:
                superseded.add(latest[key])
            latest[key] = number
    return _Contents(len(latest), frozenset(superseded))


def _id_of(line: bytes) -> str:
    """Return the id of a line, without a look at its payload, which is most of it."""
    found: str = json.loads(line.partition(_AFTER_ID)[0] + b"}")["id"]
    return found


def _lines(path: Path, parse_float: Callable[[str], Any]) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line, parse_float=parse_float, parse_int=_whole)


def _whole(text: str) -> Any:
    """Return a whole number. Python does not read integers of more than 4300 digits."""
    return int(text) if len(text) <= MAX_WHOLE else Decimal(text)


def records(
    entity: str,
    start: Instant,
    end: Instant,
    *,
    tz: str = "UTC",
    page_size: int = 1000,
    parse_float: Callable[[str], Any] = float,
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> Records:
    """Read the records of an entity that were last changed in ``[start, end)``, without a database.

    No request is sent before the first record is asked for. Then the whole range is read into a temporary file, which
    is kept for as long as the records are in use; memory holds one record at a time and the ids of all.

    Args:
        entity: Name from :func:`entities`.
        start: First instant: a date, a datetime, or text such as ``2025-01-31``, ``2025-01-31T00:00:00Z``,
            ``2025-Q1``, ``today`` or ``-30d``.
        end: First instant after the range.
        tz: Zone of dates, such as ``America/Guayaquil``, see :func:`chunk_range`.
        page_size: Records per page, 1 to 1000.
        parse_float: Parses the text of a number with a fraction in a dict; :class:`decimal.Decimal` keeps every digit.
            Tables have decimals in any case.
        progress: Show the progress: on one line of stderr, or in a notebook. By default only in IPython and Jupyter.
        **settings: Settings that take precedence over the environment.

    Returns:
        An iterable of dicts in QuickBooks's shape, each record once; it can be iterated over again. ``to_arrow()``,
        ``to_pandas()``, ``to_polars()`` and ``to_duckdb()`` make a table of it, with a fixed type for every column.

    Raises:
        ConfigError: The range or the entity is unusable; during iteration: a setting is. Nothing was sent.
        AuthError: The credentials were refused.
        IncompleteError: Some records could not be read; :func:`backfill` sets such records aside instead.
        RetriableError: The token endpoint gave no usable response.
        UnavailableError: The company's plan or country does not have the entity.

    Example:
        ::

            for customer in qbo_rs.records("customers", "2024-01-01", "2025-01-01"):
                print(customer["DisplayName"], customer["Balance"])

    """
    check_keywords(settings, _PARAMETERS)
    check_entity(entity)
    # Several windows are read at a time.
    windows = chunk_range(start, end, "month", tz=tz)

    def read(path: Path) -> Landing:
        return extract(entity, windows, page_size=page_size, out=path, progress=progress, **settings)

    return Records(entity, _span(windows), read, parse_float)


async def records_async(
    entity: str,
    start: Instant,
    end: Instant,
    *,
    tz: str = "UTC",
    page_size: int = 1000,
    parse_float: Callable[[str], Any] = float,
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> Records:
    """Read the records of an entity like :func:`records`, without blocking the event loop.

    It sends its requests now, and keeps what it has read in a temporary file for as long as the records are in use. So
    they can be iterated over, and made into tables, without another request.

    Args:
        entity: Name from :func:`entities`.
        start: First instant.
        end: First instant after the range.
        tz: Zone of dates, such as ``America/Guayaquil``, see :func:`chunk_range`.
        page_size: Records per page, 1 to 1000.
        parse_float: Parses the text of a number with a fraction in a dict.
        progress: Show the progress: on one line of stderr, or in a notebook. By default only in IPython and Jupyter.
        **settings: Settings that take precedence over the environment.

    Returns:
        The records.

    Raises:
        ConfigError: The range, the entity or a setting is unusable. Nothing was sent.
        AuthError: The credentials were refused.
        IncompleteError: Some records could not be read.
        RetriableError: The token endpoint gave no usable response.
        UnavailableError: The company's plan or country does not have the entity.

    Example:
        ::

            invoices = await qbo_rs.records_async("invoices", "2025-01-01", "2025-02-01")
            frame = invoices.to_polars()

    """
    check_keywords(settings, _PARAMETERS)
    check_entity(entity)
    windows = chunk_range(start, end, "month", tz=tz)
    records = Records(entity, _span(windows), None, parse_float)
    out = records.kept()
    _check(await extract_async(entity, windows, page_size=page_size, out=out, progress=progress, **settings))
    return records


def _span(windows: list[Window]) -> Window:
    return Window(windows[0].start, windows[-1].end)


def _check(landing: Landing) -> None:
    landing.raise_for_failures()
    # No record is not the same as no entity.
    if landing.run.unavailable:
        raise UnavailableError(landing.run.unavailable)


def table(entity: str, *, schema: str | None = None, with_deleted: bool = False, **settings: Unpack[Settings]) -> Table:
    """Return the records of an entity that Postgres holds, as columns. QuickBooks gets no request.

    Nothing is read before the first column is asked for; each table reads again. One batch of records is in memory at a
    time, beside what the caller keeps.

    Args:
        entity: Name from :func:`entities`.
        schema: Schema of the raw tables, one company each; None: that of the company of the settings, else ``raw``.
        with_deleted: Include deleted records, whose column ``deleted_at`` says when.
        **settings: Settings that take precedence over the environment.

    Returns:
        The records: ``to_arrow()``, ``to_pandas()``, ``to_polars()`` and ``to_duckdb()`` make a table of them.

    Raises:
        ConfigError: The entity is unknown; when it is read: a setting is unusable, or the entity was never loaded.
        DatabaseError: When it is read: the database refused it.

    Example:
        ::

            invoices = qbo_rs.table("invoices").to_polars()
            print(invoices["total_amt"].sum())

    """
    check_keywords(settings, ("entity", "schema", "with_deleted"))
    check_entity(entity)
    arguments = {"entity": entity, "with_deleted": with_deleted}
    arguments |= {} if schema is None else {"schema": schema}
    return Table(arguments, {name: str(value) for name, value in settings.items() if value is not None})
