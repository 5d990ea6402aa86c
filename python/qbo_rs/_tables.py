"""Columns of a table, whose types are taken from every record and lose no value.

QuickBooks leaves members out, writes the same amount as ``100`` and as ``99.5``, and adds fields without notice. So a
column's type is the narrowest one that holds the values of all records, whatever the first one looks like:

- whole numbers are 64-bit integers; beyond 64 bits, and with a fraction, numbers are decimals of 38 digits with as many
  decimals as the longest needs, never floats;
- objects are structs with the members of all objects; arrays are lists of their elements' common type; an object that
  is empty in every record is the text ``{}``, since files of tables cannot hold a struct without members;
- values of different kinds, and numbers of more than 38 digits, make a column of text: text as it is, everything else
  as JSON.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pandas as pd
    import polars as pl
    import pyarrow as pa

#: Digits of a decimal.
MAX_DIGITS = 38
#: Bits above which a whole number has more digits than that. Python refuses to write very long ones.
MAX_BITS = 128
#: The largest whole number up to which floats hold every one.
EXACT_IN_FLOAT = 2**53

Name = Literal["null", "bool", "int", "decimal", "text", "object", "list"]


@dataclass
class Kind:
    """Everything known about the values in one place of the records."""

    seen: set[Name] = field(default_factory=set)
    whole_digits: int = 0
    decimals: int = 0
    members: dict[str, Kind] = field(default_factory=dict)
    items: Kind | None = None

    def add(self, value: Any) -> None:
        """Take a value into account."""
        if value is None:
            return
        if isinstance(value, bool):
            self.seen.add("bool")
        elif isinstance(value, int | float | Decimal):
            self._add_number(value)
        elif isinstance(value, dict):
            self.seen.add("object")
            for name, member in value.items():
                self.members.setdefault(encodable(name), Kind()).add(member)
        elif isinstance(value, list):
            self.seen.add("list")
            self.items = self.items or Kind()
            for item in value:
                self.items.add(item)
        else:
            self.seen.add("text")

    def _add_number(self, value: float | Decimal) -> None:
        number = value if isinstance(value, int) else decimal(value)
        if isinstance(number, int):
            self.seen.add("int" if -(2**63) <= number < 2**63 else "decimal")
            digits = len(str(abs(number))) if number.bit_length() < MAX_BITS else MAX_DIGITS + 1
            self.whole_digits = max(self.whole_digits, digits)
            return
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int):
            # Not a number, or infinity.
            self.seen.add("text")
            return
        self.seen.add("decimal")
        self.whole_digits = max(self.whole_digits, len(number.as_tuple().digits) + exponent)
        self.decimals = max(self.decimals, -exponent)

    @property
    def name(self) -> Name:
        """The type that holds all values."""
        if not self.seen:
            return "null"
        if self.seen <= {"int", "decimal"}:
            if self.whole_digits + self.decimals > MAX_DIGITS:
                return "text"
            return "decimal" if "decimal" in self.seen else "int"
        if len(self.seen) > 1 or (self.seen == {"object"} and not self.members):
            return "text"
        return next(iter(self.seen))

    def convert(self, value: Any) -> Any:
        """Return a value as this type has it."""
        if value is None:
            return None
        match self.name:
            case "decimal":
                return Decimal(value) if isinstance(value, int) else decimal(value)
            case "text":
                return encodable(value if isinstance(value, str) else as_json(value))
            case "object":
                return {
                    encodable(name): self.members[encodable(name)].convert(member) for name, member in value.items()
                }
            case "list":
                items = self.items or Kind()
                return [items.convert(item) for item in value]
            case _:
                return value


class Columns(NamedTuple):
    """The columns of a table, and the number of its rows."""

    kinds: dict[str, Kind]
    values: dict[str, list[Any]]
    rows: int


def columns(records: Iterable[dict[str, Any]]) -> Columns:
    """Return the columns of records: every member of every record, in the order of their first appearance."""
    rows = [{encodable(name): value for name, value in record.items()} for record in records]
    table = Kind()
    for row in rows:
        table.add(row)
    values = {name: [kind.convert(row.get(name)) for row in rows] for name, kind in table.members.items()}
    return Columns(table.members, values, len(rows))


def decimal(value: float | Decimal) -> Decimal:
    """Return a number as a decimal with the digits that it is written with."""
    return value if isinstance(value, Decimal) else Decimal(repr(value))


def encodable(text: str) -> str:
    """Return a text with U+FFFD in place of halves of surrogate pairs, which no table can hold."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_json(value: Any) -> str:
    """Return a value as JSON, numbers with every digit."""
    if isinstance(value, dict):
        members = (f"{json.dumps(name, ensure_ascii=False)}: {as_json(member)}" for name, member in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_json, value))}]"
    if isinstance(value, Decimal):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


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


