"""Arguments and results of the verbs: small, immutable, picklable, and JSON through ``to_dict``.

Instants are aware :class:`~datetime.datetime` objects in UTC. ``to_dict`` writes them as the core does, such as
``2025-01-01T00:00:00Z``, and ``from_dict`` reads them again.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, Union

from qbo_rs import _shown
from qbo_rs.exceptions import IncompleteError, Recovery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ChunkName = Literal["day", "week", "month", "quarter", "year"]
"""The named units of a window."""

Chunk = Union[ChunkName, str]
"""The unit of a window: a :data:`ChunkName`, or a number of days such as ``50d``."""

WindowStatus = Literal["done", "failed", "skipped"]
"""The outcome of a window: committed, not committed, or not read."""

RunStatus = Literal["ok", "partial", "failed"]
"""The outcome of a run: no window failed, some failed, or all that were tried failed."""

VerificationStatus = Literal["ok", "different"]
"""The outcome of a comparison."""

AccountStatus = Literal["ok", "partial", "failed", "needs_reauth", "held"]
"""The outcome of a company's sync; for ``needs_reauth`` a person must connect the company again, and for ``held``
another sync reads it."""

IN_STEP: AccountStatus = "ok"
"""The only outcome that is not a failure. A company with this outcome counts as failed all the same if a record was
set aside."""

EntityOutcome = Literal["ok", "failed", "unavailable"]
"""The outcome of an entity's sync; ``unavailable``: the company's plan or country does not have it, no failure."""

FailureKind = Literal["not_attempted", "asked_to_wait", "access_denied", "unknown_company", "other"]
"""The kind of a failure; ``not_attempted``: the company had failed before; ``asked_to_wait``: QuickBooks asks for a
long wait; ``access_denied``: it denies the company; ``unknown_company``: nobody has connected it, so no retry helps."""

SyncMethod = Literal["changes", "batch", "query", "read"]
"""The kind of request that read an entity's changes."""

# Python keeps microseconds; the core may write nanoseconds.
_BELOW_MICROSECONDS = re.compile(r"(\.\d{6})\d+")
_MILLISECOND = 1000


def parse_instant(text: str) -> datetime:
    """Parse an instant as the core writes it, such as ``2025-01-01T00:00:00Z``; nanoseconds are cut off."""
    return datetime.fromisoformat(_BELOW_MICROSECONDS.sub(r"\1", text).replace("Z", "+00:00"))


def format_instant(instant: datetime) -> str:
    """Write an instant as the core does, with as many digits as its fraction needs; one without a zone is UTC."""
    utc = instant.replace(tzinfo=timezone.utc) if instant.tzinfo is None else instant.astimezone(timezone.utc)
    is_whole = utc.microsecond % _MILLISECOND == 0
    unit = "auto" if utc.microsecond == 0 or not is_whole else "milliseconds"
    return utc.isoformat(timespec=unit).replace("+00:00", "Z")


def _jsonable(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: format_instant(value) if isinstance(value, datetime) else value for name, value in fields}


