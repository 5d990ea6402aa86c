"""A snapshot as Parquet, which a manifest names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from qbo_rs._tables import check_entity
from qbo_rs._types import format_instant, parse_instant
from qbo_rs.exceptions import ConfigError
from qbo_rs.lake._address import address_of, hiding_keys, shown
from qbo_rs.lake._manifest import MANIFEST, Directory
from qbo_rs.lake._source import check_holds, source_of

if TYPE_CHECKING:
    import os
    from datetime import datetime

    from pyarrow import fs
    from typing_extensions import Unpack

    from qbo_rs._settings import Settings
    from qbo_rs.lake._manifest import Manifest, NamedFile
    from qbo_rs.lake._source import Source


@dataclass(frozen=True)
class Snapshot:
    """The files of the last complete snapshot."""

    files: tuple[str, ...]
    """Paths of the files in the file system."""
    rows: int
    """Rows of all files together."""
    until: datetime
    """End of the first committed range, UTC: every insert and edit from ``start`` to it is in the files."""
    start: datetime | None = None
    """Begin of that range, UTC: records that were last changed before it may be missing. None: an earlier version of
    this package has written the manifest."""


def write_parquet(
    uri: str | os.PathLike[str],
    entity: str,
    *,
    schema: str | None = None,
    with_deleted: bool = False,
    filesystem: fs.FileSystem | None = None,
    **settings: Unpack[Settings],
) -> Snapshot:
    """Write what Postgres holds of an entity as Parquet, then the manifest that names it.

    The file of a write that is killed is named by no manifest; a write on another day removes it. The snapshot before
    stays for those who read it; the one before that is removed.

    Args:
        uri: Address of a directory: a path, or one that pyarrow knows, such as ``s3://bucket/invoices``.
        entity: Name from :func:`qbo_rs.entities`.
        schema: Schema of the raw tables, one company each; None: that of the company of the settings, else ``raw``.
        with_deleted: Keep deleted records as rows, whose ``deleted_at`` says when.
        filesystem: A file system of pyarrow for ``uri``, for stores that need options.
        **settings: Override the environment.

    Returns:
        The file that was written, and what it holds.

    Raises:
        ConfigError: A setting, the address or the entity is unusable, or the directory holds another entity or company,
            landing files, or a later state than the database.
        DatabaseError: The database refused the read.
        LandingError: The manifest of the directory cannot be read.
        OSError: The store refused the write, or cannot be reached.

    Example:
        ::

            store = pyarrow.fs.S3FileSystem(region="eu-west-1")
            snapshot = qbo_rs.lake.write_parquet("books/invoices", "invoices", filesystem=store)
            pyarrow.parquet.read_table(list(snapshot.files), filesystem=store)

    """
    check_entity(entity)
    uri = address_of(uri, filesystem)
    with hiding_keys(uri):
        directory = Directory(uri, filesystem)
        with source_of(entity, schema, settings, with_deleted=with_deleted) as source:
            _check(directory, directory.read(), source)
            rows, file = _write_rows(directory, source)
            # Another write may have come first meanwhile.
            known = directory.read()
            _check(directory, known, source)
        about = {
            "entity": source.ledger.entity,
            "realm_id": source.ledger.realm_id,
            "start": format_instant(source.ledger.start),
            "until": format_instant(source.ledger.until),
            "rows": rows,
        }
        return _snapshot(directory, directory.publish(about, [file], known))


def read_manifest(uri: str | os.PathLike[str], *, filesystem: fs.FileSystem | None = None) -> Snapshot:
    """Return the last complete snapshot.

    Args:
        uri: Address that :func:`write_parquet` was given.
        filesystem: A file system of pyarrow for ``uri``, for stores that need options.

    Raises:
        FileNotFoundError: Nothing was written yet.
        ConfigError: The address is unusable, or landing files are there.
        LandingError: The manifest cannot be read.

    Example:
        ::

            files = qbo_rs.lake.read_manifest("lake/invoices").files
            invoices = polars.read_parquet(list(files))

    """
    uri = address_of(uri, filesystem)
    with hiding_keys(uri):
        directory = Directory(uri, filesystem)
        known = directory.read()
        if known is None:
            raise FileNotFoundError(f"{shown(uri)}: there is no {MANIFEST}")
        _check(directory, known, None)
        return _snapshot(directory, known)


def _check(directory: Directory, known: Manifest | None, source: Source | None) -> None:
    """Refuse a directory that holds something else, or what is complete up to a later instant."""
    if known is None:
        return
    if "entity" not in known.about:
        raise ConfigError("uri: it holds landing files; give a snapshot a directory of its own")
    missing = {"entity", "realm_id", "rows", "until"} - known.about.keys()
    if missing:
        raise directory.unreadable(f"it lacks {', '.join(sorted(missing))}")
    if source is None:
        return
    there, here = known.about, source.ledger
    check_holds(f"{there['entity']} of company {there['realm_id']}", f"{here.entity} of company {here.realm_id}")
    source.check_follows(parse_instant(known.about["until"]))


def _write_rows(directory: Directory, source: Source) -> tuple[int, NamedFile]:
    rows = 0
    with (
        source.batches() as batches,
        directory.write(".parquet") as file,
        pq.ParquetWriter(file, batches.schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows, file.named()


def _snapshot(directory: Directory, manifest: Manifest) -> Snapshot:
    files = tuple(directory.path(each.name) for each in manifest.files)
    about = manifest.about
    start = parse_instant(about["start"]) if "start" in about else None
    return Snapshot(files, about["rows"], parse_instant(about["until"]), start)
