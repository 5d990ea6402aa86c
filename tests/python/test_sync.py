"""Sync, by the command and by the Python function."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from conftest import COMMAND, keywords, report_of
from service import hold_after
from waiting import until

import qbo_rs


def a_minute_ago() -> str:
    return (datetime.now(timezone.utc) - timedelta(minutes=1)).isoformat(timespec="seconds")


def test_the_command_syncs_changes_and_deletions(run, qbo, database, tmp_path):
    assert run("sync", "customers", "items", QBO_TOKEN_STORE="postgres").returncode == 0
    qbo.delete("Customer", "oldest", at=a_minute_ago())
    again = run("sync", "customers", "items", "--json", QBO_TOKEN_STORE="postgres")
    assert again.returncode == 0, again.stderr
    [account] = report_of(again)["accounts"]
    assert (account["status"], account["schema"]) == ("ok", "raw")
    assert {e["entity"]: (e["via"], e["deleted"]) for e in account["entities"]} == {
        "customers": ("changes", 1),
        "items": ("changes", 0),
    }
    assert database.query("SELECT count(*) FROM raw.qb_customers WHERE deleted_at_utc IS NOT NULL") == [(1,)]
    for wrong in (["--every", "soon"], ["customerz"], ["--page-size", "0"], ["items", "--account", "12"]):
        refused = run("sync", *wrong)
        assert refused.returncode == 2
        first, *more = refused.stderr.splitlines()
        assert first.startswith("error: ")
        assert all(line.startswith("  ") for line in more), more
    unknown = run("sync", "items", "--account", "12", QBO_TOKEN_STORE="postgres")
    assert "holds no company 12; it holds 9" in unknown.stderr.replace("\n  ", "; "), unknown.stderr
    # The token store has no company, and the settings name none.
    nobody = run("sync", QBO_REALM_ID=None, QBO_TOKEN_STORE=str(tmp_path / "tokens.json"))
    assert (nobody.returncode, "QBO_REALM_ID" in nobody.stderr) == (2, True)


def test_a_sync_that_does_not_wait_ends_with_1_and_names_who_reads_the_company(run, qbo, database, environment):
    assert run("sync", "company_info", QBO_TOKEN_STORE="postgres").returncode == 0
    # The first one stays in its middle for as long as this test needs.
    hold_after(qbo, 0)
    with subprocess.Popen([COMMAND, "sync", "items"], env=environment, stderr=subprocess.DEVNULL) as first:
        try:
            until(lambda: database.query("SELECT 1 FROM qbo.sync_turns"), "no sync has the turn")
            second = run("sync", "items", "--no-wait", "--json", QBO_TOKEN_STORE="postgres")
        finally:
            first.kill()
    assert second.returncode == 1, second.stderr
    [account] = report_of(second)["accounts"]
    assert (account["status"], account["requests"]) == ("held", 0)
    assert account["error"].startswith("another sync of items (pid ")


def test_a_sync_keeps_a_rotated_token_in_the_database(run, database):
    with qbo_rs.sandbox(customers=5, items=5, invoices=5, others=0, rotate_after_s=0) as sandbox:
        environment = sandbox.environment
        assert run("sync", "items", QBO_TOKEN_STORE=None, **environment).returncode == 0
        sandbox.control("expire-tokens")
        again = run("sync", "items", QBO_TOKEN_STORE=None, **environment)
        assert again.returncode == 0, again.stderr
    assert database.query("SELECT state FROM qbo.accounts") == [("active",)]


def test_an_entity_that_the_company_lacks_is_unavailable_and_costs_no_exit_code(run, qbo, database):
    qbo.control("unavailable", entity="Budget", code="5020")
    for _ in range(2):
        result = run("sync", "budgets", "items", "--json", QBO_TOKEN_STORE="postgres")
        assert result.returncode == 0, result.stderr
        [account] = report_of(result)["accounts"]
        assert {entity["entity"]: entity["status"] for entity in account["entities"]} == {
            "budgets": "unavailable",
            "items": "ok",
        }
    assert database.query("SELECT entity, consecutive_failures FROM qbo.sync_state WHERE status = 'unavailable'") == [
        ("budgets", 0)
    ]
    backfilled = run("backfill", "budgets", "--start", "2025-01-01", "--end", "2026-01-01")
    assert (backfilled.returncode, backfilled.stdout.count("not available in this company")) == (0, 1)


def test_a_closed_company_ends_a_year_by_day_in_a_few_lines(run, qbo, database):
    qbo.control("close", code="6190")
    result = run("backfill", "items", "--start", "2025-01-01", "--end", "2026-01-01")
    assert result.returncode == 1
    assert result.stdout.count("\n") + result.stderr.count("\n") < 20
    assert "365 of 365 windows failed" in result.stdout
    assert "364 windows" in result.stderr
    assert qbo.stats()["data_requests"] == 1
    assert database.query("SELECT count(*) FROM qbo.windows WHERE status = 'running'") == [(0,)]


def test_sync_from_python(qbo, database, tmp_path):
    settings = keywords(qbo) | database.settings
    report = qbo_rs.sync("invoices", **settings)
    assert report.ok
    assert report.accounts[0].entities[0].inserted == 300
    edited = qbo.edit("Invoice", "oldest", at=a_minute_ago())
    [account] = qbo_rs.sync(["invoices"], **settings).accounts
    assert (account.entities[0].updated, account.entities[0].via) == (1, "changes")
    assert json.dumps(report.to_dict())
    assert qbo_rs.SyncReport.from_dict(report.to_dict()) == report
    assert database.query(f"SELECT count(*) FROM raw.qb_invoices WHERE id = '{edited}'") == [(1,)]
    with pytest.raises(qbo_rs.ConfigError, match="QBO_REALM_ID"):
        qbo_rs.sync(**{**settings, "realm_id": "", "token_store": tmp_path / "tokens.json"})