def _without_blanks(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Leave out what the core leaves out if there is nothing to say."""
    counts = ("archived", "renamed_references", "changed_later")
    rare = (*counts, "skip_reason", "unavailable", "warning", "failure", "repair_error")
    return {name: value for name, value in _jsonable(fields).items() if name not in rare or value}


def _with_instants(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {**given, **{name: parse_instant(given[name]) for name in names if given.get(name) is not None}}


@dataclass(frozen=True, order=True)
class Window:
    """A half-open interval of UTC time: ``start`` is inside, ``end`` is not.

    Example:
        >>> import qbo_rs
        >>> [january, february] = qbo_rs.chunk_range("2025-01-01", "2025-03-01", "month")
        >>> january.end == february.start
        True
        >>> str(january)
        '[2025-01-01T00:00:00Z, 2025-02-01T00:00:00Z)'

    """

    start: datetime
    """First instant inside."""
    end: datetime
    """First instant after the window."""

    def __repr__(self) -> str:
        """Return both bounds as text."""
        return f"Window({format_instant(self.start)!r}, {format_instant(self.end)!r})"

    def __str__(self) -> str:
        """Return the mathematical notation of a half-open interval."""
        return f"[{format_instant(self.start)}, {format_instant(self.end)})"

    def to_dict(self) -> dict[str, str]:
        """Return the bounds as JSON-able text."""
        return {"start": format_instant(self.start), "end": format_instant(self.end)}

    @classmethod
    def from_dict(cls, window: Mapping[str, Any]) -> Window:
        """Make a window from the result of :meth:`to_dict`; other keys are ignored."""
        return cls(parse_instant(window["start"]), parse_instant(window["end"]))


@dataclass(frozen=True, repr=False)
class WindowReport:
    """The outcome of one window.

    ``inserted``, ``updated``, ``unchanged`` and ``rejected`` add up to ``rows``.
    """

    start: datetime
    """First instant inside, UTC."""
    end: datetime
    """First instant after the window, UTC."""
    status: WindowStatus
    """``done``: read and committed; ``failed``: nothing of it was committed; ``skipped``: not read."""
    pages: int
    """Pages with records of the window, or requested for its start."""
    rows: int
    """Distinct records."""
    inserted: int
    """Records that are new in the table."""
    updated: int
    """Records that replaced an older version."""
    unchanged: int
    """Records that the table already had in this or a newer version."""
    rejected: int
    """Records that could not be stored and were set aside."""
    requests: int
    """HTTP requests for data, retries included; one that serves several windows counts for the first."""
    retries: int
    """Requests that were repetitions."""
    duration_ms: int
    """Wall time in milliseconds."""
    error: str | None
    """Reason of the failure, one line; for a skipped window, that the company does not have the entity."""
    read_until: datetime | None = None
    """End of the read if the window reaches into the present, UTC."""
    path: str | None = None
    """Landing file, if there is one."""
    skip_reason: Literal["committed", "future", "unread", "unavailable", "planned"] | None = None
    """Why it was not read, if it was skipped; ``planned``: a dry run, and it would be read."""
    failure: FailureKind | None = None
    """Kind of the failure, if it failed."""

    @classmethod
    def from_dict(cls, window: Mapping[str, Any]) -> WindowReport:
        """Make a report from JSON-able data."""
        return cls(**_with_instants(window, "start", "end", "read_until"))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able data."""
        return asdict(self, dict_factory=_without_blanks)

    @property
    def window(self) -> Window:
        """The window."""
        return Window(self.start, self.end)

    def __repr__(self) -> str:
        """Return the result in one line."""
        return _shown.outcome_line(self)


class Windows(list[Window]):
    """A list of windows, which a notebook shows as a table.

    Example:
        >>> import qbo_rs
        >>> qbo_rs.chunk_range("2025-01-01", "2026-01-01", "month")
        <Windows: 12 windows, [2025-01-01, 2026-01-01)>

    """

    def __repr__(self) -> str:
        """Return the number of windows and their range."""
        return _shown.windows_line(self)

    def _repr_html_(self) -> str:
        return _shown.windows_html(self)


class WindowReports(tuple[WindowReport, ...]):
    """The outcomes of the windows of a run, which a notebook shows as a calendar and a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the number of windows, of records and of failures."""
        return _shown.outcomes_line(self)

    def _repr_html_(self) -> str:
        return _shown.outcomes_html(self)


@dataclass(frozen=True)
class Totals:
    """Sums over the windows of a run."""

    windows: int
    """Windows of the range, skipped ones included."""
    pages: int
    """Sum of the windows' pages; a page with records of several windows counts for each."""
    rows: int
    """Records, each counted once per window."""
    inserted: int
    """Records that are new in the table."""
    updated: int
    """Records that replaced an older version."""
    unchanged: int
    """Records that the table already had in this or a newer version."""
    rejected: int
    """Records that could not be stored and were set aside."""
    requests: int
    """HTTP requests for data, retries included."""
    retries: int
    """Requests that were repetitions."""
    duration_ms: int
    """Wall time of the run in milliseconds; less than the sum of its windows, which overlap."""


@dataclass(frozen=True, repr=False)
class RunReport:
    """The run of one entity."""

    entity: str
    """Name of the entity, one of :func:`qbo_rs.entities`."""
    realm_id: str
    """Company id."""
    run_id: str
    """Id of the run in the ledger and the logs."""
    status: RunStatus
    """``ok``: no window failed; ``partial``: some failed; ``failed``: every window that was tried failed."""
    windows: tuple[WindowReport, ...]
    """Windows, oldest first."""
    totals: Totals
    """Sums over the windows."""
    recovery: Recovery | None = None
    """The reaction that helps, if the run has ended because the same call would fail again; else None."""

    @classmethod
    def from_dict(cls, run: Mapping[str, Any]) -> RunReport:
        """Make a report from JSON-able data."""
        windows = WindowReports(WindowReport.from_dict(window) for window in run["windows"])
        fields = {name: run[name] for name in ("entity", "realm_id", "run_id", "status")}
        return cls(**fields, windows=windows, totals=Totals(**run["totals"]), recovery=run.get("recovery"))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able data."""
        report = asdict(self) | {"windows": [window.to_dict() for window in self.windows]}
        if self.recovery is None:
            del report["recovery"]
        return report

    @property
    def failed(self) -> tuple[WindowReport, ...]:
        """The windows that failed."""
        return tuple(window for window in self.windows if window.status == "failed")

    @property
    def unavailable(self) -> str | None:
        """Why the windows were skipped, if the company's plan or country does not have the entity."""
        return next((window.error for window in self.windows if window.status == "skipped" and window.error), None)

    def raise_for_failures(self) -> None:
        """Raise an error if anything is missing.

        Raises:
            IncompleteError: A window failed or a record was rejected.

        """
        if self.failed:
            first = self.failed[0]
            count = f"{len(self.failed)} of {len(self.windows)} windows failed"
            text = f"{self.entity}: {count}, first {first.window}: {first.error}"
            raise IncompleteError(text, report=self, recovery=self.recovery or "retry")
        if self.totals.rejected:
            raise IncompleteError(f"{self.entity}: {self.totals.rejected} records were rejected", report=self)

    def __repr__(self) -> str:
        """Return the result in one line."""
        return _shown.run_line(self)

    def _repr_html_(self) -> str:
        return _shown.run_html(self)


_DEMANDS: tuple[Recovery | None, ...] = ("reauthorise", "abort", "retry", None)
"""Reactions to a failure, the one that asks most of a person first."""


@dataclass(frozen=True, repr=False)
class Connection:
    """The state of the connection to a company after a call."""

    realm_id: str
    """Company id."""
    refresh_token_expires_at: datetime | None
    """End of the refresh token if it is not used before, UTC; None if unknown."""
    connection_expires_at: datetime | None
    """End of the connection, however it is used, UTC; None if unknown."""
    days_left: int | None
    """Whole days until the earlier of the two ends; None if unknown."""
    monthly_reads: int
    """Successful reads of this calendar month, by all processes that share their limits."""
    warning: str | None = None
    """The step that a person has to take, if the connection ends within 30 days."""

    @classmethod
    def from_dict(cls, connection: Mapping[str, Any]) -> Connection:
        """Make a connection from JSON-able data."""
        return cls(**_with_instants(connection, "refresh_token_expires_at", "connection_expires_at"))

    def to_dict(self) -> dict[str, Any]:
        """Return the connection as JSON-able data."""
        return asdict(self, dict_factory=_without_blanks)

    def __repr__(self) -> str:
        """Return the result in one line."""
        return _shown.connection_line(self)

    def _repr_html_(self) -> str:
        return _shown.connection_html(self)


@dataclass(frozen=True, repr=False)
class Report:
    """The result of a backfill or a load: one run per entity.

    Example:
        ::

            report = qbo_rs.backfill(["customers", "items"], "2025-01-01", "2025-02-01")
            for run in report.runs:
                print(run.entity, run.status, run.totals.rows)
            report.raise_for_failures()

    """

    runs: tuple[RunReport, ...]
    """Runs, in the order of the entities."""
    connection: Connection | None = None
    """State of the connection, if the call used one."""

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> Report:
        """Make a report from JSON-able data, such as the output of ``qbo-rs backfill --json``."""
        connection = report.get("connection")
        runs = tuple(RunReport.from_dict(run) for run in report["runs"])
        return cls(runs, Connection.from_dict(connection) if connection else None)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able data, in the shape of ``qbo-rs backfill --json``."""
        runs = {"runs": [run.to_dict() for run in self.runs]}
        return runs | ({"connection": self.connection.to_dict()} if self.connection else {})

    @property
    def ok(self) -> bool:
        """True if no window failed and no record was rejected."""
        return all(run.status == "ok" and not run.totals.rejected for run in self.runs)

    @property
    def rows(self) -> int:
        """Number of records in all runs."""
        return sum(run.totals.rows for run in self.runs)

    def raise_for_failures(self) -> None:
        """Raise an error if anything is missing.

        Raises:
            IncompleteError: A window failed or a record was rejected. It is that of the entity that
                asks most of a person: to connect the company again, then to change something, then
                to wait.

        """
        for run in sorted(self.runs, key=lambda run: _DEMANDS.index(run.recovery)):
            run.raise_for_failures()

    def __repr__(self) -> str:
        """Return the result in one line."""
        return _shown.report_line(self)

    def _repr_html_(self) -> str:
        return _shown.report_html(self)


@dataclass(frozen=True)
class WindowDifference:
    """A window in which QuickBooks and the table differ."""

    start: datetime
    """First instant inside, UTC."""
    end: datetime
    """First instant after the window, UTC."""
    source: int
    """Number of records in QuickBooks."""
    table: int
    """Number of records in the table."""
    missing: list[str]
    """Ids of records that the table does not have."""
    stale: list[str]
    """Ids of records that the table has in an older version."""
    extra: list[str]
    """Ids of records that QuickBooks does not have."""
    archived: int = 0
    """Number of records that an archive took out of the table, which is no difference."""
    repair_error: str | None = None
    """Why the window could not be read again, if ``repair`` was set."""

    @classmethod
    def from_dict(cls, difference: Mapping[str, Any]) -> WindowDifference:
        """Make a difference from JSON-able data."""
        return cls(**_with_instants(difference, "start", "end"))

    @property
    def window(self) -> Window:
        """The window."""
        return Window(self.start, self.end)


@dataclass(frozen=True)
class KnownReject:
    """A record that was set aside and could not be stored since."""

    id: str | None
    """Id of the record; None if the page that held it could not be read."""
    changed_at: datetime
    """Time of the record's last change, or of a record beside it, UTC."""
    error: str
    """Reason, one line."""
    intuit_tid: str | None
    """Intuit's id of the response that failed, for its support."""

    @classmethod
    def from_dict(cls, reject: Mapping[str, Any]) -> KnownReject:
        """Make a reject from JSON-able data."""
        return cls(**_with_instants(reject, "changed_at"))


@dataclass(frozen=True, repr=False)
class Verification:
    """The comparison of one entity."""

    entity: str
    """Name of the entity, one of :func:`qbo_rs.entities`."""
    realm_id: str
    """Company id."""
    status: VerificationStatus
    """``ok``: nothing differs and nothing was set aside; else ``different``, also if only the table has the entity."""
    windows: int
    """Number of windows compared."""
    source: int
    """Number of records in QuickBooks."""
    table: int
    """Number of records in the table."""
    different: tuple[WindowDifference, ...]
    """Windows that differ."""
    rejects: tuple[KnownReject, ...]
    """Records that were set aside."""
    repaired: int
    """Number of windows that were read again."""
    requests: int
    """HTTP requests for data."""
    read_until: datetime | None = None
    """End of the comparison if the range reaches into the present, UTC."""
    archived: int = 0
    """Number of records that ``qbo-rs db archive`` took out of the table, which is no difference."""
    renamed_references: int = 0
    """Records that differ only by names inside references, which is no difference; known if ``deep`` was set."""
    changed_later: int = 0
    """Records that were edited after the range, and are in the table as they were before, which is no difference."""
    unavailable: str | None = None
    """Why nothing could be compared, if the company does not have the entity."""

    @classmethod
    def from_dict(cls, run: Mapping[str, Any]) -> Verification:
        """Make a comparison from JSON-able data."""
        lists = {
            "different": tuple(WindowDifference.from_dict(difference) for difference in run["different"]),
            "rejects": tuple(KnownReject.from_dict(reject) for reject in run["rejects"]),
        }
        return cls(**_with_instants(run, "read_until") | lists)

    def __repr__(self) -> str:
        """Return the result in one line."""
        return _shown.compared_line(self)

    def _repr_html_(self) -> str:
        return _shown.compared_html(self)


@dataclass(frozen=True, repr=False)
class VerificationReport:
    """The result of :func:`qbo_rs.verify`: one comparison per entity.

    Example:
        ::

            report = qbo_rs.verify("invoices", "2025-01-01", "2025-02-01")
            missing = [id for run in report.runs for window in run.different for id in window.missing]

    """

    runs: tuple[Verification, ...]
    """Comparisons, in the order of the entities."""

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> VerificationReport:
        """Make a report from JSON-able data, such as the output of ``qbo-rs verify --json``."""
        return cls(tuple(Verification.from_dict(run) for run in report["runs"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able data."""
        return asdict(self, dict_factory=_without_blanks)

    @property
    def ok(self) -> bool:
        """True if nothing differs and no record was set aside."""
        return all(run.status == "ok" for run in self.runs)

    def __repr__(self) -> str:
        """Return the result in one line."""
        return _shown.verification_line(self)

    def _repr_html_(self) -> str:
        return _shown.verification_html(self)


@dataclass(frozen=True)
class EntitySync:
    """The sync of one entity of a company."""

    entity: str
    """Name of the entity, one of :func:`qbo_rs.entities`."""
    status: EntityOutcome
    """``ok``; ``failed``; or ``unavailable``: the company's plan or country does not have the entity, no failure."""
    error: str | None
    """Reason of the failure, one line; None if the entity did not fail."""
    via: SyncMethod
    """``changes`` and ``batch``: one request for many entities; ``query``: its own requests; ``read``: one for all."""
    reconciled: bool
    """True if ids were compared to find deletions."""
    checkpoint: datetime | None
    """Instant up to which every change is in the table, UTC."""
    rows: int
    """Records received."""
    inserted: int
    """Records that are new in the table."""
    updated: int
    """Records that replaced an older version."""
    unchanged: int
    """Records that the table already had in this or a newer version."""
    rejected: int
    """Records that could not be stored and were set aside."""
    deleted: int
    """Records that were newly found to be deleted."""
    unavailable: str | None = None
    """Why the company does not have the entity; None unless it is unavailable."""
    failure: FailureKind | None = None
    """Kind of the failure; None if the entity did not fail."""

    @classmethod
    def from_dict(cls, entity: Mapping[str, Any]) -> EntitySync:
        """Make a sync from JSON-able data."""
        return cls(**_with_instants(entity, "checkpoint"))


@dataclass(frozen=True, repr=False)
class AccountSync:
    """The sync of one company."""

    realm_id: str
    """Company id."""
    schema: str
    """Schema of the company's tables; empty if it has none yet."""
    status: AccountStatus
    """``ok``: all that it has is in step; ``partial``: some entities failed; ``failed``: all; ``needs_reauth``; or
    ``held``: another sync reads it, and nothing was sent."""
    error: str | None
    """Reason of the failure that ended the sync of the whole company, one line."""
    requests: int
    """HTTP requests for data."""
    duration_ms: int
    """Wall time in milliseconds."""
    entities: tuple[EntitySync, ...]
    """Entities of the company."""
    failure: FailureKind | None = None
    """Kind of the failure that ended the sync of the whole company."""

    @classmethod
    def from_dict(cls, account: Mapping[str, Any]) -> AccountSync:
        """Make a sync from JSON-able data."""
        entities = tuple(EntitySync.from_dict(entity) for entity in account["entities"])
        return cls(**{**account, "entities": entities})

    def __repr__(self) -> str:
        """Return the result in one line."""
        return _shown.account_line(self)

    def _repr_html_(self) -> str:
        return _shown.account_html(self)


def why_not_in_step(account: AccountSync) -> str | None:
    """Return the reason in one line, or None if the company is in step."""
    if account.error:
        return account.error
    for each in account.entities:
        if each.error or each.rejected:
            return f"{each.entity}: {each.error or set_aside(each.rejected)}"
    return None if account.status == IN_STEP else account.status


def set_aside(records: int) -> str:
    """Say that records were set aside."""
    return f"{records} records were set aside"


@dataclass(frozen=True, repr=False)
class SyncReport:
    """The result of :func:`qbo_rs.sync`: one entry per company.

    Example:
        ::

            for account in qbo_rs.sync().accounts:
                for entity in account.entities:
                    print(account.realm_id, entity.entity, entity.checkpoint, entity.error)

    """

    accounts: tuple[AccountSync, ...]
    """Companies."""

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> SyncReport:
        """Make a report from JSON-able data, such as the output of ``qbo-rs sync --json``."""
        return cls(tuple(AccountSync.from_dict(account) for account in report["accounts"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able data."""
        return asdict(self, dict_factory=_without_blanks)

    @property
    def ok(self) -> bool:
        """True if every company is in step and no record was set aside."""
        return all(why_not_in_step(account) is None for account in self.accounts)

    def raise_for_failures(self) -> None:
        """Raise an error if a company is not in step.

        Raises:
            IncompleteError: A company or an entity failed, a person must connect a company again, another sync reads
                it, or a record was set aside. It names the first one; all are in the report.

        """
        failed = [(account.realm_id, reason) for account in self.accounts if (reason := why_not_in_step(account))]
        if failed:
            # A retry does not find a company that is not connected.
            states = {each.status for each in self.accounts if each.failure != "unknown_company"} - {"ok"}
            recovery: Recovery = "retry" if states else "abort"
            if states == {"needs_reauth"}:
                recovery = "reauthorise"
            realm_id, reason = failed[0]
            text = f"{len(failed)} of {len(self.accounts)} companies are not in step, first {realm_id}: {reason}"
            raise IncompleteError(text, report=self, recovery=recovery)

    def __repr__(self) -> str:
        """Return the result in one line."""
        return _shown.sync_line(self)

    def _repr_html_(self) -> str:
        return _shown.sync_html(self)


@dataclass(frozen=True, repr=False)
class Landing:
    """The landing files of one entity: paths and counts per window, but no records.

    It is small, so pass it between processes instead of the records.

    Example:
        ::

            windows = qbo_rs.chunk_range("2025-01-01", "2025-02-01")
            landing = qbo_rs.extract("invoices", windows)
            landing.raise_for_failures()
            report = qbo_rs.upsert(landing)

    """

    run: RunReport
    """Report of the extract."""

    @classmethod
    def from_dict(cls, landing: Mapping[str, Any]) -> Landing:
        """Make a landing from the result of :meth:`to_dict`."""
        return cls(RunReport.from_dict(landing))

    def to_dict(self) -> dict[str, Any]:
        """Return the landing as JSON-able data."""
        return self.run.to_dict()

    @property
    def entity(self) -> str:
        """Name of the entity."""
        return self.run.entity

    @property
    def rows(self) -> int:
        """Number of records in all files."""
        return self.run.totals.rows

    @property
    def paths(self) -> list[str]:
        """The files, in the order of their windows."""
        return [window.path for window in self.run.windows if window.path is not None]

    @property
    def ok(self) -> bool:
        """True if no window failed."""
        return self.run.status == "ok"

    def raise_for_failures(self) -> None:
        """Raise an error if anything is missing.

        Raises:
            IncompleteError: A window failed or a record was rejected.

        """
        self.run.raise_for_failures()

    def files(self) -> list[dict[str, str]]:
        """Return the entries that :func:`qbo_rs.upsert` needs, one per complete window."""
        names = {"realm_id": self.run.realm_id, "entity": self.run.entity}
        # A file of many windows has no place for how far one without records was read.
        return [
            names
            | window.window.to_dict()
            | {"path": window.path, "read_until": format_instant(window.read_until or window.end)}
            for window in self.run.windows
            if window.path is not None
        ]

    def __repr__(self) -> str:
        """Return the result in one line."""
        return _shown.landing_line(self)

    def _repr_html_(self) -> str:
        return _shown.landing_html(self)
