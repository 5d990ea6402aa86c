"""Exceptions, by what one can do about them.

Every one is a :class:`QboError` with ``recovery``: ``"retry"`` (the same call may succeed later), ``"reauthorise"`` (a
person must connect the company again) or ``"abort"`` (input, settings or data must change). None is a ``BaseException``
only, not even for a panic in the core, and no text holds a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import timedelta

    from qbo_rs._types import Report, RunReport

__all__ = [
    "ApiError",
    "AuthError",
    "CircuitOpenError",
    "ConfigError",
    "DataError",
    "DatabaseError",
    "IncompleteError",
    "InternalError",
    "LandingError",
    "PermissionDeniedError",
    "QboError",
    "RateLimitedError",
    "RequestCapError",
    "RetriableError",
    "StoppedError",
    "StuckError",
    "TransportError",
]

Recovery = Literal["retry", "reauthorise", "abort"]


class QboError(Exception):
    """Base of all exceptions of this package."""

    def __init__(
        self,
        message: str = "",
        *,
        recovery: Recovery = "abort",
        attempts: int = 1,
        elapsed: timedelta | None = None,
        code: str | None = None,
        intuit_tid: str | None = None,
    ) -> None:
        """Make one.

        Args:
            message: One line.
            recovery: What to do about it.
            attempts: How often the request was sent.
            elapsed: From the first attempt to giving up; None where nothing was sent.
            code: Intuit's fault code, where there was one.
            intuit_tid: Intuit's id of the request, for its support.

        """
        super().__init__(message)
        self.recovery = recovery
        self.attempts = attempts
        self.elapsed = elapsed
        self.code = code
        self.intuit_tid = intuit_tid


class ConfigError(QboError, ValueError):
    """An argument or setting is missing or unusable. Nothing was sent to QuickBooks."""


class AuthError(QboError):
    """QuickBooks refused the credentials."""


class PermissionDeniedError(AuthError):
    """The token is good, but not for this company or host (fault 3100)."""


class RetriableError(QboError):
    """The same call may succeed later."""


class RateLimitedError(RetriableError):
    """Still throttled when tries or time ran out."""

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None, **attributes: object) -> None:
        """Make one; ``retry_after`` is the wait that the server asked for, if it did."""
        super().__init__(message, **attributes)  # type: ignore[arg-type]
        self.retry_after = retry_after


class TransportError(RetriableError, ConnectionError):
    """No usable answer came."""


class CircuitOpenError(RetriableError):
    """QuickBooks has not answered for so long that nothing more is sent for now."""


class RequestCapError(RetriableError):
    """The call has sent as many requests as ``max_requests`` allows; committed windows stay."""


class StoppedError(RetriableError):
    """The call was stopped from outside; committed windows stay."""


class ApiError(QboError):
    """QuickBooks answered with a fault."""

    def __init__(self, message: str = "", *, status: int = 0, code: str = "", **attributes: object) -> None:
        """Make one; ``status`` is that of HTTP, ``code`` Intuit's fault code or ``none``."""
        super().__init__(message, code=code, **attributes)  # type: ignore[arg-type]
        self.status = status


class DataError(QboError, ValueError):
    """Data that cannot be understood: an answer, a landing line, a record without an id."""


class DatabaseError(QboError):
    """Postgres refused or went away."""

    def __init__(self, message: str = "", *, sqlstate: str | None = None, **attributes: object) -> None:
        """Make one; ``sqlstate`` is the server's code, None if the connection failed."""
        super().__init__(message, **attributes)  # type: ignore[arg-type]
        self.sqlstate = sqlstate


class StuckError(QboError):
    """A window has ended its process so often that it is not tried again."""


class LandingError(QboError, OSError):
    """A landing file could not be read or written."""


class IncompleteError(QboError):
    """Some windows failed or some records were rejected; the others are committed. See ``report``."""

    def __init__(self, message: str, *, report: Report | RunReport) -> None:
        """Make one from the report that is not complete."""
        super().__init__(message, recovery="retry")
        self.report = report


class InternalError(QboError, RuntimeError):
    """A defect of this package, such as a panic in its core."""
