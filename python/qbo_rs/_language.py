"""The language of exceptions: that of the command, or English where a caller asks for it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from qbo_rs import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

_IS_ENGLISH = ContextVar("_IS_ENGLISH", default=False)


def spoken(text: str) -> str:
    """Return a finished English text in the language of exceptions, as much of it as the catalogue knows."""
    return text if _IS_ENGLISH.get() else _core.translated(text)


@contextmanager
def english() -> Iterator[None]:
    """Keep exceptions English: for a caller that says their Spanish beside them."""
    token = _IS_ENGLISH.set(True)
    try:
        yield
    finally:
        _IS_ENGLISH.reset(token)
