"""Secrets in texts that go to others: to an event, or to the database of Mage."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from qbo_rs import _core

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


#: Shorter texts occur by chance in too many places.
MIN_SECRET_LENGTH = 4


def secrets_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values of secret settings: those given by keyword, and those of the environment."""
    keywords = dict(_core.settings())
    names = _core.secret_settings()
    found = (*(settings.get(keywords[name]) for name in names), *(os.environ.get(name) for name in names))
    return tuple(str(value) for value in found if value)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return the text with ``***`` in place of these secrets, and of those that the core holds.

    The core finds them in any form, from eight characters on. Shorter ones are found as they are: in its own texts the
    core would blank out words by them.
    """
    secrets = sorted(secrets, key=len, reverse=True)
    text = _core.hide(text, secrets)
    for secret in secrets:
        if len(secret) >= MIN_SECRET_LENGTH:
            text = text.replace(secret, "***")
    return text
