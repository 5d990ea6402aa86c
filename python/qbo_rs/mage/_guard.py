"""What goes wrong in a block, in the form that Mage can end: an ``Exception`` without secrets, after some tries.

Mage catches ``Exception`` only: upon ``SystemExit``, a cancellation or a panic it runs the block again, for ever, and
so it does with a block whose process was killed. It keeps the text of an exception, with all that caused it, in its
database.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NoReturn

from qbo_rs.exceptions import InternalError, QboError, StuckError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# Shorter texts stand in too many places by chance.
SHORTEST_SECRET = 4


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Replace the secrets in a text by ``***``."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def raise_plainly(error: BaseException, secrets: Iterable[str]) -> NoReturn:
    """Raise an error as an ``Exception`` whose text holds no secret and that drags no other along.

    Raises:
        QboError: ``error`` itself if it is one, else an :class:`~qbo_rs.InternalError` with its class and text.

    """
    if isinstance(error, QboError):
        error.args = (redacted(str(error), secrets), *error.args[1:])
        raise error from None
    text = redacted(str(error), secrets)
    raise InternalError(f"{type(error).__name__}: {text}" if text else type(error).__name__) from None


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a block of one's own end as FAILED, whatever it raises. The blocks of this package are guarded already."""

    @functools.wraps(function)
    def block(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - that is the point
            raise_plainly(error, ())

    return block


class Attempts:
    """Counts the attempts of a block that end without a word, in a file that outlives the process."""

    def __init__(self, directory: Path | None, block: str, most: int) -> None:
        """Count in ``directory``; without one, as under ``mage run``, a kill ends everything anyway.

        ``most`` is how many are made; 0: no limit.
        """
        self._file = directory / f".attempts-{block}" if directory else None
        self._most = most

    def __enter__(self) -> None:
        """Begin an attempt.

        Raises:
            StuckError: As many were cut off before.

        """
        if self._file is None:
            return
        text = self._file.read_text() if self._file.exists() else ""
        made = int(text) if text.isdecimal() else 0
        if self._most and made >= self._most:
            self._file.unlink()
            reason = f"the block's process was ended {made} times, perhaps for want of memory, and is not tried again"
            raise StuckError(f"{reason}; a retry begins anew")
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(str(made + 1))

    def __exit__(self, *_: object) -> None:
        """End an attempt in an orderly way, well or not."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
