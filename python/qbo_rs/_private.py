"""Files and directories that no other user can read, whatever the umask is. Those that are there keep their mode."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def make_private_directory(directory: Path) -> None:
    """Make a directory and those above it, each with mode 0700."""
    for path in (*reversed(directory.parents), directory):
        path.mkdir(mode=0o700, exist_ok=True)


def open_private(path: Path, mode: str, encoding: str | None = None) -> IO[Any]:
    """Open a file to be written, which is made with mode 0600."""
    return open(path, mode, encoding=encoding, opener=_opened)


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
