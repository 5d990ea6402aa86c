"""Exceptions, grouped by the reaction that they call for.

Every exception is a :class:`QboError` whose ``recovery`` is ``"retry"`` (the same call may succeed later),
``"reauthorise"`` (a person must connect the company again) or ``"abort"`` (input, settings or data must change). A
panic in the core is an ordinary :class:`InternalError`, never a bare ``BaseException``. No message holds a secret.

Example:
    ::

        try:
            qbo_rs.backfill("invoices", "2025-01-01", "2025-02-01").raise_for_failures()
        except qbo_rs.QboError as error:
            if error.recovery != "retry":
                raise
            schedule_again()

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from qbo_rs._language import spoken

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = [
    "ApiError",
    "AuthError",
    "BusyError",
    "CircuitOpenError",
    "CompanyClosedError",
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
    "UnavailableError",
]

Recovery = Literal["retry", "reauthorise", "abort"]
"""The reaction to an error: call again later, connect the company again, or change input, settings or data."""


class QboError(Exception):
    """Base class of all exceptions of this package.

    Attributes:
        recovery: Reaction that the error calls for.
        attempts: Number of times the request was sent.
        elapsed: Time from the first attempt until the call gave up; None if nothing was sent.
        code: Intuit's fault code, if there was one.
        intuit_tid: Intuit's id of the request, for its support.

    """

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
        """Make an error.

        Args:
            message: English text of one line. The error says it in the language of the command.
            recovery: Reaction that the error calls for.
            attempts: Number of times the request was sent.
            elapsed: Time from the first attempt until the call gave up; None if nothing was sent.
            code: Intuit's fault code, if there was one.
            intuit_tid: Intuit's id of the request, for its support.

        """
        super().__init__(spoken(message))
        self.recovery = recovery
        self.attempts = attempts
        self.elapsed = elapsed
        self.code = code
        self.intuit_tid = intuit_tid


class _OneLineError(QboError):
    """A failure whose text says all: IPython and Jupyter show it and the line of the call instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        # Texts of others must not drive a terminal.
        text = "".join(character if character.isprintable() else " " for character in str(self))
        return [f"\x1b[31m{type(self).__name__}\x1b[0m{_place_of_call(self)}: {text}"]


def _place_of_call(error: BaseException) -> str:
    """Return the line from which this package was called, or nothing if it is unknown."""
    from pathlib import Path  # noqa: PLC0415 - an import of the package shall not import it

    package, place = Path(__file__).parent, ""
    step = error.__traceback__
    while step is not None:
        path = Path(step.tb_frame.f_code.co_filename)
        if path.parent == package:
            return place
        # The text of a cell is in no file.
        where = path.name if path.exists() else "the cell"
        place = f" (line {step.tb_lineno} of {where})"
        step = step.tb_next
    return ""


class ConfigError(_OneLineError, ValueError):
    """An argument or setting is missing or unusable. Nothing was sent to QuickBooks."""


class AuthError(_OneLineError):
    """QuickBooks refused the credentials."""


class PermissionDeniedError(AuthError):
    """The token is valid, but not for this company or host (fault 3100)."""


class UnavailableError(_OneLineError):
    """The company's plan or country does not have this entity; other entities are not affected."""


class CompanyClosedError(_OneLineError):
    """The company answers no request: its subscription has ended, or it was suspended (fault 6190)."""


class RetriableError(_OneLineError):
    """The same call may succeed later."""


class RateLimitedError(RetriableError):
    """QuickBooks still throttled the request when attempts or time ran out, or asks for a longer wait.

    Attributes:
        retry_after: Wait that the server asked for; None if it named none.

    """

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None, **attributes: object) -> None:
        """Make an error; ``retry_after`` is the wait that the server asked for, the others are :class:`QboError`'s."""
        super().__init__(message, **attributes)  # type: ignore[arg-type]
        self.retry_after = retry_after


class TransportError(RetriableError, ConnectionError):
    """No usable response came."""


class CircuitOpenError(RetriableError):
    """QuickBooks has not responded for so long that the circuit breaker holds all requests back for now."""


class BusyError(RetriableError):
    """Another run or sync reads the same, or has taken over; committed windows stay."""


class RequestCapError(RetriableError):
    """The requests that ``max_requests`` or ``max_monthly_reads`` allows are sent; committed windows stay."""


class StoppedError(RetriableError):
    """The call was stopped from outside; committed windows stay."""


class ApiError(_OneLineError):
    """QuickBooks answered with a fault.

    Attributes:
        status: HTTP status.
        code: Intuit's fault code, or ``none``.

    """

    def __init__(self, message: str = "", *, status: int = 0, code: str = "", **attributes: object) -> None:
        """Make an error; ``status`` is the HTTP status, ``code`` is Intuit's fault code or ``none``."""
        super().__init__(message, code=code, **attributes)  # type: ignore[arg-type]
        self.status = status


class DataError(QboError, ValueError):
    """Data cannot be understood: a response, a landing line, or a record without an id."""


class DatabaseError(_OneLineError):
    """Postgres refused a statement, or the connection to it failed.

    Attributes:
        sqlstate: Postgres's error code; None if the connection failed.

    """

    def __init__(self, message: str = "", *, sqlstate: str | None = None, **attributes: object) -> None:
        """Make an error; ``sqlstate`` is Postgres's error code, None if the connection failed."""
        super().__init__(message, **attributes)  # type: ignore[arg-type]
        self.sqlstate = sqlstate


class StuckError(_OneLineError):
    """A window, or a block of Mage, has killed its process ``max_attempts`` times and is not tried again."""


class LandingError(_OneLineError, OSError):
    """A landing file could not be read or written."""


class IncompleteReport(Protocol):
    """The report of an :class:`IncompleteError`: a :class:`~qbo_rs.Report` or a :class:`~qbo_rs.RunReport`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able data."""

    def raise_for_failures(self) -> None:
        """Raise an error if anything is missing."""


class IncompleteError(_OneLineError):
    """Some windows failed or some records were rejected; everything else is committed.

    Attributes:
        report: Report of the run that is not complete, a :class:`~qbo_rs.RunReport`.

    """

    def __init__(self, message: str, *, report: IncompleteReport, recovery: Recovery = "retry") -> None:
        """Make an error from the report that is not complete; ``recovery`` is the reaction that it calls for."""
        super().__init__(message, recovery=recovery)
        self.report = report


class InternalError(QboError, RuntimeError):
    """A defect of this package, such as a panic in its core."""
