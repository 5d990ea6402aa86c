"""A temporary directory whose records do not stay when its process is killed: the next process removes it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform != "win32":
    import fcntl

_ENDING = ".qbo-scratch"
_NAME = re.compile(r"qbo_rs-\w+\.[0-9a-f]{32}" + re.escape(_ENDING))


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """Make a directory of mode 0700 for the time of a block, and remove what killed processes have left.

    A directory is locked as long as its process lives, so that others know that it is no leftover. A child of a fork
    leaves it to its owner. Windows cannot lock a directory: what a killed process leaves stays there.
    """
    if sys.platform == "win32":
        with tempfile.TemporaryDirectory(prefix=f"qbo_rs-{purpose}.") as kept:
            yield Path(kept)
        return
    owner = os.getpid()
    parent = Path(tempfile.gettempdir())
    _remove_leftovers(parent)
    directory, lock = _held_directory(parent, purpose)
    try:
        yield directory
    finally:
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _held_directory(parent: Path, purpose: str) -> tuple[Path, int]:
    while True:
        directory = parent / f"qbo_rs-{purpose}.{uuid.uuid4().hex}{_ENDING}"
        directory.mkdir(mode=0o700)
        # Before it is locked, another process may take it for a leftover and remove it.
        lock = _locked(directory)
        if lock is not None:
            return directory, lock


def _locked(directory: Path) -> int | None:
    """Lock a directory; None if somebody else holds it, or has removed it."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), directory.lstat()):
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _remove_leftovers(parent: Path) -> None:
    for path in parent.iterdir():
        if _NAME.fullmatch(path.name) and (lock := _locked(path)) is not None:
            # Those of other users cannot be removed, nor read.
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
