"""The result of :func:`qbo_rs.status`: what is committed, what is missing, what failed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from qbo_rs import _status_shown
from qbo_rs._types import Window, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qbo_rs._books import BooksVerdict

ConnectionState = Literal["active", "expires_soon", "needs_reauth"]
"""The state of a connection; for ``needs_reauth`` a person must connect the company again."""

UnfinishedStatus = Literal["running", "failed", "stuck"]
"""The state of a window whose last attempt did not succeed; ``running``: now, or its process was killed."""

LastRunStatus = Literal["running", "ok", "partial", "failed", "interrupted"]
"""The state of a run; ``running``: now, or its process was killed, see :attr:`LastRun.is_dead`."""


def _known(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a newer core may add, and read instants."""
    names = {field.name: str(field.type) for field in fields(kind)}
    found = {name: value for name, value in given.items() if name in names}
    return {
        name: parse_instant(value) if "datetime" in names[name] and value is not None else value
        for name, value in found.items()
    }


def _windows(given: list[dict[str, Any]]) -> tuple[Window, ...]:
    return tuple(Window.from_dict(window) for window in given)


Level = Literal["in_step", "under_way", "attention", "failed"]
"""The degree to which something needs somebody; ``under_way``: it is being read, so that nobody knows yet."""


@dataclass(frozen=True)
class Finding:
    """A reason why something is not in step, and what helps."""

    about: str
    """The entity, ``connection`` or ``books``."""
    level: Level
    """The degree to which it needs somebody."""
    reason: str
    """The reason, such as ``differs``, ``died`` or ``missing``; its numbers and instants are in ``json``."""
    text: str
    """The reason in an English phrase."""
    command: str | None
    """The command that helps."""


def _findings(given: Mapping[str, Any]) -> tuple[Finding, ...]:
    return tuple(Finding(**_known(Finding, each)) for each in given.get("findings", ()))


@dataclass(frozen=True)
class Difference:
    """An entity that differs from QuickBooks, as far as ``verify`` has found and nothing has taken back."""

    entity: str
    """Name of the entity."""
    realm_id: str
    """Company id."""
    ranges: int
    """Number of ranges that differ."""
    start: datetime
    """First instant of the first one, UTC."""
    end: datetime
    """First instant after the last one, UTC."""
    found_at: datetime
    """When the last one was found, UTC."""
    is_deep: bool
    """True if contents were compared: a comparison of numbers does not find them again."""


@dataclass(frozen=True)
class UnfinishedWindow:
    """A window whose last attempt did not succeed."""

    start: datetime
    """First instant inside, UTC."""
    end: datetime
    """First instant after the window, UTC."""
    status: UnfinishedStatus
    """``running``, ``failed``, or ``stuck``: it is not tried again."""
    attempts: int
    """Attempts in a row that did not end."""
    error: str | None
    """Reason of the last failure, one line."""
    is_committed: bool
    """True if an earlier attempt was committed."""
    is_under_way: bool = False
    """True if a run or a sync is at it."""


@dataclass(frozen=True)
class LastRun:
    """The last run of an entity."""

    run_id: str
    """Id of the run in the ledger and the logs."""
    status: LastRunStatus
    """The outcome so far."""
    started_at: datetime
    """Begin, UTC."""
    finished_at: datetime | None
    """End, UTC; None if it has not ended."""
    error: str | None
    """Its first failure, one line."""
    range_start: datetime | None = None
    """First instant of its range, UTC."""
    range_end: datetime | None = None
    """First instant after its range, UTC."""
    inserted: int = 0
    """New records."""
    failed_windows: int = 0
    """Windows that failed."""
    alive_at: datetime | None = None
    """Last time that it said that it is alive, UTC."""
    host: str | None = None
    """Machine of its process."""
    pid: int | None = None
    """Id of its process."""
    is_dead: bool = False
    """True if it has died: it should be running, and its process has ended or has said nothing for a minute."""
    is_superseded: bool = False
    """True if all of its range was committed since it began, so that nobody has to run it again."""


@dataclass(frozen=True)
class LastSync:
    """The last sync of an entity."""

    status: str
    """Its outcome, such as ``ok``."""
    attempted_at: datetime | None
    """Last time that it was tried, UTC."""
    succeeded_at: datetime | None
    """Last time that it succeeded, UTC."""
    error: str | None
    """Reason of the last failure, one line."""


@dataclass(frozen=True)
class TableCheck:
    """A check of a table, of those in ``docs/validation.sql``."""

    name: str
    """Name of the check."""
    wrong: int
    """Number of violations; 0 if the table passes."""


