"""Runtime variables of the pipelines, checked and in the core's terms.

Mage passes a variable as text, number, boolean, list or date, depending on where it was set.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs._types import Window, format_instant, parse_instant
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PAGE_SIZE = 1000
DEFAULT_CHUNK = "day"
DEFAULT_PAGE_SIZE = 200
DEFAULT_SCHEMA = "raw"
TRUE = {"true", "1", "yes", "si", "sí"}
FALSE = {"false", "0", "no"}


@dataclass(frozen=True)
class RuntimeVariables:
    """The runtime variables of a backfill."""

    start: str
    """``fecha_inicio``: first instant of the range, UTC, as text that the core reads."""
    end: str
    """``fecha_fin``: first instant after the range, UTC, as text that the core reads."""
    chunk: str
    """Unit of a window, see :func:`qbo_rs.chunk_range`; default: ``day``. A bare number means days."""
    page_size: int
    """Records per page, 1 to 1000; default: 200."""
    resume: bool
    """True to skip windows that earlier runs committed; default: False."""
    schema: str
    """Schema of the raw tables; default: ``raw``."""

    def windows(self) -> list[Window]:
        """Return the windows of the range; a :class:`~qbo_rs.ConfigError` names the variable that is wrong."""
        pairs = _core.chunk_range(self.start, self.end, self.chunk, "fecha_inicio", "fecha_fin")
        return [Window(parse_instant(first), parse_instant(last)) for first, last in pairs]


def is_missing(value: object) -> bool:
    """Return True for None, blank text, and the text ``None``, which Mage's templates make of None."""
    return value is None or str(value).strip() in ("", "None")


def read_variables(kwargs: Mapping[str, Any]) -> RuntimeVariables:
    """Read the runtime variables of a block.

    Args:
        kwargs: Keywords that Mage passed to the block.

    Returns:
        The checked variables.

    Raises:
        ConfigError: A variable is missing or unusable; one line names all of them.

    Example:
        >>> from qbo_rs.mage import read_variables
        >>> read_variables({"fecha_inicio": "2025-01-01", "fecha_fin": "2025-02-01", "chunk": 7}).chunk
        '7d'

    """
    problems: list[str] = []
    bounds = [_instant(name, kwargs, problems) for name in ("fecha_inicio", "fecha_fin")]
    variables = RuntimeVariables(
        start=bounds[0],
        end=bounds[1],
        chunk=_chunk(kwargs.get("chunk")),
        page_size=_page_size(kwargs.get("page_size"), problems),
        resume=_flag("resume", kwargs.get("resume"), problems),
        schema=DEFAULT_SCHEMA if is_missing(kwargs.get("schema")) else str(kwargs["schema"]).strip(),
    )
    if all(bounds):
        try:
            variables.windows()
        except ConfigError as error:
            problems.insert(0, str(error))
    if problems:
        raise ConfigError("runtime variables: " + "; ".join(problems))
    return variables


def _instant(name: str, kwargs: Mapping[str, Any], problems: list[str]) -> str:
    value = kwargs.get(name)
    if is_missing(value):
        problems.append(f"{name}: missing; write 2025-01-31 or 2025-01-31T00:00:00Z")
        return ""
    if isinstance(value, datetime):
        return format_instant(value)
    return value.isoformat() if isinstance(value, date) else str(value).strip()


def _chunk(value: object) -> str:
    if is_missing(value):
        return DEFAULT_CHUNK
    text = str(value).strip().lower()
    # A bare number means days; Mage turns a 7 in a field into a number.
    return f"{text}d" if text.isdecimal() else text


def _page_size(value: object, problems: list[str]) -> int:
    if is_missing(value):
        return DEFAULT_PAGE_SIZE
    text = str(value).strip()
    if text.isdecimal() and 1 <= int(text) <= MAX_PAGE_SIZE:
        return int(text)
    problems.append(f"page_size: '{text}' is not between 1 and {MAX_PAGE_SIZE}")
    return DEFAULT_PAGE_SIZE


def _flag(name: str, value: object, problems: list[str]) -> bool:
    if is_missing(value):
        return False
    text = str(value).strip().lower()
    if text not in TRUE | FALSE:
        problems.append(f"{name}: '{text}' is neither true nor false")
    return text in TRUE
