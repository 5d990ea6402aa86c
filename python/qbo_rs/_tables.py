"""Columns with types, handed to Arrow, pandas, polars and DuckDB by the C stream interface of Arrow."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qbo_rs import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa


@contextmanager
def needing(package: str) -> Iterator[None]:
    """Say of an import that fails how to install its package, which is no dependency of this one."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        reason = f"{package} is not installed, and this table needs it: pip install {package}"
        raise ModuleNotFoundError(reason, name=package) from None


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


class Columns:
    """Records as columns with types, in batches: one schema for each entity, whatever its records look like.

    Anything that knows the Arrow PyCapsule interface takes it as it is: ``pyarrow.table(records)``,
    ``polars.DataFrame(records)``, ``pyarrow.RecordBatchReader.from_stream(records)`` for one batch at a time.
    """

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        """Return the records as a stream of Arrow, in a capsule. The schema is always that of the entity."""
        raise NotImplementedError

    def to_arrow(self) -> pa.Table:
        """Return an Arrow Table with one row per record.

        Numbers are ``decimal128(38, 10)``, dates ``date32``, times ``timestamp[us, UTC]``; lists are JSON text.

        Raises:
            ImportError: pyarrow is not installed.

        """
        with needing("pyarrow"):
            import pyarrow as pa  # noqa: PLC0415 - only tables of Arrow need it
        with raising():
            return pa.table(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas DataFrame with the columns of :meth:`to_arrow`, of the types of Arrow.

        Raises:
            ImportError: pandas or pyarrow is not installed.

        """
        with needing("pandas"):
            import pandas as pd  # noqa: PLC0415 - only tables of pandas need it
        # pandas' own types have no decimals, and no days.
        return self.to_arrow().to_pandas(types_mapper=pd.ArrowDtype)

    def to_polars(self) -> pl.DataFrame:
        """Return a polars DataFrame with the columns of :meth:`to_arrow`.

        Raises:
            ImportError: polars is not installed.

        """
        with needing("polars"):
            import polars as pl  # noqa: PLC0415 - only tables of polars need it
        with raising():
            return pl.DataFrame(self)

    def to_duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """Return a relation of DuckDB with the columns of :meth:`to_arrow`.

        Args:
            connection: Where it can be queried; DuckDB's default connection unless one is named.

        Raises:
            ImportError: duckdb or pyarrow is not installed.

        """
        with needing("duckdb"):
            import duckdb  # noqa: PLC0415 - only relations of DuckDB need it
        table = self.to_arrow()
        return duckdb.from_arrow(table) if connection is None else connection.from_arrow(table)
