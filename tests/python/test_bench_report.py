"""benches/report: a goal that is missed is said so, and the page holds every measure."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT
from waiting import until

sys.path.insert(0, str(ROOT / "benches"))

from report import measures, page, processor
from report.figure import Figure, number


def test_a_goal_is_met_on_its_side_only():
    assert Figure("g", "fast", 1.7, "times", 1.6).verdict == "at least 1.60: met"
    assert Figure("g", "fast", 1.5, "times", 1.6).verdict == "at least 1.60: **missed**"
    assert Figure("g", "small", 61, "MB", 60, "at most").verdict == "at most 60: **missed**"
    assert Figure("g", "small", 60, "MB", 60, "at most").verdict == "at most 60: met"
    assert not Figure("g", "told", 5, "rows/s").verdict


def test_numbers_keep_the_figures_that_matter():
    assert [number(value) for value in (32669.4, 71.64, 1.294, 0.05, 8, 0)] == [
        "32,669",
        "71.6",
        "1.29",
        "0.05",
        "8",
        "0",
    ]


def test_the_page_holds_every_measure_of_the_run():
    figures = [Figure("Loading", "`a`", 1.5, "times", 1.6), Figure("Memory", "b", 61.2, "MB", 60, "at most")]
    about = {"date": "2026-01-31", "machine": "2 cores", "postgres": "18.6", "qbo_rs": "0.1.0"}
    about |= {"load": [0.1, 0.2, 0.3], "load_at_end": [1.0, 2.0, 3.0]}
    text = page.page({"about": about, "figures": [figure._asdict() for figure in figures]})
    assert (
        "## Loading\n\n| | measured | goal |\n| --- | --- | --- |\n| `a` | 1.50 times | at least 1.60: **missed** |\n"
        in text
    )
    assert "| b | 61.2 MB | at most 60: **missed** |" in text
    assert "2026-01-31; 2 cores; Postgres 18.6; qbo_rs 0.1.0. Load of the machine (1, 5 and 15 minutes)" in text


def test_the_requests_of_a_sync_in_which_nothing_is_new_are_counted():
    (figure,) = measures.requests()
    assert figure.value in (1, 2), figure
    assert "entities" in figure.name
    # All that a sync covers, and not a part of it.
    assert int(figure.name.split()[3]) > 30


def test_processor_time_counts_the_children_of_a_server_too():
    busy = "sum(range(20_000_000))"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{busy}']); input()"
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    try:
        begin = processor.seconds(parent.pid)
        until(lambda: processor.seconds(parent.pid) > begin + 0.1 and not processor.children(parent.pid))
    finally:
        parent.communicate(b"\n", timeout=30)
