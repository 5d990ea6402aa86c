"""Guards that make a failed block end: as an ``Exception`` without secrets, after a limited number of attempts.

Mage catches ``Exception`` only. After ``SystemExit``, a cancellation or a panic it runs the block again, for ever, and
so it does after the process of a block was killed. It stores the text of an exception and of its causes in its
database.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from qbo_rs._private import make_private_directory, open_private
from qbo_rs._secrets import redacted
from qbo_rs.exceptions import InternalError, QboError, StuckError
from qbo_rs.mage._settings import known_secrets
from qbo_rs.mage._spanish import InBoth, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


def as_exception(error: BaseException, secrets: Iterable[str]) -> QboError:
    """Return an error as an ``Exception`` without secrets in its text; raise it ``from None``, since causes have texts.

    Returns:
        ``error`` if it is a :class:`~qbo_rs.QboError`, else an :class:`~qbo_rs.InternalError` with its class and text.

    """
    if isinstance(error, QboError):
        told = text_of(error)
        halves = (told.english, told.spanish) if isinstance(told, InBoth) else (told,)
        shown = [redacted(half, secrets) for half in halves]
        error.args = (InBoth(*shown) if isinstance(told, InBoth) else shown[0], *error.args[1:])
        return error
    text = redacted(str(error), secrets)
    return InternalError(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a custom block end as FAILED, whatever it raises; the blocks of this package are guarded already.

    Args:
        function: Function of the block.

    Returns:
        A function that raises :class:`~qbo_rs.QboError` only, without the values of secret settings.

    Example:
        ::

            @data_loader
            @guarded
            def read_budget(*args, **kwargs):
                ...

    """

    @functools.wraps(function)
    def block(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - Mage catches Exception only
            raise as_exception(error, known_secrets()) from None

    return block


class Attempts:
    """Counts the attempts of a block that end with its process killed, in a file that outlives the process."""

    def __init__(self, directory: Path | None, block: str, max_attempts: int) -> None:
        """Make a counter.

        Args:
            directory: Directory of the file; None, as in ``mage run``, where nothing repeats a killed block: no count.
            block: Name of the block.
            max_attempts: Maximum number of attempts; 0: no limit.

        """
        self._file = directory / f".attempts-{block}" if directory else None
        self._max_attempts = max_attempts

    def __enter__(self) -> None:
        """Count an attempt.

        Raises:
            StuckError: ``max_attempts`` attempts were killed before.

        """
        if self._file is None:
            return
        text = self._file.read_text() if self._file.exists() else ""
        made = int(text) if text.isdecimal() else 0
        if self._max_attempts and made >= self._max_attempts:
            self._file.unlink()
            raise StuckError(
                f"the block's process ended {made} times without a result, perhaps for lack of memory, and is not "
                "tried again; a retry starts counting from zero"
            )
        # The landing files will be in this directory.
        make_private_directory(self._file.parent)
        with open_private(self._file, "w") as file:
            file.write(str(made + 1))

    def __exit__(self, *_: object) -> None:
        """Forget the count, since the attempt ended with a result or an exception."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
