"""Landing files on an object store, as one set that a manifest names."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qbo_rs._private import make_private_directory, open_private
from qbo_rs._scratch import ENDING, scratch
from qbo_rs.exceptions import ConfigError, LandingError, RetriableError
from qbo_rs.lake._address import address_of, hiding_keys, shown
from qbo_rs.lake._manifest import MANIFEST, Directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyarrow import fs

    from qbo_rs.lake._manifest import Manifest, NamedFile

_HOLDS = {"holds": "landing files"}
#: The endings of the files that `extract` writes and `load` reads.
_ENDING = re.compile(r"\.(?:parquet|(?:jsonl|ndjson|json|txt)(?:\.(?:zst|gz))?)$")
#: Nothing hidden, and nothing that leads out of the directory.
_NAME = r"(?!\.)[^/\\:\x00-\x1f\x7f]+"
_PATH = re.compile(f"{_NAME}(?:/{_NAME})*")
#: Directories of an extract that was not completed, and of a read that was killed.
_UNFINISHED = (".parts", ENDING)
_BLOCK = 1 << 20
#: Reads that are begun anew because writes have removed their files meanwhile.
_ATTEMPTS = 5


@dataclass(frozen=True)
class FileSet:
    """Landing files that belong together."""

    paths: tuple[str, ...]
    """Their places below the local directory, such as ``9130/invoices/20250101T000000Z_20250201T000000Z.jsonl.zst``."""
    size: int
    """Bytes of all together."""


def write_files(
    source: str | os.PathLike[str], uri: str | os.PathLike[str], *, filesystem: fs.FileSystem | None = None
) -> FileSet:
    """Put the files of an extract on an object store, then the manifest that names them.

    The files replace the set that is there: a reader has all of the old set or all of the new one, whenever the write
    is killed. Every file is sent, also one that is there already. The set before stays for those who read it; the one
    before that is removed.

    No file is looked into: what was extracted before ``QBO_MASK`` was set, or by a process without it, is sent in
    clear. Extract it anew with the mask, and write twice, since a write keeps the set before.

    Args:
        source: What :func:`qbo_rs.extract` was given as ``out``: a directory, or one file. Of a directory, the landing
            files are sent; hidden files, ``.parts`` of a call that was not completed, and other files are not.
        uri: Address of a directory: a path, or one that pyarrow knows, such as ``s3://bucket/landing``.
        filesystem: A file system of pyarrow for ``uri``, for stores that need options.

    Returns:
        The files that the manifest names.

    Raises:
        ConfigError: There is no landing file, or a link among them; the address is unusable; a snapshot of
            :func:`write_parquet` is there.
        LandingError: The manifest that is there cannot be read.
        OSError: A file cannot be read, or the store refused the write or cannot be reached.

    Example:
        ::

            qbo_rs.extract("invoices", windows, out="landing").raise_for_failures()
            qbo_rs.lake.write_files("landing", "s3://books/landing")

    """
    uri = address_of(uri, filesystem)
    found = list(_landing_files(Path(source).expanduser()))
    if not found:
        raise ConfigError(f"source: there is no landing file in '{os.fspath(source)}'")
    with hiding_keys(uri):
        directory = Directory(uri, filesystem)
        _check(directory.read())
        files = [_send(directory, place, path) for path, place in found]
        # Another write may have come first meanwhile.
        known = directory.read()
        _check(known)
        return _set(directory.publish(_HOLDS, files, known))


def read_files(
    uri: str | os.PathLike[str], directory: str | os.PathLike[str], *, filesystem: fs.FileSystem | None = None
) -> FileSet:
    """Bring the files of a store into a local directory, from which :func:`qbo_rs.upsert` loads them.

    A file gets its name when all files are here and have the size and SHA-256 of the manifest. Those of the same
    names are replaced, and others stay: take a directory of its own.

    Args:
        uri: Address that :func:`write_files` was given.
        directory: Local directory; it is made with mode 0700, and the files with 0600.
        filesystem: A file system of pyarrow for ``uri``, for stores that need options.

    Returns:
        The files, below ``directory``.

    Raises:
        ConfigError: The address is unusable, or no landing files are there.
        FileNotFoundError: Nothing was written yet.
        LandingError: A file or the manifest is damaged or missing; no file of the directory was changed.
        RetriableError: Writes replaced the set again and again.
        OSError: The directory cannot be written, or the store cannot be reached.

    Example:
        ::

            qbo_rs.lake.read_files("s3://books/landing", "landing")
            qbo_rs.upsert("landing").raise_for_failures()

    """
    uri = address_of(uri, filesystem)
    with hiding_keys(uri):
        store = Directory(uri, filesystem)
        for _ in range(_ATTEMPTS):
            known = store.read()
            if known is None:
                raise FileNotFoundError(f"{shown(uri)}: there is no {MANIFEST}")
            _check(known)
            _check_paths(store, known)
            if _bring(store, known, Path(directory).expanduser()):
                return _set(known)
    raise RetriableError(f"{_ATTEMPTS} reads of {shown(uri)} were overtaken by writes", recovery="retry")


def _landing_files(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield the landing files of a directory with their places below it."""
    if not source.is_dir():
        # A link is followed where it is named itself, as an extract does.
        place = source.resolve()
        if not stat.S_ISREG(place.stat().st_mode) or not _ENDING.search(source.name):
            raise ConfigError(f"source: '{source}' is no landing file")
        yield source.name, place
        return
    for folder, folders, names in os.walk(source, onerror=_raise):
        kept = [name for name in folders if not name.startswith(".") and not name.endswith(_UNFINISHED)]
        folders[:] = sorted(kept)
        for name in sorted((*names, *folders)):
            place = Path(folder, name)
            is_file = _ENDING.search(name) and not name.startswith(".") and name not in folders
            if (is_file or name in folders) and place.is_symlink():
                raise ConfigError(f"source: '{place}' is a link; its file may be anywhere")
            if is_file and stat.S_ISREG(place.stat().st_mode):
                yield place.relative_to(source).as_posix(), place


