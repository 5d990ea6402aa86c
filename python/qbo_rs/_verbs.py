"""The verbs: arguments become one JSON request of the core, its answer becomes dataclasses."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Union

from qbo_rs import _core
from qbo_rs._types import Landing, Report, SyncReport, VerificationReport, Window, format_instant, parse_instant
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from qbo_rs._settings import Settings

Instant = Union[str, date, datetime]
AnyPath = Union[str, "os.PathLike[str]"]
AnyWindow = Union[Window, Mapping[str, Any], "tuple[Instant, Instant]"]
AnyLanding = Union[Landing, Mapping[str, Any], AnyPath]


def _instant(value: Instant) -> str:
    if isinstance(value, datetime):
        return format_instant(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _page_size(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ConfigError(f"page_size: '{value}' is not between 1 and 1000") from None


def _entities(entity: str | Iterable[str]) -> list[str]:
    return [entity] if isinstance(entity, str) else [str(name) for name in entity]


def _window(window: AnyWindow) -> dict[str, str]:
    if isinstance(window, Window):
        return window.to_dict()
    start, end = (window["start"], window["end"]) if isinstance(window, Mapping) else window
    return {"start": _instant(start), "end": _instant(end)}


def _settings(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in settings.items() if value is not None}


def _backfill_request(
    entity: str | Iterable[str],
    start: Instant,
    end: Instant,
    chunk: str,
    page_size: int,
    *,
    strict_windows: bool,
    resume: bool,
    dry_run: bool,
    schema: str,
    settings: Mapping[str, Any],
) -> str:
    request = {
        "entities": _entities(entity),
        "start": _instant(start),
        "end": _instant(end),
        "chunk": str(chunk),
        "page_size": _page_size(page_size),
        "strict_windows": strict_windows,
        "resume": resume,
        "dry_run": dry_run,
        "schema": schema,
        "settings": _settings(settings),
    }
    return json.dumps(request)


def _extract_request(
    entity: str,
    windows: Iterable[AnyWindow],
    page_size: int,
    out: AnyPath | None,
    settings: Mapping[str, Any],
    *,
    strict_windows: bool,
    resume: bool,
) -> str:
    request = {
        "entities": [entity],
        "windows": [_window(window) for window in windows],
        "page_size": _page_size(page_size),
        "out": None if out is None else os.fspath(out),
        "strict_windows": strict_windows,
        "resume": resume,
        "settings": _settings(settings),
    }
    return json.dumps(request)


def _upsert_request(landing: AnyLanding, schema: str, settings: Mapping[str, Any]) -> str:
    request: dict[str, Any] = {"path": None, "files": [], "schema": schema, "settings": _settings(settings)}
    if isinstance(landing, Landing):
        request["files"] = landing.files()
    elif isinstance(landing, Mapping):
        request["files"] = Landing.from_dict(landing).files()
    else:
        request["path"] = os.fspath(landing)
    return json.dumps(request)


def _report(answer: str) -> Report:
    return Report.from_dict(json.loads(answer))


def _landing(answer: str) -> Landing:
    return Landing.from_dict(json.loads(answer)["runs"][0])


def chunk_range(start: Instant, end: Instant, chunk: str = "day") -> list[Window]:
    """Cut ``[start, end)`` into windows, oldest first: half-open, adjacent, together exactly the range.

    Args:
        start: First instant, UTC: a date, a datetime, or text such as ``2025-01-31`` or ``2025-01-31T00:00:00Z``.
        end: First instant after the range.
        chunk: ``day``, ``week``, ``month``, ``quarter``, ``year`` or ``Nd``. Months are counted from ``start``; month
            ends are clamped. The last window may be shorter.

    Returns:
        The windows.

    Raises:
        ConfigError: A bound cannot be read, the end is not after the start, or the chunk is unknown.

    """
    pairs = _core.chunk_range(_instant(start), _instant(end), str(chunk))
    return [Window(parse_instant(first), parse_instant(last)) for first, last in pairs]


def entities() -> dict[str, str]:
    """Return the entities that can be extracted: our name and QuickBooks's."""
    return dict(_core.entities())


def prepare(entity: str | Iterable[str], *, schema: str = "raw", **settings: Unpack[Settings]) -> None:
    """Make sure that records can be loaded: settings, database, tables. Nothing is sent to QuickBooks.

    Args:
        entity: A name from :func:`entities`, or several.
        schema: Schema of the raw tables; it is bound to the company, and tables that are missing are made.
        **settings: Override the environment.

    Raises:
        ConfigError: A setting or a table is unusable, or the database cannot be reached.

    """
    request = {"entities": _entities(entity), "schema": schema, "settings": _settings(settings)}
    _core.call("prepare", json.dumps(request))


