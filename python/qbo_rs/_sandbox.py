"""The QuickBooks simulator, in process."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from qbo_rs import _core

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from qbo_rs._verbs import AnyPath

Json = Any


class Sandbox:
    """A running QuickBooks simulator; :func:`sandbox` starts one. Use it in a ``with`` statement, or call :meth:`stop`.

    Changes take ``at``, an instant as text, by default now, and ``realm``, by default the first company. ``entity``
    is QuickBooks's name, as ``Invoice``; ``id`` may also be ``oldest``, ``newest`` or ``random``. What cannot be done
    raises :class:`ConfigError`.
    """

    def __init__(self, options: Mapping[str, Json]) -> None:
        """Start a simulator. :func:`sandbox` knows the options."""
        self._running = _core.Sandbox(json.dumps(options))

    def __enter__(self) -> Self:
        """Return the simulator itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop serving."""
        self.stop()

    def stop(self) -> None:
        """Stop serving; a second call changes nothing."""
        self._running.stop()

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return self._running.url

    @property
    def environment(self) -> dict[str, str]:
        """What a client must be told, as environment variables."""
        return self._running.environment

    @property
    def companies(self) -> dict[str, str]:
        """The companies' realm ids and the refresh tokens that they began with."""
        return dict(self._running.companies())

    def control(self, command: str, /, **arguments: Json) -> Json:
        """Run any command of the control API; ``None`` counts as not given."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return json.loads(self._running.control(command, json.dumps(given)))

    def stats(self) -> dict[str, Json]:
        """Return what the server has seen: counts by name, and ``requests`` by kind and status."""
        stats: dict[str, Json] = self.control("stats")
        return stats

    def truth(self, entity: str, start: str, end: str, *, realm: str | None = None) -> dict[str, str]:
        """Return what a correct extract of a range must hold: payloads as the text that queries answer, by id."""
        return dict(self._running.truth(entity, start, end, realm))

    def put(self, entity: str, record: str | Mapping[str, Json], *, realm: str | None = None) -> None:
        """Add a record, or replace the one of its id. Text is taken as it is written."""
        text = record if isinstance(record, str) else json.dumps(record)
        rest = {"entity": entity} | ({"realm": realm} if realm else {})
        self._running.control("put", f'{json.dumps(rest)[:-1]}, "record": {text}}}')

    def insert(self, entity: str, count: int = 1, *, at: str | None = None, realm: str | None = None) -> list[str]:
        """Add invented records; return their ids."""
        ids: list[str] = self.control("insert", entity=entity, count=count, at=at, realm=realm)["ids"]
        return ids

    def edit(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Save a record again; return its id."""
        return self._change_one("edit", entity, id, at, realm)

    def touch(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Move a record's ``LastUpdatedTime`` and nothing else; return its id."""
        return self._change_one("touch", entity, id, at, realm)

    def delete(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Remove a record for good; return its id."""
        return self._change_one("delete", entity, id, at, realm)

    def void(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Void a transaction; return its id."""
        return self._change_one("void", entity, id, at, realm)

    def deactivate(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Make a record of a list inactive; return its id."""
        return self._change_one("deactivate", entity, id, at, realm)

    def merge(self, entity: str, loser: str, winner: str, *, at: str | None = None, realm: str | None = None) -> None:
        """Merge one record of a list into another: the loser is gone."""
        self.control("merge", entity=entity, loser=loser, winner=winner, at=at, realm=realm)

    def corrupt(self, entity: str, id: str, blemish: str, *, realm: str | None = None) -> None:  # noqa: A002
        """Make something of a record wrong.

        Args:
            entity: QuickBooks's name.
            id: The record.
            blemish: ``processing`` or ``application`` (every page that holds it fails), ``nul``, ``surrogate``,
                ``huge``, ``time``, ``unknown``, ``bare``, ``sparse``; ``healed`` ends the first two.
            realm: The company.

        """
        self.control("corrupt", entity=entity, id=id, blemish=blemish, realm=realm)

    def fault(self, fault: str, /, **rule: Json) -> None:
        """Arm a fault: ``qbo.fault("throttle", nth=3, format="json")``.

        It strikes once unless ``times`` says otherwise (0: without end). Rules are ``on`` (a kind of request),
        ``path``, ``contains``, ``nth``, ``times``, ``probability`` with ``seed``, ``after_s``, ``for_s``; the fault
        ``change`` has commands in ``do``.
        """
        self.control("fault", fault=fault, **rule)

    def clear_faults(self) -> None:
        """Disarm all faults."""
        self.control("clear-faults")

    def _change_one(self, command: str, entity: str, id: str, at: str | None, realm: str | None) -> str:  # noqa: A002
        changed: str = self.control(command, entity=entity, id=id, at=at, realm=realm)["id"]
        return changed


def sandbox(
    *,
    port: int = 0,
    seed: int = 1,
    customers: int = 500,
    items: int = 300,
    invoices: int = 5000,
    others: int | None = None,
    companies: int = 1,
    records: Iterable[AnyPath] = (),
    limits: bool = True,
    monthly_reads: int = 0,
    faults: Iterable[str | Mapping[str, Json]] = (),
    assume: Mapping[str, str] | None = None,
    visibility_delay_s: float = 0,
    latency_ms: int = 0,
    access_token_s: int = 3600,
    rotate_after_s: int = 86400,
    grace_s: int = 0,
    refresh_token_s: int = 8_726_400,
    connection_s: int = 157_680_000,
    realm_id: str | None = None,
) -> Sandbox:
    """Start a QuickBooks simulator in this process, on the loopback address.

    Args:
        port: 0 takes a free one.
        seed: Makes the sample company; the same seed makes the same one.
        customers: How many; one in ten is inactive.
        items: How many; one in ten is inactive.
        invoices: How many. All records were last changed in 2024 or 2025.
        others: Records of each other entity; by default a plausible number each.
        companies: How many; their realm ids count on from the first.
        records: Files or directories of QuickBooks JSON to serve instead of the sample company.
        limits: Enforce 500 requests a minute, 10 a second and 10 at a time, and 40 batches a minute.
        monthly_reads: Successful reads until everything is refused, as of a month with the Builder tier; 0: no limit.
        faults: Armed from the start, each as :meth:`Sandbox.fault` takes it, or as ``"throttle,nth=3"``.
        assume: Answers to what is uncertain about QuickBooks, by name; ``docs/sandbox.md`` lists them.
        visibility_delay_s: Seconds that changes stay hidden from queries, at most.
        latency_ms: Milliseconds added to every answer.
        access_token_s: Seconds that an access token works.
        rotate_after_s: Age in seconds at which a refresh returns a new refresh token; 0: each time.
        grace_s: Seconds that a replaced refresh token still works.
        refresh_token_s: Seconds that a refresh token works that is not used.
        connection_s: Seconds that a connection works however it is used.
        realm_id: The first company's id.

    Returns:
        The running simulator, for a ``with`` statement; ``environment`` holds what a client must be told.

    Raises:
        ConfigError: The port is taken, the records cannot be served, or an option means nothing.

    """
    return Sandbox(
        {
            "port": port,
            "seed": seed,
            "customers": customers,
            "items": items,
            "invoices": invoices,
            "others": others,
            "companies": companies,
            "records": [os.fspath(path) for path in records],
            "limits": limits,
            "monthly_reads": monthly_reads,
            "faults": list(faults),
            "assume": dict(assume or {}),
            "visibility_delay_s": visibility_delay_s,
            "latency_ms": latency_ms,
            "access_token_s": access_token_s,
            "rotate_after_s": rotate_after_s,
            "grace_s": grace_s,
            "refresh_token_s": refresh_token_s,
            "connection_s": connection_s,
            "realm_id": realm_id,
        }
    )
