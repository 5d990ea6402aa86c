"""Values of masked properties in columns: rows that were stored before `QBO_MASK` was set have them in clear.

The core masks what it reads from QuickBooks and from files, and not the columns of a table. So a lake looks at the
columns, and takes none in which something is left that the core would mask. What cannot be told apart counts as clear.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from qbo_rs import _core
from qbo_rs._empty import schema_of
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

#: What begins the meaning of a column that holds one property.
_PATH = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")
#: Properties of which the core computes the column where a record lacks them, from others that are not masked.
_COMPUTED = {"HomeTotalAmt"}
_HASH = re.compile(r"hmac:[0-9a-f]{8}:[0-9a-f]{64}")
_TEMPLATES = "RecurringTransaction"
_LINE, _GROUP = "Line", "GroupLineDetail"
_CUSTOM = "CustomField"
#: Properties that have no column.
_EXTRA = "extra"


@dataclass(frozen=True)
class Rule:
    """A masked property of an entity."""

    text: str
    """The words of the setting."""
    path: tuple[str, ...]
    is_hash: bool
    custom: str | None = None
    """Name of the custom field whose values are masked."""
    template: str | None = None
    """Kind of the recurring templates that it is about; None: all records. Other kinds than transactions have none."""


def checker_of(entity: str, settings: Mapping[str, Any]) -> Checker:
    """Return what looks at the rows of an entity, by `QBO_MASK`.

    Raises:
        ConfigError: A rule cannot be read, or names no property.

    """
    given = settings.get("mask", settings.get("QBO_MASK"))
    text = str(os.environ.get("QBO_MASK", "") if given is None else given)
    rules = [rule for each in text.split(",") if each.strip() for rule in _rules(each.strip(), entity)]
    return Checker(entity, rules)


class Checker:
    """The masked properties of an entity, each with the columns that may hold it."""

    def __init__(self, entity: str, rules: list[Rule]) -> None:
        """Find the columns of each rule."""
        self._entity = entity
        found = [(rule, list(_columns(rule, entity))) for rule in rules]
        for rule, columns in found:
            if not columns and rule.template is None:
                raise ConfigError(f"QBO_MASK: '{rule.text}' names no property of {entity}")
        self._columns = [(rule, [] if ".".join(rule.path) in _COMPUTED else columns) for rule, columns in found]

    def check(self, batch: pa.RecordBatch) -> None:
        """Refuse rows in which something is left that is to be masked.

        Raises:
            ConfigError: A value is in clear. It is not repeated.

        """
        for rule, columns in self._columns:
            rows = batch
            if rule.template is not None:
                rows = batch.filter(pc.equal(batch.column("template_type"), rule.template))
            places = [*columns, (_EXTRA, rule.path)]
            if any(_has_clear(rows.column(name), rest, rule) for name, rest in places):
                text, entity = rule.text, self._entity
                raise ConfigError(
                    f"QBO_MASK: Postgres has values of '{text}' in clear, from before the mask, and a lake would keep "
                    f"them; read them again with `qbo-rs backfill {entity} --start START --end END`, and see "
                    "docs/masking.md for what QuickBooks does not have any more"
                )


def _rules(text: str, entity: str) -> Iterator[Rule]:
    """Yield what a rule says of an entity."""
    place, colon, action = text.rpartition(":")
    if not colon or action not in ("drop", "hash"):
        if colon and "]" not in action:
            raise ConfigError(f"QBO_MASK: '{text}': '{action}' is neither drop nor hash")
        place, action = text, "drop"
    of, dot, path = place.strip().partition(".")
    names = {qbo_name: name for name, qbo_name in _core.entities()}
    if not dot or of not in names:
        raise ConfigError(f"QBO_MASK: '{text}' is not an entity and a property, such as Employee.SSN")
    path, bracket, custom = path.strip().partition("[")
    members = tuple(path.split("."))
    about = (action == "hash", custom.removesuffix("]") if bracket else None)
    if names[of] == entity:
        if of == _TEMPLATES:
            # The columns are those of the template.
            yield Rule(text, members[1:], *about, members[0])
        else:
            yield Rule(text, members, *about)
    elif names[_TEMPLATES] == entity:
        yield Rule(text, members, *about, of)


def _columns(rule: Rule, entity: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the columns that may hold a property, each with the members that lead to it inside of the column."""
    for field in schema_of(entity):
        meaning = (field.metadata or {}).get(b"comment", b"").decode().partition(": ")[0]
        if not _PATH.fullmatch(meaning):
            continue
        column = tuple(meaning.split("."))
        common = min(len(column), len(rule.path))
        if column[:common] == rule.path[:common]:
            yield field.name, rule.path[len(column) :]


def _has_clear(column: pa.Array, rest: tuple[str, ...], rule: Rule) -> bool:
    values = column.drop_null().to_pylist()
    if rest or rule.custom is not None:
        return any(_is_clear(_parsed(text), rest, rule) for text in values)
    return any(_is_leaf_clear(value, rule) for value in values)


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def _is_clear(value: Any, rest: tuple[str, ...], rule: Rule) -> bool:
    """Return true if the core would mask something of a value, as `src/domain/mask/edit.rs` does."""
    if isinstance(value, list) and (rest or rule.custom is not None):
        return any(_is_clear(each, rest, rule) for each in value)
    if not rest:
        return _is_custom_clear(value, rule) if rule.custom is not None else _is_leaf_clear(value, rule)
    if not isinstance(value, dict):
        # It stands where an object belongs, and may be what is masked inside of it.
        return value is not None
    here = [inner for name, inner in value.items() if name.lower() == rest[0].lower()]
    if any(_is_clear(inner, rest[1:], rule) for inner in here):
        return True
    # What is masked in lines is masked in the lines of groups, too.
    groups = [inner for name, inner in value.items() if name.lower() == _GROUP.lower()]
    return any(_is_clear(inner, (_LINE, *rest), rule) for inner in groups if rest[0] != _GROUP and _in_line(rest, rule))


def _in_line(rest: tuple[str, ...], rule: Rule) -> bool:
    """Return true if what is left of a path begins inside of a line."""
    done = len(rule.path) - len(rest)
    return done > 0 and rule.path[done - 1] == _LINE


def _is_custom_clear(value: Any, rule: Rule) -> bool:
    if not isinstance(value, dict):
        return value is not None
    names = [inner for name, inner in value.items() if name.lower() == "name"]
    values = [inner for name, inner in value.items() if name.lower().endswith("value")]
    return rule.custom in names and any(_is_leaf_clear(each, rule) for each in values)


def _is_leaf_clear(value: Any, rule: Rule) -> bool:
    if value is None:
        return False
    return not (rule.is_hash and isinstance(value, str) and _HASH.fullmatch(value))
