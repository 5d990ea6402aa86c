"""The schemas of frames, as Arrow has them."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from qbo_rs import _core
from qbo_rs._tables import FLAT

if TYPE_CHECKING:
    from qbo_rs.spark._options import Options

INSTANT = pa.timestamp("us", tz="UTC")

#: Records as JSON text, of any entity; never taken from the data.
RAW = pa.schema(
    {
        "realm_id": pa.string(),
        "entity": pa.string(),
        "id": pa.string(),
        "last_updated": INSTANT,
        "deleted": pa.bool_(),
        "payload": pa.string(),
        "window_from": INSTANT,
        "window_until": INSTANT,
    }
)

#: The report of a sync. A row without an entity is the company's.
REPORT = pa.schema(
    {
        "realm_id": pa.string(),
        "entity": pa.string(),
        "status": pa.string(),
        "rows": pa.int64(),
        "inserted": pa.int64(),
        "updated": pa.int64(),
        "deleted": pa.int64(),
        "rejected": pa.int64(),
        "requests": pa.int64(),
        "seconds": pa.float64(),
        "window_from": INSTANT,
        "window_until": INSTANT,
        "error": pa.string(),
    }
)


class _NoRecords:
    """The columns of an entity without a record."""

    def __init__(self, entity: str) -> None:
        self._entity = entity

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        del requested_schema
        with tempfile.NamedTemporaryFile(suffix=".jsonl", prefix="qbo_rs-") as empty:
            return _core.landing_stream(empty.name, self._entity, FLAT)


def typed(entity: str) -> pa.Schema:
    """Return the columns of an entity.

    Raises:
        ConfigError: The entity is unknown.

    """
    return pa.RecordBatchReader.from_stream(_NoRecords(entity)).schema.remove_metadata()


def schema_of(options: Options) -> pa.Schema:
    """Return the schema of a frame. It depends on its options alone."""
    if options.mode == "sync":
        return REPORT
    return typed(options.entities[0]) if options.typed else RAW
