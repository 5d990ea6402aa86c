"""What goes in and comes out: small, immutable, picklable, and JSON by ``to_dict``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from qbo_rs.exceptions import IncompleteError

if TYPE_CHECKING:
    from collections.abc import Mapping

WindowStatus = Literal["done", "failed", "skipped"]
RunStatus = Literal["ok", "partial", "failed"]


def parse_instant(text: str) -> datetime:
    """Read an instant as the core writes it, ``2025-01-01T00:00:00Z``."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def format_instant(instant: datetime) -> str:
    """Write an instant for the core; one without a zone is UTC."""
    utc = instant.replace(tzinfo=timezone.utc) if instant.tzinfo is None else instant.astimezone(timezone.utc)
    return utc.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, order=True)
class Window:
    """A half-open interval of UTC time: ``start`` is inside, ``end`` is not."""

    start: datetime
    end: datetime

    def __repr__(self) -> str:
        """Write both bounds as text."""
        return f"Window({format_instant(self.start)!r}, {format_instant(self.end)!r})"

    def __str__(self) -> str:
        """Write it as a mathematician would."""
        return f"[{format_instant(self.start)}, {format_instant(self.end)})"

    def to_dict(self) -> dict[str, str]:
        """Return it as JSON-able text."""
        return {"start": format_instant(self.start), "end": format_instant(self.end)}

    @classmethod
    def from_dict(cls, window: Mapping[str, Any]) -> Window:
        """Make one from what :meth:`to_dict` returned; other keys are ignored."""
        return cls(parse_instant(window["start"]), parse_instant(window["end"]))


@dataclass(frozen=True)
class WindowReport:
    """One window's outcome. ``inserted``, ``updated``, ``unchanged`` and ``rejected`` add up to ``rows``."""

    start: str
    end: str
    status: WindowStatus
    pages: int
    rows: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    requests: int
    retries: int
    duration_ms: int
    error: str | None
    read_until: str | None = None
    path: str | None = None

    @property
    def window(self) -> Window:
        """The window itself."""
        return Window(parse_instant(self.start), parse_instant(self.end))


@dataclass(frozen=True)
class Totals:
    """Sums over the windows of a run; ``duration_ms`` is wall time."""

    windows: int
    pages: int
    rows: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    requests: int
    retries: int
    duration_ms: int


@dataclass(frozen=True)
class RunReport:
    """One entity's run."""

    entity: str
    realm_id: str
    run_id: str
    status: RunStatus
    windows: tuple[WindowReport, ...]
    totals: Totals

    @classmethod
    def from_dict(cls, run: Mapping[str, Any]) -> RunReport:
        """Make one from JSON-able data."""
        windows = tuple(WindowReport(**window) for window in run["windows"])
        fields = {name: run[name] for name in ("entity", "realm_id", "run_id", "status")}
        return cls(**fields, windows=windows, totals=Totals(**run["totals"]))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self) | {"windows": [asdict(window) for window in self.windows]}

    @property
    def failed(self) -> tuple[WindowReport, ...]:
        """The windows that failed."""
        return tuple(window for window in self.windows if window.status == "failed")

    def raise_for_failures(self) -> None:
        """Raise if anything is missing.

        Raises:
            IncompleteError: A window failed or a record was rejected.

        """
        if self.failed:
            first = self.failed[0]
            count = f"{len(self.failed)} of {len(self.windows)} windows failed"
            raise IncompleteError(f"{self.entity}: {count}, first {first.window}: {first.error}", report=self)
        if self.totals.rejected:
            raise IncompleteError(f"{self.entity}: {self.totals.rejected} records were rejected", report=self)


@dataclass(frozen=True)
class Connection:
    """How the connection to a company stands after a call; instants as text, None where they are not known."""

    realm_id: str
    refresh_token_expires_at: str | None
    connection_expires_at: str | None
    days_left: int | None
    monthly_reads: int


