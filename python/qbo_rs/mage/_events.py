"""Events of the core in Mage's log, as fields. Mage shows neither ``logging`` nor native output in a block's log."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CORE = logging.getLogger("qbo_rs")
# Its events are told again, with more counts, when a window is done.
READ = "qbo_rs.read"
# Names that every record of `logging` has; the others are fields of the event.
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}
# Text, even where it looks like a number.
TEXTS = {"realm_id", "run_id", "intuit_tid"}


class EventLog:
    """Writes events into the log of a block, or on stdout: as JSON in ``mage run``, as lines in the editor."""

    def __init__(self, kwargs: Mapping[str, Any]) -> None:
        """Take the logger that Mage gave the block."""
        logger = kwargs.get("logger")
        # The editor's is one of `logging`, which takes no fields, and which it does not show.
        self._is_editor = isinstance(logger, logging.Logger)
        self._logger = None if self._is_editor else logger

    def write(self, level: str, message: str, **fields: object) -> None:
        """Write one event; ``level`` is a method of the logger, ``info``, ``warning`` or ``error``."""
        if self._logger is not None:
            getattr(self._logger, level)(message, **fields)
        elif self._is_editor:
            print(message, flush=True)  # noqa: T201 - the log there
        else:
            print(json.dumps({"level": level, **fields, "message": message}), flush=True)  # noqa: T201 - the log there


class _Forward(logging.Handler):
    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == READ:
            return
        fields = {name: _value(name, value) for name, value in vars(record).items() if name not in PLAIN}
        level = (
            "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else "info"
        )
        self._log.write(level, record.getMessage(), **fields)


def _value(name: str, value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() and name not in TEXTS else value


@contextmanager
def core_events(log: EventLog) -> Iterator[None]:
    """Send the core's events to ``log`` meanwhile."""
    handler, level, propagates = _Forward(log), CORE.level, CORE.propagate
    CORE.addHandler(handler)
    CORE.setLevel(logging.INFO)
    # What is in the block's log need not be in the server's as well.
    CORE.propagate = False
    try:
        yield
    finally:
        CORE.removeHandler(handler)
        CORE.setLevel(level)
        CORE.propagate = propagates
