"""A company that is not in step is a failure wherever it is told: in Python, in OpenLineage and on Spark."""

from __future__ import annotations

import pytest

import qbo_rs
from qbo_rs.lineage._outcome import outcome_of
from qbo_rs.spark._sync import SyncFailedError, _raise_for_failures

ENTITY = {
    "entity": "customers",
    "status": "ok",
    "error": None,
    "via": "query",
    "reconciled": False,
    "checkpoint": None,
    **dict.fromkeys(("rows", "inserted", "updated", "unchanged", "rejected", "deleted"), 0),
}


def report_with(status: str, error: str | None, rejected: int) -> dict:
    account = {"realm_id": "9", "schema": "raw", "status": status, "error": error, "requests": 1, "duration_ms": 1}
    return {"accounts": [account | {"entities": [ENTITY | {"rejected": rejected}]}]}


@pytest.mark.parametrize(
    ("status", "error", "rejected"),
    [("held", "another sync reads it", 0), ("needs_reauth", "refused", 0), ("failed", "no route", 0), ("ok", None, 2)],
)
def test_what_is_not_in_step_fails_everywhere_with_its_reason(status, error, rejected):
    given = report_with(status, error, rejected)
    reason = error or "2 records were set aside"
    report = qbo_rs.SyncReport.from_dict(given)
    assert not report.ok
    with pytest.raises(qbo_rs.IncompleteError, match=reason):
        report.raise_for_failures()
    assert reason in outcome_of(given, "sync", "raw").failure
    row = {"realm_id": "9", "entity": None, "status": status, "error": error, "rejected": rejected}
    with pytest.raises(SyncFailedError, match=reason):
        _raise_for_failures([row], None)


def test_what_is_in_step_fails_nowhere():
    given = report_with("ok", None, 0)
    report = qbo_rs.SyncReport.from_dict(given)
    report.raise_for_failures()
    assert report.ok
    assert outcome_of(given, "sync", "raw").failure is None
    _raise_for_failures([{"realm_id": "9", "entity": None, "status": "ok", "error": None, "rejected": 0}], None)
