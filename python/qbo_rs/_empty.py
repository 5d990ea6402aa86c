"""The columns of an entity without a record of it."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs._tables import FLAT

if TYPE_CHECKING:
    import pyarrow as pa


class _NoRecords:
    """The columns of an entity without a record."""

    def __init__(self, entity: str) -> None:
        self._entity = entity

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        del requested_schema
        with tempfile.NamedTemporaryFile(suffix=".jsonl", prefix="qbo_rs-") as empty:
            return _core.landing_stream(empty.name, self._entity, FLAT)


def schema_of(entity: str) -> pa.Schema:
    """Return the columns of an entity; the metadata of each has its meaning.

    Raises:
        ConfigError: The entity is unknown.

    """
    import pyarrow as pa  # noqa: PLC0415 - an import of the package shall not import it

    return pa.RecordBatchReader.from_stream(_NoRecords(entity)).schema
