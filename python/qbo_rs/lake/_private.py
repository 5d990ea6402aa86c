"""Directories and files on this machine that no other user can read, whatever the umask is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyarrow import fs

from qbo_rs._private import make_private_directory, open_private


def make_directory(store: fs.FileSystem, folder: str) -> None:
    """Make a directory and those above it; what was there before keeps its mode."""
    there = on_disk(store, folder)
    if there is None:
        store.create_dir(folder, recursive=True)
    else:
        make_private_directory(there)


def make_file(store: fs.FileSystem, path: str) -> None:
    """Make an empty file to be written, where a file has a mode."""
    there = on_disk(store, path)
    if there is not None:
        there.touch(mode=0o600, exist_ok=False)


def replace_file(path: Path, draft: Path, content: bytes) -> None:
    """Replace a file on a disk at once: whoever reads it has all of the old content or all of the new one."""
    with open_private(draft, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    if os.name == "posix":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def make_directory_of(uri: str) -> None:
    """Make the directory of a table on this machine, whose files another library writes."""
    if uri.lower().startswith("file:"):
        make_directory(*fs.FileSystem.from_uri(uri))
    elif "://" not in uri:
        make_directory(fs.LocalFileSystem(), uri)


def on_disk(store: fs.FileSystem, path: str) -> Path | None:
    """Return the place on a disk of this machine; None in a store whose files have no mode."""
    while isinstance(store, fs.SubTreeFileSystem):
        path = _below(store.base_path, path)
        store = store.base_fs
    if isinstance(store, fs.LocalFileSystem):
        return Path(path)
    handler = store.handler if isinstance(store, fs.PyFileSystem) else None
    return _on_disk_of_fsspec(handler.fs, path) if isinstance(handler, fs.FSSpecHandler) else None


def _on_disk_of_fsspec(store: Any, path: str) -> Path | None:
    protocols = _protocols(store)
    while "dir" in protocols:
        path = _below(store.path, path)
        store = store.fs
        protocols = _protocols(store)
    return Path(path) if "file" in protocols else None


def _protocols(store: Any) -> tuple[str, ...]:
    return (store.protocol,) if isinstance(store.protocol, str) else tuple(store.protocol)


def _below(folder: str, path: str) -> str:
    return f"{folder.rstrip('/')}/{path.lstrip('/')}"
