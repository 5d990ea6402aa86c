"""Runtime variables: what people write in Mage's fields, checked and in the core's terms.

Mage hands on whatever it parsed: text, numbers, booleans, lists, dates, depending on where a variable was set.
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

LARGEST_PAGE = 1000
DEFAULT_CHUNK = "day"
DEFAULT_PAGE_SIZE = 200
DEFAULT_SCHEMA = "raw"
TRUE = {"true", "1", "yes", "si", "sí"}
FALSE = {"false", "0", "no"}


@dataclass(frozen=True)
class RuntimeVariables:
    """The variables of a run. ``start`` and ``end`` bound the half-open range, as text that the core reads."""

    start: str
    end: str
    chunk: str
    page_size: int
    resume: bool
    schema: str

    def windows(self) -> list[Window]:
        """Cut the range; a :class:`~qbo_rs.ConfigError` names the variable that is wrong."""
        pairs = _core.chunk_range(self.start, self.end, self.chunk, "fecha_inicio", "fecha_fin")
        return [Window(parse_instant(first), parse_instant(last)) for first, last in pairs]


def is_missing(value: object) -> bool:
    """Whether Mage has no value: None, nothing but blanks, or the text ``None`` that its templates make of None."""
    return value is None or str(value).strip() in ("", "None")


def read_variables(kwargs: Mapping[str, Any]) -> RuntimeVariables:
    """Read the runtime variables of a block.

    Args:
        kwargs: What Mage gave the block.

    Returns:
        The variables, all of them usable.

    Raises:
        ConfigError: One line that names everything that is wrong.

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
    # Of a bare number, which is what Mage makes of 7 in a field, days are meant.
    return f"{text}d" if text.isdecimal() else text


def _page_size(value: object, problems: list[str]) -> int:
    if is_missing(value):
        return DEFAULT_PAGE_SIZE
    text = str(value).strip()
    if text.isdecimal() and 1 <= int(text) <= LARGEST_PAGE:
        return int(text)
    problems.append(f"page_size: '{text}' is not between 1 and {LARGEST_PAGE}")
    return DEFAULT_PAGE_SIZE


def _flag(name: str, value: object, problems: list[str]) -> bool:
    if is_missing(value):
        return False
    text = str(value).strip().lower()
    if text not in TRUE | FALSE:
        problems.append(f"{name}: '{text}' is neither true nor false")
    return text in TRUE