@dataclass(frozen=True)
class Report:
    """What a call did: one run an entity, and how the connection stands where one was used."""

    runs: tuple[RunReport, ...]
    connection: Connection | None = None

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> Report:
        """Make one from JSON-able data, such as that of ``qbo-rs ... --json``."""
        connection = report.get("connection")
        runs = tuple(RunReport.from_dict(run) for run in report["runs"])
        return cls(runs, Connection(**connection) if connection else None)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data, such as that of ``qbo-rs ... --json``."""
        runs = {"runs": [run.to_dict() for run in self.runs]}
        return runs | ({"connection": asdict(self.connection)} if self.connection else {})

    @property
    def ok(self) -> bool:
        """Whether no window failed and no record was rejected."""
        return all(run.status == "ok" and not run.totals.rejected for run in self.runs)

    @property
    def rows(self) -> int:
        """Records of all runs."""
        return sum(run.totals.rows for run in self.runs)

    def raise_for_failures(self) -> None:
        """Raise if anything is missing.

        Raises:
            IncompleteError: A window failed or a record was rejected.

        """
        for run in self.runs:
            run.raise_for_failures()


@dataclass(frozen=True)
class WindowDifference:
    """One window in which QuickBooks and the table differ; the lists hold ids."""

    start: str
    end: str
    source: int
    table: int
    missing: list[str]
    stale: list[str]
    extra: list[str]


@dataclass(frozen=True)
class KnownReject:
    """A record that was set aside and still is. ``id`` is None where the page that held it could not be read."""

    id: str | None
    changed_at: str
    error: str
    intuit_tid: str | None


@dataclass(frozen=True)
class Verification:
    """One entity compared; ``status`` is ``ok`` or ``different``."""

    entity: str
    realm_id: str
    status: str
    windows: int
    source: int
    table: int
    different: tuple[WindowDifference, ...]
    rejects: tuple[KnownReject, ...]
    repaired: int
    requests: int
    read_until: str | None = None

    @classmethod
    def from_dict(cls, run: Mapping[str, Any]) -> Verification:
        """Make one from JSON-able data."""
        lists = {
            "different": tuple(WindowDifference(**difference) for difference in run["different"]),
            "rejects": tuple(KnownReject(**reject) for reject in run["rejects"]),
        }
        return cls(**{**run, **lists})


@dataclass(frozen=True)
class VerificationReport:
    """What a comparison found: one entry an entity."""

    runs: tuple[Verification, ...]

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> VerificationReport:
        """Make one from JSON-able data, such as that of ``qbo-rs verify --json``."""
        return cls(tuple(Verification.from_dict(run) for run in report["runs"]))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)

    @property
    def ok(self) -> bool:
        """Whether nothing differs and nothing was set aside."""
        return all(run.status == "ok" for run in self.runs)


@dataclass(frozen=True)
class EntitySync:
    """One entity's sync. ``via`` is ``changes`` or ``batch``, one request for many entities, or ``query``."""

    entity: str
    error: str | None
    via: str
    reconciled: bool
    checkpoint: str | None
    rows: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    deleted: int


@dataclass(frozen=True)
class AccountSync:
    """One company's sync; ``status`` is ``ok``, ``partial``, ``failed`` or ``needs_reauth``."""

    realm_id: str
    schema: str
    status: str
    error: str | None
    requests: int
    duration_ms: int
    entities: tuple[EntitySync, ...]


@dataclass(frozen=True)
class SyncReport:
    """What a sync did: one entry a company."""

    accounts: tuple[AccountSync, ...]

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> SyncReport:
        """Make one from JSON-able data, such as that of ``qbo-rs sync --json``."""

        def account(given: Mapping[str, Any]) -> AccountSync:
            entities = tuple(EntitySync(**entity) for entity in given["entities"])
            return AccountSync(**{**given, "entities": entities})

        return cls(tuple(account(given) for given in report["accounts"]))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)

    @property
    def ok(self) -> bool:
        """Whether every company is in step and no record was set aside."""
        accounts = self.accounts
        return all(account.status == "ok" and not any(e.rejected for e in account.entities) for account in accounts)


@dataclass(frozen=True)
class Landing:
    """Landing files of one entity: paths and counts a window. Small: hand it on instead of the records."""

    run: RunReport

    @classmethod
    def from_dict(cls, landing: Mapping[str, Any]) -> Landing:
        """Make one from JSON-able data."""
        return cls(RunReport.from_dict(landing))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return self.run.to_dict()

    @property
    def entity(self) -> str:
        """Name of the entity."""
        return self.run.entity

    @property
    def rows(self) -> int:
        """Records in all files."""
        return self.run.totals.rows

    @property
    def paths(self) -> list[str]:
        """The files, in the order of their windows."""
        return [window.path for window in self.run.windows if window.path is not None]

    @property
    def ok(self) -> bool:
        """Whether no window failed."""
        return self.run.status == "ok"

    def raise_for_failures(self) -> None:
        """Raise if a window is missing.

        Raises:
            IncompleteError: A window failed.

        """
        self.run.raise_for_failures()

    def files(self) -> list[dict[str, str]]:
        """Return what :func:`qbo_rs.upsert` needs of each complete window."""
        names = {"realm_id": self.run.realm_id, "entity": self.run.entity}
        done = (window for window in self.run.windows if window.path is not None)
        return [names | window.window.to_dict() | {"path": str(window.path)} for window in done]
