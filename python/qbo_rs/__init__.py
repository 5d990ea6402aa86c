"""Replicates QuickBooks Online into Postgres: exact, fast and restartable.

A short tour:

* :func:`backfill` copies a range of time into Postgres. Its steps are also functions: :func:`chunk_range` cuts the
  range into windows, :func:`extract` copies windows into landing files, and :func:`upsert` loads landing files.
* :func:`verify` compares a range of QuickBooks with the tables.
* :func:`status` says what is committed, what is missing and what failed.
* :func:`sync` copies changes and deletions since the last call, for every connected company.
* :func:`records` reads records into a notebook, without a database; :func:`table` reads those that Postgres holds. Both
  make tables of Arrow, pandas, polars and DuckDB, with a fixed type for every column.
* :func:`reports` copies reports of QuickBooks, such as the trial balance, into Postgres.
* :func:`check` looks at settings, tokens, the company and the database, and says what to do about each that is wrong.
* :func:`sandbox` starts a simulated QuickBooks on this machine, for tests and first steps.
* :func:`entities` lists the entities.

A function that sends requests blocks without the GIL and has an ``_async`` twin for ``asyncio``. Windows that fail are
in the report, which has ``raise_for_failures()``; everything else raises a :class:`QboError`, see
:mod:`qbo_rs.exceptions`. The log goes to :mod:`logging`, below the logger ``qbo_rs``.

Settings come from the environment. Each is also a keyword, which takes precedence: ``QBO_REALM_ID`` is ``realm_id``,
``PG_HOST`` is ``pg_host``. :class:`Settings` documents them all.

In a notebook, results are tables and calendars, and calls show their progress; ``progress=True`` shows it elsewhere.

Example:
    The invoices of a simulated company, first without a database, then in Postgres::

        import os

        import qbo_rs

        with qbo_rs.sandbox() as qbo:
            os.environ.update(qbo.environment)
            invoices = list(qbo_rs.records("invoices", "2025-01-01", "2026-01-01"))
            print(len(invoices), invoices[0]["TotalAmt"])

            os.environ["DATABASE_URL"] = "postgresql://me:secret@localhost/books"
            report = qbo_rs.backfill("invoices", "2025-01-01", "2026-01-01", "month")
            report.raise_for_failures()
            print(report.rows)

    The windows of a range:

    >>> import qbo_rs
    >>> [str(window) for window in qbo_rs.chunk_range("2025-01-31", "2025-04-01", "month")]
    ['[2025-01-31T00:00:00Z, 2025-02-28T00:00:00Z)', '[2025-02-28T00:00:00Z, 2025-03-31T00:00:00Z)', \
'[2025-03-31T00:00:00Z, 2025-04-01T00:00:00Z)']

"""

import importlib
import warnings

from qbo_rs._core import __version__
from qbo_rs._core import is_debug_build as _is_debug_build

# `TYPE_CHECKING` of typing: importing it takes a third of the time of `qbo-rs --help`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from qbo_rs import exceptions
    from qbo_rs._books import (
        AccountBooks,
        BooksReport,
        CauseAmount,
        CompanyBooks,
        MonthBooks,
        PartyBooks,
        TransactionBooks,
        TransactionLine,
    )
    from qbo_rs._check import CheckLine, CheckReport, check, check_async
    from qbo_rs._records import Records, Table, records, records_async, table
    from qbo_rs._reports import QuickBooksReport, ReportAnswer, ReportRow, ReportsReport
    from qbo_rs._sandbox import Sandbox, sandbox
    from qbo_rs._settings import Settings
    from qbo_rs._status import (
        AccountState,
        Archive,
        Difference,
        EntityStatus,
        Finding,
        LastRun,
        LastSync,
        SchemaDrift,
        StatusReport,
        TableCheck,
        TieOut,
        UnavailableEntity,
        UnfinishedWindow,
    )
    from qbo_rs._tables import Columns
    from qbo_rs._types import (
        AccountSync,
        Connection,
        EntitySync,
        KnownReject,
        Landing,
        Report,
        RunReport,
        SyncReport,
        Totals,
        Verification,
        VerificationReport,
        Window,
        WindowDifference,
        WindowReport,
        WindowReports,
        Windows,
    )
    from qbo_rs._verbs import (
        backfill,
        backfill_async,
        chunk_range,
        entities,
        extract,
        extract_async,
        reports,
        reports_async,
        status,
        status_async,
        sync,
        sync_async,
        upsert,
        upsert_async,
        verify,
        verify_async,
        verify_books,
        verify_books_async,
    )
    from qbo_rs.exceptions import (
        ApiError,
        AuthError,
        BusyError,
        CircuitOpenError,
        CompanyClosedError,
        ConfigError,
        DatabaseError,
        DataError,
        IncompleteError,
        InternalError,
        LandingError,
        PermissionDeniedError,
        QboError,
        RateLimitedError,
        RequestCapError,
        RetriableError,
        StoppedError,
        StuckError,
        TransportError,
        UnavailableError,
    )

