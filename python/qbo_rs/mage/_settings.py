"""Settings of a block: Mage Secrets first, then the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs._secrets import secrets_of
from qbo_rs.mage import _host
from qbo_rs.mage._zones import is_missing

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class BlockSettings:
    """The settings of a block."""

    keywords: dict[str, Any]
    """Keywords for the functions of :mod:`qbo_rs`."""
    secrets: tuple[str, ...]
    """Values that must not appear in an error."""
    landing: Path
    """Directory of landing files."""
    max_attempts: int
    """Maximum number of attempts that end with the process killed; 0: no limit."""

    def __repr__(self) -> str:
        """Return the names of the settings, without values, which may be secret."""
        return f"BlockSettings({', '.join(self.keywords)})"


def read_settings() -> BlockSettings:
    """Read every setting from Mage Secrets, else from the environment.

    A secret has the name of the setting, the same in lower case, or that with the prefix ``qb_``, which replaces
    ``qbo_``. Rotated tokens go where the other verbs keep them, usually the database, so that nobody has to edit
    secrets by hand.

    Returns:
        The settings. A missing one is reported by the function that needs it.

    """
    lookup = _host.secret_lookup()
    found = {keyword: _secret(variable, lookup) for variable, keyword in _core.settings()}
    keywords = {keyword: value for keyword, value in found.items() if value is not None}
    if any(keyword.startswith("pg_") for keyword in keywords) and "database_url" not in keywords:
        # A database named in Mage Secrets takes precedence over the DATABASE_URL of the server's environment.
        keywords["database_url"] = ""
    setting = _setting_lookup(keywords)
    landing = setting("QBO_LANDING_DIR") or Path(_host.data_directory()) / "qbo_landing"
    attempts = setting("QBO_MAX_ATTEMPTS") or ""
    return BlockSettings(
        keywords=keywords,
        secrets=secrets_of(keywords),
        landing=Path(landing),
        max_attempts=int(attempts) if attempts.isdecimal() else DEFAULT_MAX_ATTEMPTS,
    )


def known_secrets() -> tuple[str, ...]:
    """Return the values of secret settings, at least those of the environment."""
    try:
        return read_settings().secrets
    except Exception:  # noqa: BLE001 - Mage's own errors; the one that is being told is more important
        return secrets_of({})


def _secret(variable: str, lookup: Callable[[str], str | None]) -> str | None:
    lower = variable.lower()
    for name in (variable, lower, f"qb_{lower.removeprefix('qbo_')}"):
        value = lookup(name)
        if not is_missing(value):
            return value
    return None


def _setting_lookup(keywords: dict[str, Any]) -> Callable[[str], str | None]:
    names = dict(_core.settings())
    return lambda variable: keywords.get(names[variable]) or os.environ.get(variable) or None
