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
