"""A snapshot as Parquet, which a manifest names: whoever reads the manifest never sees half of one."""

from __future__ import annotations

import json
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from pyarrow import fs

from qbo_rs._tables import check_entity
from qbo_rs._types import format_instant, parse_instant
from qbo_rs.exceptions import ConfigError
from qbo_rs.lake._private import make_directory, make_file
from qbo_rs.lake._source import source_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from qbo_rs._settings import Settings
    from qbo_rs.lake._source import Source

MANIFEST = "manifest.json"
_STAMP = "%Y%m%dT%H%M%S"
_OURS = re.compile(r"(\d{8}T\d{6})-[0-9a-f]{32}\.(?:parquet|json)")
#: Age of a file that no manifest names, from which on no write is under way any more that will name it.
_LEFT = timedelta(days=1)


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

    The file of a write that is killed is named by no manifest; a write on another day removes it. The snapshot before
    stays for those who read it; the one before that is removed.

    Args:
        uri: Address of a directory: a path, or one that pyarrow knows, such as ``s3://bucket/invoices``.
        entity: Name from :func:`qbo_rs.entities`.
        schema: Schema of the raw tables; one company each.
        with_deleted: Keep deleted records as rows, whose ``deleted_at`` says when.
        filesystem: A file system of pyarrow for ``uri``, for stores that need options.
        **settings: Override the environment.

    Raises:
        ConfigError: A setting or the entity is unusable, or the directory holds another entity or company, or a later
            state than the database.
        DatabaseError: The database refused the read.

    """
    check_entity(entity)
    store, folder = _open(uri, filesystem)
    make_directory(store, folder)
    with source_of(entity, schema, settings, with_deleted=with_deleted) as source:
        _check(_read(store, folder), source)
        name = f"{datetime.now(timezone.utc):{_STAMP}}-{uuid.uuid4().hex}"
        rows = _write_rows(store, f"{folder}/{name}.parquet", source)
        # Another write may have come first meanwhile.
        known = _read(store, folder)
        _check(known, source)
    manifest = {
        "entity": source.entity,
        "realm_id": source.realm_id,
        "until": format_instant(source.until),
        "rows": rows,
        "files": [f"{name}.parquet"],
        "previous": known.get("files", []),
    }
    _replace(store, folder, name, json.dumps(manifest).encode())
    _remove_old(store, folder, known.get("previous", []), manifest)
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


def _check(known: dict[str, Any], source: Source) -> None:
    if not known:
        return
    if (known["entity"], known["realm_id"]) != (source.entity, source.realm_id):
        there = f"{known['entity']} of company {known['realm_id']}"
        here = f"{source.entity} of company {source.realm_id}"
        raise ConfigError(f"uri: it holds {there}, not {here}; give each a directory of its own")
    source.check_follows(parse_instant(known["until"]))


def _write_rows(store: fs.FileSystem, path: str, source: Source) -> int:
    rows = 0
    make_file(store, path)
    with (
        source.batches() as batches,
        store.open_output_stream(path) as file,
        pq.ParquetWriter(file, batches.schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _replace(store: fs.FileSystem, folder: str, name: str, content: bytes) -> None:
    """Replace the manifest at once: an object store does so with a put, a local one with a rename."""
    manifest = f"{folder}/{MANIFEST}"
    if isinstance(store, fs.LocalFileSystem):
        draft = f"{folder}/{name}.json"
        make_file(store, draft)
        with store.open_output_stream(draft) as file:
            file.write(content)
        store.move(draft, manifest)
        return
    with store.open_output_stream(manifest) as file:
        file.write(content)


def _remove_old(store: fs.FileSystem, folder: str, replaced: list[str], manifest: dict[str, Any]) -> None:
    """Remove the snapshot before the last one, and what writes have left that were killed or overtaken."""
    named = {*manifest["files"], *manifest["previous"]}
    there = [info.base_name for info in store.get_file_info(fs.FileSelector(folder))]
    for name in {*replaced, *filter(_is_left, there)} - named:
        # Another write may have removed it first.
        with suppress(FileNotFoundError):
            store.delete_file(f"{folder}/{name}")


def _is_left(name: str) -> bool:
    stamp = _OURS.fullmatch(name)
    if stamp is None:
        return False
    written = datetime.strptime(stamp[1], _STAMP).replace(tzinfo=timezone.utc)
    return datetime.now(timezone.utc) - written > _LEFT


def _snapshot(folder: str, manifest: dict[str, Any]) -> Snapshot:
    files = tuple(f"{folder}/{name}" for name in manifest["files"])
    return Snapshot(files, manifest["rows"], parse_instant(manifest["until"]))
