"""benches/peers: what is lost is counted, and a peer that does not run keeps its line. No peer is installed for it."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benches"))

from peers import bench, company, page, table
from peers.qbo import Backfill

CASE = bench.Case(company.mixed(30), 0, 0)


class Shell:
    """A peer that runs commands and copies nothing."""

    needs = ()

    def __init__(self, *commands: str) -> None:
        self.name, self.commands = " | ".join(commands), commands

    def pipeline(self, _place):
        return [["sh", "-c", command] for command in self.commands]

    def ids(self, _entity):
        return "SELECT '1' WHERE false"


@pytest.fixture
def measured(database):
    def measured(peer, case=CASE, limit_s=60):
        return bench.measure(peer, case, database.environment, limit_s)

    return measured


def test_what_a_table_lacks_is_lost_unless_it_was_edited_since_the_read_began(qbo):
    begun = f"{qbo.clock()[:19]}Z"
    qbo.edit("Invoice", "5")
    truth = qbo.truth("Invoice", "2024-01-01", "2100-01-01")
    found = truth.keys() - {"5", "7", "8"}
    arrival = company.compare(qbo, company.invoices(300), begun, lambda _: found | {"no record of the company"})
    size = sum(len(truth[id_].encode()) for id_ in found)
    assert arrival == company.Arrival(records=300, arrived=297, lost=2, left=1, arrived_bytes=size)


def test_the_command_brings_everything_and_rows_that_are_missing_are_lost(measured):
    class Forgetful(Backfill):
        def ids(self, entity):
            return f"{super().ids(entity)} LIMIT 9"

    # The memory of the bench itself, which holds the simulator, is not that of a peer.
    ballast = b"x" * 400_000_000
    whole, short = measured(Backfill()), measured(Forgetful())
    del ballast
    assert (whole.message, whole.records, whole.arrived, whole.lost, whole.edits) == (None, 30, 30, 0, 0)
    assert (short.arrived, short.lost) == (27, 3)
    assert min(whole.rows_s, whole.mb_s, whole.requests, whole.cpu_s) > 0
    assert 5 < whole.peak_mb < 300
    assert whole.requests_per_1000 == whole.requests / 0.03


def test_records_that_are_edited_during_the_read_are_left_to_the_next_run(measured):
    measure = measured(Shell("sleep 0.5"), replace(CASE, edits_a_second=50))
    assert measure.edits > 0
    assert measure.left > 0
    assert measure.lost + measure.left == measure.records == 30


def test_a_peer_that_does_not_run_is_skipped_with_its_message(measured):
    class Absent(Shell):
        def pipeline(self, _place):
            return [["/nowhere"]]

    absent = Shell("true")
    absent.needs = ("nowhere",)
    told = [
        measured(absent),
        measured(Shell("echo too far >&2; exit 3")),
        measured(Shell("printf 'a.b.TooMany: rows\\nWARNING: half\\n' >&2; exit 1")),
        measured(Shell("echo from the first", "cat >&2; exit 1")),
        measured(Absent()),
        measured(Shell("sleep 60 & wait"), limit_s=1),
    ]
    assert [measure.message for measure in told] == [
        "nowhere is not installed: run make bench-peers",
        "too far",
        "a.b.TooMany: rows",
        "from the first",
        "[Errno 2] No such file or directory: '/nowhere'",
        "not done after 1 s",
    ]
    assert "skipped: too far" in table.row(told[1])
    assert page.rows(told)[3].startswith("| echo too far >&2; exit 3 | skipped: too far |")


def test_the_goal_is_met_at_four_times_the_fastest_other_and_without_loss():
    def rated(peer, rows_s, lost=0):
        return bench.Measure(peer, "mixed", 0, edited=False, rows_s=rows_s, lost=lost)

    others = [rated("slow", 100), rated("fast", 250), bench.Measure("absent", "mixed", 0, edited=False, message="no")]
    assert table.verdict([rated(table.OURS, 1000), *others]).startswith("4.0 times the fastest other (fast), 0 lost:")
    assert table.verdict([rated(table.OURS, 1000), *others]).endswith(": met")
    assert table.verdict([rated(table.OURS, 999), *others]).endswith(": missed")
    assert table.verdict([rated(table.OURS, 2000, lost=1), *others]).endswith(": missed")
    assert table.verdict(others).startswith("no ratio")
