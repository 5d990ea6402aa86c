"""Runtime variables of the pipelines, checked and in the core's terms.

Mage passes a variable as text, number, boolean, list or date, depending on where it was set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs._language import english
from qbo_rs._types import Window, format_instant, parse_instant
from qbo_rs.exceptions import ConfigError
from qbo_rs.mage._spanish import InBoth
from qbo_rs.mage._zones import Clock, find_zone, is_missing

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PAGE_SIZE = 1000
DEFAULT_CHUNK = "day"
DEFAULT_PAGE_SIZE = 200
DEFAULT_SCHEMA = "raw"
TRUE = {"true", "1", "yes", "si", "sí"}
FALSE = {"false", "0", "no"}
# A range that fits every chunk.
A_DAY = ("2025-01-01", "2025-01-02")
# A local time, to which the core wants seconds.
WITHOUT_SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}")


@dataclass(frozen=True)
class RuntimeVariables:
    """The runtime variables of a backfill."""

    start: str
    """``fecha_inicio``: first instant of the range, as text that the core reads; with ``zona`` it is in UTC already."""
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

    @property
    def tz(self) -> str:
        """Name of the zone in which days and months begin."""
        return str(self.clock.ranges)

    def windows(self) -> list[Window]:
        """Return the windows of the range; a :class:`~qbo_rs.ConfigError` names the variable that is wrong."""
        pairs = _core.chunk_range(self.start, self.end, self.chunk, "fecha_inicio", "fecha_fin", self.tz)
        return [Window(parse_instant(first), parse_instant(last)) for first, last in pairs]


@english()
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
    has_zone = _has_zone(kwargs.get("zona"), problems)
    bounds = [_bound(name, kwargs, problems, has_zone=has_zone) for name in ("fecha_inicio", "fecha_fin")]
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
            windows = variables.windows()
            if has_zone:
                start, end = windows[0].start, windows[-1].end
                variables = replace(variables, start=format_instant(start), end=format_instant(end))
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
            raise ConfigError(InBoth(f"runtime variables: {english}", f"variables: {spanish}"))


def _has_zone(value: object, problems: Problems) -> bool:
    if is_missing(value):
        return False
    try:
        find_zone(value)
    except ConfigError as error:
        text = str(value).strip()
        problems.add(str(error), f"zona: no existe la zona horaria '{text}'; escriba America/Guayaquil o UTC")
        return False
    return True


def _bound(name: str, kwargs: Mapping[str, Any], problems: Problems, *, has_zone: bool) -> str:
    """Return a bound as text for the core, which reads dates and local times in the zone."""
    value = kwargs.get(name)
    if is_missing(value):
        problems.add(
            f"{name}: missing; write 2025-01-31 or 2025-01-31T00:00:00Z",
            f"{name}: falta; escriba 2025-01-31 o 2025-01-31T00:00:00Z",
        )
        return ""
    if isinstance(value, datetime) and (value.tzinfo is not None or not has_zone):
        return format_instant(value)
    text = value.isoformat() if isinstance(value, date) else str(value).strip()
    return f"{text}:00" if WITHOUT_SECONDS.fullmatch(text) else text


def _in_spanish(error: str, start: str, end: str) -> str:
    """Say in Spanish what is wrong with a range."""
    if error.startswith("fecha_fin:") and "is not after" in error:
        return f"fecha_fin: '{end}' no es posterior a fecha_inicio '{start}'; el día de fecha_fin no se incluye"
    return _core.in_spanish(error)


def _chunk(value: object, problems: Problems) -> str:
    if is_missing(value):
        return DEFAULT_CHUNK
    text = str(value).strip().lower()
    # A bare number means days; Mage turns a 7 in a field into a number.
    chunk = f"{text}d" if text.isdecimal() else text
    try:
        _core.chunk_range(*A_DAY, chunk)
    except ConfigError as error:
        sizes = "hora, día, semana, mes, trimestre, año, o días: 50d"
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