# The module of each name. It is imported when the name is asked for first: the command needs none of them.
_MODULES = {
    "AccountBooks": "_books",
    "BooksReport": "_books",
    "CauseAmount": "_books",
    "CompanyBooks": "_books",
    "MonthBooks": "_books",
    "PartyBooks": "_books",
    "TransactionBooks": "_books",
    "TransactionLine": "_books",
    "CheckLine": "_check",
    "CheckReport": "_check",
    "check": "_check",
    "check_async": "_check",
    "Records": "_records",
    "Table": "_records",
    "records": "_records",
    "records_async": "_records",
    "table": "_records",
    "QuickBooksReport": "_reports",
    "ReportAnswer": "_reports",
    "ReportRow": "_reports",
    "ReportsReport": "_reports",
    "Sandbox": "_sandbox",
    "sandbox": "_sandbox",
    "Settings": "_settings",
    "AccountState": "_status",
    "Archive": "_status",
    "Difference": "_status",
    "EntityStatus": "_status",
    "Finding": "_status",
    "LastRun": "_status",
    "LastSync": "_status",
    "SchemaDrift": "_status",
    "StatusReport": "_status",
    "TableCheck": "_status",
    "TieOut": "_status",
    "UnavailableEntity": "_status",
    "UnfinishedWindow": "_status",
    "Columns": "_tables",
    "AccountSync": "_types",
    "Connection": "_types",
    "EntitySync": "_types",
    "KnownReject": "_types",
    "Landing": "_types",
    "Report": "_types",
    "RunReport": "_types",
    "SyncReport": "_types",
    "Totals": "_types",
    "Verification": "_types",
    "VerificationReport": "_types",
    "Window": "_types",
    "WindowDifference": "_types",
    "WindowReport": "_types",
    "WindowReports": "_types",
    "Windows": "_types",
    "backfill": "_verbs",
    "backfill_async": "_verbs",
    "chunk_range": "_verbs",
    "entities": "_verbs",
    "extract": "_verbs",
    "extract_async": "_verbs",
    "reports": "_verbs",
    "reports_async": "_verbs",
    "status": "_verbs",
    "status_async": "_verbs",
    "sync": "_verbs",
    "sync_async": "_verbs",
    "upsert": "_verbs",
    "upsert_async": "_verbs",
    "verify": "_verbs",
    "verify_async": "_verbs",
    "verify_books": "_verbs",
    "verify_books_async": "_verbs",
    "ApiError": "exceptions",
    "AuthError": "exceptions",
    "BusyError": "exceptions",
    "CircuitOpenError": "exceptions",
    "CompanyClosedError": "exceptions",
    "ConfigError": "exceptions",
    "DatabaseError": "exceptions",
    "DataError": "exceptions",
    "IncompleteError": "exceptions",
    "InternalError": "exceptions",
    "LandingError": "exceptions",
    "PermissionDeniedError": "exceptions",
    "QboError": "exceptions",
    "RateLimitedError": "exceptions",
    "RequestCapError": "exceptions",
    "RetriableError": "exceptions",
    "StoppedError": "exceptions",
    "StuckError": "exceptions",
    "TransportError": "exceptions",
    "UnavailableError": "exceptions",
}

__all__ = [
    "AccountBooks",
    "AccountState",
    "AccountSync",
    "ApiError",
    "Archive",
    "AuthError",
    "BooksReport",
    "BusyError",
    "CauseAmount",
    "CheckLine",
    "CheckReport",
    "CircuitOpenError",
    "Columns",
    "CompanyBooks",
    "CompanyClosedError",
    "ConfigError",
    "Connection",
    "DataError",
    "DatabaseError",
    "Difference",
    "EntityStatus",
    "EntitySync",
    "Finding",
    "IncompleteError",
    "InternalError",
    "KnownReject",
    "Landing",
    "LandingError",
    "LastRun",
    "LastSync",
    "MonthBooks",
    "PartyBooks",
    "PermissionDeniedError",
    "QboError",
    "QuickBooksReport",
    "RateLimitedError",
    "Records",
    "Report",
    "ReportAnswer",
    "ReportRow",
    "ReportsReport",
    "RequestCapError",
    "RetriableError",
    "RunReport",
    "Sandbox",
    "SchemaDrift",
    "Settings",
    "StatusReport",
    "StoppedError",
    "StuckError",
    "SyncReport",
    "Table",
    "TableCheck",
    "TieOut",
    "Totals",
    "TransactionBooks",
    "TransactionLine",
    "TransportError",
    "UnavailableEntity",
    "UnavailableError",
    "UnfinishedWindow",
    "Verification",
    "VerificationReport",
    "Window",
    "WindowDifference",
    "WindowReport",
    "WindowReports",
    "Windows",
    "__version__",
    "backfill",
    "backfill_async",
    "check",
    "check_async",
    "chunk_range",
    "entities",
    "exceptions",
    "extract",
    "extract_async",
    "records",
    "records_async",
    "reports",
    "reports_async",
    "sandbox",
    "status",
    "status_async",
    "sync",
    "sync_async",
    "table",
    "upsert",
    "upsert_async",
    "verify",
    "verify_async",
    "verify_books",
    "verify_books_async",
]


def __getattr__(name: str) -> object:
    """Import the module of a name."""
    if name == "exceptions":
        return importlib.import_module("qbo_rs.exceptions")
    module = _MODULES.get(name)
    if module is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names that users need."""
    return __all__


if _is_debug_build():
    warnings.warn("qbo_rs was compiled without --release and is slow", RuntimeWarning, stacklevel=2)
