"""docs/faults.md has every code and status of QuickBooks that the source treats specially."""

from __future__ import annotations

import re

from conftest import ROOT

SOURCE = ROOT / "src/quickbooks"
PAGE = (ROOT / "docs/faults.md").read_text()
# A size, not a code.
NO_CODES = {"1000"}
# Where statuses are told apart.
BY_STATUS = ("fault_meaning.rs", "failure_cause.rs", "foreign.rs", "oauth/endpoint.rs")


def production(name):
    """Return a file without its tests and comments."""
    text = (SOURCE / name).read_text().partition("#[cfg(test)]")[0]
    return re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)


def first_cells():
    """Return what stands between backticks in the first cell of each row."""
    rows = re.findall(r"^\| ((?:`[^`]+`[^|]*)+)\|", PAGE, re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([^`]+)`", row)}


def test_every_code_of_the_source_is_in_the_table():
    codes = set()
    for path in SOURCE.rglob("*.rs"):
        text = production(path.relative_to(SOURCE))
        codes |= set(re.findall(r'"(\d{3,5}|(?:invalid|unauthorized)_[a-z]+)"', text))
    codes -= NO_CODES
    assert len(codes) > 15
    assert codes - first_cells() == set()


def test_every_status_of_the_source_is_in_the_table():
    statuses = set()
    for name in BY_STATUS:
        text = re.sub(r'"[^"]*"', "", production(name))
        statuses |= set(re.findall(r"\b([34]\d\d|50\d)\b", text))
    assert {"401", "403", "413", "421", "429"} <= statuses
    # 300..=399 is written as 3xx.
    missing = {status for status in statuses if status not in first_cells() and f"{status[0]}xx" not in first_cells()}
    assert missing == set()


def test_every_row_says_what_to_do():
    rows = re.findall(r"^\| `.*\|$", PAGE, re.MULTILINE)
    assert len(rows) > 35
    for row in rows:
        assert all(cell.strip() for cell in row.strip("|").split(" | ")), row
