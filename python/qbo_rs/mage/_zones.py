"""Local time: the zone of the runtime variable ``zona``, in which ranges are read and which stands beside UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from qbo_rs.exceptions import ConfigError

DEFAULT_ZONE = "America/Guayaquil"
"""The zone that stands beside UTC in logs and pages unless ``zona`` names another one."""
MIDNIGHT = datetime.min.time()
MONTHS_OF_A_QUARTER = 3


def is_missing(value: object) -> bool:
    """Return True for None, blank text, and the text ``None``, which Mage's templates make of None."""
    return value is None or str(value).strip() in ("", "None")


def find_zone(name: object) -> ZoneInfo:
    """Return a zone by its name in the IANA database; raises :class:`~qbo_rs.ConfigError` if there is none."""
    text = str(name).strip()
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"zona: unknown time zone '{text}'; write America/Guayaquil or UTC") from None


@dataclass(frozen=True)
class Clock:
    """The zone of a pipeline's ranges, and the zone that is shown beside UTC."""

    ranges: tzinfo
    """The zone of the ranges: that of ``zona``, else UTC."""
    local: ZoneInfo | None
    """The zone beside UTC: that of ``zona``, else America/Guayaquil; None if the machine does not know it."""

    @classmethod
    def of(cls, zona: object) -> Clock:
        """Make the clock of a value of ``zona``; one that is unusable counts as missing, since others report it."""
        if not is_missing(zona):
            try:
                zone = find_zone(zona)
            except ConfigError:
                return cls.of(None)
            return cls(zone, zone)
        try:
            return cls(timezone.utc, find_zone(DEFAULT_ZONE))
        except ConfigError:
            return cls(timezone.utc, None)

    @property
    def place(self) -> str:
        """The last part of the local zone's name, such as ``Guayaquil``."""
        return self.local.key.rpartition("/")[2].replace("_", " ") if self.local else "UTC"

    def in_local(self, instant: datetime) -> str:
        """Write an instant in the local zone, with the zone's name: ``2024-09-30 19:00 America/Guayaquil``."""
        if self.local is None:
            return f"{_minute(instant)} UTC"
        return f"{_minute(instant.astimezone(self.local))} {self.local.key}"

    def both(self, instant: datetime) -> str:
        """Write an instant in UTC and in the local zone: ``2024-10-01 00:00 UTC = 2024-09-30 19:00 Guayaquil``."""
        utc = f"{_minute(instant.astimezone(timezone.utc))} UTC"
        if self.local is None or self.local.key == "UTC":
            return utc
        return f"{utc} = {_minute(instant.astimezone(self.local))} {self.place}"

    def span(self, start: datetime, end: datetime) -> str:
        """Write the bounds of a window in UTC and in the local zone."""
        utc = f"{_minute(start.astimezone(timezone.utc))} to {_minute(end.astimezone(timezone.utc))} UTC"
        if self.local is None or self.local.key == "UTC":
            return utc
        return f"{utc} = {_minute(start.astimezone(self.local))} to {_minute(end.astimezone(self.local))} {self.place}"

    def day(self, instant: datetime) -> str:
        """Write the date of an instant in the zone of the ranges."""
        return instant.astimezone(self.ranges).date().isoformat()

    def label(self, start: datetime, end: datetime) -> str:
        """Name a window shortly: ``2024``, ``2024-Q4``, ``2024-10``, ``2024-10-05``, or its two bounds."""
        first, last = start.astimezone(self.ranges), end.astimezone(self.ranges)
        if (first.time(), last.time()) != (MIDNIGHT, MIDNIGHT):
            return f"[{_minute(first)}, {_minute(last)})"
        return _period(first.date(), last.date()) or f"[{first.date()}, {last.date()})"


def _period(first: date, last: date) -> str | None:
    if last == first + timedelta(days=1):
        return first.isoformat()
    if (first.day, last.day) != (1, 1):
        return None
    months = (last.year - first.year) * 12 + last.month - first.month
    if months == 1:
        return f"{first:%Y-%m}"
    if months == MONTHS_OF_A_QUARTER and first.month % MONTHS_OF_A_QUARTER == 1:
        return f"{first.year}-Q{(first.month + 2) // MONTHS_OF_A_QUARTER}"
    return str(first.year) if (months, first.month) == (12, 1) else None


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"
