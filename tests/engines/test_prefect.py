"""Tasks and flows in a real Prefect with its own server, against the simulator and Postgres."""

from __future__ import annotations

import pytest
from companies import forget
from conftest import fail_invoices_once, reader_of
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

import qbo_rs
from qbo_rs import buckets
from qbo_rs.prefect import backfill, sync, sync_companies


@pytest.fixture(scope="module", autouse=True)
def server():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.mark.usefixtures("connected")
def test_companies_are_synced_by_buckets_and_one_that_fails_is_told_in_one_line(qbo):
    done = sync_companies(["customers", "items"], count=2)
    assert sorted(each["companies"] for each in done) == [1, 2]
    assert sum(each["inserted"] for each in done) == 3 * (40 + 20)
    broken = list(qbo.companies)[1]
    qbo.control("disconnect", realm=broken)
    qbo.control("expire-tokens")
    for realm_id in qbo.companies:
        qbo.insert("Customer", 1, realm=realm_id)
    qbo.clock(advance="10m")
    with pytest.raises(
        qbo_rs.IncompleteError, match=f"^1 of 1 companies are not in step, first {broken}: .*$"
    ) as error:
        sync_companies(["customers", "items"], count=3)
    assert error.value.recovery == "reauthorise"
    stored = {account.realm_id: account.entities for account in qbo_rs.sync("customers").accounts}
    # The others went on: nothing is left to insert.
    assert all(each.inserted == 0 for entities in stored.values() for each in entities)


@pytest.mark.usefixtures("connected")
def test_a_company_that_was_forgotten_after_the_plan_fails_and_the_others_are_synced():
    [accounts] = buckets.plan(1)
    gone, *others = accounts
    forget(gone)
    with pytest.raises(
        qbo_rs.IncompleteError, match=f"^1 of 3 companies .* first {gone}: .* holds no company"
    ) as error:
        sync.with_options(retries=0)(["customers"], accounts)
    assert error.value.report.accounts[accounts.index(gone)].status == "failed"
    left = {each.realm_id: each.entities[0].inserted for each in qbo_rs.sync("customers").accounts}
    assert left == dict.fromkeys(sorted(others), 0)


@pytest.mark.usefixtures("one_company")
def test_a_retried_task_leaves_out_what_is_committed(qbo, database, monkeypatch):
    fail_invoices_once(qbo, monkeypatch)
    again = backfill.with_options(retries=1, retry_delay_seconds=0)

    @flow
    def months() -> dict[str, int]:
        return again(["customers", "invoices"], "2024-03-01", "2024-04-01")

    assert months()["windows"] == 2
    assert (reader_of(database, "customers"), reader_of(database, "invoices")) == ((1, 2), (2, 2))


@pytest.mark.usefixtures("one_company")
def test_what_a_retry_cannot_help_is_not_retried(monkeypatch):
    monkeypatch.setenv("QBO_REFRESH_TOKEN", "unknown")
    waiting = sync.with_options(retries=1, retry_delay_seconds=3600)

    @flow
    def once() -> dict[str, int]:
        return waiting(["customers"])

    with pytest.raises(qbo_rs.IncompleteError) as error:
        once()
    assert error.value.recovery == "reauthorise"
