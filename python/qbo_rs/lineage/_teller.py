"""The start and the end of one run, told to OpenLineage if it is configured."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from qbo_rs._extras import needing
from qbo_rs._secrets import redacted, secrets_of
from qbo_rs.lineage._outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from qbo_rs.lineage._database import Database
    from qbo_rs.lineage._events import Sender

LOG = logging.getLogger("qbo_rs.lineage")
#: What the variables begin with that say where events go.
_PLACES = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT")


def is_configured() -> bool:
    """Return true if variables of OpenLineage say where events go."""
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    return any(value and name.startswith(_PLACES) for name, value in os.environ.items())


def client_needed() -> AbstractContextManager[None]:
    """Say of an import that fails how to install the client that makes and sends events."""
    return needing("openlineage", "pyarrow", what="qbo_rs.lineage", install="'qbo-rs[lineage]'")


class Teller:
    """Tells OpenLineage of one run. Nothing that goes wrong with it fails the run."""

    def __init__(self, verb: str, entities: Sequence[str], database: Database, settings: Mapping[str, str]) -> None:
        """Make the teller of a call; `settings` are those by keyword."""
        self._database = database
        self._settings = settings
        self._job = self._clean(f"{verb}.{entities[0]}") if len(entities) == 1 else verb
        self._sender: Sender | None = None
        self._lacks_client = False

    def start(self) -> None:
        """Send START."""
        self._tell("START", Outcome())

    def end(self, outcome: Outcome, *, is_stopped: bool = False) -> None:
        """Send COMPLETE, FAIL or, if a person has stopped it, ABORT."""
        failure = None if outcome.failure is None else self._clean(outcome.failure)
        state = "ABORT" if is_stopped else "FAIL" if failure else "COMPLETE"
        self._tell(state, Outcome(outcome.written, failure))

    def _tell(self, state: str, outcome: Outcome) -> None:
        if self._lacks_client:
            return
        try:
            with client_needed():
                from qbo_rs.lineage._events import Sender  # noqa: PLC0415 - only who is configured needs the client

            if self._sender is None:
                self._sender = Sender(self._job, self._database)
            self._sender.send(state, outcome)
        except ModuleNotFoundError as error:
            # Once a run: its end lacks the same.
            self._lacks_client = True
            LOG.warning("no OpenLineage events: %s", error)
        except Exception as error:  # noqa: BLE001 - lineage never fails a run
            LOG.warning("OpenLineage did not take the event %s of %s: %s", state, self._job, self._clean(str(error)))

    def _clean(self, text: str) -> str:
        """Return a text without the values of secrets. The core's texts have none; those of others may."""
        return redacted(text, secrets_of(self._settings))
