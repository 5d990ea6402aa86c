"""The name of a database among OpenLineage's datasets: its host, port and name. Never a user or a password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qbo_rs._plan import core
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Database:
    """A database, as OpenLineage names it."""

    namespace: str
    """``postgres://host:port``."""
    name: str


def database_of(settings: Mapping[str, str]) -> Database:
    """Return the database that the core loads into with settings by keyword, which go before the environment."""
    try:
        found = core("database", {}, settings)
    except ConfigError:
        # Nothing is written there: an extract needs none, and everything else ends with this error.
        return Database("postgres://", "")
    return Database(f"postgres://{found['host']}:{found['port']}", found["name"])
