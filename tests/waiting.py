"""The wait for something that another process or thread does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def until(look: Callable[[], T], what: object = "", limit: float = 30, *, every: float = 0.05) -> T:
    """Call ``look`` until it returns a true value, and return that.

    After ``limit`` seconds it fails with ``what``, or with what ``what`` returns.
    """
    end = time.monotonic() + limit
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {limit} s: {what() if callable(what) else what}"
        time.sleep(every)
    return seen
