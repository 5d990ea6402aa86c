"""A directory whose files a manifest names: whoever reads the manifest never sees half of a set.

New files come first, under names that no file had; then the manifest that names them, which replaces the one before at
once; then the files are removed that the manifest before named as replaced. The manifest has the size and the SHA-256
of each file, and a digest of itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pyarrow import fs

from qbo_rs.exceptions import LandingError
from qbo_rs.lake._address import open_store, shown
from qbo_rs.lake._private import make_directory, make_file, on_disk, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MANIFEST = "manifest.json"
_STAMP = "%Y%m%dT%H%M%S"
_OURS = re.compile(r"(\d{8}T\d{6})-[0-9a-f]{32}\.(?:parquet|(?:jsonl|ndjson|json|txt)(?:\.(?:zst|gz))?)")
#: Age of a file that no manifest names, from which on no write is under way any more that will name it.
_LEFT = timedelta(days=1)
_DIGEST = "digest"


@dataclass(frozen=True)
class NamedFile:
    """A file that a manifest names."""

    name: str
    size: int | None = None
    """Bytes; None in a manifest of an earlier version."""
    sha256: str | None = None
    path: str | None = None
    """Its place below a local directory, if it was taken from one."""

    def to_dict(self) -> dict[str, Any]:
        """Return what the manifest says of the file."""
        known = {"name": self.name, "size": self.size, "sha256": self.sha256, "path": self.path}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True)
class Manifest:
    """A complete set of files."""

    about: Mapping[str, Any]
    """Members that say what the set holds."""
    files: tuple[NamedFile, ...]
    previous: tuple[str, ...] = ()
    """Names of the set before, which stays for those who still read it."""


@dataclass
class NewFile:
    """A file that is being written. It takes what a binary file of Python takes."""

    name: str
    _to: Any
    size: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)
    closed = False

    def write(self, data: bytes) -> int:
        """Write bytes."""
        self._to.write(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Write what is buffered."""
        self._to.flush()

    def named(self, path: str | None = None) -> NamedFile:
        """Return what a manifest says of the file."""
        return NamedFile(self.name, self.size, self._digest.hexdigest(), path)


class Directory:
    """A directory of a store."""

    def __init__(self, uri: str, filesystem: fs.FileSystem | None) -> None:
        """Open the store of an address."""
        self.uri = uri
        self.store, self._folder = open_store(uri, filesystem)
        self._is_made = False

    def path(self, name: str) -> str:
        """Return the path of a file in the store."""
        return f"{self._folder}/{name}"

    def read(self) -> Manifest | None:
        """Return what the manifest names; None if nothing was written yet.

        Raises:
            LandingError: The manifest is damaged.

        """
        path = self.path(MANIFEST)
        if self.store.get_file_info(path).type == fs.FileType.NotFound:
            return None
        with self.store.open_input_stream(path, compression=None) as file:
            content = file.read()
        try:
            return _parsed(json.loads(content))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Texts of others are quoted in it.
            raise self.unreadable(f"{type(error).__name__}: {error}"[:200]) from None

    def unreadable(self, reason: str) -> LandingError:
        """Return an error that names the manifest."""
        place = f"{shown(self.uri).rstrip('/')}/{MANIFEST}"
        return LandingError(f"{place} cannot be read: {reason!r}. Once it is removed, the next write makes it anew")

    @contextmanager
    def write(self, ending: str) -> Iterator[NewFile]:
        """Write a file under a name that none had. No manifest names it yet."""
        if not self._is_made:
            make_directory(self.store, self._folder)
            self._is_made = True
        name = f"{datetime.now(timezone.utc):{_STAMP}}-{uuid.uuid4().hex}{ending}"
        make_file(self.store, self.path(name))
        # What is written is what was read, also under a name that ends in `.zst`.
        with self.store.open_output_stream(self.path(name), compression=None) as file:
            yield NewFile(name, file)
        there = on_disk(self.store, self.path(name))
        if there is not None:
            with there.open("rb") as written:
                os.fsync(written.fileno())

    def publish(self, about: Mapping[str, Any], files: Iterable[NamedFile], replaced: Manifest | None) -> Manifest:
        """Replace the manifest at once, and then remove what is older than the set that it replaces."""
        before = [each.name for each in replaced.files] if replaced else []
        manifest = Manifest(about, tuple(files), tuple(before))
        self._replace(_text(manifest))
        self._remove_old({*replaced.previous} if replaced else set(), {*before, *(each.name for each in files)})
        return manifest

    def _replace(self, content: bytes) -> None:
        """Replace the manifest: an object store does so with a put, a disk with a rename."""
        there = on_disk(self.store, self.path(MANIFEST))
        if there is None:
            with self.store.open_output_stream(self.path(MANIFEST), compression=None) as file:
                file.write(content)
        else:
            draft = f"{datetime.now(timezone.utc):{_STAMP}}-{uuid.uuid4().hex}.json"
            replace_file(there, there.with_name(draft), content)

    def _remove_old(self, replaced: set[str], named: set[str]) -> None:
        """Remove the set before the last one, and what writes have left that were killed or overtaken."""
        there = [info.base_name for info in self.store.get_file_info(fs.FileSelector(self._folder))]
        for name in {*replaced, *filter(_is_left, there)} - named:
            # Another write may have removed it first.
            with suppress(FileNotFoundError):
                self.store.delete_file(self.path(name))


def _is_left(name: str) -> bool:
    stamp = _OURS.fullmatch(name)
    if stamp is None:
        return False
    written = datetime.strptime(stamp[1], _STAMP).replace(tzinfo=timezone.utc)
    return datetime.now(timezone.utc) - written > _LEFT


def _text(manifest: Manifest) -> bytes:
    known = dict(manifest.about)
    known |= {"files": [each.to_dict() for each in manifest.files], "previous": list(manifest.previous)}
    return json.dumps(known | {_DIGEST: _digest(known)}).encode()


def _digest(known: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _parsed(known: dict[str, Any]) -> Manifest:
    files, previous = known["files"], known["previous"]
    is_old = all(isinstance(each, str) for each in files)
    digest = known.pop(_DIGEST, None)
    if not (is_old and digest is None) and digest != _digest(known):
        raise ValueError("its digest is another one")
    named = tuple(NamedFile(each) if is_old else NamedFile(**each) for each in files)
    for name in (*(each.name for each in named), *previous):
        # Whatever is named may be removed by a later write.
        if not _OURS.fullmatch(name):
            raise ValueError(f"it names {name}, which no write has made")
    about = {name: value for name, value in known.items() if name not in ("files", "previous")}
    return Manifest(about, named, tuple(previous))
