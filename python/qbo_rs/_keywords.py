"""Keywords that nobody knows: an error with a guess, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def check_keywords(given: Mapping[str, Any], parameters: Iterable[str]) -> None:
    """Raise an error about the first keyword that is neither a parameter nor a setting."""
    settings = dict(_core.settings())
    known = [*(name for name in parameters if name != "settings"), *settings.values()]
    for name in given:
        if name in known or name in settings:
            continue
        from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

        close = get_close_matches(name.lower(), known, n=1)
        if close:
            raise ConfigError(f"{name}: no such setting; did you mean {close[0]}=?")
        raise ConfigError(f"{name}: no such setting")
