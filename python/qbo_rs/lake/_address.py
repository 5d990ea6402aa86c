"""Addresses of stores. One may hold a key, and whatever shows an address shows it without."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pyarrow import fs

from qbo_rs._secrets import redacted
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A single letter is a drive of Windows.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/*")
_MARKS = re.compile(r"[?#]")
#: Names that Hadoop has for S3.
_OF_HADOOP = ("s3a", "s3n")
#: Options in addresses of pyarrow that are no secrets, and whose values are words of many texts.
_KNOWN_OPTIONS = {"region", "scheme", "endpoint_override", "allow_bucket_creation", "allow_bucket_deletion"}


def address_of(uri: str | os.PathLike[str], filesystem: fs.FileSystem | None = None) -> str:
    """Return an address as text; a path on this machine from its root, unless it is one in a given file system.

    Raises:
        ConfigError: It is neither text nor a path, or Hadoop's name of a store.

    """
    if not isinstance(uri, (str, os.PathLike)):
        raise ConfigError(f"uri: it is of the type {type(uri).__name__}; give one address, as text or as a path")
    text = os.fsdecode(uri)
    if not text:
        raise ConfigError("uri: it is empty; give the address of a directory")
    if filesystem is not None:
        return text
    scheme = _SCHEME.match(text)
    if scheme is None:
        return str(Path(text).expanduser().absolute())
    name = scheme[0].partition(":")[0]
    if name.lower() in _OF_HADOOP:
        raise ConfigError(f"uri: {name} is Hadoop's name of a store that is s3 here; write s3://bucket/folder")
    return text


def shown(uri: str) -> str:
    """Return an address without what stands before ``@`` and after ``?``, where stores take keys and signatures."""
    scheme, key, place, query = _parts(uri)
    return f"{scheme}{'***@' if key else ''}{place}{'?***' if query else ''}"


@contextmanager
def hiding_keys(uri: str) -> Iterator[None]:
    """Take the keys of an address out of the text of what is raised: libraries repeat addresses.

    Raises:
        OSError: In place of an error whose text cannot be changed.

    """
    try:
        yield
    except Exception as error:
        clean = without_keys(uri, error)
        if clean == str(error):
            raise
        error.args = (clean,)
        if str(error) == clean:
            raise error from None
        raise OSError(clean) from None


def without_keys(uri: str, error: Exception) -> str:
    """Return the text of an error without the keys of an address."""
    secrets = _secrets(uri)
    return redacted(str(error), secrets) if secrets else str(error)


def open_store(uri: str, filesystem: fs.FileSystem | None) -> tuple[fs.FileSystem, str]:
    """Return the file system of an address, and the path in it.

    Raises:
        ConfigError: pyarrow does not know the address.

    """
    if filesystem is not None:
        scheme, separator, path = uri.partition("://")
        # Keys are those of the file system.
        authority, slash, rest = (path if separator else scheme).partition("/")
        bucket = authority.rpartition("@")[2] if separator and ":" in authority else authority
        return filesystem, f"{bucket}{slash}{rest}".rstrip("/")
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except ValueError:
        raise ConfigError(
            f"uri: '{shown(uri)}' is no address of a store; a key in it is percent-encoded, and `filesystem` takes one "
            "apart from it"
        ) from None
    return filesystem, path.rstrip("/")


def _parts(uri: str) -> tuple[str, str, str, str]:
    """Return the scheme, what stands before the last ``@``, the place, and what follows it."""
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return "", "", uri, ""
    key, _, rest = uri[scheme.end() :].rpartition("@")
    place, *query = _MARKS.split(rest, maxsplit=1)
    return scheme[0], key, place, "".join(query)


def _secrets(uri: str) -> set[str]:
    """Return what is secret in an address, as it stands there and as libraries decode it."""
    _, key, _, query = _parts(uri)
    options = (option.partition("=") for option in query.split("&"))
    secrets = {value for name, _, value in options if name not in _KNOWN_OPTIONS}
    # Without a colon it is a name, as that of a container of Azure.
    secrets |= {key, *key.split(":", maxsplit=1)} if ":" in key else set()
    return {text for secret in secrets for text in (secret, unquote(secret)) if text}
