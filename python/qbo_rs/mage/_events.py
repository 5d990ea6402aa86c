"""The core's events in Mage's log, with their fields.

Mage shows neither :mod:`logging` nor the process's own output in the log of a block.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qbo_rs.mage._lines import rewritten
from qbo_rs.mage._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CORE = logging.getLogger("qbo_rs")
# Attributes of every record of `logging`; all others are fields of the event.
RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}
# Fields that are text even if they look like a number.
TEXT_FIELDS = {"realm_id", "run_id", "intuit_tid"}


class EventLog:
    """Writes events to the log of a block, or to stdout: as JSON in ``mage run``, as lines in the editor."""

    def __init__(self, kwargs: Mapping[str, Any]) -> None:
        """Use the logger that Mage passed to the block in ``kwargs``."""
        logger = kwargs.get("logger")
        # The editor passes a logger of `logging`, which takes no fields and whose output it does not show.
        self._is_editor = isinstance(logger, logging.Logger)
        self._logger = None if self._is_editor else logger
        self.clock = Clock.of(kwargs.get("zona"))
        self._muted: frozenset[str] = frozenset()

    def mute(self, events: frozenset[str]) -> None:
        """Leave out events of the core that the block replaces by lines of its own."""
        self._muted = events

    def show(self, html: str) -> None:
        """Show a page below the block, in Mage's editor; elsewhere there is no place for it."""
        if self._is_editor:
            from IPython.display import HTML, display

            display(HTML(html))

    def is_muted(self, event: object) -> bool:
        """Return True for an event that is left out."""
        return event in self._muted

    def write(self, level: str, message: str, **fields: object) -> None:
        """Write one event; ``level`` is ``info``, ``warning`` or ``error``."""
        if self._logger is not None:
            getattr(self._logger, level)(message, **fields)
        elif self._is_editor:
            print(message, flush=True)  # noqa: T201 - stdout is the log
        else:
            # Some terminals cannot show every letter.
            is_ascii = (getattr(sys.stdout, "encoding", None) or "").lower() not in ("utf-8", "utf8")
            line = json.dumps({"level": level, **fields, "message": message}, ensure_ascii=is_ascii)
            print(line, flush=True)  # noqa: T201 - stdout is the log


class _Forward(logging.Handler):
    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: _typed(name, value) for name, value in vars(record).items() if name not in RECORD_ATTRIBUTES}
        level = (
            "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else "info"
        )
        if self._log.is_muted(fields.get("event")):
            return
        message, shown = rewritten(record.getMessage(), fields, self._log.clock)
        self._log.write(level, message, **shown)


def _typed(name: str, value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() and name not in TEXT_FIELDS else value


@contextmanager
def core_events(log: EventLog) -> Iterator[None]:
    """Send the core's events to ``log`` inside the ``with`` statement."""
    handler, level, propagates = _Forward(log), CORE.level, CORE.propagate
    CORE.addHandler(handler)
    CORE.setLevel(logging.INFO)
    # The events in the block's log are not repeated in the server's log.
    CORE.propagate = False
    try:
        yield
    finally:
        CORE.removeHandler(handler)
        CORE.setLevel(level)
        CORE.propagate = propagates
