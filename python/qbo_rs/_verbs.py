"""The verbs: arguments become one JSON call of the core, its answer becomes dataclasses."""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Union, cast

from qbo_rs import _core
from qbo_rs._books import BooksReport
from qbo_rs._company import named_companies
from qbo_rs._keywords import check_keywords
from qbo_rs._progress import Progress, progress_of
from qbo_rs._reports import ReportBasis, ReportsReport
from qbo_rs._status import StatusReport
from qbo_rs._types import (
    Landing,
    Report,
    SyncReport,
    VerificationReport,
    Window,
    Windows,
    format_instant,
    parse_instant,
)
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from qbo_rs._settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

Instant = Union[str, date, datetime]
AnyPath = Union[str, "os.PathLike[str]"]
AnyWindow = Union[Window, Mapping[str, Any], "tuple[Instant, Instant]"]
AnyLanding = Union[Landing, Mapping[str, Any], AnyPath]

_INTERRUPTED = {
    "backfill": "stopped; committed windows stay, and resume=True continues after them",
    "extract": "stopped; finished files stay, and resume=True continues after them",
    "upsert": "stopped; committed windows stay",
    "sync": "stopped; committed windows stay, and the next sync continues after them",
}
"""The words of an interrupt, by verb."""


def _instant(value: Instant) -> str:
    if isinstance(value, datetime):
        try:
            return format_instant(value)
        except (OverflowError, ValueError):
            # Its UTC is beyond the years of Python, 1 to 9999. The core says so and names the argument.
            return value.isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def _names(names: str | Iterable[str] | None) -> list[str]:
    """Return one name, several, or none as a list."""
    if names is None:
        return []
    return [names] if isinstance(names, str) else [str(name) for name in names]


def _schema(schema: str | None) -> dict[str, Any]:
    """Return the argument that names a schema; without one the core finds that of the company."""
    return {} if schema is None else {"schema": schema}


def _range(start: Instant, end: Instant) -> dict[str, str]:
    return {"start": _instant(start), "end": _instant(end)}


def _window(window: AnyWindow) -> dict[str, str]:
    if isinstance(window, Window):
        return window.to_dict()
    start, end = (window["start"], window["end"]) if isinstance(window, Mapping) else window
    return _range(start, end)


class _Call(Generic[T]):
    """A call of the core: its JSON, and how its answer is read."""

    def __init__(self, read: Callable[[Any], T], verb: str, settings: Mapping[str, Any], **arguments: Any) -> None:
        given = {name: str(value) for name, value in settings.items() if value is not None}
        self.request = json.dumps({"verb": {verb: arguments}, "settings": given})
        self.progress: Progress | None = None
        self._read = read

    def showing(self, wanted: bool | None) -> _Call[T]:
        """Show the progress of the call, if that is wanted."""
        self.progress = progress_of(wanted)
        return self

    def read(self, answer: str) -> T:
        """Turn the JSON of the core into a report."""
        return self._read(json.loads(answer))


def _verb(build: Callable[P, _Call[T]]) -> Callable[P, T]:
    """Make a function that builds a call into one that runs it and blocks."""
    parameters = tuple(inspect.signature(build).parameters)

    @functools.wraps(build)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        check_keywords(kwargs, parameters)
        call = build(*args, **kwargs)
        return call.read(_answer(call, build.__name__))

    _set_returns(run, build)
    return run


def _answer(call: _Call[Any], verb: str) -> str:
    """Run a call and show its progress."""
    progress = call.progress
    is_ok = False
    try:
        if progress is None:
            answer = _core.call(call.request)
        else:
            answer = _core.call(call.request, progress.following, progress.show)
        is_ok = True
    except KeyboardInterrupt as interrupt:
        if not interrupt.args and verb in _INTERRUPTED:
            interrupt.args = (_INTERRUPTED[verb],)
        raise
    finally:
        if progress is not None:
            progress.end(is_ok=is_ok)
    return answer


