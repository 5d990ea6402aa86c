"""A temporary directory whose records do not stay when its process is killed: the next process removes it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform != "win32":
    import fcntl

ENDING = ".qbo-scratch"
#: Directories that others remove before this process has locked them.
_MAX_TRIES = 20
#: Time for another process to remove what it has taken for a leftover.
_WAIT_S = 0.005
_NAME = re.compile(r"qbo_rs-\w+\.[0-9a-f]{32}" + re.escape(ENDING))


@contextmanager
def scratch(purpose: str, parent: Path | None = None) -> Iterator[Path]:
    """Make a directory of mode 0700 for the time of a block, and remove what killed processes have left.

    It is below `parent`, or in the directory of temporary files. A directory is locked as long as its process lives, so
    that others know that it is no leftover, as `Scratch` of the core does it. Where directories cannot be locked, as on
    Windows, what a killed process leaves stays. A child of a fork leaves it to its owner.
    """
    if sys.platform == "win32":
        with tempfile.TemporaryDirectory(prefix=f"qbo_rs-{purpose}.", dir=parent) as kept:
            yield Path(kept)
        return
    owner = os.getpid()
    parent = parent or Path(tempfile.gettempdir())
    _remove_leftovers(parent)
    directory, lock = _held_directory(parent, purpose)
    try:
        yield directory
    finally:
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _held_directory(parent: Path, purpose: str) -> tuple[Path, int]:
    for _ in range(_MAX_TRIES):
        directory = parent / f"qbo_rs-{purpose}.{uuid.uuid4().hex}{ENDING}"
        directory.mkdir(mode=0o700)
        # Before it is locked, another process may take it for a leftover and remove it.
        if (opened := _opened(directory)) is not None:
            # Where directories cannot be locked, none is taken for a leftover either.
            if _lock(opened) is not _Lock.TAKEN and _is_still_at(opened, directory):
                return directory, opened
            os.close(opened)
        time.sleep(_WAIT_S)
    raise OSError(f"{parent}: another process removes the directories of this one")


class _Lock(Enum):
    HELD = "held"
    TAKEN = "taken"
    NONE = "none"


def _lock(opened: int) -> _Lock:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Lock.TAKEN
    except OSError:
        return _Lock.NONE
    return _Lock.HELD


def _opened(directory: Path) -> int | None:
    """Open a directory; None if it is gone, or belongs to somebody else."""
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None


def _is_still_at(opened: int, directory: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), directory.lstat())
    except OSError:
        return False


def _remove_leftovers(parent: Path) -> None:
    for path in parent.iterdir():
        if not _NAME.fullmatch(path.name) or (opened := _opened(path)) is None:
            continue
        if _lock(opened) is _Lock.HELD and _is_still_at(opened, path):
            # Those of other users cannot be removed, nor read.
            shutil.rmtree(path, ignore_errors=True)
        os.close(opened)
