"""Records for notebooks, as dicts or as a table of pandas, Arrow or polars."""

from __future__ import annotations

import gzip
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs import _tables
from qbo_rs._verbs import chunk_range, extract
from qbo_rs.exceptions import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from typing_extensions import Unpack

    from qbo_rs._settings import Settings
    from qbo_rs._verbs import Instant


#: Digits of a number that is read as an integer.
MAX_WHOLE = 4000


class Records:
    """The records of an entity; :func:`records` makes one.

    Each iteration reads QuickBooks again. :meth:`to_pandas`, :meth:`to_arrow` and :meth:`to_polars` are one iteration
    each.

    Example:
        ::

            invoices = qbo_rs.records("invoices", "2025-01-01", "2025-02-01")
            total = sum(invoice["TotalAmt"] for invoice in invoices)
            frame = invoices.to_pandas()

    """

    def __init__(self, read: Callable[[Path], None], parse_float: Callable[[str], Any]) -> None:
        """Make the records that ``read`` writes into a file; ``parse_float`` parses numbers with a fraction."""
        self._read = read
        self._parse_float = parse_float

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each record once, in its last version, in the order of change."""
        return self._records(self._parse_float)

    def _records(self, parse_float: Callable[[str], Any]) -> Iterator[dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="qbo_rs-") as directory:
            path = Path(directory) / "records.jsonl.gz"
            self._read(path)
            # A record that was edited during the read is in the file twice, its newer version last.
            latest = {line["id"]: number for number, line in enumerate(_lines(path, parse_float))}
            for number, line in enumerate(_lines(path, parse_float)):
                if latest[line["id"]] == number:
                    yield line["payload"]

    def _exact(self) -> Iterator[dict[str, Any]]:
        """Yield the records with decimals in place of floats."""
        return self._records(Decimal if self._parse_float is float else self._parse_float)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas DataFrame with one row per record and one column per member of any record.

        Whole numbers become ``Int64``, which knows missing values. Numbers with a fraction are what ``parse_float``
        makes of them: floats, unless :func:`records` was told otherwise.

        Raises:
            ImportError: pandas is not installed.

        """
        return _tables.to_pandas(self)

    def to_arrow(self) -> pa.Table:
        """Return an Arrow Table with one row per record and one column per member of any record.

        A column's type holds the values of all records. Whole numbers become ``int64``; columns with fractions become
        ``decimal128(38)`` with as many decimals as the longest needs, so that amounts keep every digit. Objects become
        structs with the members of all of them, arrays become lists. Values of different kinds become text: text as it
        is, everything else as JSON.

        Raises:
            ImportError: pyarrow is not installed.

        """
        return _tables.to_arrow(self._exact())

    def to_polars(self) -> pl.DataFrame:
        """Return a polars DataFrame, with the columns and types of :meth:`to_arrow`.

        Raises:
            ImportError: polars is not installed.

        """
        return _tables.to_polars(self._exact())


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
        parse_float: Parses the text of a number with a fraction; :class:`decimal.Decimal` keeps every digit. In tables
            of Arrow and polars such numbers are decimals unless this makes something else of them.
        **settings: Settings that take precedence over the environment.

    Returns:
        An iterable of dicts in QuickBooks's shape, each record once; it can be iterated over again. ``to_arrow()``,
        ``to_pandas()`` and ``to_polars()`` make a table of it.

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

    def read(path: Path) -> None:
        landing = extract(entity, windows, page_size=page_size, out=path, **settings)
        landing.raise_for_failures()
        # No record is not the same as no entity.
        if landing.run.unavailable:
            raise UnavailableError(landing.run.unavailable)

    return Records(read, parse_float)
