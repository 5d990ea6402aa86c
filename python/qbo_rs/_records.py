"""Records for notebooks: as dicts, or as columns with types."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
import weakref
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs._tables import Columns
from qbo_rs._verbs import chunk_range, extract, extract_async
from qbo_rs.exceptions import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Unpack

    from qbo_rs._settings import Settings
    from qbo_rs._types import Landing
    from qbo_rs._verbs import Instant


#: Digits of a number that is read as an integer.
MAX_WHOLE = 4000


class Records(Columns):
    """The records of an entity; :func:`records` makes one.

    As dicts they are what QuickBooks sent; as a table they are columns with types, see :class:`Columns`. Each iteration
    and each table reads QuickBooks again, unless :func:`records_async` has made it.

    Example:
        ::

            invoices = qbo_rs.records("invoices", "2025-01-01", "2025-02-01")
            numbers = [invoice["DocNumber"] for invoice in invoices]
            total = invoices.to_pandas()["total_amt"].sum()

    """

    def __init__(self, entity: str, read: Callable[[Path, str], Path], parse_float: Callable[[str], Any]) -> None:
        """Make the records of a landing file.

        ``read`` takes a directory and an ending for the file that it may write there, and returns the file. The dicts
        need one that Python can read. ``parse_float`` parses numbers with a fraction.
        """
        self._entity = entity
        self._read = read
        self._parse_float = parse_float

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each record once, in its last version, in the order of change."""
        with tempfile.TemporaryDirectory(prefix="qbo_rs-") as directory:
            path = self._read(Path(directory), ".jsonl.gz")
            # A record that was edited during the read is in the file twice, its newer version last.
            latest = {line["id"]: number for number, line in enumerate(_lines(path, self._parse_float))}
            for number, line in enumerate(_lines(path, self._parse_float)):
                if latest[line["id"]] == number:
                    yield line["payload"]

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        """Return the records as a stream of Arrow: each once, in its last version, in the order of change."""
        del requested_schema
        with tempfile.TemporaryDirectory(prefix="qbo_rs-") as directory:
            path = self._read(Path(directory), ".jsonl.zst")
            # The file is open from here on, so that its name may go.
            return _core.landing_stream(os.fspath(path), self._entity)


class Table(Columns):
    """The stored records of an entity; :func:`table` makes one."""

    def __init__(self, request: str) -> None:
        """Make the records of a request of the core."""
        self._request = request

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        """Return the records as a stream of Arrow, in the order of their ids."""
        del requested_schema
        return _core.table_stream(self._request)


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
    page_size: int = 1000,
    parse_float: Callable[[str], Any] = float,
    **settings: Unpack[Settings],
) -> Records:
    """Read the records of an entity that were last changed in ``[start, end)``, without a database.

    No request is sent before the first record is asked for. Then the whole range is read into a temporary file, so
    memory holds one record at a time and the ids of all.

    Args:
        entity: Name from :func:`entities`.
        start: First instant, UTC: a date, a datetime, or text such as ``2025-01-31`` or ``2025-01-31T00:00:00Z``.
        end: First instant after the range.
        page_size: Records per page, 1 to 1000.
        parse_float: Parses the text of a number with a fraction in a dict; :class:`decimal.Decimal` keeps every digit.
            Tables have decimals in any case.
        **settings: Settings that take precedence over the environment.

    Returns:
        An iterable of dicts in QuickBooks's shape, each record once; it can be iterated over again. ``to_arrow()``,
        ``to_pandas()``, ``to_polars()`` and ``to_duckdb()`` make a table of it, with a fixed type for every column.

    Raises:
        ConfigError: The range is unusable; during iteration: the entity or a setting is. Nothing was sent.
        AuthError: The credentials were refused.
        IncompleteError: Some records could not be read; :func:`backfill` sets such records aside instead.
        RetriableError: The token endpoint gave no usable response.
        UnavailableError: The company's plan or country does not have the entity.

    Example:
        ::

            for customer in qbo_rs.records("customers", "2024-01-01", "2025-01-01"):
                print(customer["DisplayName"], customer["Balance"])

    """
    # Several windows are read at a time.
    windows = chunk_range(start, end, "month")

    def read(directory: Path, ending: str) -> Path:
        path = directory / f"records{ending}"
        _check(extract(entity, windows, page_size=page_size, out=path, **settings))
        return path

    return Records(entity, read, parse_float)


async def records_async(
    entity: str,
    start: Instant,
    end: Instant,
    *,
    page_size: int = 1000,
    parse_float: Callable[[str], Any] = float,
    **settings: Unpack[Settings],
) -> Records:
    """Read the records of an entity like :func:`records`, without blocking the event loop.

    It sends its requests now, and keeps what it has read in a temporary file for as long as the records are in use. So
    they can be iterated over, and made into tables, without another request.

    Args:
        entity: Name from :func:`entities`.
        start: First instant, UTC.
        end: First instant after the range.
        page_size: Records per page, 1 to 1000.
        parse_float: Parses the text of a number with a fraction in a dict.
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
    windows = chunk_range(start, end, "month")
    directory = tempfile.mkdtemp(prefix="qbo_rs-")
    kept = Path(directory) / "kept.jsonl.gz"
    try:
        _check(await extract_async(entity, windows, page_size=page_size, out=kept, **settings))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise

    records = Records(entity, lambda _directory, _ending: kept, parse_float)
    weakref.finalize(records, shutil.rmtree, directory, ignore_errors=True)
    return records


def _check(landing: Landing) -> None:
    landing.raise_for_failures()
    # No record is not the same as no entity.
    if landing.run.unavailable:
        raise UnavailableError(landing.run.unavailable)


def table(entity: str, *, schema: str = "raw", with_deleted: bool = False, **settings: Unpack[Settings]) -> Table:
    """Return the records of an entity that Postgres holds, as columns. QuickBooks gets no request.

    Nothing is read before the first column is asked for; each table reads again. One batch of records is in memory at a
    time, beside what the caller keeps.

    Args:
        entity: Name from :func:`entities`.
        schema: Schema of the raw tables; one company each.
        with_deleted: Include deleted records, whose column ``deleted_at`` says when.
        **settings: Settings that take precedence over the environment.

    Returns:
        The records: ``to_arrow()``, ``to_pandas()``, ``to_polars()`` and ``to_duckdb()`` make a table of them.

    Raises:
        ConfigError: When it is read: a setting or the entity is unusable, or the entity was never loaded.
        DatabaseError: When it is read: the database refused it.

    Example:
        ::

            invoices = qbo_rs.table("invoices").to_polars()
            print(invoices["total_amt"].sum())

    """
    arguments = {"entity": entity, "schema": schema, "with_deleted": with_deleted}
    given = {name: str(value) for name, value in settings.items() if value is not None}
    return Table(json.dumps({"table": arguments, "settings": given}))
