"""A snapshot as Parquet, which a manifest names: whoever reads the manifest never sees half of one."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from pyarrow import fs

from qbo_rs._types import format_instant, parse_instant
from qbo_rs.lake._source import source_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from qbo_rs._settings import Settings

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Snapshot:
    """The files of the last complete snapshot."""

    files: tuple[str, ...]
    """Paths of the files in the file system."""
    rows: int
    until: datetime
    """Instant up to which every change is in the files, UTC: where the first gap of the ledger begins."""


def write_parquet(
    uri: str,
    entity: str,
    *,
    schema: str = "raw",
    with_deleted: bool = False,
    filesystem: fs.FileSystem | None = None,
    **settings: Unpack[Settings],
) -> Snapshot:
    """Write what Postgres holds of an entity as Parquet, then the manifest that names it.

    The file of a write that is killed is named by no manifest. The snapshot before stays for those who read it; the
    one before that is removed.

    Args:
        uri: Address of a directory: a path, or one that pyarrow knows, such as ``s3://bucket/invoices``.
        entity: Name from :func:`qbo_rs.entities`.
        schema: Schema of the raw tables; one company each.
        with_deleted: Keep deleted records as rows, whose ``deleted_at`` says when.
        filesystem: A file system of pyarrow for ``uri``, for stores that need options.
        **settings: Override the environment.

    Raises:
        ConfigError: A setting or the entity is unusable.
        DatabaseError: The database refused the read.

    """
    store, folder = _open(uri, filesystem)
    store.create_dir(folder, recursive=True)
    known = _read(store, folder)
    name = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{uuid.uuid4().hex}.parquet"
    with source_of(entity, schema, settings, with_deleted=with_deleted) as source, source.batches() as batches:
        rows = 0
        with store.open_output_stream(f"{folder}/{name}") as file, pq.ParquetWriter(file, batches.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        manifest = {
            "entity": entity,
            "realm_id": source.realm_id,
            "until": format_instant(source.until),
            "rows": rows,
            "files": [name],
            "previous": known.get("files", []),
        }
    _replace(store, f"{folder}/{MANIFEST}", json.dumps(manifest).encode())
    for old in known.get("previous", []):
        store.delete_file(f"{folder}/{old}")
    return _snapshot(folder, manifest)


def read_manifest(uri: str, *, filesystem: fs.FileSystem | None = None) -> Snapshot:
    """Return the last complete snapshot.

    Raises:
        FileNotFoundError: Nothing was written yet.

    """
    store, folder = _open(uri, filesystem)
    known = _read(store, folder)
    if not known:
        raise FileNotFoundError(f"{uri}: there is no {MANIFEST}")
    return _snapshot(folder, known)


def _open(uri: str, filesystem: fs.FileSystem | None) -> tuple[fs.FileSystem, str]:
    if filesystem is None:
        filesystem, path = fs.FileSystem.from_uri(uri)
    else:
        path = uri.partition("://")[2] or uri
    return filesystem, path.rstrip("/")


def _read(store: fs.FileSystem, folder: str) -> dict[str, Any]:
    path = f"{folder}/{MANIFEST}"
    if store.get_file_info(path).type == fs.FileType.NotFound:
        return {}
    with store.open_input_stream(path) as file:
        known: dict[str, Any] = json.loads(file.read())
        return known


def _replace(store: fs.FileSystem, path: str, content: bytes) -> None:
    """Replace a small file at once: an object store does so with a put, a local one with a rename."""
    if isinstance(store, fs.LocalFileSystem):
        with store.open_output_stream(f"{path}.new") as file:
            file.write(content)
        store.move(f"{path}.new", path)
        return
    with store.open_output_stream(path) as file:
        file.write(content)


def _snapshot(folder: str, manifest: dict[str, Any]) -> Snapshot:
    files = tuple(f"{folder}/{name}" for name in manifest["files"])
    return Snapshot(files, manifest["rows"], parse_instant(manifest["until"]))
