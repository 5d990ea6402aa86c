"""The simulated company that all peers read: its records, its edits, and which of them a table lacks."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, NamedTuple

import qbo_rs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

BEGIN, END = "2024-01-01", "2100-01-01"


class Data(NamedTuple):
    """A company, and what is read of it."""

    name: str
    entities: Mapping[str, int]

    def start(self, latency_ms: int) -> qbo_rs.Sandbox:
        """Start the simulator, without limits of requests, which no peer but one keeps."""
        count = {"Customer": 500, "Item": 300, "Invoice": 0} | dict(self.entities)
        return qbo_rs.sandbox(
            customers=count["Customer"],
            items=count["Item"],
            invoices=count["Invoice"],
            others=0,
            limits=False,
            latency_ms=latency_ms,
        )


def mixed(records: int) -> Data:
    """Return a company of which customers, items and invoices are read, a third each."""
    return Data("mixed", dict.fromkeys(("Customer", "Item", "Invoice"), records // 3))


def invoices(records: int) -> Data:
    """Return a company of which invoices are read."""
    return Data("invoices", {"Invoice": records})


class Editor:
    """Saves random records again, so many a second, as users do while a company is read."""

    def __init__(self, qbo: qbo_rs.Sandbox, data: Data, a_second: float) -> None:
        """Prepare; 0 a second are none."""
        self.edits = 0
        self._qbo, self._a_second = qbo, a_second
        self._records = [(entity, id_) for entity in data.entities for id_ in qbo.truth(entity, BEGIN, END)]
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin to edit, if edits are wanted."""
        if self._a_second:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the edits; raise what ended them early."""
        self._stop.set()
        if self._a_second:
            self._thread.join()
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            self._edit()
        except qbo_rs.QboError as failure:
            self._error = failure

    def _edit(self) -> None:
        # The same records in the same order for each peer.
        chance = random.Random(1)  # noqa: S311
        while not self._stop.wait(1 / self._a_second):
            self._qbo.edit(*chance.choice(self._records))
            self.edits += 1


class Arrival(NamedTuple):
    """What a table holds of a company, as its simulator knows it."""

    records: int
    arrived: int
    lost: int
    left: int
    arrived_bytes: int


def compare(qbo: qbo_rs.Sandbox, data: Data, begun: str, ids: Callable[[str], set[str]]) -> Arrival:
    """Compare a table with the company.

    A record is lost if the table lacks it and it was last changed before the reader began: the next run, which asks for
    what changed since, does not bring it. One that was edited since then is left to that run.

    Args:
        qbo: The simulator.
        data: What was read.
        begun: When the reader began, in whole seconds, which is how QuickBooks dates records.
        ids: The ids of an entity that the table holds.

    """
    total = Arrival(0, 0, 0, 0, 0)
    for entity in data.entities:
        found = ids(entity)
        before = qbo.truth(entity, BEGIN, begun)
        since = qbo.truth(entity, begun, END)
        everything = before | since
        arrived = found & everything.keys()
        part = Arrival(
            len(everything),
            len(arrived),
            len(before.keys() - found),
            len(since.keys() - found),
            sum(len(everything[id_].encode()) for id_ in arrived),
        )
        total = Arrival(*(a + b for a, b in zip(total, part, strict=True)))
    return total
