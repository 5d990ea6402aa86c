"""``tz=`` of the verbs that take ranges: days and months of a place."""

from __future__ import annotations

import asyncio
import inspect
from datetime import date, datetime, timedelta, timezone

import pytest

import qbo_rs

GUAYAQUIL = "America/Guayaquil"
FIVE_HOURS = timedelta(hours=5)
DAY = ("2025-03-01", "2025-03-02")

WITH_RANGE = ("chunk_range", "backfill", "verify", "records", "status")


@pytest.mark.parametrize("name", [*WITH_RANGE, *(f"{name}_async" for name in WITH_RANGE[1:])])
def test_every_verb_with_a_range_takes_a_zone_and_says_so(name):
    verb = getattr(qbo_rs, name)
    tz = inspect.signature(verb).parameters["tz"]
    assert (tz.default, tz.kind) == ("UTC", inspect.Parameter.KEYWORD_ONLY)
    described = inspect.getdoc(verb)
    assert described is not None
    assert "tz: Zone of dates" in described


def test_windows_begin_at_midnight_of_the_zone():
    first, last = qbo_rs.chunk_range("2025-03", date(2025, 5, 1), "month", tz=GUAYAQUIL)
    assert first.start == datetime(2025, 3, 1, tzinfo=timezone.utc) + FIVE_HOURS
    assert last.end == datetime(2025, 5, 1, tzinfo=timezone.utc) + FIVE_HOURS
    # Clocks go forward on 9 March 2025: a day of 23 hours.
    [day] = qbo_rs.chunk_range("2025-03-09", "2025-03-10", tz="America/New_York")
    assert day.end - day.start == timedelta(hours=23)
    # An instant with a zone of its own stays where it is.
    start = datetime(2025, 3, 1, tzinfo=timezone.utc)
    assert qbo_rs.chunk_range(start, "2025-03-02", tz=GUAYAQUIL)[0].start == start


@pytest.mark.parametrize("name", WITH_RANGE)
def test_an_unknown_zone_is_refused(name):
    arguments = {"status": (), "chunk_range": DAY}.get(name, ("items", *DAY))
    bounds = {"start": DAY[0], "end": DAY[1]} if name == "status" else {}
    with pytest.raises(qbo_rs.ConfigError, match=r"tz: 'Guayaquil' is not a zone"):
        getattr(qbo_rs, name)(*arguments, **bounds, tz="Guayaquil")


def test_a_dry_run_has_the_windows_of_the_zone(monkeypatch):
    for name in ("DATABASE_URL", "PG_HOST"):
        monkeypatch.delenv(name, raising=False)
    report = qbo_rs.backfill("items", *DAY, tz=GUAYAQUIL, dry_run=True)
    twin = asyncio.run(qbo_rs.backfill_async("items", *DAY, tz=GUAYAQUIL, dry_run=True))
    for each in (report, twin):
        [window] = each.runs[0].windows
        assert window.start == datetime(2025, 3, 1, tzinfo=timezone.utc) + FIVE_HOURS
        assert window.end - window.start == timedelta(days=1)
