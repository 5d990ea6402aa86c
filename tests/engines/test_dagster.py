"""Assets in a real Dagster, against the simulator and Postgres."""

from __future__ import annotations

import dagster as dg
import pytest
from companies import forget
from conftest import fail_invoices_once, reader_of

import qbo_rs
from qbo_rs.dagster import backfill_assets, sync_assets


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, int]]:
    """Return the metadata of each materialized asset by its entity."""
    found = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        found[materialization.asset_key.path[-1]] = {
            name: each.value for name, each in materialization.metadata.items()
        }
    return found


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    found = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    return [failure.description for failure in found]


@pytest.mark.usefixtures("one_company")
def test_months_are_backfilled_with_rows_and_gaps(database):
    assets = backfill_assets(["customers", "invoices"], start="2024-01-01")
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([assets], partition_key="2024-03-01", instance=instance)
        assert result.success
        found = metadata(result)
        assert found.keys() == {"customers", "invoices"}
        stored = database.query("SELECT count(*) FROM raw.qb_invoices")[0][0]
        assert found["invoices"]["rows"] == found["invoices"]["inserted"] == stored > 0
        assert found["invoices"]["gaps"] == 0
        assert database.query("SELECT min(window_start_utc), max(window_end_utc) FROM qbo.windows")[0] == march()
        # A year in one run is one backfill; only what is selected is read.
        tags = {"dagster/asset_partition_range_start": "2024-01-01", "dagster/asset_partition_range_end": "2024-12-01"}
        year = dg.materialize(
            [assets], tags=tags, selection=[dg.AssetKey(["quickbooks", "customers"])], instance=instance
        )
        assert metadata(year).keys() == {"customers"}
        assert database.query("SELECT count(*) FROM qbo.runs WHERE entity = 'customers'") == [(2,)]


def march() -> tuple:
    [window] = qbo_rs.chunk_range("2024-03-01", "2024-04-01", "month")
    return window.start, window.end


@pytest.mark.usefixtures("one_company")
def test_an_entity_that_fails_fails_the_step_in_one_line_after_the_others(qbo):
    qbo.fault("refused", contains="FROM Invoice", times=0)
    assets = backfill_assets(["customers", "invoices"], start="2024-01-01")
    result = dg.materialize([assets], partition_key="2024-03-01", raise_on_error=False)
    assert not result.success
    assert metadata(result).keys() == {"customers"}
    [line] = failures(result)
    assert line.startswith("invoices: 1 of 1 windows failed, first [2024-03-01T00:00:00Z, 2024-04-01T00:00:00Z): ")
    assert "\n" not in line


@pytest.mark.usefixtures("one_company")
def test_a_retried_step_leaves_out_what_is_committed(qbo, database, monkeypatch):
    fail_invoices_once(qbo, monkeypatch)
    once_more = dg.RetryPolicy(max_retries=1)
    assets = backfill_assets(["customers", "invoices"], start="2024-01-01", retry_policy=once_more)
    result = dg.materialize([assets], partition_key="2024-03-01")
    assert result.success
    assert metadata(result)["invoices"]["gaps"] == 0
    assert (reader_of(database, "customers"), reader_of(database, "invoices")) == ((1, 2), (2, 2))


@pytest.mark.usefixtures("connected")
def test_companies_are_synced_and_one_that_fails_is_told_in_one_line(qbo):
    assets = sync_assets(["customers", "items"])
    found = metadata(dg.materialize([assets]))
    assert found["customers"] | {"companies": 3, "inserted": 120} == found["customers"]
    broken = list(qbo.companies)[1]
    qbo.control("disconnect", realm=broken)
    result = dg.materialize([assets], raise_on_error=False)
    [line] = failures(result)
    assert line.startswith(f"1 of 3 companies are not in step, first {broken}: ")


@pytest.mark.usefixtures("connected")
def test_a_company_that_was_forgotten_after_the_plan_fails_and_the_others_are_synced(qbo):
    assets = sync_assets(["customers"], accounts=list(qbo.companies))
    gone, *others = qbo.companies
    forget(gone)
    result = dg.materialize([assets], raise_on_error=False)
    [line] = failures(result)
    assert line.startswith(f"1 of 3 companies are not in step, first {gone}: ")
    assert "holds no company" in line
    left = {each.realm_id: each.entities[0].inserted for each in qbo_rs.sync("customers").accounts}
    assert left == dict.fromkeys(others, 0)


def test_an_entity_that_does_not_exist_is_told_when_the_code_is_loaded():
    with pytest.raises(qbo_rs.ConfigError, match="entities: 'invoice' is none"):
        sync_assets(["invoice"])
