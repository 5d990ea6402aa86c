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
from qbo_rs.mage._zones import Clock, find_zone, is_missing, local_instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

MAX_PAGE_SIZE = 1000
DEFAULT_CHUNK = "day"
DEFAULT_PAGE_SIZE = 200
DEFAULT_SCHEMA = "raw"
TRUE = {"true", "1", "yes", "si", "sí"}
FALSE = {"false", "0", "no"}
# A range that fits every chunk.
A_DAY = ("2025-01-01", "2025-01-02")


@dataclass(frozen=True)
class RuntimeVariables:
    """The runtime variables of a backfill."""

    start: str
    """``fecha_inicio``: first instant of the range, as text that the core reads; a date is one of ``zona``, or UTC."""
    end: str
    """``fecha_fin``: first instant after the range, in the same form."""
    chunk: str
    """Unit of a window, see :func:`qbo_rs.chunk_range`; default: ``day``. A bare number means days."""
    page_size: int
    """Records per page, 1 to 1000; default: 200."""
    resume: bool
    """True to skip windows that earlier runs committed; default: False."""
    schema: str
    """Schema of the raw tables; default: ``raw``."""
    clock: Clock
    """Zone of the range, from ``zona``; default: UTC."""

    def windows(self) -> list[Window]:
        """Return the windows of the range; a :class:`~qbo_rs.ConfigError` names the variable that is wrong."""
        pairs = _core.chunk_range(self.start, self.end, self.chunk, "fecha_inicio", "fecha_fin")
        return [Window(parse_instant(first), parse_instant(last)) for first, last in pairs]


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
    problems = Problems()
    zone = _zone(kwargs.get("zona"), problems)
    bounds = [_instant(name, kwargs, zone, problems) for name in ("fecha_inicio", "fecha_fin")]
    variables = RuntimeVariables(
        start=bounds[0],
        end=bounds[1],
        chunk=_chunk(kwargs.get("chunk"), problems),
        page_size=_page_size(kwargs.get("page_size"), problems),
        resume=_flag("resume", kwargs.get("resume"), problems),
        schema=DEFAULT_SCHEMA if is_missing(kwargs.get("schema")) else str(kwargs["schema"]).strip(),
        clock=Clock.of(kwargs.get("zona")),
    )
    if all(bounds):
        try:
            variables.windows()
        except ConfigError as error:
            problems.add(str(error), _in_spanish(str(error), *bounds), is_first=True)
    problems.raise_any()
    return variables


class Problems:
    """The variables that are wrong, in English and in Spanish."""

    def __init__(self) -> None:
        """Begin with none."""
        self._english: list[str] = []
        self._spanish: list[str] = []

    def add(self, english: str, spanish: str, *, is_first: bool = False) -> None:
        """Add a problem."""
        for texts, text in ((self._english, english), (self._spanish, spanish)):
            texts.insert(0 if is_first else len(texts), text)

    def raise_any(self) -> None:
        """Raise one error that names all problems.

        Raises:
            ConfigError: There is a problem.

        """
        if self._english:
            english, spanish = "; ".join(self._english), "; ".join(self._spanish)
            raise ConfigError(f"runtime variables: {english} | variables: {spanish}")


def _zone(value: object, problems: Problems) -> ZoneInfo | None:
    if is_missing(value):
        return None
    try:
        return find_zone(value)
    except ConfigError as error:
        text = str(value).strip()
        problems.add(str(error), f"zona: no existe la zona horaria '{text}'; escriba America/Guayaquil o UTC")
        return None


def _instant(name: str, kwargs: Mapping[str, Any], zone: ZoneInfo | None, problems: Problems) -> str:
    value = kwargs.get(name)
    if is_missing(value):
        problems.add(
            f"{name}: missing; write 2025-01-31 or 2025-01-31T00:00:00Z",
            f"{name}: falta; escriba 2025-01-31 o 2025-01-31T00:00:00Z",
        )
        return ""
    if isinstance(value, datetime):
        return format_instant(value.replace(tzinfo=zone) if zone and value.tzinfo is None else value)
    text = value.isoformat() if isinstance(value, date) else str(value).strip()
    if zone is None:
        return text
    try:
        return format_instant(local_instant(text, zone))
    except (ValueError, OverflowError):
        problems.add(
            f"{name}: cannot read '{text}' as a date; write 2025-01-31 or 2025-01-31T00:00:00Z",
            _unreadable(name, text),
        )
        return ""


def _in_spanish(error: str, start: str, end: str) -> str:
    """Say in Spanish what is wrong with a range."""
    for name, text in (("fecha_inicio", start), ("fecha_fin", end)):
        if not _is_readable(text):
            return _unreadable(name, text)
    if not error.startswith("fecha_fin:"):
        return error
    return f"fecha_fin: '{end}' no es posterior a fecha_inicio '{start}'; el día de fecha_fin no se incluye"


def _unreadable(name: str, text: str) -> str:
    return f"{name}: '{text}' no se entiende como fecha; escriba 2025-01-31 o 2025-01-31T00:00:00Z"


def _is_readable(text: str) -> bool:
    """Return True if the core reads the text as a date."""
    try:
        _core.chunk_range("0001-01-01", text, "9999d")
    except ConfigError:
        return False
    return True


def _chunk(value: object, problems: Problems) -> str:
    if is_missing(value):
        return DEFAULT_CHUNK
    text = str(value).strip().lower()
    # A bare number means days; Mage turns a 7 in a field into a number.
    chunk = f"{text}d" if text.isdecimal() else text
    try:
        _core.chunk_range(*A_DAY, chunk)
    except ConfigError as error:
        sizes = "day, week, month, quarter, year, o días: 50d"
        problems.add(str(error), f"chunk: '{text}' no es un tamaño de tramo; escriba {sizes}")
        return DEFAULT_CHUNK
    return chunk


def _page_size(value: object, problems: Problems) -> int:
    if is_missing(value):
        return DEFAULT_PAGE_SIZE
    text = str(value).strip()
    if text.isdecimal() and 1 <= int(text) <= MAX_PAGE_SIZE:
        return int(text)
    problems.add(
        f"page_size: '{text}' is not between 1 and {MAX_PAGE_SIZE}",
        f"page_size: '{text}' no está entre 1 y {MAX_PAGE_SIZE}",
    )
    return DEFAULT_PAGE_SIZE


def _flag(name: str, value: object, problems: Problems) -> bool:
    if is_missing(value):
        return False
    text = str(value).strip().lower()
    if text not in TRUE | FALSE:
        problems.add(f"{name}: '{text}' is neither true nor false", f"{name}: '{text}' no es true ni false")
    return text in TRUE