def _async_twin(verb: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make the twin of a verb for ``await``: same arguments, same report, and it does not block the event loop."""
    build = cast("Callable[P, _Call[T]]", inspect.unwrap(verb))
    parameters = tuple(inspect.signature(build).parameters)

    @functools.wraps(build)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        check_keywords(kwargs, parameters)
        call = build(*args, **kwargs)
        return call.read(await _answer_async(call))

    run.__name__ = f"{build.__name__}_async"
    run.__qualname__ = run.__name__
    arguments = (inspect.getdoc(build) or "").partition("Args:")[2]
    arguments = arguments.replace(f"qbo_rs.{build.__name__}(", f"await qbo_rs.{run.__name__}(")
    run.__doc__ = (
        f"Do what :func:`{build.__name__}` does, without blocking the event loop.\n\n"
        "Cancelling it rolls back what is not committed; committed windows stay.\n\n"
        f"Args:{arguments}\n"
    )
    _set_returns(run, build)
    return run


async def _answer_async(call: _Call[Any]) -> str:
    """Run a call without blocking, and show its progress."""
    progress = call.progress
    if progress is None:
        return await _core.call_async(call.request)
    import asyncio  # noqa: PLC0415 - an import of the package shall not import it

    running = _core.call_async(call.request, progress.following)
    watching = asyncio.ensure_future(progress.watch())
    is_ok = False
    try:
        answer = await running
        is_ok = True
    finally:
        watching.cancel()
        progress.end(is_ok=is_ok)
    return answer


def _set_returns(run: Callable[..., Any], build: Callable[..., _Call[Any]]) -> None:
    """Show the report, and not the call, as what a verb returns."""
    signature = inspect.signature(build)
    returns = str(signature.return_annotation).removeprefix("_Call[").removesuffix("]")
    run.__annotations__ = {**build.__annotations__, "return": returns}
    run.__signature__ = signature.replace(return_annotation=returns)  # type: ignore[attr-defined]


def _landing(answer: dict[str, Any]) -> Landing:
    return Landing.from_dict(answer["runs"][0])


def _nothing(_answer: object) -> None:
    return None


def chunk_range(start: Instant, end: Instant, chunk: str = "day", *, tz: str = "UTC") -> Windows:
    """Cut ``[start, end)`` into windows, oldest first: half-open, adjacent, together exactly the range.

    Args:
        start: First instant: a date, a datetime, or text such as ``2025-01-31``, ``2025-01-31T00:00:00Z``,
            ``2025-Q1``, ``today`` or ``-30d``.
        end: First instant after the range.
        chunk: ``hour``, ``day``, ``week``, ``month``, ``quarter``, ``year``, ``Nd`` or ``Nh``. Months are counted from
            ``start``; month ends are clamped. The last window may be shorter.
        tz: Zone of dates and windows, such as ``America/Guayaquil``: a day begins at midnight there. Datetimes say
            their own; one without a zone is UTC.

    Returns:
        The windows, a list that a notebook shows as a table.

    Raises:
        ConfigError: A bound cannot be read, the end is not after the start, or the chunk or the zone is unknown.

    Example:
        >>> windows = qbo_rs.chunk_range("2025-01-01", "2025-03-01", "month")
        >>> print(windows[0].start)
        2025-01-01 00:00:00+00:00

    """
    pairs = _core.chunk_range(_instant(start), _instant(end), str(chunk), tz=str(tz))
    return Windows(Window(parse_instant(first), parse_instant(last)) for first, last in pairs)


def entities() -> dict[str, str]:
    """Return the entities that can be extracted: our name and that of QuickBooks.

    Example:
        >>> qbo_rs.entities()["customers"]
        'Customer'

    """
    return dict(_core.entities())


@_verb
def prepare(entity: str | Iterable[str], *, schema: str = "raw", **settings: Unpack[Settings]) -> _Call[None]:
    """Make sure that records can be loaded: settings, database, tables. Nothing is sent to QuickBooks.

    Args:
        entity: A name from :func:`entities`, or several, or ``all``; names of Intuit and Spanish ones, too.
        schema: Schema of the raw tables; it is bound to the company, and tables that are missing are made.
        **settings: Override the environment.

    Raises:
        ConfigError: A setting or a table is unusable, or the database cannot be reached.

    Example:
        >>> qbo_rs.prepare(["customers", "invoices"])

    """
    return _Call(_nothing, "prepare", settings, entities=_names(entity), schema=schema)


@_verb
def extract(
    entity: str,
    windows: Iterable[AnyWindow],
    *,
    page_size: int = 1000,
    out: AnyPath | None = None,
    strict_windows: bool = False,
    resume: bool = False,
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> _Call[Landing]:
    """Copy windows of an entity from QuickBooks into landing files.

    Blocks without the GIL; works in a forked child; Ctrl-C stops it within a second.

    Args:
        entity: A name from :func:`entities`.
        windows: Windows, pairs of bounds, or dicts with ``start`` and ``end``.
        page_size: Records in a page, 1 to 1000.
        out: A directory, or one file that ends in ``.jsonl``, ``.jsonl.zst`` or ``.parquet``; a directory
            ``x.parquet/`` gets Parquet files; default ``QBO_LANDING_DIR``.
        strict_windows: Give each window requests of its own, see :func:`backfill`.
        resume: Leave out windows whose files are in the directory already, or, if `out` is one file, in `<out>.parts`,
            where a call that was not completed has left them. They are reported as skipped, with their counts.
        progress: Show the progress: on one line of stderr, or in a notebook. By default only in IPython and Jupyter.
        **settings: Override the environment.

    Returns:
        Paths and counts. Windows that failed are in it too: see :meth:`Landing.raise_for_failures`.

    Raises:
        ConfigError: An argument or setting is unusable; nothing was sent.
        AuthError: The credentials were refused.
        RetriableError: The token endpoint gave no usable answer.

    Example:
        >>> windows = qbo_rs.chunk_range("2025-01-01", "2025-02-01")
        >>> landing = qbo_rs.extract("customers", windows, out="landing")
        >>> landing.raise_for_failures()

    """
    return _Call(
        _landing,
        "extract",
        settings,
        entities=[entity],
        windows=[_window(window) for window in windows],
        page_size=str(page_size),
        out=None if out is None else os.fspath(out),
        strict_windows=strict_windows,
        resume=resume,
    ).showing(progress)


extract_async = _async_twin(extract)


@_verb
def upsert(
    landing: AnyLanding, *, schema: str = "raw", progress: bool | None = None, **settings: Unpack[Settings]
) -> _Call[Report]:
    """Load landing files into Postgres, a transaction a window. Loading the same landing again changes nothing.

    Args:
        landing: Result of :func:`extract`, the same as a dict, or the path of a directory or file.
        schema: Schema of the raw tables; it holds one company.
        progress: Show the progress: on one line of stderr, or in a notebook. By default only in IPython and Jupyter.
        **settings: Override the environment.

    Returns:
        Counts a window. Windows that failed are in it too: see :meth:`Report.raise_for_failures`.

    Raises:
        ConfigError: An argument, a setting or a table is unusable, or the database cannot be reached.
        LandingError: The landing cannot be read.
        DataError: A line of a file of several windows is wrong.

    Example:
        >>> report = qbo_rs.upsert("landing")
        >>> report.raise_for_failures()

    """
    path, files = None, None
    if isinstance(landing, Landing):
        files = landing.files()
    elif isinstance(landing, Mapping):
        files = Landing.from_dict(landing).files()
    else:
        path = os.fspath(landing)
    call = _Call(Report.from_dict, "upsert", settings, path=path, files=files, schema=schema)
    return call.showing(progress)


upsert_async = _async_twin(upsert)


@_verb
def backfill(
    entity: str | Iterable[str],
    start: Instant,
    end: Instant,
    chunk: str = "day",
    page_size: int = 1000,
    *,
    tz: str = "UTC",
    strict_windows: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    schema: str = "raw",
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> _Call[Report]:
    """Copy ``[start, end)`` of one or more entities from QuickBooks into Postgres.

    Blocks without the GIL; works in a forked child; Ctrl-C stops it within a second, and committed windows stay.

    Args:
        entity: A name from :func:`entities`, or several, or ``all``; names of Intuit and Spanish ones, too.
        start: First instant: a date, a datetime, or text such as ``2025-01-31``, ``2025-01-31T00:00:00Z``,
            ``2025-Q1``, ``today`` or ``-30d``.
        end: First instant after the range.
        chunk: Unit of a window, see :func:`chunk_range`.
        tz: Zone of dates and windows, such as ``America/Guayaquil``, see :func:`chunk_range`.
        page_size: Records in a page, 1 to 1000.
        strict_windows: Give each window requests of its own; otherwise windows that follow each other are read in one
            go and divided by the time of change, so that empty ones cost nothing.
        resume: Leave out windows that earlier runs committed.
        dry_run: Only report the windows; nothing is sent to QuickBooks.
        schema: Schema of the raw tables; it holds one company.
        progress: Show the progress: on one line of stderr, or in a notebook. By default only in IPython and Jupyter.
        **settings: Override the environment.

    Returns:
        Counts a window and a run. Windows that failed are in it too: see :meth:`Report.raise_for_failures`.

    Raises:
        ConfigError: An argument, a setting or a table is unusable, or the database cannot be reached; nothing was sent.
        AuthError: The credentials were refused.
        RetriableError: The token endpoint gave no usable answer.

    Example:
        >>> report = qbo_rs.backfill(["customers", "invoices"], "2025-01-01", "2026-01-01", chunk="month")
        >>> report.raise_for_failures()

    """
    return _Call(
        Report.from_dict,
        "backfill",
        settings,
        entities=_names(entity),
        range=_range(start, end),
        chunk=str(chunk),
        tz=str(tz),
        page_size=str(page_size),
        strict_windows=strict_windows,
        resume=resume,
        dry_run=dry_run,
        schema=schema,
    ).showing(progress)


backfill_async = _async_twin(backfill)


@_verb
def verify(
    entity: str | Iterable[str],
    start: Instant,
    end: Instant,
    chunk: str = "day",
    *,
    tz: str = "UTC",
    repair: bool = False,
    deep: bool = False,
    schema: str | None = None,
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> _Call[VerificationReport]:
    """Compare ``[start, end)`` of QuickBooks with the tables: counts first, versions only where counts differ.

    Args:
        entity: A name from :func:`entities`, or several, or ``all``; names of Intuit and Spanish ones, too.
        start: First instant.
        end: First instant after the range.
        chunk: Unit of a window, see :func:`chunk_range`.
        tz: Zone of dates and windows, such as ``America/Guayaquil``, see :func:`chunk_range`.
        repair: Read windows that differ again.
        deep: Compare versions and contents of all records, not only versions where counts differ. Asks for each
            window by itself, so name a long chunk, such as ``year``.
        schema: Schema of the raw tables; None: that of the company of the settings, else ``raw``.
        progress: Show the progress: on one line of stderr, or in a notebook. By default only in IPython and Jupyter.
        **settings: Override the environment.

    Returns:
        Counts, the windows that differ with the ids in question, and the records that were set aside.

    Raises:
        ConfigError: An argument, a setting or a table is unusable, or the database cannot be reached.
        AuthError: The credentials were refused.
        QboError: Either side failed while it was compared.

    Example:
        >>> report = qbo_rs.verify("invoices", "2025-01-01", "2026-01-01", chunk="month", repair=True)
        >>> report.ok

    """
    return _Call(
        VerificationReport.from_dict,
        "verify",
        settings,
        entities=_names(entity),
        range=_range(start, end),
        chunk=str(chunk),
        tz=str(tz),
        repair=repair,
        deep=deep,
        **_schema(schema),
    ).showing(progress)


verify_async = _async_twin(verify)


@_verb
def verify_books(
    end: str | date,
    start: str | date | None = None,
    *,
    basis: str = "accrual",
    schema: str | None = None,
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> _Call[BooksReport]:
    """Compare the landed records, as a general ledger, with QuickBooks's own reports.

    Args:
        end: The day of the balances, such as ``2025-12-31``.
        start: The first day whose transactions are compared one by one; None: the first of the month of ``end``. If
            the balances of the day before differ, earlier transactions are compared, too.
        basis: ``accrual`` or ``cash``.
        schema: Schema of the raw tables; None: that of the company of the settings, else ``raw``.
        progress: Show the progress: on one line of stderr, or in a notebook. By default only in IPython and Jupyter.
        **settings: Override the environment.

    Returns:
        Every account with what the trial balance and the records say, and the named causes of differences.

    Raises:
        ConfigError: An argument, a setting or a table is unusable, or the database cannot be reached.
        AuthError: The credentials were refused.
        QboError: A report could not be read.

    Example:
        >>> report = qbo_rs.verify_books("2025-12-31")
        >>> report.ok

    """
    return _Call(
        BooksReport.from_dict,
        "verify_books",
        settings,
        end=_optional_day(end),
        start=_optional_day(start),
        basis=basis,
        **_schema(schema),
    ).showing(progress)


verify_books_async = _async_twin(verify_books)


@_verb
def sync(
    entity: str | Iterable[str] | None = None,
    *,
    accounts: str | Iterable[str] | None = None,
    page_size: int = 1000,
    wait: bool = True,
    planned: bool = False,
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> _Call[SyncReport]:
    """Bring companies into step with QuickBooks: first everything, later what has changed, and deletions.

    A failure of one entity or company does not affect the others: see ``status`` and ``error`` of each in the report.

    Args:
        entity: A name from :func:`entities`, or several; None: all.
        accounts: Realm ids; None: every company of the token store, and the one that the settings name. An empty list
            is refused.
        page_size: Records in a page, 1 to 1000.
        wait: Wait for another sync that reads the company; otherwise its status is ``held``.
        planned: The companies are those of a plan, such as ``qbo_rs.buckets.plan`` makes: one that was forgotten since
            then is ``failed``, and the others are synced. Otherwise a company that is not known is an error, and none
            is synced.
        progress: Show the progress: on one line of stderr, or in a notebook. By default only in IPython and Jupyter.
        **settings: Override the environment.

    Returns:
        Counts a company and an entity.

    Raises:
        ConfigError: An argument or setting is unusable, no company is known, or the database cannot be reached.

    Example:
        >>> report = qbo_rs.sync(["customers", "invoices"], token_store="postgres")
        >>> [account.status for account in report.accounts]

    """
    return _Call(
        SyncReport.from_dict,
        "sync",
        settings,
        entities=_names(entity),
        accounts=named_companies(accounts),
        page_size=str(page_size),
        no_wait=not wait,
        planned=planned,
    ).showing(progress)


sync_async = _async_twin(sync)


def _optional_day(value: Instant | None) -> str | None:
    """Return a day as text; the time of a datetime says nothing."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return None if value is None else _instant(value)


@_verb
def reports(
    name: str | Iterable[str],
    start: Instant | None = None,
    end: Instant | None = None,
    *,
    basis: ReportBasis = "accrual",
    chunk: str | None = None,
    columns: Iterable[str] | None = None,
    parameters: Mapping[str, str] | None = None,
    changed: bool = False,
    rows: bool = True,
    schema: str = "raw",
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> _Call[ReportsReport]:
    """Copy reports of QuickBooks, such as the trial balance, into Postgres.

    Answers are compared with the question and refused if they answer another one.

    Args:
        name: A report, such as ``TrialBalance`` or ``profit_and_loss``, or several. ``qbo-rs reports --list`` lists
            them all.
        start: First day: a date, or text such as ``2025-01-01``. A report of one day does not need it.
        end: Last day, which belongs to the report, as in QuickBooks.
        basis: ``accrual`` or ``cash``.
        chunk: Land one report for each ``month``, ``quarter`` and so on, see :func:`chunk_range`; None: one for the
            whole range.
        columns: Keys of columns, each of which must come back; None: those that this package needs.
        parameters: Filters and forms of the report, such as ``{"customer": "17"}``.
        changed: Ask only for reports of days in which something has changed.
        rows: Give back the rows of the reports.
        schema: Schema of the raw tables; it holds one company.
        progress: Show the progress: on one line of stderr, or in a notebook. By default only in IPython and Jupyter.
        **settings: Override the environment.

    Returns:
        The reports with their rows. Those that failed are in it too: see :meth:`ReportsReport.raise_for_failures`.

    Raises:
        ConfigError: An argument, a setting or a table is unusable, or the database cannot be reached; nothing was sent.
        AuthError: The credentials were refused.

    Example:
        >>> result = qbo_rs.reports(["TrialBalance", "ProfitAndLoss"], "2025-01-01", "2025-12-31")
        >>> result.raise_for_failures()

    """
    return _Call(
        ReportsReport.from_dict,
        "reports",
        settings,
        names=_names(name),
        start=_optional_day(start),
        end=_optional_day(end),
        basis=basis,
        chunk=chunk,
        columns=list(columns or []),
        parameters=[f"{key}={value}" for key, value in (parameters or {}).items()],
        changed=changed,
        rows=rows,
        schema=schema,
    ).showing(progress)


reports_async = _async_twin(reports)


@_verb
def status(
    entity: str | Iterable[str] | None = None,
    *,
    start: Instant | None = None,
    end: Instant | None = None,
    tz: str = "UTC",
    validate: bool = False,
    schema: str | None = None,
    **settings: Unpack[Settings],
) -> _Call[StatusReport]:
    """Return what is committed, what is missing and what failed. Only the database is asked, not QuickBooks.

    Args:
        entity: A name from :func:`entities`, or several; None: all that have ever been loaded.
        start: First instant of the range to look for gaps in; None: the first committed instant.
        end: First instant after that range; needed with ``start``.
        tz: Zone of dates, such as ``America/Guayaquil``, see :func:`chunk_range`.
        validate: Check the tables, too, see :attr:`EntityStatus.checks`.
        schema: Schema of the raw tables; None: that of the company of the settings, else ``raw``.
        **settings: Override the environment.

    Returns:
        The same facts as ``qbo-rs status --json``.

    Raises:
        ConfigError: An argument or a setting is unusable, or the database cannot be reached.

    Example:
        >>> status = qbo_rs.status()
        >>> [(entity.entity, entity.rows, entity.gaps) for entity in status.entities]

    """
    if (start is None) != (end is None):
        missing = "start" if start is None else "end"
        raise ConfigError(f"{missing}: not given; a range needs both bounds")
    arguments = {"entities": _names(entity), "validate": validate, "tz": str(tz)} | _schema(schema)
    if start is not None and end is not None:
        arguments["range"] = _range(start, end)
    return _Call(StatusReport.from_dict, "status", settings, **arguments)


status_async = _async_twin(status)
