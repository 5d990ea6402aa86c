"""A Delta table that holds what Postgres holds, with the ledger's instant in the same commit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from qbo_rs import __version__, _core
from qbo_rs._empty import schema_of
from qbo_rs._tables import check_entity
from qbo_rs._types import format_instant
from qbo_rs.exceptions import ConfigError, RetriableError
from qbo_rs.lake._address import address_of, hiding_keys, shown, without_keys
from qbo_rs.lake._difference import GONE, difference
from qbo_rs.lake._private import make_directory_of
from qbo_rs.lake._source import check_holds, committed, source_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from qbo_rs._settings import Settings
    from qbo_rs.lake._difference import Difference
    from qbo_rs.lake._source import Committed, Source

LOG = logging.getLogger("qbo_rs.lake")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
#: Writes that are begun anew because another one has committed meanwhile.
_ATTEMPTS = 5
#: A larger part of the rows is written as a whole partition: a merge holds it in memory.
_MOST = 0.2


@dataclass(frozen=True)
class Written:
    """The changes of a write."""

    version: int
    """Version of the Delta table."""
    until: datetime
    """End of the first committed range, UTC: every insert and edit from ``start`` to it is in the table."""
    inserted: int
    """Rows that the table did not have."""
    updated: int
    """Rows of which a column was changed."""
    deleted: int
    """Rows that were removed."""
    start: datetime
    """Begin of the first committed range, UTC: records that were last changed before it may be missing."""


def write_delta(
    uri: str | os.PathLike[str],
    entity: str,
    *,
    schema: str | None = None,
    with_deleted: bool = False,
    storage_options: Mapping[str, str] | None = None,
    **settings: Unpack[Settings],
) -> Written:
    """Make a Delta table equal to what Postgres holds of an entity: changes are merged, deletions removed.

    The table may hold several companies, one partition each. A write is one commit, with the rows and the instant of
    the ledger in it: it happens as a whole or not at all, and a repeated one changes no row. A write that another one
    has overtaken begins anew, and one with older rows than the table's is refused.

    Args:
        uri: Address of the table, as text or as a path; it is made if it is not there.
        entity: Name from :func:`qbo_rs.entities`.
        schema: Schema of the raw tables, one company each; None: that of the company of the settings, else ``raw``.
        with_deleted: Keep deleted records as rows, whose ``deleted_at`` says when.
        storage_options: Options of the store, as deltalake takes them.
        **settings: Override the environment.

    Returns:
        The new version, and what was changed.

    Raises:
        ConfigError: A setting or the entity is unusable, or the table holds another entity or later rows than the
            database.
        RetriableError: Other writers came first again and again.
        DatabaseError: The database refused the read.
        OSError: The store refused the write, or cannot be reached.
        deltalake.exceptions.DeltaError: The address is unusable, or the table is none that delta-rs can write.

    Example:
        ::

            written = qbo_rs.lake.write_delta("lake/invoices", "invoices")
            deltalake.DeltaTable("lake/invoices", version=written.version).to_pyarrow_table()

    """
    check_entity(entity)
    uri = address_of(uri)
    options = dict(storage_options or {})
    columns = schema_of(entity).remove_metadata()
    # Nothing is made for what cannot be read.
    ledger = committed(entity, schema, settings)
    with hiding_keys(uri):
        make_directory_of(uri)
    for _ in range(_ATTEMPTS):
        with hiding_keys(uri):
            try:
                _create(uri, columns, ledger, options)
                # Before the rows are read: whatever is committed after this is seen as a conflict.
                target = DeltaTable(uri, storage_options=options)
                _check_holds(target, columns, ledger)
                _add_columns(target, columns)
                with source_of(entity, ledger.schema, settings, with_deleted=with_deleted) as source:
                    _check_age(target, source)
                    return _write(target, source)
            except CommitFailedError as error:
                LOG.warning("another write of %s came first; beginning anew: %s", shown(uri), without_keys(uri, error))
    raise RetriableError(f"{_ATTEMPTS} writes of {entity} were overtaken by others", recovery="retry")


def _create(uri: str, columns: pa.Schema, ledger: Committed, options: dict[str, str]) -> None:
    """Make the table if it is not there; its name is that of the entity."""
    of_companies = ["realm_id"]
    DeltaTable.create(
        uri, columns, mode="ignore", partition_by=of_companies, name=ledger.entity, storage_options=options
    )


def _check_holds(target: DeltaTable, columns: pa.Schema, ledger: Committed) -> None:
    """Refuse a table of another entity, and one with columns that are not those of the entity, before any commit.

    Raises:
        ConfigError: The table is of something else.

    """
    check_holds(_held_entity(target, ledger.realm_id) or ledger.entity, ledger.entity)
    there = [each.name for each in target.schema().fields]
    missing = [name for name in ("realm_id", "id") if name not in there]
    if missing:
        raise ConfigError(f"uri: the table has no column {missing[0]}, so this package has not made it")
    foreign = [name for name in there if name not in columns.names]
    if foreign:
        reason = (
            f"the table has columns that are none of {ledger.entity}, such as {foreign[0]}; write with the version of "
            "this package that has added them, or take them back with `DeltaTable(uri).restore(VERSION)`"
        )
        raise ConfigError(f"uri: {reason}")


def _held_entity(target: DeltaTable, realm_id: str) -> str | None:
    """Return the entity of a table; None if nothing says it."""
    entities = [name for name, _ in _core.entities()]
    name: str | None = target.metadata().name
    if name in entities:
        return name
    # An earlier version gave its tables no name.
    companies = {realm_id, *(each["realm_id"] for each in target.partitions() if "realm_id" in each)}
    for company in companies:
        for entity in entities:
            if target.transaction_version(f"qbo_rs/{company}/{entity}") is not None:
                return entity
    told = {commit.get("entity") for commit in target.history() if "qbo_rs" in commit}
    return next((entity for entity in entities if entity in told), None)


def _add_columns(target: DeltaTable, columns: pa.Schema) -> None:
    """Add the columns that a later version of this package knows."""
    known = {each.name for each in target.schema().fields}
    missing = [each for each in Schema.from_arrow(columns).fields if each.name not in known]
    if missing:
        target.alter.add_columns(missing)


def _app_id(source: Source) -> str:
    return f"qbo_rs/{source.ledger.realm_id}/{source.ledger.entity}"


def _mark(source: Source) -> int:
    return (source.ledger.until - _EPOCH) // _MICROSECOND


def _check_age(target: DeltaTable, source: Source) -> None:
    known = target.transaction_version(_app_id(source))
    source.check_follows(None if known is None else _EPOCH + known * _MICROSECOND)


def _write(target: DeltaTable, source: Source) -> Written:
    """Write in one commit: the rows that differ, the whole partition, or nothing but the instant."""
    found = difference(source, target)
    if found.rows == 0:
        _commit_instant(target, source)
    elif found.rows > found.held * _MOST:
        with source.batches() as batches:
            company = f"realm_id = '{source.ledger.realm_id}'"
            write_deltalake(target, batches, mode="overwrite", predicate=company, commit_properties=_commit(source))
    else:
        _merge(target, source, found)
    target.update_incremental()
    counts = (found.inserted, found.updated, found.deleted)
    return Written(target.version(), source.ledger.until, *counts, source.ledger.start)


def _commit_instant(target: DeltaTable, source: Source) -> None:
    if target.transaction_version(_app_id(source)) != _mark(source):
        partitions = target.metadata().partition_columns
        commit = _commit(source)
        target.create_write_transaction([], "append", target.schema(), partitions, commit_properties=commit)


def _merge(target: DeltaTable, source: Source, found: Difference) -> None:
    columns = {each.name: f's."{each.name}"' for each in schema_of(source.ledger.entity)}
    with pa.OSFile(str(found.path)) as file, pa.ipc.open_stream(file) as rows:
        merger = target.merge(
            rows,
            predicate=f"t.realm_id = '{source.ledger.realm_id}' AND s.id = t.id",
            source_alias="s",
            target_alias="t",
            commit_properties=_commit(source),
        )
        merger.when_matched_delete(predicate=f"s.{GONE}")
        merger.when_matched_update(columns)
        merger.when_not_matched_insert(columns)
        merger.execute()


def _commit(source: Source) -> CommitProperties:
    metadata: dict[str, Any] = {
        "qbo_rs": __version__,
        "realm_id": source.ledger.realm_id,
        "entity": source.ledger.entity,
        "start": format_instant(source.ledger.start),
        "until": format_instant(source.ledger.until),
    }
    # Two writers of a company cannot both commit on one version of the table.
    transaction = Transaction(_app_id(source), _mark(source))
    return CommitProperties(custom_metadata=metadata, app_transactions=[transaction])
