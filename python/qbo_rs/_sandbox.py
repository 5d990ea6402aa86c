"""The QuickBooks simulator, in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qbo_rs import _core
from qbo_rs._private import open_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from qbo_rs._verbs import AnyPath

Json = Any
"""A JSON value."""

Blemish = Literal[
    "processing",
    "application",
    "healed",
    "nul",
    "surrogate",
    "huge",
    "time",
    "earlier",
    "later",
    "fraction",
    "offset",
    "minus",
    "numbers",
    "nul-id",
    "deep",
    "unknown",
    "bare",
    "sparse",
]
"""The kinds of damage that :meth:`Sandbox.corrupt` does to a record."""


class Sandbox:
    """A running QuickBooks simulator; :func:`sandbox` starts one.

    Use it in a ``with`` statement, or call :meth:`stop`. The methods share these arguments and errors:

    * ``entity``: QuickBooks's name of the entity, such as ``Invoice``.
    * ``id``: Id of a record, or ``oldest``, ``newest`` or ``random``.
    * ``at``: Instant of the change as text, such as ``2025-01-31T00:00:00Z``; by default now.
    * ``realm``: Company id; by default the first company.
    * A command that is not possible raises :class:`ConfigError`.

    Example:
        ::

            with qbo_rs.sandbox(invoices=100) as qbo:
                os.environ.update(qbo.environment)
                deleted = qbo.delete("Invoice", "oldest")
                qbo.fault("throttle", nth=3)

    """

    def __init__(self, options: Mapping[str, Json]) -> None:
        """Start a simulator; :func:`sandbox` documents the options."""
        self._running = _core.Sandbox(json.dumps(options))

    def __enter__(self) -> Self:
        """Return the simulator."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop serving."""
        self.stop()

    def __repr__(self) -> str:
        """Return the address and the companies; tokens are not shown."""
        return f"<Sandbox {self.url}: {', '.join(self.companies)}>"

    def stop(self) -> None:
        """Stop serving; a second call has no effect."""
        self._running.stop()

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return self._running.url

    @property
    def environment(self) -> dict[str, str]:
        """The settings that a client needs, as environment variables."""
        return self._running.environment

    @property
    def companies(self) -> dict[str, str]:
        """The company ids with their first refresh tokens."""
        return dict(self._running.companies())

    def control(self, command: str, /, **arguments: Json) -> Json:
        """Run a command of the control API, see ``docs/sandbox.md``; an argument of ``None`` counts as not given."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return json.loads(self._running.control(command, json.dumps(given)))

    def stats(self) -> dict[str, Json]:
        """Return the counts of the server by name; ``requests`` holds counts by kind and status."""
        stats: dict[str, Json] = self.control("stats")
        return stats

    def truth(self, entity: str, start: str, end: str, *, realm: str | None = None) -> dict[str, str]:
        """Return the records that a correct extract of ``[start, end)`` holds: their JSON text by id."""
        return dict(self._running.truth(entity, start, end, realm))

    def put(self, entity: str, record: str | Mapping[str, Json], *, realm: str | None = None) -> None:
        """Add a record, or replace the record with its id; text is stored exactly as given."""
        text = record if isinstance(record, str) else json.dumps(record)
        # The text is inserted as it is, since parsing it would change its numbers.
        arguments = {"entity": entity} | ({"realm": realm} if realm else {})
        self._running.control("put", f'{json.dumps(arguments)[:-1]}, "record": {text}}}')

    def insert(self, entity: str, count: int = 1, *, at: str | None = None, realm: str | None = None) -> list[str]:
        """Add generated records; return their ids."""
        ids: list[str] = self.control("insert", entity=entity, count=count, at=at, realm=realm)["ids"]
        return ids

    def edit(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Save a record again, as a user's edit does; return its id."""
        return self._change_one("edit", entity, id, at, realm)

    def touch(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Change only the ``LastUpdatedTime`` of a record; return its id."""
        return self._change_one("touch", entity, id, at, realm)

    def delete(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Delete a record permanently; return its id."""
        return self._change_one("delete", entity, id, at, realm)

    def void(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Void a transaction; return its id."""
        return self._change_one("void", entity, id, at, realm)

    def deactivate(self, entity: str, id: str, *, at: str | None = None, realm: str | None = None) -> str:  # noqa: A002
        """Make a list record, such as a customer, inactive; return its id."""
        return self._change_one("deactivate", entity, id, at, realm)

    def merge(self, entity: str, loser: str, winner: str, *, at: str | None = None, realm: str | None = None) -> None:
        """Merge the list record ``loser`` into ``winner``; ``loser`` is deleted."""
        self.control("merge", entity=entity, loser=loser, winner=winner, at=at, realm=realm)

    def corrupt(self, entity: str, id: str, blemish: Blemish, *, realm: str | None = None) -> None:  # noqa: A002
        """Damage a record.

        Args:
            entity: QuickBooks's name of the entity.
            id: Id of the record, or ``oldest``, ``newest`` or ``random``.
            blemish: Kind of damage. ``processing`` and ``application``: every page with the record fails, with fault
                4002 or 10000, until ``healed``. ``nul``, ``surrogate`` and ``huge``: its note holds the character
                U+0000, half of a surrogate pair, or two million characters. ``time``: its ``LastUpdatedTime`` cannot be
                read. ``earlier``, ``later``: it is an hour off the time by which queries find the record. ``fraction``,
                ``offset``, ``minus``: it has a fraction of a second, the offset +23:00 or a Unicode minus. ``numbers``,
                ``nul-id``: its ``Id`` and ``SyncToken`` are numbers, or its ``Id`` holds U+0000. ``deep``: it is nested
                100,000 deep. ``unknown``: it has unknown members, with numbers too large for a float. ``bare``: its
                ``SyncToken`` and creation time are missing. ``sparse``: it is marked as not complete.
            realm: Company id; by default the first company.

        """
        self.control("corrupt", entity=entity, id=id, blemish=blemish, realm=realm)

    def fault(self, fault: str, /, **rule: Json) -> None:
        """Arm a fault: ``qbo.fault("throttle", nth=3, format="json")``.

        Args:
            fault: Name of the fault; ``docs/sandbox.md`` lists them.
            **rule: Arguments of the fault, and the requests that it applies to: ``on`` (a kind of request), ``path``,
                ``contains``, ``nth``, ``probability`` with ``seed``, ``after_s``, ``for_s``, and ``times`` (1 by
                default; 0: no limit). The fault ``change`` takes commands in ``do``.

        """
        self.control("fault", fault=fault, **rule)

    def clear_faults(self) -> None:
        """Disarm all faults."""
        self.control("clear-faults")

    def clock(self, *, advance: str | None = None, set: str | None = None, backwards: bool = False) -> str:  # noqa: A002
        """Move the sandbox's clock; return the time that it shows.

        Times of records and answers, lifetimes of tokens, the 30 days of change data capture and the quota's month
        follow this clock. Waits stay real.

        Args:
            advance: Duration to move it by, such as ``31d``, ``90m`` or ``1d12h``.
            set: Instant to set it to, such as ``2026-03-01T08:00:00Z``.
            backwards: Allow an instant that has passed.

        Returns:
            The time in UTC, such as ``2026-03-01T08:00:00.000Z``.

        Raises:
            ConfigError: The instant has passed, or an argument cannot be understood.

        """
        given = {"advance": advance, "set": set} | ({"backwards": True} if backwards else {})
        now: str = self.control("clock", **given)["now"]
        return now

    def snapshot(self, path: AnyPath, *, realm: str | None = None) -> None:
        """Write a company into a file, which :meth:`restore` and ``qbo_rs.sandbox(restore=...)`` take.

        The file holds the records with every change, the clock and the assumptions; not the faults, limits, tokens and
        webhooks.

        Args:
            path: The file; an existing one is replaced. A new one has mode 0600.
            realm: Company id; by default the first company.

        """
        text = self._running.control("snapshot", json.dumps({"realm": realm} if realm else {}))
        with open_private(Path(path), "w", encoding="utf-8") as file:
            file.write(text)

    def restore(self, path: AnyPath, *, realm: str | None = None) -> None:
        """Put the company of a file in the place of a company, with its clock and assumptions.

        Args:
            path: A file that :meth:`snapshot` wrote.
            realm: Id of the company that is replaced; by default the first company.

        Raises:
            ConfigError: The file is not a snapshot that this version reads. Nothing has changed then.

        """
        self.control("restore", snapshot=Path(path).read_text(encoding="utf-8"), realm=realm)

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
    books: int | None = None,
    companies: int = 1,
    records: Iterable[AnyPath] = (),
    limits: bool = True,
    monthly_reads: int = 0,
    faults: Iterable[str | Mapping[str, Json]] = (),
    assume: Mapping[str, str] | None = None,
    unavailable: Mapping[str, str] | None = None,
    visibility_delay_s: float = 0,
    latency_ms: int = 0,
    access_token_s: int = 3600,
    rotate_after_s: int = 86400,
    grace_s: int = 0,
    refresh_token_s: int = 8_726_400,
    connection_s: int = 157_680_000,
    realm_id: str | None = None,
    now: str | None = None,
    restore: AnyPath | None = None,
) -> Sandbox:
    """Start a QuickBooks simulator in this process, on the loopback address.

    Args:
        port: TCP port; 0: any free port.
        seed: Seed of the sample company; the same seed makes the same company.
        customers: Number of customers; one in ten is inactive.
        items: Number of items; one in ten is inactive.
        invoices: Number of invoices. All records were last changed in 2024 or 2025.
        others: Number of records of each other entity; by default a plausible number each.
        books: Serve companies with double-entry books and reports, each with about this many transactions, instead of
            the sample companies.
        companies: Number of companies; their ids are consecutive.
        records: Files or directories of QuickBooks JSON to serve instead of the sample company.
        limits: Enforce 500 requests a minute, 10 a second and 10 at a time, and 40 batches a minute.
        monthly_reads: Successful reads after which all requests are refused, like the monthly quota of Intuit's
            Builder tier; 0: no limit.
        faults: Faults armed from the start, each as text such as ``"throttle,nth=3"``, or as a dict with the arguments
            of :meth:`Sandbox.fault`.
        assume: Choices where QuickBooks's behaviour is uncertain, by name; ``docs/sandbox.md`` lists them.
        unavailable: Entities that the companies do not have, each with the code of the answer: 5020, 5030, 500 or 4001.
        visibility_delay_s: Maximum seconds for which changes stay hidden from queries.
        latency_ms: Milliseconds added to every response.
        access_token_s: Life of an access token in seconds.
        rotate_after_s: Age in seconds at which a refresh returns a new refresh token; 0: each time.
        grace_s: Seconds for which a replaced refresh token still works.
        refresh_token_s: Life of an unused refresh token in seconds.
        connection_s: Life of a connection in seconds, however it is used.
        realm_id: Id of the first company.
        now: Instant that the sandbox's clock shows at the start, such as ``2026-03-01T08:00:00Z``; by default the real
            time. :meth:`Sandbox.clock` moves it later.
        restore: File that :meth:`Sandbox.snapshot` wrote; its company is served in place of the first company. ``now``
            and ``assume`` go before what it says.

    Returns:
        The running simulator, for a ``with`` statement; its ``environment`` holds the settings of a client.

    Raises:
        ConfigError: The port is in use, the records cannot be served, or an option is unknown or unusable.

    Example:
        >>> import qbo_rs
        >>> with qbo_rs.sandbox(customers=3, invoices=10) as qbo:
        ...     len(qbo.truth("Customer", "2024-01-01", "2026-01-01"))
        3

    """
    return Sandbox(
        {
            "port": port,
            "seed": seed,
            "customers": customers,
            "items": items,
            "invoices": invoices,
            "others": others,
            "books": books,
            "companies": companies,
            "records": [os.fspath(path) for path in records],
            "limits": limits,
            "monthly_reads": monthly_reads,
            "faults": list(faults),
            "assume": dict(assume or {}),
            "unavailable": dict(unavailable or {}),
            "visibility_delay_s": visibility_delay_s,
            "latency_ms": latency_ms,
            "access_token_s": access_token_s,
            "rotate_after_s": rotate_after_s,
            "grace_s": grace_s,
            "refresh_token_s": refresh_token_s,
            "connection_s": connection_s,
            "realm_id": realm_id,
            "now": now,
            "restore": None if restore is None else os.fspath(restore),
        }
    )
