"""Columns with types, handed to Arrow, pandas, polars and DuckDB by the C stream interface of Arrow."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs._extras import needing
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa


@contextmanager
def raising() -> Iterator[None]:
    """Raise the exception that ended a stream in place of the library's, which has nothing but its text."""
    _core.take_stream_error()  # nobody has asked for this one
    try:
        yield
    except Exception:
        error = _core.take_stream_error()
        if error is None:
            raise
        raise error from None


#: The shape of the columns that nobody has asked to change.
FLAT = json.dumps({"flatten": True})


def check_entity(entity: str) -> None:
    """Refuse a name that is none of an entity. A mistyped one is told by the call, and not where its rows are used.

    Raises:
        ConfigError: The entity is unknown; the nearest name is in the text. Or it is no text, such as a list of names.

    """
    if not isinstance(entity, str):
        raise ConfigError(f"entity: it is of the type {type(entity).__name__}; give the name of one entity, as text")
    _core.check_shape(entity, FLAT)


class Columns:
    """Records as columns with types, in batches: one schema for each entity, whatever its records look like.

    Anything that knows the Arrow PyCapsule interface takes it as it is: ``pyarrow.table(records)``,
    ``polars.DataFrame(records)``, ``pyarrow.RecordBatchReader.from_stream(records)`` for one batch at a time.

    The methods share these arguments:

    * ``flatten``: True for a column for each member of an object or reference, such as ``bill_addr_city`` and
      ``customer_ref_name``; False for one column of JSON text for each object.
    * ``explode``: A list, such as ``"Line"`` or ``"LinkedTxn"``, each of whose elements becomes a row. The columns of
      the record are repeated in it, so sum up those of the lines only; theirs begin with ``line_``, and
      ``line_number`` is the place in the list. A record without elements keeps one row.

    Example:
        ::

            lines = qbo_rs.records("invoices", "2025-01-01", "2025-02-01").to_pandas(explode="Line")
            lines.groupby("line_item_ref_name")["line_amount"].sum()

    """

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        """Return the records as a stream of Arrow, in a capsule. The schema is always that of the entity."""
        del requested_schema
        return self._stream(FLAT)

    def _stream(self, shape: str) -> Any:
        """Return the records in a shape, as a stream of Arrow."""
        raise NotImplementedError

    def _shaped(self, *, flatten: bool, explode: str | None) -> Columns | _Shaped:
        if flatten and explode is None:
            return self
        shape = json.dumps({"flatten": flatten, "explode": explode})
        return _Shaped(lambda: self._stream(shape))

    def to_arrow(self, *, flatten: bool = True, explode: str | None = None) -> pa.Table:
        """Return an Arrow Table with one row per record, or per element of a list.

        Numbers are ``decimal128(38, 10)``, dates ``date32``, times ``timestamp[us, UTC]``; lists are JSON text.

        Args:
            flatten: Give the members of objects columns of their own.
            explode: List whose elements become rows, such as ``Line``.

        Raises:
            ImportError: pyarrow is not installed.
            ConfigError: The entity has no such list.

        """
        with needing("pyarrow", what="this table", install="pyarrow"):
            import pyarrow as pa  # noqa: PLC0415 - only tables of Arrow need it
        with raising():
            return pa.table(self._shaped(flatten=flatten, explode=explode))

    def to_pandas(self, *, flatten: bool = True, explode: str | None = None) -> pd.DataFrame:
        """Return a pandas DataFrame with the columns of :meth:`to_arrow`, of the types of Arrow.

        Args:
            flatten: Give the members of objects columns of their own.
            explode: List whose elements become rows, such as ``Line``.

        Raises:
            ImportError: pandas or pyarrow is not installed.
            ConfigError: The entity has no such list.

        """
        with needing("pandas", what="this table", install="pandas"):
            import pandas as pd  # noqa: PLC0415 - only tables of pandas need it
        # pandas' own types have no decimals, and no days.
        return self.to_arrow(flatten=flatten, explode=explode).to_pandas(types_mapper=pd.ArrowDtype)

    def to_polars(self, *, flatten: bool = True, explode: str | None = None) -> pl.DataFrame:
        """Return a polars DataFrame with the columns of :meth:`to_arrow`.

        Args:
            flatten: Give the members of objects columns of their own.
            explode: List whose elements become rows, such as ``Line``.

        Raises:
            ImportError: polars is not installed.
            ConfigError: The entity has no such list.

        """
        with needing("polars", what="this table", install="polars"):
            import polars as pl  # noqa: PLC0415 - only tables of polars need it
        with raising():
            return pl.DataFrame(self._shaped(flatten=flatten, explode=explode))

    def to_duckdb(
        self,
        connection: duckdb.DuckDBPyConnection | None = None,
        *,
        flatten: bool = True,
        explode: str | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return a relation of DuckDB with the columns of :meth:`to_arrow`.

        Args:
            connection: Where it can be queried; DuckDB's default connection unless one is named.
            flatten: Give the members of objects columns of their own.
            explode: List whose elements become rows, such as ``Line``.

        Raises:
            ImportError: duckdb or pyarrow is not installed.
            ConfigError: The entity has no such list.

        """
        with needing("duckdb", what="this table", install="duckdb"):
            import duckdb  # noqa: PLC0415 - only relations of DuckDB need it
        table = self.to_arrow(flatten=flatten, explode=explode)
        return duckdb.from_arrow(table) if connection is None else connection.from_arrow(table)


class _Shaped:
    """Columns in one shape, for libraries that ask for a stream."""

    def __init__(self, stream: Callable[[], Any]) -> None:
        self._stream = stream

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        del requested_schema
        return self._stream()
