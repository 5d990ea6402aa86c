"""Options of the data source. They travel in plans and are shown in the UI of Spark: none of them is a secret."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs._company import named_companies, settings_of
from qbo_rs._keywords import check_keywords
from qbo_rs._tables import check_entity
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What an option begins with that says where a setting is found.
SETTING = "setting."
_LAG, _LAG_VARIABLE, _DEFAULT_LAG_S = "lag_s", "QBO_LAG_S", "30"
_ENVIRONMENT, _FILE = "env:", "file:"
_ALL = "all"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
#: What can be the name of a variable, and what nobody but a variable is called: a secret has other characters.
_VARIABLE, _PLAIN_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII), re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
#: What no path has, and addresses and keys have.
_NO_PATH = re.compile(r"://|[\x00-\x1f\x7f]")
#: How many lags a frame that ends now and a stream stay behind the driver's clock: one as each read does
#: (`QBO_LAG_S`), and one for clocks that differ.
LAGS = 2
_REALM, _TOKEN = "realm_id", "refresh_token"
#: The options of a sync.
_OF_A_SYNC = {"accounts", "entities", "mode", "page_size", "partitions"}
#: Records in a page of QuickBooks at most.
_PAGE = 1000


@dataclass(frozen=True)
class References:
    """The places of settings, by keyword: ``env:NAME`` or ``file:PATH``. The values are read where they are used."""

    places: dict[str, str] = field(default_factory=dict)

    def settings(self, realm_id: str | None = None) -> dict[str, str]:
        """Return the settings of this machine that differ from its environment, for one company.

        Raises:
            ConfigError: A variable or file is not there.

        """
        found = {keyword: _read(keyword, place) for keyword, place in self.places.items()}
        return settings_of(realm_id, found)

    def lag(self) -> timedelta:
        """Return how long before the present a read ends.

        Raises:
            ConfigError: The setting is no number.

        """
        place = self.places.get(_LAG)
        text = _read(_LAG, place) if place else os.environ.get(_LAG_VARIABLE) or _DEFAULT_LAG_S
        try:
            return timedelta(seconds=float(text))
        except (ValueError, OverflowError):
            raise ConfigError(f"{_LAG}: '{text}' is not a number of seconds") from None

    def present(self) -> datetime:
        """Return the last instant that every machine can read, by the clock of this one.

        Raises:
            ConfigError: The setting is no number.

        """
        return (datetime.now(timezone.utc) - LAGS * self.lag()).replace(microsecond=0)


def _read(keyword: str, place: str) -> str:
    if place.startswith(_ENVIRONMENT):
        name = place.removeprefix(_ENVIRONMENT)
        if name in os.environ:
            return os.environ[name]
        # Some secrets could be the name of a variable, but none that anybody gives to one.
        if _PLAIN_VARIABLE.fullmatch(name):
            raise ConfigError(f"{keyword}: the variable {name} is not set on this machine")
        raise ConfigError(f"{keyword}: the variable of {SETTING}{keyword} is not set on this machine")
    try:
        return Path(place.removeprefix(_FILE)).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        # A secret could be the name of a file.
        reason = type(error).__name__
        raise ConfigError(
            f"{keyword}: the file of {SETTING}{keyword} cannot be read on this machine: {reason}"
        ) from None


def _is_place(text: str) -> bool:
    if text.startswith(_ENVIRONMENT):
        return _VARIABLE.fullmatch(text.removeprefix(_ENVIRONMENT)) is not None
    path = text.removeprefix(_FILE)
    return path not in ("", text) and not _NO_PATH.search(path)


def references(given: Mapping[str, str]) -> References:
    """Read where settings are found, by keyword.

    Raises:
        ConfigError: A setting is unknown, or something else than a place was given. The message does not repeat it: it
            may be a secret. Or a company is named otherwise than by the option accounts.

    """
    check_keywords(given, ())
    keywords = dict(_core.settings())
    for keyword, place in given.items():
        if not _is_place(str(place)):
            reason = "options are shown in plans and in the UI of Spark; name the place: 'env:NAME' or 'file:PATH'"
            raise ConfigError(f"{keyword}: {reason}")
    places = {keywords.get(name, name): str(place) for name, place in given.items()}
    if _REALM in places and _TOKEN not in places:
        raise ConfigError(
            f"{_REALM}: it says whose token setting.refresh_token is, and chooses no company; use the option accounts"
        )
    return References(places)


@dataclass(frozen=True)
class Options:
    """The options of a frame, a stream or a sync."""

    entities: tuple[str, ...] = ()
    """Entities; none means all."""
    accounts: tuple[str, ...] = ()
    """Realm ids; none means every known company."""
    mode: str = "records"
    """``records``: the rows are records; ``sync``: executors sync into Postgres, and the rows are its report."""
    typed: bool = False
    """Columns with types of one entity, in place of JSON text."""
    start: str | None = None
    """First instant."""
    end: str | None = None
    """First instant after the range, or a word such as ``now``; not of a stream."""
    tz: str = "UTC"
    """Zone of dates."""
    page_size: int = 1000
    """Records in a page."""
    partitions: int | None = None
    """Tasks; none means one for each 32 companies."""
    deletions: str = "exact"
    """``exact``: a stream that cannot tell what was deleted fails; ``reported``: it goes on."""
    every: timedelta = timedelta(minutes=15)
    """Micro-batches of a stream end at multiples of it, so that there is at most one in this time."""
    references: References = field(default_factory=References)
    """The places of settings."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Read options as Spark passes them: text by names without case.

        Raises:
            ConfigError: An option is unknown or unusable.

        """
        given = {name.lower(): str(value) for name, value in given.items() if value is not None}
        places = {name.removeprefix(SETTING): value for name, value in given.items() if name.startswith(SETTING)}
        rest = {name: value for name, value in given.items() if not name.startswith(SETTING)}
        known = [each.name for each in fields(cls) if each.name != "references"]
        for name in rest:
            if name not in known:
                raise ConfigError(f"{name}: no such option; there are {', '.join(known)} and {SETTING}KEYWORD")
        mode = _one_of("mode", rest.get("mode", "records"), ("records", "sync"))
        for name in rest:
            if mode == "sync" and name not in _OF_A_SYNC:
                raise ConfigError(f"{name}: a sync has no {name}; it is an option of frames and streams")
        options = cls(
            entities=_entities(rest.get("entities", _ALL)),
            accounts=_accounts(rest.get("accounts", _ALL)),
            mode=mode,
            typed=_one_of("typed", rest.get("typed", "false").lower(), ("true", "false")) == "true",
            start=rest.get("start"),
            end=rest.get("end"),
            tz=rest.get("tz", "UTC"),
            page_size=_number("page_size", rest.get("page_size", "1000")),
            partitions=_number("partitions", rest["partitions"]) if "partitions" in rest else None,
            deletions=_one_of("deletions", rest.get("deletions", "exact"), ("exact", "reported")),
            every=_duration("every", rest.get("every", "15m")),
            references=references(places),
        )
        if options.page_size > _PAGE:
            raise ConfigError(f"page_size: '{options.page_size}' is not between 1 and {_PAGE}")
        for realm_id in options.accounts:
            if not (realm_id.isascii() and realm_id.isdecimal()):
                raise ConfigError(f"accounts: '{realm_id}' is not a company id, which is digits")
        with naming_options():
            for entity in options.entities:
                check_entity(entity)
        if options.typed and len(options.entities) != 1:
            raise ConfigError("typed: the columns are those of one entity; name it with the option entities")
        return options


@contextmanager
def naming_options() -> Iterator[None]:
    """Raise errors about the arguments of the core by the names of the options: it takes them one by one."""
    try:
        yield
    except ConfigError as error:
        argument, _, reason = str(error).partition(": ")
        if argument not in _OPTION_OF:
            raise
        raise ConfigError(f"{_OPTION_OF[argument]}: {reason}") from None


#: The names of options whose values the core takes by other names.
_OPTION_OF = {"account": "accounts", "entity": "entities"}


def _entities(text: str) -> tuple[str, ...]:
    """Return names that are separated by commas; ``all`` is none of them."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise ConfigError("entities: the list is empty; leave it out to mean all of them")
    return () if found == (_ALL,) else found


def _accounts(text: str) -> tuple[str, ...]:
    """Return realm ids that are separated by commas; ``all`` is none of them."""
    return () if text.strip() == _ALL else tuple(named_companies(text.split(",")))


def _duration(name: str, text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,4})([smhd])", text.strip())
    if found is None:
        raise ConfigError(f"{name}: '{text}' is no duration such as 30s, 15m, 2h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ConfigError(f"{name}: '{text}' is not a number above 0")
    return int(text)


def _one_of(name: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ConfigError(f"{name}: '{text}' is none of {', '.join(choices)}")
    return text
