"""Directories and files on this machine that no other user can read, whatever the umask is."""

from __future__ import annotations

from pathlib import Path

from pyarrow import fs


def make_directory(store: fs.FileSystem, folder: str) -> None:
    """Make a directory and those above it; what was there before keeps its mode."""
    there = _on_disk(store, folder)
    if there is None:
        store.create_dir(folder, recursive=True)
        return
    for path in (*reversed(there.parents), there):
        path.mkdir(mode=0o700, exist_ok=True)


def make_file(store: fs.FileSystem, path: str) -> None:
    """Make an empty file to be written, where a file has a mode."""
    there = _on_disk(store, path)
    if there is not None:
        there.touch(mode=0o600, exist_ok=False)


def make_directory_of(uri: str) -> None:
    """Make the directory of a table on this machine, whose files another library writes."""
    if uri.lower().startswith("file:"):
        make_directory(*fs.FileSystem.from_uri(uri))
    elif "://" not in uri:
        make_directory(fs.LocalFileSystem(), uri)


def _on_disk(store: fs.FileSystem, path: str) -> Path | None:
    """Return the place on a disk of this machine; None in a store whose files have no mode."""
    while isinstance(store, fs.SubTreeFileSystem):
        path = f"{store.base_path.rstrip('/')}/{path.lstrip('/')}"
        store = store.base_fs
    if isinstance(store, fs.LocalFileSystem) or _is_local_by_fsspec(store):
        return Path(path)
    return None


def _is_local_by_fsspec(store: fs.FileSystem) -> bool:
    handler = store.handler if isinstance(store, fs.PyFileSystem) else None
    if not isinstance(handler, fs.FSSpecHandler):
        return False
    protocol = handler.fs.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)
