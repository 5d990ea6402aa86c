"""The rows in which Postgres and a Delta table differ. Memory holds two batches, and the ids of one company."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deltalake import DeltaTable

    from qbo_rs.lake._source import Source

#: The column of a difference that says that the row is gone.
GONE = "qbo_gone"


@dataclass(frozen=True)
class Difference:
    """The rows to write, in a file, and their numbers."""

    path: Path
    inserted: int
    updated: int
    deleted: int
    held: int
    """Rows of the company in the Delta table."""

    @property
    def rows(self) -> int:
        """Rows that are new, changed or gone."""
        return self.inserted + self.updated + self.deleted


def difference(source: Source, target: DeltaTable) -> Difference:
    """Compare the rows of a company, column by column."""
    held = _Held(source, target)
    path = source.path.with_name("difference.arrow")
    rows = 0
    with source.batches() as batches, pa.OSFile(str(path), "wb") as file:
        schema = batches.schema.append(pa.field(GONE, pa.bool_()))
        with pa.ipc.new_stream(file, schema) as writer:
            for batch in batches:
                changed = batch.filter(held.differs_from(batch))
                gone = pa.array([False] * changed.num_rows, pa.bool_())
                writer.write_batch(pa.RecordBatch.from_arrays([*changed.columns, gone], schema=schema))
                rows += changed.num_rows
            left = held.left()
            writer.write_batch(_gone(left, source.ledger.realm_id, schema))
    return Difference(path, held.unknown, rows - held.unknown, len(left), held.rows)


def _gone(ids: list[str], realm_id: str, schema: pa.Schema) -> pa.RecordBatch:
    known = {"id": ids, "realm_id": [realm_id] * len(ids), GONE: [True] * len(ids)}
    arrays = [pa.array(known.get(each.name, [None] * len(ids)), each.type) for each in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _Held:
    """The rows of a company in the Delta table, in a file that is mapped into memory."""

    def __init__(self, source: Source, target: DeltaTable) -> None:
        path = str(source.path.with_name("held.arrow"))
        with source.batches() as batches:
            schema = batches.schema
        there = target.to_pyarrow_dataset()
        company = ds.field("realm_id") == source.ledger.realm_id
        columns = {each.name: _column(each, there) for each in schema}
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for batch in there.scanner(columns=columns, filter=company).to_batches():
                writer.write_batch(batch.cast(schema))
        self._batches = pa.ipc.open_file(pa.memory_map(path))
        count = self._batches.num_record_batches
        sizes = [self._batches.get_batch(number).num_rows for number in range(count)]
        self._starts = [0, *accumulate(sizes)]
        self.rows = self._starts[-1]
        #: Rows that were asked for and are not here.
        self.unknown = 0
        ids = (self._batches.get_batch(number).column("id").to_pylist() for number in range(count))
        self._places = {id_: place for place, id_ in enumerate(id_ for batch in ids for id_ in batch)}

    def differs_from(self, batch: pa.RecordBatch) -> pa.Array:
        """Return for each row of a batch whether it is new or changed, and take it off what is left."""
        differs = [True] * batch.num_rows
        for number, pairs in self._pairs(batch):
            here = batch.take(pa.array([row for row, _ in pairs]))
            there = self._batches.get_batch(number).take(pa.array([row for _, row in pairs]))
            for (row, _), is_changed in zip(pairs, _changed(here, there).to_pylist(), strict=True):
                differs[row] = is_changed
        return pa.array(differs, pa.bool_())

    def left(self) -> list[str]:
        """Return the ids that no batch had."""
        return list(self._places)

    def _pairs(self, batch: pa.RecordBatch) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Yield the numbers of batches, each with pairs of rows: of the given batch, and of that one."""
        found: dict[int, list[tuple[int, int]]] = {}
        for row, id_ in enumerate(batch.column("id").to_pylist()):
            place = self._places.pop(id_, None)
            if place is None:
                self.unknown += 1
            else:
                number = bisect_right(self._starts, place) - 1
                found.setdefault(number, []).append((row, place - self._starts[number]))
        yield from found.items()


def _column(field: pa.Field, there: ds.Dataset) -> ds.Expression:
    """Return a column, or nulls if a later version of this package knows one more."""
    return ds.field(field.name) if field.name in there.schema.names else ds.scalar(pa.scalar(None, field.type))


def _changed(here: pa.RecordBatch, there: pa.RecordBatch) -> pa.Array:
    changed = pa.array([False] * here.num_rows, pa.bool_())
    for mine, theirs in zip(here.columns, there.columns, strict=True):
        if not mine.equals(theirs):
            is_other = pc.fill_null(pc.not_equal(mine, theirs), fill_value=False)
            is_other_null = pc.xor(pc.is_null(mine), pc.is_null(theirs))
            changed = pc.or_(changed, pc.or_(is_other, is_other_null))
    return changed
