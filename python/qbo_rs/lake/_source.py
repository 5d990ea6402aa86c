"""The typed rows of an entity as one file, which a writer may read as slowly as its store takes them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from qbo_rs._records import table
from qbo_rs._scratch import scratch
from qbo_rs._tables import raising
from qbo_rs._types import format_instant
from qbo_rs._verbs import status
from qbo_rs.exceptions import ConfigError
from qbo_rs.lake._mask import checker_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True)
class Committed:
    """The first range of an entity that the ledger has without a gap."""

    schema: str
    """The schema that was named, or that of the company of the settings."""
    realm_id: str
    entity: str
    """Our name of it, by whichever name it was asked for: a table knows its rows by this one."""
    start: datetime
    """Instant where the first committed range begins."""
    until: datetime
    """Instant where it ends, at the first gap."""


@dataclass(frozen=True)
class Source:
    """The rows of an entity of one company, as they were at one instant. The ledger was read first."""

    ledger: Committed
    path: Path

    @contextmanager
    def batches(self) -> Iterator[pa.RecordBatchReader]:
        """Read the rows again, a batch at a time."""
        with pa.OSFile(str(self.path)) as file, pa.ipc.open_stream(file) as reader:
            yield reader

    def check_follows(self, known: datetime | None) -> None:
        """Refuse to replace rows that are complete up to a later instant.

        Raises:
            ConfigError: The database has been restored, or has a gap now.

        """
        if known is not None and known > self.ledger.until:
            realm_id = self.ledger.realm_id
            there, here = (format_instant(instant) for instant in (known, self.ledger.until))
            reason = (
                f"the table holds company {realm_id} up to {there}, the database only up to {here}; sync it "
                f"first, or backfill what it lacks from {here} on"
            )
            raise ConfigError(f"uri: {reason}")


@contextmanager
def source_of(entity: str, schema: str | None, settings: Mapping[str, Any], *, with_deleted: bool) -> Iterator[Source]:
    """Copy the rows into a temporary file: a snapshot of Postgres is not kept open for a slow store.

    Raises:
        ConfigError: The entity was never loaded into the schema, or a value is in clear that is to be masked.

    """
    ledger = committed(entity, schema, settings)
    checker = checker_of(ledger.entity, settings)
    with scratch("lake") as folder:
        path = folder / "rows.arrow"
        rows = table(entity, schema=ledger.schema, with_deleted=with_deleted, **settings)
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with raising(), pa.RecordBatchReader.from_stream(rows) as reader:
            columns = reader.schema.remove_metadata()
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, columns, options=options) as writer:
                for batch in reader:
                    checker.check(batch)
                    writer.write_batch(batch.replace_schema_metadata(None).cast(columns))
        yield Source(ledger, path)


def committed(entity: str, schema: str | None, settings: Mapping[str, Any]) -> Committed:
    """Return what is committed. Without a schema it is that of the company of the settings, as for `table`.

    Raises:
        ConfigError: The entity was never loaded into the schema.

    """
    report = status(entity, schema=schema, **settings)
    known = report.entities
    if not known or not known[0].committed:
        raise ConfigError(f"entity: '{entity}' was never loaded into the schema '{report.schema}'")
    # Ranges that follow the first gap are in the rows, but do not make them complete.
    first = known[0].committed[0]
    return Committed(report.schema, known[0].realm_id, known[0].entity, first.start, first.end)


def check_holds(there: str, here: str) -> None:
    """Refuse a place that holds something else.

    Raises:
        ConfigError: The two differ.

    """
    if there != here:
        raise ConfigError(f"uri: it holds {there}, not {here}; give each a directory of its own")