@dataclass(frozen=True)
class Archive:
    """A file into which ``qbo-rs db archive`` has moved records of an entity."""

    before: datetime
    """Records that were last changed before this instant were moved, UTC."""
    file: str
    """The file, on the machine that wrote it."""
    records: int
    """Number of records that are still in the file alone."""
    archived_at: datetime
    """When they were moved, UTC."""


@dataclass(frozen=True, repr=False)
class EntityStatus:
    """The state of one entity."""

    entity: str
    """Name of the entity, one of :func:`qbo_rs.entities`."""
    realm_id: str
    """Company id."""
    rows: int
    """Rows in the table."""
    committed: tuple[Window, ...]
    """Committed time, adjacent windows merged."""
    gaps: tuple[Window, ...]
    """Time that is not committed, between the first and the last committed instant, or within the range asked for."""
    unfinished: tuple[UnfinishedWindow, ...]
    """Windows whose last attempt did not succeed."""
    empty_days: tuple[Window, ...]
    """Committed days (UTC) in which no record was last changed."""
    rejects: int
    """Records that are set aside in ``qbo.rejects``."""
    last_run: LastRun | None
    """The last run."""
    checks: tuple[TableCheck, ...]
    """Checks of the table; empty unless ``validate`` was set."""
    last_sync: LastSync | None = None
    """The last sync; None if there was none."""
    level: Level | None = None
    """The degree to which it needs somebody; None in a report of an earlier version."""
    findings: tuple[Finding, ...] = ()
    """The reasons, the worst first."""
    archives: tuple[Archive, ...] = ()
    """Files that hold what the table does not, because it was archived."""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> EntityStatus:
        """Make a state from JSON-able data."""
        last_run = given["last_run"]
        lists: dict[str, Any] = {name: _windows(given[name]) for name in ("committed", "gaps", "empty_days")}
        lists["unfinished"] = tuple(UnfinishedWindow(**_known(UnfinishedWindow, each)) for each in given["unfinished"])
        lists["checks"] = tuple(TableCheck(**_known(TableCheck, each)) for each in given["checks"])
        lists["last_run"] = LastRun(**_known(LastRun, last_run)) if last_run else None
        last_sync = given.get("last_sync")
        lists["last_sync"] = LastSync(**_known(LastSync, last_sync)) if last_sync else None
        lists["findings"] = _findings(given)
        lists["archives"] = tuple(Archive(**_known(Archive, each)) for each in given.get("archives", ()))
        return cls(**_known(cls, given) | lists)

    @property
    def ok(self) -> bool:
        """True if nothing is missing between the first and the last instant, failed, differs, or was set aside."""
        return self.level == "in_step"

    def __repr__(self) -> str:
        """Return the state in one line."""
        return _status_shown.entity_line(self)

    def _repr_html_(self) -> str:
        return _status_shown.entity_html(self)


@dataclass(frozen=True)
class UnavailableEntity:
    """An entity that the company's plan or country does not have."""

    entity: str
    """Name of the entity."""
    realm_id: str
    """Company id."""
    reason: str | None
    """The words of QuickBooks."""
    looked_at: datetime | None
    """The last time that QuickBooks was asked, UTC; a sync asks again a day later."""


@dataclass(frozen=True)
class SchemaDrift:
    """A difference between records and the known fields, see ``docs/drift.md``."""

    realm_id: str
    """Company id."""
    entity: str
    """Name of the entity."""
    path: str
    """Names of the members, joined by dots."""
    kind: str
    """``unknown``, ``type``, ``unfit`` or ``enum``."""
    found: str
    """Type of the value."""
    expected: str | None
    """Type that is known."""
    records: int
    """Records that were loaded with it."""
    example_id: str
    """Id of one of them."""
    first_seen: datetime
    """First time that it was seen, UTC."""
    last_seen: datetime
    """Last time that it was seen, UTC."""


@dataclass(frozen=True)
class TieOut:
    """The last comparison of a company's books with QuickBooks's reports."""

    realm_id: str
    """Company id."""
    basis: str
    """``accrual`` or ``cash``."""
    as_of: date
    """The day of the balances."""
    checked: datetime
    """Time of the comparison, UTC."""
    status: str
    """``ok``, ``different``, or ``reports_agree`` on cash basis."""
    accounts: int
    """Accounts that were compared."""
    transactions: int
    """Transactions that differed."""
    unexplained: Decimal
    """Sum of the unexplained amounts of all accounts, without their signs. It may be 0 although transactions are
    unexplained, whose amounts cancel each other out."""
    unverified: int
    """Number of things that could not be compared."""
    causes: Mapping[str, int] = field(default_factory=dict, hash=False)
    """The transactions that differed, by cause; ``unexplained`` for those without one."""
    verdict: BooksVerdict | None = None
    """The verdict on the books; None in a report of an earlier version."""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> TieOut:
        """Make an outcome from JSON-able data."""
        exact = {"as_of": date.fromisoformat(given["as_of"]), "unexplained": Decimal(given["unexplained"])}
        return cls(**_known(cls, given) | exact)