def _raise(error: OSError) -> None:
    """Leave out no directory that cannot be read."""
    raise error


def _send(directory: Directory, place: Path, path: str) -> NamedFile:
    if not _PATH.fullmatch(path):
        raise ConfigError(f"source: '{path}' is no name for a file on every machine")
    with place.open("rb") as content, directory.write(_ending(path)) as file:
        while block := content.read(_BLOCK):
            file.write(block)
    return file.named(path)


def _ending(path: str) -> str:
    found = _ENDING.search(path)
    return found[0] if found else ""


def _check(known: Manifest | None) -> None:
    """Refuse a directory that holds something else."""
    if known is not None and known.about != _HOLDS:
        raise ConfigError("uri: it holds no landing files, but a snapshot; give them a directory of their own")


def _check_paths(store: Directory, known: Manifest) -> None:
    paths = [each.path or "" for each in known.files]
    wrong = [path for path in paths if not _PATH.fullmatch(path) or not _ENDING.search(path)]
    if wrong or len(set(paths)) < len(paths):
        raise store.unreadable(f"it names {wrong[0]}" if wrong else "it names a file twice")


def _bring(store: Directory, known: Manifest, directory: Path) -> bool:
    """Bring all files; return false if a write has removed one."""
    make_private_directory(directory)
    with scratch("lake", directory) as staging:
        try:
            for each in known.files:
                _receive(store, each, staging)
        except OSError:
            if store.read() != known:
                return False
            raise
        for each in known.files:
            place = directory / (each.path or "")
            make_private_directory(place.parent)
            (staging / each.name).replace(place)
    return True


def _receive(store: Directory, each: NamedFile, staging: Path) -> None:
    path, digest, size = store.path(each.name), hashlib.sha256(), 0
    try:
        content = store.store.open_input_stream(path, compression=None)
    except FileNotFoundError:
        raise LandingError(f"{path}: {each.path} is missing; write the files again") from None
    with content, open_private(staging / each.name, "xb") as file:
        while size <= (each.size or 0) and (block := content.read(_BLOCK)):
            digest.update(block)
            size += len(block)
            file.write(block)
    if (size, digest.hexdigest()) != (each.size, each.sha256):
        raise LandingError(f"{path}: {each.path} has other bytes than its manifest says; write the files again")


def _set(manifest: Manifest) -> FileSet:
    return FileSet(tuple(each.path or "" for each in manifest.files), sum(each.size or 0 for each in manifest.files))
