"""Settings of a block: Mage Secrets first, then the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs.mage import _host
from qbo_rs.mage._variables import is_missing

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class BlockSettings:
    """What a block works with. ``keywords`` are those of the verbs."""

    keywords: dict[str, Any]
    secrets: tuple[str, ...]
    landing: Path
    max_attempts: int

    def __repr__(self) -> str:
        """Name the settings; values may be secret."""
        return f"BlockSettings({', '.join(self.keywords)})"


def read_settings() -> BlockSettings:
    """Read every setting from Mage Secrets, else from the environment.

    A secret has the setting's own name, that in lower case, or the one that begins with ``qb_``. Rotated tokens go to
    Postgres unless ``QBO_TOKEN_STORE`` says otherwise, so that nobody edits secrets by hand.

    Returns:
        The settings. What is missing, the verbs name.

    """
    secret = _host.secrets()
    found = {keyword: _secret(variable, secret) for variable, keyword in _core.settings()}
    keywords = {keyword: value for keyword, value in found.items() if value is not None}
    if any(keyword.startswith("pg_") for keyword in keywords) and "database_url" not in keywords:
        # Whoever named a database in Mage means that one, not the one of the server's environment.
        keywords["database_url"] = ""
    value = _lookup(keywords)
    if value("QBO_TOKEN_STORE") is None:
        keywords["token_store"] = "postgres"  # noqa: S105 - a place, not a secret
    landing = value("QBO_LANDING_DIR") or Path(_host.data_directory()) / "qbo_landing"
    attempts = value("QBO_MAX_ATTEMPTS") or ""
    return BlockSettings(
        keywords=keywords,
        secrets=tuple(text for name in _core.secret_settings() if (text := value(name))),
        landing=Path(landing),
        max_attempts=int(attempts) if attempts.isdecimal() else DEFAULT_MAX_ATTEMPTS,
    )


def _secret(variable: str, secrets: Callable[[str], str | None]) -> str | None:
    lower = variable.lower()
    for name in (variable, lower, f"qb_{lower.removeprefix('qbo_')}"):
        value = secrets(name)
        if not is_missing(value):
            return value
    return None


def _lookup(keywords: dict[str, Any]) -> Callable[[str], str | None]:
    names = dict(_core.settings())
    return lambda variable: keywords.get(names[variable]) or os.environ.get(variable) or None