@dataclass(frozen=True)
class AccountState:
    """The stored connection of a company."""

    realm_id: str
    """Company id."""
    state: ConnectionState
    """``active``, ``expires_soon`` or ``needs_reauth``."""
    needs_reauth: str | None
    """Why a person must connect it again; None while it works."""
    access_token_expires_at: datetime | None
    """End of the access token, UTC."""
    refresh_token_expires_at: datetime | None
    """End of the refresh token if it is not used before, UTC."""
    connection_expires_at: datetime | None
    """End of the connection, however it is used, UTC."""
    days_left: int | None
    """Whole days until the connection ends; None if unknown."""
    monthly_reads: int
    """Successful reads of this calendar month, by all processes that share their limits."""
    in_flight: int
    """Requests without an answer yet, of all processes."""
    requests_last_minute: int
    """Approximate number of requests in the last 60 s."""
    breaker: str
    """State of the circuit breaker: ``closed``, ``open`` or ``half_open``."""
    paused_until: datetime | None
    """No request is sent before this instant, because the company was throttled."""
    warning: str | None = None
    """The step that a person has to take, if the connection ends within 30 days."""
    reconnect_url: str | None = None
    """Address at which the company is connected again, if a person has to do that."""
    refused_includes: tuple[str, ...] = ()
    """Optional parts of records that QuickBooks refuses for this company."""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> AccountState:
        """Make a state from JSON-able data."""
        return cls(**_known(cls, given) | {"refused_includes": tuple(given.get("refused_includes", ()))})


@dataclass(frozen=True, repr=False)
class StatusReport:
    """The result of :func:`qbo_rs.status`: the same facts as ``qbo-rs status --json``.

    Example:
        ::

            status = qbo_rs.status()
            missing = {entity.entity: entity.gaps for entity in status.entities if entity.gaps}

    """

    schema: str
    """Schema of the raw tables."""
    entities: tuple[EntityStatus, ...]
    """Entities that have ever been loaded."""
    unavailable: tuple[UnavailableEntity, ...]
    """Entities that the company does not have, as far as syncs have found out."""
    schema_drift: tuple[SchemaDrift, ...]
    """Differences between their records and the known fields."""
    books: tuple[TieOut, ...]
    """The last comparison of the books with QuickBooks's reports, by basis."""
    accounts: tuple[AccountState, ...]
    """The stored connections; empty without settings of an app."""
    json: Mapping[str, Any]
    """The report as the core made it, JSON-able."""
    company: str | None = None
    """Name of the company, if its records say it."""
    never_read: tuple[str, ...] = ()
    """Entities that syncs have begun with, and never read."""
    level: Level | None = None
    """The worst level of all findings; None in a report of an earlier version."""
    findings: tuple[Finding, ...] = ()
    """Findings beside those of entities: about the connection, the books, entities that were never read."""
    other_schemas: tuple[str, ...] = ()
    """Other schemas of raw tables, each with a status of its own."""
    differences: tuple[Difference, ...] = ()
    """Entities that differ from QuickBooks, as far as ``verify`` has found."""

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> StatusReport:
        """Make a report from JSON-able data, such as the output of ``qbo-rs status --json``."""
        return cls(
            schema=report["schema"],
            entities=tuple(EntityStatus.from_dict(each) for each in report["entities"]),
            unavailable=tuple(UnavailableEntity(**_known(UnavailableEntity, each)) for each in report["unavailable"]),
            schema_drift=tuple(SchemaDrift(**_known(SchemaDrift, each)) for each in report["schema_drift"]),
            books=tuple(TieOut.from_dict(each) for each in report["books"]),
            accounts=tuple(AccountState.from_dict(each) for each in report["accounts"]),
            json=dict(report),
            company=report.get("company"),
            never_read=tuple(each["entity"] for each in report.get("never_read", ())),
            level=report.get("level"),
            findings=_findings(report),
            other_schemas=tuple(report.get("other_schemas", ())),
            differences=tuple(Difference(**_known(Difference, each)) for each in report.get("differences", ())),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able data, in the shape of ``qbo-rs status --json``."""
        return dict(self.json)

    @property
    def ok(self) -> bool:
        """True if nothing is missing, failed, differs or was set aside, and no company needs a person.

        It is the level of ``qbo-rs status``, by which the status page and ``/healthz?deep`` judge, too.
        """
        return self.level == "in_step"

    def __repr__(self) -> str:
        """Return the state in one line."""
        return _status_shown.status_line(self)

    def _repr_html_(self) -> str:
        return _status_shown.status_html(self)
