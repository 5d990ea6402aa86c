"""The model of a month of many companies has the rules of the code."""

from __future__ import annotations

import re
import sys

import pytest
from conftest import ROOT

sys.path.append(str(ROOT / "benches"))
np = pytest.importorskip("numpy", reason="numpy is not installed")
fleet_month = pytest.importorskip("fleet_month")


def constant(path: str, pattern: str) -> float:
    found = re.search(pattern, (ROOT / path).read_text())
    assert found, (path, pattern)
    return float(found.group(1))


def test_the_model_has_the_rules_of_the_schedule():
    schedule, syncs = "src/store/sync_schedule.rs", "src/app/sync/mod.rs"
    assert constant(schedule, r"MAX_BACKOFF_INTERVALS: i32 = (\d+)") == fleet_month.MAX_BACKOFF_INTERVALS
    assert constant(schedule, r"\$2 \* \(([\d.]+) \+ 0\.2 \* random\(\)\)") == pytest.approx(1 - fleet_month.SPREAD)
    assert constant(syncs, r"MAX_CONCURRENT_COMPANIES: usize = (\d+)") == fleet_month.COMPANIES_AT_A_TIME


def test_companies_stay_in_step_and_come_back_after_an_outage(monkeypatch):
    monkeypatch.setattr(fleet_month, "OUTAGES", ((7200.0, 600.0),))
    monkeypatch.setattr(sys, "argv", ["fleet_month.py"])
    options = fleet_month.options_of(["--companies", "500", "--days", "0.25", "--interval", "600"])
    month = fleet_month.Month(options, fleet_month.Cost(2, 100, 1000))
    month.run()
    ages = np.array(month.ages)
    before = (ages[:, 0] > 1200) & (ages[:, 0] < 7200)
    assert ages[before, 2].max() <= 600 * 1.1 + 2 * fleet_month.STEP_S
    assert ages[(ages[:, 0] > 7200) & (ages[:, 0] < 7900), 2].max() > 660
    assert month.caught_up((7200.0, 600.0)).endswith(" min")
    assert month.failed > 0


def test_events_come_in_working_steps_alone_and_as_often_as_their_rate_says(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fleet_month.py"])
    options = fleet_month.options_of(["--companies", "400", "--days", "7"])
    month = fleet_month.Month(options, fleet_month.Cost(2, 100, 1000))
    month.rate[:] = 0.01
    month.ready_at = month.next_ready(0, np.arange(options.companies))
    steps_of_day = int(fleet_month.DAY_S / fleet_month.STEP_S)
    # A change is read when the lag has passed: after one more step than is full.
    lag = 2
    events = 0
    for step in range(month.steps):
        ready = month.webhooks(step)
        events += len(ready)
        came = step - lag
        hours = (came * fleet_month.STEP_S / 3600 + np.array(fleet_month.ZONES)[month.zone[ready]]) % 24
        assert ((hours >= fleet_month.WORK[0]) & (hours < fleet_month.WORK[1])).all()
        assert len(ready) == 0 or came // steps_of_day < fleet_month.WORKING_DAYS
    # An event that waits takes in those that come meanwhile, so that one comes each 1 / rate + 2 steps.
    working = sum(int(month.calendar.before[zone, -1]) for zone in month.zone)
    assert events == pytest.approx(working / (1 / 0.01 + lag), rel=0.05)
