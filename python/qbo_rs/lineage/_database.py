"""The name of a database among OpenLineage's datasets: its host, port and name. Never a user or a password."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_PORT = "5432"
_PART = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)")


@dataclass(frozen=True)
class Database:
    """A database, as OpenLineage names it."""

    namespace: str
    """``postgres://host:port``."""
    name: str


def database_of(settings: Mapping[str, str]) -> Database:
    """Return the database of settings by keyword, which go before the environment."""

    def setting(name: str) -> str:
        return settings.get(name.lower()) or os.environ.get(name, "")

    is_named_by_parts = any(settings.get(name) for name in ("pg_host", "pg_port", "pg_db"))
    url = settings.get("database_url") or ("" if is_named_by_parts else os.environ.get("DATABASE_URL", ""))
    host, port, name = _of_url(url) if url else (setting("PG_HOST"), setting("PG_PORT"), setting("PG_DB"))
    return Database(f"postgres://{host or 'localhost'}:{port or _PORT}", name)


def _of_url(url: str) -> tuple[str, str, str]:
    url = url.strip().removeprefix("jdbc:")
    if "://" not in url:
        parts = {key: value.strip("'") for key, value in _PART.findall(url)}
        # A database that is not named has the name of the user.
        return parts.get("host", ""), parts.get("port", ""), parts.get("dbname") or parts.get("user", "")
    rest = urlsplit(url)
    # What stands before the last @ are a user and a password.
    credentials, _, place = rest.netloc.rpartition("@")
    host, _, port = place.split(",")[0].partition(":")
    query = {name: values[0] for name, values in parse_qs(rest.query).items()}
    name = unquote(rest.path[1:]) or unquote(credentials.partition(":")[0]) or query.get("user", "")
    return unquote(host) or query.get("host", ""), port or query.get("port", ""), name
