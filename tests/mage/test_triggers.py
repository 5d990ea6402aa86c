"""Triggers run by Mage's scheduler, with authentication switched on."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from conftest import PIPELINES, RANGE
from host import eventually

pytestmark = pytest.mark.timeout(600)
TRIGGERS = dict(zip(PIPELINES, ("customers_trigger", "invoice_trigger", "items_trigger"), strict=True))
TEXT_TRIGGERS = {
    "qb_customers_txt": "qb_customer_trigger",
    "qb_invoices_txt": "qb_invoice_trigger",
    "qb_items_txt": "qb_item_trigger",
}


def statuses(mage) -> list[tuple[str, str]]:
    """Return the status of each trigger in its file and in Mage's database."""
    return [(mage.triggers(pipeline)[0]["status"], mage.schedule(pipeline)["status"]) for pipeline in PIPELINES]


def test_three_concurrent_triggers_share_one_token_refresh_and_end_with_their_runs(mage, qbo, database):
    for pipeline, name in TRIGGERS.items():
        assert [(trigger["name"], trigger["status"]) for trigger in mage.triggers(pipeline)] == [(name, "inactive")]
        mage.activate(pipeline, **RANGE, chunk="month")
    mage.start()
    runs = [mage.ended_run(pipeline) for pipeline in PIPELINES]
    assert [run["status"] for run in runs] == ["completed"] * 3
    counts = "SELECT (SELECT count(*) FROM raw.qb_customers), (SELECT count(*) FROM raw.qb_invoices), \
              (SELECT count(*) FROM raw.qb_items)"
    assert database.query(counts) == [(60, 600, 40)]
    # A second refresh would have failed: each refresh replaces the token, and the old one expires at once.
    assert qbo.stats()["requests"]["token"] == {"200": 1}

    # Mage has read the other templates, too, with their variables, and has not fired them.
    for pipeline, name in TEXT_TRIGGERS.items():
        [template], loaded = mage.triggers(pipeline), mage.schedule(pipeline)
        assert (loaded["name"], loaded["status"], loaded["schedule_interval"]) == (name, "inactive", "@once")
        assert loaded["variables"] == template["variables"]
        assert set(loaded["variables"]) >= {"fecha_inicio", "fecha_fin", "chunk", "page_size", "resume", "zona"}
        assert mage.runs(pipeline) == []

    inactive = [("inactive", "inactive")] * 3
    eventually("the triggers are inactive", lambda: statuses(mage) == inactive)
    # No record stays in a file.
    assert not list((mage.data / "qbo_landing").rglob("*.zst"))
    mage.kill()
    queries = qbo.stats()["requests"]["query"]
    # Mage reads all files and fires all triggers in one pass. When this one has run, that pass is over.
    mage.add_once_pipeline("marker", "@data_loader\ndef marker(*args, **kwargs):\n    return {}\n")
    mage.start()
    assert mage.ended_run("marker")["status"] == "completed"
    assert statuses(mage) == inactive
    assert [len(mage.runs(pipeline)) for pipeline in PIPELINES] == [1, 1, 1]
    assert qbo.stats()["requests"]["query"] == queries

    events = mage.events(PIPELINES[1])
    done = [event for event in events if event.get("event") == "window_done"]
    assert Counter((event["phase"], event["window_start"]) for event in done).total() == 48
    [closing] = [event for event in events if event.get("event") == "pipeline_finished"]
    assert (closing["windows"], closing["rows"], closing["inserted"]) == (24, 600, 600)
    fields = {"pages", "rows", "inserted", "updated", "unchanged", "duration_ms", "window_start", "window_end"}
    assert all(fields <= set(event) for event in done if event["phase"] == "load")
    refreshed = [event for pipeline in PIPELINES for event in mage.events(pipeline) if event.get("phase") == "auth"]
    assert [event["event"] for event in refreshed] == ["token_refreshed"]
    logged = "".join(path.read_text() for path in mage.data.rglob("*.log")) + mage.log.read_text()
    for name in ("QBO_CLIENT_SECRET", "QBO_REFRESH_TOKEN"):
        assert qbo.environment[name] not in logged


def test_the_sync_trigger_fires_repeatedly(mage, qbo, database):
    pipeline = "qb_incremental_sync"
    [trigger] = mage.triggers(pipeline)
    assert (trigger["schedule_interval"], trigger["status"]) == ("*/5 * * * *", "inactive")
    # Five minutes would be too long for a test.
    mage.activate(pipeline, interval="* * * * *")
    mage.start()

    def completed(count: int) -> bool:
        statuses = [run["status"] for run in mage.runs(pipeline)]
        assert "failed" not in statuses
        return statuses.count("completed") >= count

    eventually("the first sync", lambda: completed(1))
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(600,)]
    deleted = qbo.delete("Invoice", "oldest", at=(datetime.now(timezone.utc) - timedelta(minutes=1)).isoformat())
    eventually("the second sync", lambda: completed(2))
    assert database.query("SELECT id FROM raw.qb_invoices WHERE deleted_at_utc IS NOT NULL") == [(deleted,)]
    # The trigger stays active, to fire again.
    assert (mage.triggers(pipeline)[0]["status"], mage.schedule(pipeline)["status"]) == ("active", "active")
