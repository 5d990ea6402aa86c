"""QuickBooks Online records into Postgres: exact, fast and restartable.

The verbs are :func:`chunk_range`, :func:`extract`, :func:`upsert` and :func:`backfill`, which does all three,
:func:`verify`, which compares, and :func:`sync`, which keeps in step; those that wait have an ``_async`` twin.
:func:`records` gives records to a notebook, without a database.
:func:`sandbox` simulates QuickBooks on this machine. Settings come from the environment, and every one is also a
keyword: ``QBO_REALM_ID`` is ``realm_id``, ``PG_HOST`` is ``pg_host``.

Example:
    >>> import qbo_rs
    >>> [str(w) for w in qbo_rs.chunk_range("2025-01-31", "2025-04-01", "month")]
    ['[2025-01-31T00:00:00Z, 2025-02-28T00:00:00Z)', '[2025-02-28T00:00:00Z, 2025-03-31T00:00:00Z)', \
'[2025-03-31T00:00:00Z, 2025-04-01T00:00:00Z)']

"""

import warnings

from qbo_rs import exceptions
from qbo_rs._core import __version__
from qbo_rs._core import is_debug_build as _is_debug_build
from qbo_rs._records import Records, records
from qbo_rs._sandbox import Sandbox, sandbox
from qbo_rs._settings import Settings
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
)
from qbo_rs._verbs import (
    backfill,
    backfill_async,
    chunk_range,
    entities,
    extract,
    extract_async,
    sync,
    sync_async,
    upsert,
    upsert_async,
    verify,
    verify_async,
)
from qbo_rs.exceptions import (
    ApiError,
    AuthError,
    CircuitOpenError,
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
)

__all__ = [
    "AccountSync",
    "ApiError",
    "AuthError",
    "CircuitOpenError",
    "ConfigError",
    "Connection",
    "DataError",
    "DatabaseError",
    "EntitySync",
    "IncompleteError",
    "InternalError",
    "KnownReject",
    "Landing",
    "LandingError",
    "PermissionDeniedError",
    "QboError",
    "RateLimitedError",
    "Records",
    "Report",
    "RequestCapError",
    "RetriableError",
    "RunReport",
    "Sandbox",
    "Settings",
    "StoppedError",
    "StuckError",
    "SyncReport",
    "Totals",
    "TransportError",
    "Verification",
    "VerificationReport",
    "Window",
    "WindowDifference",
    "WindowReport",
    "__version__",
    "backfill",
    "backfill_async",
    "chunk_range",
    "entities",
    "exceptions",
    "extract",
    "extract_async",
    "records",
    "sandbox",
    "sync",
    "sync_async",
    "upsert",
    "upsert_async",
    "verify",
    "verify_async",
]

if _is_debug_build():
    warnings.warn("qbo_rs was compiled without --release and is slow", RuntimeWarning, stacklevel=2)
