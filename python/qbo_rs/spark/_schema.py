"""The schemas of frames, as Arrow has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from qbo_rs._empty import schema_of as columns_of

if TYPE_CHECKING:
    from typing_extensions import Self

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


def typed(entity: str) -> pa.Schema:
    """Return the columns of an entity.

    Raises:
        ConfigError: The entity is unknown.

    """
    return columns_of(entity).remove_metadata()


def schema_of(options: Options) -> pa.Schema:
    """Return the schema of a frame. It depends on its options alone."""
    if options.mode == "sync":
        return REPORT
    return typed(options.entities[0]) if options.typed else RAW


class Columns(str):  # noqa: SLOT000 - text cannot have slots that are not empty
    """A schema as the text that Spark reads, and as the schema of Arrow that Sail prefers: text has no zone there."""

    _schema: pa.Schema

    def __new__(cls, schema: pa.Schema) -> Self:
        """Make the text of a schema."""
        text = super().__new__(cls, ", ".join(f"`{each.name}` {_name_of(each.type)}" for each in schema))
        text._schema = schema
        return text

    def __arrow_c_schema__(self) -> Any:
        """Return the schema in a capsule."""
        return self._schema.__arrow_c_schema__()


def _name_of(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return _NAMES[kind]


#: Spark's names of the types that columns have, beside decimals.
_NAMES = {
    pa.string(): "string",
    pa.bool_(): "boolean",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.date32(): "date",
    INSTANT: "timestamp",
}