def extract(
    entity: str,
    windows: Iterable[AnyWindow],
    *,
    page_size: int = 1000,
    out: AnyPath | None = None,
    strict_windows: bool = False,
    resume: bool = False,
    **settings: Unpack[Settings],
) -> Landing:
    """Copy windows of an entity from QuickBooks into landing files.

    Blocks without the GIL; works in a forked child; Ctrl-C stops it within a second.

    Args:
        entity: A name from :func:`entities`.
        windows: Windows, pairs of bounds, or dicts with ``start`` and ``end``.
        page_size: Records in a page, 1 to 1000.
        out: A directory, or one file that ends in ``.jsonl`` or ``.jsonl.zst``; default ``QBO_LANDING_DIR``.
        strict_windows: Give each window requests of its own, see :func:`backfill`.
        resume: Leave out windows whose files are in the directory already; they are reported as skipped, with their
            counts.
        **settings: Override the environment.

    Returns:
        Paths and counts. Windows that failed are in it too: see :meth:`Landing.raise_for_failures`.

    Raises:
        ConfigError: An argument or setting is unusable; nothing was sent.
        AuthError: The credentials were refused.
        RetriableError: The token endpoint gave no usable answer.

    """
    request = _extract_request(entity, windows, page_size, out, settings, strict_windows=strict_windows, resume=resume)
    return _landing(_core.call("extract", request))


async def extract_async(
    entity: str,
    windows: Iterable[AnyWindow],
    *,
    page_size: int = 1000,
    out: AnyPath | None = None,
    strict_windows: bool = False,
    resume: bool = False,
    **settings: Unpack[Settings],
) -> Landing:
    """Do what :func:`extract` does, without blocking the event loop."""
    request = _extract_request(entity, windows, page_size, out, settings, strict_windows=strict_windows, resume=resume)
    return _landing(await _core.call_async("extract", request))


def upsert(landing: AnyLanding, *, schema: str = "raw", **settings: Unpack[Settings]) -> Report:
    """Load landing files into Postgres, a transaction a window. Loading the same landing again changes nothing.

    Args:
        landing: What :func:`extract` returned, that as a dict, or the path of a directory or file.
        schema: Schema of the raw tables; it holds one company.
        **settings: Override the environment.

    Returns:
        Counts a window. Windows that failed are in it too: see :meth:`Report.raise_for_failures`.

    Raises:
        ConfigError: An argument, a setting or a table is unusable, or the database cannot be reached.
        LandingError: The landing cannot be read.
        DataError: A line of a file of several windows is wrong.

    """
    return _report(_core.call("upsert", _upsert_request(landing, schema, settings)))


async def upsert_async(landing: AnyLanding, *, schema: str = "raw", **settings: Unpack[Settings]) -> Report:
    """Do what :func:`upsert` does, without blocking the event loop."""
    return _report(await _core.call_async("upsert", _upsert_request(landing, schema, settings)))


def backfill(
    entity: str | Iterable[str],
    start: Instant,
    end: Instant,
    chunk: str = "day",
    page_size: int = 1000,
    *,
    strict_windows: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    schema: str = "raw",
    **settings: Unpack[Settings],
) -> Report:
    """Copy ``[start, end)`` of one or more entities from QuickBooks into Postgres.

    Blocks without the GIL; works in a forked child; Ctrl-C stops it within a second, and committed windows stay.

    Args:
        entity: A name from :func:`entities`, or several.
        start: First instant, UTC: a date, a datetime, or text such as ``2025-01-31`` or ``2025-01-31T00:00:00Z``.
        end: First instant after the range.
        chunk: Unit of a window, see :func:`chunk_range`.
        page_size: Records in a page, 1 to 1000.
        strict_windows: Give each window requests of its own; otherwise windows that follow each other are read in one
            go and divided by the time of change, so that empty ones cost nothing.
        resume: Leave out windows that earlier runs committed.
        dry_run: Only report the windows; nothing is sent to QuickBooks.
        schema: Schema of the raw tables; it holds one company.
        **settings: Override the environment.

    Returns:
        Counts a window and a run. Windows that failed are in it too: see :meth:`Report.raise_for_failures`.

    Raises:
        ConfigError: An argument, a setting or a table is unusable, or the database cannot be reached; nothing was sent.
        AuthError: The credentials were refused.
        RetriableError: The token endpoint gave no usable answer.

    """
    request = _backfill_request(
        entity,
        start,
        end,
        chunk,
        page_size,
        strict_windows=strict_windows,
        resume=resume,
        dry_run=dry_run,
        schema=schema,
        settings=settings,
    )
    return _report(_core.call("backfill", request))


