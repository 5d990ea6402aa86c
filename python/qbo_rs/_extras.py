"""Packages that some modules need and this one does not depend on: how to install them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qbo_rs._language import spoken

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def needing(*packages: str, what: str, install: str) -> Iterator[None]:
    """Say of an import that fails how to install its package."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        # An earlier version of the package may lack a module.
        absent = error.name if sys.modules.get(package) else package
        reason = f"{absent} is not installed, and {what} needs it: pip install {install}"
        raise ModuleNotFoundError(spoken(reason), name=error.name) from None
