"""Failures of a window, of the machine, of a process, and of a block's code."""

from __future__ import annotations

from collections import Counter

import pytest
from conftest import PIPELINES, RANGE
from host import eventually

pytestmark = pytest.mark.timeout(600)
CUSTOMERS, INVOICES, ITEMS = PIPELINES


def extracted(mage, pipeline: str) -> list[str]:
    """Return the start of each window that was written to a landing file, once per write."""
    events = mage.events(pipeline)
    return [e["window_start"] for e in events if (e.get("phase"), e.get("event")) == ("extract", "window_done")]


def test_a_retry_reads_only_the_failed_window(mage, qbo, database):
    qbo.fault("error", contains="Time >= '2024-01-01", times=0)
    mage.environment["QBO_RETRY_FOR_S"] = "1"
    mage.activate(INVOICES, **RANGE, chunk="quarter")
    mage.start()
    run = mage.ended_run(INVOICES)
    assert run["status"] == "failed"
    blocks = mage.block_runs(run["id"])
    assert blocks["extract_qbo_invoices"]["status"] == "failed"
    reasons = [str(event.get("error", "")) for event in mage.events(INVOICES)]
    reason = "invoices: 1 of 8 windows failed, first [2024-01-01T00:00:00Z, 2024-04-01T00:00:00Z)"
    assert any(reason in text for text in reasons), reasons
    assert len(extracted(mage, INVOICES)) == 7
    # The trigger of a failed run stays active.
    assert mage.schedule(INVOICES)["status"] == "active"
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(0,)]

    qbo.clear_faults()
    mage.retry(run["id"])
    eventually("the retry is done", lambda: mage.runs(INVOICES)[0]["status"] == "completed")
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(600,)]
    assert set(Counter(extracted(mage, INVOICES)).values()) == {1}
    assert len(extracted(mage, INVOICES)) == 8


def test_a_service_that_fails_for_every_record_fails_the_run(mage, qbo, database):
    # Counts are answered, so that each window holds records that fail.
    qbo.fault("error", contains="SELECT *", times=0)
    mage.activate(INVOICES, **RANGE, chunk="month")
    mage.start()
    run = mage.ended_run(INVOICES)
    assert run["status"] == "failed"
    assert mage.block_runs(run["id"])["extract_qbo_invoices"]["status"] == "failed"
    assert extracted(mage, INVOICES) == []
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(0,)]
    assert database.query("SELECT count(*) FROM qbo.rejects") == [(0,)]


def test_a_killed_mage_finishes_the_run_after_its_restart(mage, qbo, database):
    # The second half is withheld, so that the kill interrupts the extract on any machine.
    qbo.fault("slow", contains="Time >= '2025-", ms=300_000, times=0)
    mage.activate(INVOICES, **RANGE, chunk="month", page_size=5)
    mage.start()
    eventually("some windows are in landing files", lambda: len(extracted(mage, INVOICES)) >= 3)
    mage.kill()
    before = extracted(mage, INVOICES)
    assert len(before) <= 12
    qbo.clear_faults()
    mage.start()
    run = mage.ended_run(INVOICES)
    assert run["status"] == "completed"
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(600,)]
    # No window that was in a landing file was read again.
    assert Counter(extracted(mage, INVOICES)) == Counter(dict.fromkeys(extracted(mage, INVOICES), 1))
    assert len(extracted(mage, INVOICES)) == 24


# No thread can have a stack of this size, and a Rust runtime that cannot start its threads panics.
PANICS = """
import os
import qbo_rs
from qbo_rs.mage import guarded

def panic(*args, **kwargs):
    os.environ["RUST_MIN_STACK"] = str(1 << 60)
    return qbo_rs.upsert("/no/such", pg_host="127.0.0.1", pg_port=1, pg_db="d", pg_user="u")

extract_qbo_customers = data_loader(guarded(panic))
"""
EXITS = """
import sys
from qbo_rs.mage import _blocks, extract_qbo

def extract(*args, **kwargs):
    sys.exit("enough")

_blocks._verbs.extract = extract
extract_qbo_invoices = data_loader(extract_qbo('invoices'))
"""
ABORTS = """
import os
from qbo_rs.mage import _blocks, extract_qbo

def extract(*args, **kwargs):
    os.abort()

_blocks._verbs.extract = extract
extract_qbo_items = data_loader(extract_qbo('items'))
"""


def test_a_panic_an_exit_and_an_abort_end_as_failed(mage):
    """Without the guard Mage would repeat such a block for ever."""
    for pipeline, code in zip(PIPELINES, (PANICS, EXITS, ABORTS), strict=True):
        entity = pipeline.split("_")[1]
        (mage.project / "data_loaders" / f"extract_qbo_{entity}.py").write_text(code)
        mage.activate(pipeline, **RANGE, chunk="year")
    mage.environment["QBO_MAX_ATTEMPTS"] = "2"
    mage.start()
    runs = {pipeline: mage.ended_run(pipeline) for pipeline in PIPELINES}
    assert {run["status"] for run in runs.values()} == {"failed"}
    for pipeline, reason in (
        (CUSTOMERS, "InternalError: internal error: OS can't spawn worker thread"),
        (INVOICES, "InternalError: SystemExit: enough"),
        (ITEMS, "StuckError: the block's process ended 2 times"),
    ):
        texts = [str(event.get("error", "")) for event in mage.events(pipeline)]
        assert any(reason in text for text in texts), (pipeline, [text[-300:] for text in texts if text])
