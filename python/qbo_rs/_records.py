"""Records for notebooks: read, and handed on as dicts or as a table of somebody's."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs._verbs import chunk_range, extract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from typing_extensions import Unpack

    from qbo_rs._settings import Settings
    from qbo_rs._verbs import Instant


class Records:
    """Records of an entity, as :func:`records` describes them.

    Each iteration reads QuickBooks anew; :meth:`to_pandas` and the like are one iteration.
    """

    def __init__(self, read: Callable[[Path], None], parse_float: Callable[[str], Any]) -> None:
        """Keep how they are read into a file."""
        self._read = read
        self._parse_float = parse_float

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each record once, as it was last read, in the order of change."""
        with tempfile.TemporaryDirectory(prefix="qbo_rs-") as directory:
            path = Path(directory) / "records.jsonl.gz"
            self._read(path)
            # One that was edited during the read is there in both versions, the newer one behind.
            latest = {line["id"]: number for number, line in enumerate(self._lines(path))}
            for number, line in enumerate(self._lines(path)):
                if latest[line["id"]] == number:
                    yield line["payload"]

    def _lines(self, path: Path) -> Iterator[dict[str, Any]]:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line, parse_float=self._parse_float)

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame of pandas, a row a record and a column a member.

        Raises:
            ImportError: pandas is not installed.

        """
        import pandas as pd  # noqa: PLC0415 - only who asks for it needs it

        return pd.DataFrame(list(self))

    def to_arrow(self) -> pa.Table:
        """Return a Table of Arrow; objects are structs, arrays lists.

        Raises:
            ImportError: pyarrow is not installed.

        """
        import pyarrow as pa  # noqa: PLC0415 - as above

        return pa.Table.from_pylist(list(self))

    def to_polars(self) -> pl.DataFrame:
        """Return a DataFrame of polars; objects are structs, arrays lists.

        Raises:
            ImportError: polars is not installed.

        """
        import polars as pl  # noqa: PLC0415 - as above

        # Every record is looked at: members that only late ones have are columns too.
        return pl.DataFrame(list(self), infer_schema_length=None)


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

    Nothing is sent before the first record is asked for; then everything is read, by way of a temporary file, so that
    memory holds one record at a time, and the ids.

    Args:
        entity: A name from :func:`entities`.
        start: First instant, UTC: a date, a datetime, or text such as ``2025-01-31`` or ``2025-01-31T00:00:00Z``.
        end: First instant after the range.
        page_size: Records in a page, 1 to 1000.
        parse_float: Makes a number that has a fraction of its text; :class:`decimal.Decimal` keeps every digit.
        **settings: Override the environment.

    Returns:
        Something to iterate over, more than once if need be: dicts as QuickBooks has them, each record once.
        ``to_arrow()``, ``to_pandas()`` and ``to_polars()`` make a table of it.

    Raises:
        ConfigError: The range is unusable; when it is iterated over: the entity or a setting is. Nothing was sent.
        AuthError: The credentials were refused.
        IncompleteError: Some of them could not be had; :func:`backfill` sets such records aside instead.
        RetriableError: The token endpoint gave no usable answer.

    """
    # Cut, so that several requests are on the way at a time.
    windows = chunk_range(start, end, "month")

    def read(path: Path) -> None:
        extract(entity, windows, page_size=page_size, out=path, **settings).raise_for_failures()

    return Records(read, parse_float)