async def backfill_async(
    entity: str | Iterable[str],
    start: Instant,
    end: Instant,
    chunk: str = "day",
    page_size: int = 1000,
    *,
    strict_windows: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    schema: str = "raw",
    **settings: Unpack[Settings],
) -> Report:
    """Do what :func:`backfill` does, without blocking the event loop. Cancelling it leaves committed windows."""
    request = _backfill_request(
        entity,
        start,
        end,
        chunk,
        page_size,
        strict_windows=strict_windows,
        resume=resume,
        dry_run=dry_run,
        schema=schema,
        settings=settings,
    )
    return _report(await _core.call_async("backfill", request))


def _verify_request(
    entity: str | Iterable[str],
    start: Instant,
    end: Instant,
    chunk: str,
    *,
    repair: bool,
    deep: bool,
    schema: str,
    settings: Mapping[str, Any],
) -> str:
    request = {
        "entities": _entities(entity),
        "start": _instant(start),
        "end": _instant(end),
        "chunk": str(chunk),
        "repair": repair,
        "deep": deep,
        "schema": schema,
        "settings": _settings(settings),
    }
    return json.dumps(request)


def verify(
    entity: str | Iterable[str],
    start: Instant,
    end: Instant,
    chunk: str = "day",
    *,
    repair: bool = False,
    deep: bool = False,
    schema: str = "raw",
    **settings: Unpack[Settings],
) -> VerificationReport:
    """Compare ``[start, end)`` of QuickBooks with the tables: counts first, versions only where counts differ.

    Args:
        entity: A name from :func:`entities`, or several.
        start: First instant, UTC.
        end: First instant after the range.
        chunk: Unit of a window, see :func:`chunk_range`.
        repair: Read windows that differ again.
        deep: Compare the versions of all records, not only where counts differ.
        schema: Schema of the raw tables.
        **settings: Override the environment.

    Returns:
        Counts, the windows that differ with the ids in question, and the records that were set aside.

    Raises:
        ConfigError: An argument, a setting or a table is unusable, or the database cannot be reached.
        AuthError: The credentials were refused.
        QboError: Either side failed while it was compared.

    """
    request = _verify_request(entity, start, end, chunk, repair=repair, deep=deep, schema=schema, settings=settings)
    return VerificationReport.from_dict(json.loads(_core.call("verify", request)))


async def verify_async(
    entity: str | Iterable[str],
    start: Instant,
    end: Instant,
    chunk: str = "day",
    *,
    repair: bool = False,
    deep: bool = False,
    schema: str = "raw",
    **settings: Unpack[Settings],
) -> VerificationReport:
    """Do what :func:`verify` does, without blocking the event loop."""
    request = _verify_request(entity, start, end, chunk, repair=repair, deep=deep, schema=schema, settings=settings)
    return VerificationReport.from_dict(json.loads(await _core.call_async("verify", request)))


def _sync_request(
    entity: str | Iterable[str] | None,
    accounts: str | Iterable[str] | None,
    page_size: int,
    settings: Mapping[str, Any],
) -> str:
    request = {
        "entities": [] if entity is None else _entities(entity),
        "accounts": [] if accounts is None else _entities(accounts),
        "page_size": _page_size(page_size),
        "settings": _settings(settings),
    }
    return json.dumps(request)


def sync(
    entity: str | Iterable[str] | None = None,
    *,
    accounts: str | Iterable[str] | None = None,
    page_size: int = 1000,
    **settings: Unpack[Settings],
) -> SyncReport:
    """Bring companies into step with QuickBooks: first everything, later what has changed, and deletions.

    What one entity or company meets touches no other: look at ``status`` and ``error`` of each in the report.

    Args:
        entity: A name from :func:`entities`, or several; None: all.
        accounts: Realm ids; None: every company of the token store, and the one that the settings name.
        page_size: Records in a page, 1 to 1000.
        **settings: Override the environment.

    Returns:
        Counts a company and an entity.

    Raises:
        ConfigError: An argument or setting is unusable, no company is known, or the database cannot be reached.

    """
    request = _sync_request(entity, accounts, page_size, settings)
    return SyncReport.from_dict(json.loads(_core.call("sync", request)))


async def sync_async(
    entity: str | Iterable[str] | None = None,
    *,
    accounts: str | Iterable[str] | None = None,
    page_size: int = 1000,
    **settings: Unpack[Settings],
) -> SyncReport:
    """Do what :func:`sync` does, without blocking the event loop."""
    request = _sync_request(entity, accounts, page_size, settings)
    return SyncReport.from_dict(json.loads(await _core.call_async("sync", request)))