def arrow_type(kind: Kind) -> pa.DataType:
    """Return the type of Arrow."""
    import pyarrow as pa  # noqa: PLC0415 - only tables of Arrow need it

    types: dict[Name, Callable[[], pa.DataType]] = {
        "null": pa.null,
        "bool": pa.bool_,
        "int": pa.int64,
        "decimal": lambda: pa.decimal128(MAX_DIGITS, kind.decimals),
        "text": pa.string,
        "object": lambda: pa.struct([pa.field(name, arrow_type(member)) for name, member in kind.members.items()]),
        "list": lambda: pa.list_(arrow_type(kind.items or Kind())),
    }
    return types[kind.name]()


def polars_type(kind: Kind) -> pl.DataType:
    """Return the type of polars."""
    import polars as pl  # noqa: PLC0415 - only tables of polars need it

    types: dict[Name, Callable[[], pl.DataType]] = {
        "null": pl.Null,
        "bool": pl.Boolean,
        "int": pl.Int64,
        "decimal": lambda: pl.Decimal(MAX_DIGITS, kind.decimals),
        "text": pl.String,
        "object": lambda: pl.Struct({name: polars_type(member) for name, member in kind.members.items()}),
        "list": lambda: pl.List(polars_type(kind.items or Kind())),
    }
    return types[kind.name]()


def to_arrow(records: Iterable[dict[str, Any]]) -> pa.Table:
    """Return an Arrow Table of records."""
    with needing("pyarrow"):
        import pyarrow as pa  # noqa: PLC0415 - only tables of Arrow need it

    kinds, values, rows = columns(records)
    if rows and not kinds:
        # A table without columns cannot say how many rows it has.
        return pa.table({"": pa.nulls(rows)}).select([])
    return pa.table({name: pa.array(values[name], arrow_type(kind)) for name, kind in kinds.items()})


def to_polars(records: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Return a polars DataFrame of records."""
    with needing("polars"):
        import polars as pl  # noqa: PLC0415 - only tables of polars need it

    kinds, values, _ = columns(records)
    return pl.DataFrame(
        [pl.Series(name, values[name], dtype=polars_type(kind), strict=True) for name, kind in kinds.items()]
    )


def to_pandas(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return a pandas DataFrame of records, with the values as they are."""
    with needing("pandas"):
        import pandas as pd  # noqa: PLC0415 - only tables of pandas need it

    rows = list(records)
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=pandas_type(rows, name)) for name in names},
        index=range(len(rows)),
    )


def pandas_type(rows: list[dict[str, Any]], name: str) -> Any:
    """Return the type of a column; ``None`` leaves it to pandas.

    pandas would make floats of whole numbers if one is missing, and of those beyond 64 bits, which takes digits from
    large ones. It would make texts of other kinds of values beside text.
    """
    values = [value for value in (row.get(name) for row in rows) if value is not None]
    if not values or all(isinstance(value, bool) for value in values):
        return object
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None if all(isinstance(value, str) for value in values) else object
    wholes = [value for value in values if isinstance(value, int)]
    if len(wholes) < len(values):
        return object if any(abs(value) > EXACT_IN_FLOAT for value in wholes) else float
    return "Int64" if all(-(2**63) <= value < 2**63 for value in wholes) else object
