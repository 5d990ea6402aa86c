"""The windows that a text file holds, in a small file beside it, since empty ones leave no line in the text.

A text file takes the records of one company and one entity. The list says which, and so does the text itself, whose
lines are in the order of company and entity.
"""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from bisect import bisect_left
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from qbo_rs._private import open_private
from qbo_rs._types import Window, parse_instant
from qbo_rs.exceptions import ConfigError
from qbo_rs.mage._spanish import InBoth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PART = 1 << 16
"""Bytes of the end of a text that are first looked at for its last line."""


@dataclass(frozen=True)
class Owner:
    """The company and the entity whose records a text file takes."""

    realm_id: str
    """Id of the company."""
    entity: str
    """Name of the entity."""

    def __str__(self) -> str:
        """Return both in words."""
        return f"{self.entity} of company {self.realm_id}"


class WrittenRanges:
    """The windows that a text file holds."""

    def __init__(self, file: Path, owner: Owner) -> None:
        """Read what is known of a text file; nothing, if it does not exist.

        Raises:
            ConfigError: The file holds records of another company or entity.

        """
        self.file = file
        self._owner = owner
        self._list = file.with_name(f".{file.name}.ranges.json")
        self._known: dict[Window, dict[str, Any]] = {}
        if file.exists():
            saved = _saved(self._list)
            for other in (*_owners_in(file), *([Owner(*saved["owner"])] if "owner" in saved else [])):
                if other != owner:
                    raise _other(file, other, owner)
            self._known = _windows_of(saved)

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._known)

    def rows(self, window: Window, run: str | None = None) -> int | None:
        """Return the number of rows of a window that the file holds; None if it does not, or another run wrote it."""
        known = self._known.get(window)
        if known is None or (run is not None and known["run"] != run):
            return None
        return int(known["rows"])

    def add(self, rows: Mapping[Window, int], run: str) -> None:
        """Note windows that are in the file now, with their rows; those that they overlap are replaced.

        What another run has noted meanwhile stays.
        """
        with _held(self.file.parent):
            known = _windows_of(_saved(self._list)) if self._known or self.file.exists() else {}
            added = sorted(rows)
            kept = {window: it for window, it in known.items() if not _overlapped(window, added)}
            self._known = kept | {window: {"rows": count, "run": run} for window, count in rows.items()}
            windows = {_key(window): it for window, it in sorted(self._known.items())}
            _write(self._list, {"owner": [self._owner.realm_id, self._owner.entity], "windows": windows})

    def is_cut_by(self, planned: list[tuple[Window, bool]]) -> bool:
        """Return True if a window of the file reaches beyond one that is to be read, so that another chunk cut it."""
        to_read = sorted(window for window, is_to_read in planned if is_to_read)
        return any(
            old.start < new.start or old.end > new.end for old in self._known for new in _overlapped(old, to_read)
        )


def _overlapped(window: Window, others: Sequence[Window]) -> Sequence[Window]:
    """Return those of some windows that overlap one; they are in order, and do not overlap each other."""
    first = bisect_left(others, window.start, key=lambda other: other.start)
    last = bisect_left(others, window.end, key=lambda other: other.start)
    # The one that begins before may reach into it.
    first -= first > 0 and others[first - 1].end > window.start
    return others[first:last]


def _other(file: Path, holds: Owner, wanted: Owner) -> ConfigError:
    spanish = (
        f"'{file}' contiene {holds.entity} de la empresa {holds.realm_id}, no {wanted.entity} de la empresa "
        f"{wanted.realm_id}; escriba otro archivo"
    )
    return ConfigError(InBoth(f"archivo: '{file}' holds {holds}, not {wanted}; name another file", spanish))


def _saved(path: Path) -> dict[str, Any]:
    """Return the list as it was saved. One that cannot be read says nothing: its windows are read again."""
    with suppress(FileNotFoundError):
        try:
            saved: dict[str, Any] = json.loads(path.read_text())
            # Lists of earlier versions have windows only.
            saved = saved if "windows" in saved else {"windows": saved}
            _windows_of(saved)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            warnings.warn(f"'{path}' cannot be read ({error}), so its windows are read again", stacklevel=2)
        else:
            return saved
    return {"windows": {}}


def _windows_of(saved: Mapping[str, Any]) -> dict[Window, dict[str, Any]]:
    return {
        Window(*map(parse_instant, key.split("/"))): {"rows": int(it["rows"]), "run": str(it["run"])}
        for key, it in saved["windows"].items()
    }


def _write(path: Path, saved: Mapping[str, Any]) -> None:
    """Replace a file at once, so that a power cut leaves the old one or the new one."""
    draft = path.with_suffix(".new")
    with open_private(draft, "w") as file:
        file.write(json.dumps(saved, indent=0))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold a directory, so that one run at a time changes a list in it."""
    held = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _owners_in(file: Path) -> Iterator[Owner]:
    """Yield the owners of the first line and of the last one of a text."""
    with file.open("rb") as text:
        for line in (text.readline(), _last_line(text)):
            if not line.strip():
                continue
            try:
                parsed = json.loads(line)
                yield Owner(str(parsed["realm_id"]), str(parsed["entity"]))
            except (ValueError, TypeError, KeyError):
                other = InBoth(
                    f"archivo: '{file}' holds other text than records; name another file",
                    f"'{file}' contiene otro texto; escriba otro archivo",
                )
                raise ConfigError(other) from None


def _last_line(text: BinaryIO) -> bytes:
    size = text.seek(0, os.SEEK_END)
    part = PART
    while True:
        begin = max(0, size - part)
        text.seek(begin)
        lines = text.read().rstrip(b"\n").split(b"\n")
        if begin == 0 or len(lines) > 1:
            return lines[-1]
        part *= 4


def _key(window: Window) -> str:
    return f"{window.to_dict()['start']}/{window.to_dict()['end']}"
