"""benches/instructions: a rise of more than 10 % fails, and what cannot be compared is never passed in silence."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benches"))

from instructions import __main__ as command
from instructions import callgrind
from instructions.counts import COUNTS, Counts

TOOLS = {"rustc": "1.95.0", "host": "x86_64-unknown-linux-gnu", "avx2": "yes"}
RECORDED = {"parsing": 1_000_000, "masking": 2_000_000}


def test_a_rise_of_eleven_percent_fails_and_one_of_nine_passes():
    code, told = command.conclude(RECORDED, RECORDED | {"parsing": 1_110_000})
    assert code == 1
    assert "     1,000,000      1,110,000   +11.0%  ROSE         parsing\n" in told
    code, told = command.conclude(RECORDED, RECORDED | {"parsing": 1_090_000})
    assert (code, "failed" in told) == (0, False)


def test_a_fall_passes_and_names_the_command_that_keeps_it():
    code, told = command.conclude(RECORDED, RECORDED | {"parsing": 890_000})
    assert code == 0
    assert "-11.0%  fell" in told
    assert "make bench-check RECORD=1" in told
    assert "RECORD" not in command.conclude(RECORDED, RECORDED | {"parsing": 910_000})[1]
    # A fall beside a rise does not hide it.
    assert command.conclude(RECORDED, {"parsing": 500_000, "masking": 2_300_000})[0] == 1


def test_a_missing_case_and_an_unknown_one_fail():
    code, told = command.conclude(RECORDED, {"parsing": 1_000_000})
    assert code == 1
    assert "NOT COUNTED  masking" in told
    code, told = command.conclude(RECORDED, RECORDED | {"sorting": 1})
    assert code == 1
    assert "NOT RECORDED sorting" in told


@pytest.mark.parametrize("other", [{"rustc": "1.96.0"}, {"host": "aarch64-unknown-linux-gnu"}, {"avx2": "no"}])
def test_counts_of_other_tools_are_not_judged(other):
    [(name, version)] = other.items()
    refusal = command.refuse(TOOLS, TOOLS | other)
    assert refusal is not None
    assert f"{name}: {version}, but the counts are those of {TOOLS[name]}" in refusal
    without = {known: version for known, version in TOOLS.items() if known != name}
    assert command.refuse(without, TOOLS) is not None
    assert command.refuse(TOOLS, without) is not None
    assert command.refuse(TOOLS, TOOLS) is None


def test_recorded_counts_are_those_that_are_read(tmp_path):
    counts = Counts(TOOLS, {"sorting": 12_345_678, "parsing": 5})
    path = tmp_path / "counts.txt"
    path.write_text(counts.text())
    assert Counts.read(path) == counts
    # Sorted, so that a difference shows the cases that changed and no others.
    assert path.read_text().splitlines()[-2:] == ["            5  parsing", "   12,345,678  sorting"]


def test_every_case_of_the_sources_is_recorded():
    """A new case is noticed here already, where nothing is built."""
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.rs")]
    defined = {
        line.strip().removeprefix("fn " + callgrind.CASE).partition("(")[0].replace("_", " ")
        for text in sources
        for line in text.splitlines()
        if line.strip().startswith("fn " + callgrind.CASE)
    }
    recorded = Counts.read(COUNTS).cases
    assert defined == set(recorded)
    # So many that a start of the runtime or the place of a buffer do not matter.
    assert min(recorded.values()) >= 10_000_000
