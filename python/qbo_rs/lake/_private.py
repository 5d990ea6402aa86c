"""Directories and files on this machine that no other user can read, whatever the umask is."""

from __future__ import annotations

from pathlib import Path

from pyarrow import fs


def make_directory(store: fs.FileSystem, folder: str) -> None:
    """Make a directory and those above it; what was there before keeps its mode."""
    if not isinstance(store, fs.LocalFileSystem):
        store.create_dir(folder, recursive=True)
        return
    for path in (*reversed(Path(folder).parents), Path(folder)):
        path.mkdir(mode=0o700, exist_ok=True)


def make_file(store: fs.FileSystem, path: str) -> None:
    """Make an empty file to be written, where a file has a mode."""
    if isinstance(store, fs.LocalFileSystem):
        Path(path).touch(mode=0o600, exist_ok=False)


def make_directory_of(uri: str) -> None:
    """Make the directory of a table on this machine, whose files another library writes."""
    if "://" not in uri:
        make_directory(fs.LocalFileSystem(), uri)
    elif uri.startswith("file://"):
        make_directory(*fs.FileSystem.from_uri(uri))
