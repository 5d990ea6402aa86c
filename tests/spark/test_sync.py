"""Syncs into Postgres whose companies are divided among executors, on Sail."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from companies import COMPANIES, END, START
from conftest import requests
from waiting import until

import qbo_rs
import qbo_rs.spark
from qbo_rs.lineage import _run

if TYPE_CHECKING:
    from qbo_rs.lineage._outcome import Outcome

ENTITIES = ["customers", "invoices", "items"]
TABLES = ["qb_customers", "qb_invoices", "qb_items"]


def schemas(database) -> dict[str, str]:
    return dict(database.query("SELECT realm_id, schema_name FROM qbo.schema_realms"))


def tables(database) -> dict[tuple[str, str], list[tuple]]:
    """Return all living records, by company and table."""
    return {
        (realm_id, table): database.rows(f"{schema}.{table}")
        for realm_id, schema in schemas(database).items()
        for table in TABLES
    }


def verified(realm_ids, database) -> bool:
    reports = [
        qbo_rs.verify(ENTITIES, START, "2027-01-01", "year", deep=True, realm_id=realm_id, schema=schema)
        for realm_id, schema in schemas(database).items()
    ]
    assert len(reports) == len(realm_ids)
    return all(report.ok for report in reports)


@pytest.mark.usefixtures("connected")
def test_executors_sync_into_postgres_and_the_frame_is_the_report(spark, qbo, database):
    before = requests(qbo)
    report = qbo_rs.spark.sync(spark, ENTITIES, partitions=2, strict=True)
    sent = requests(qbo) - before
    rows = report.collect()
    of_companies = [row for row in rows if row["entity"] is None]
    of_entities = [row for row in rows if row["entity"] is not None]
    assert {row["realm_id"] for row in of_companies} == set(qbo.companies)
    assert {(row["realm_id"], row["entity"]) for row in of_entities} == {
        (realm_id, entity) for realm_id in qbo.companies for entity in ENTITIES
    }
    assert {row["status"] for row in rows} == {"ok"}
    assert sum(row["rows"] for row in of_companies) == sum(row["rows"] for row in of_entities) == COMPANIES * 210
    assert sum(row["requests"] for row in of_companies) == sent
    assert all(row["window_until"] for row in of_entities)
    # Counting and showing the report syncs nothing again.
    assert report.count() == len(rows)
    assert requests(qbo) - before == sent
    assert verified(qbo.companies, database)


@pytest.mark.usefixtures("connected")
def test_each_task_tells_openlineage_of_its_sync(spark, qbo, monkeypatch):
    told = []

    class Told:
        def __init__(self, verb: str, entities: list[str], *_: object) -> None:
            self._job = (verb, *entities)

        def start(self) -> None:
            told.append(("START", *self._job, 0))

        def end(self, outcome: Outcome) -> None:
            told.append(("END", *self._job, sum(written.rows for written in outcome.written)))

    monkeypatch.setattr(_run, "Teller", Told)
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    qbo_rs.spark.sync(spark, "customers", partitions=2, strict=True).collect()
    assert len(qbo.companies) == 3
    expected = [("START", "sync", "customers", 0)] * 2 + [("END", "sync", "customers", rows) for rows in (40, 80)]
    assert sorted(told) == sorted(expected)


@pytest.mark.usefixtures("connected")
def test_map_in_arrow_syncs_too(spark, qbo, database):
    report = qbo_rs.spark.sync(spark, ENTITIES, partitions=3, via="mapInArrow")
    assert {row["status"] for row in report.collect()} == {"ok"}
    assert verified(qbo.companies, database)


@pytest.mark.usefixtures("connected")
def test_a_second_sync_begins_where_the_first_has_ended_and_finds_deletions(spark, qbo):
    qbo_rs.spark.sync(spark, ENTITIES, strict=True)
    realm_id = next(iter(qbo.companies))
    qbo.delete("Invoice", "newest", realm=realm_id)
    qbo.edit("Invoice", "oldest", realm=realm_id)
    qbo.clock(advance="2m")
    before = requests(qbo)
    rows = qbo_rs.spark.sync(spark, ENTITIES, strict=True).collect()
    invoices = next(row for row in rows if (row["realm_id"], row["entity"]) == (realm_id, "invoices"))
    assert (invoices["updated"], invoices["deleted"]) == (1, 1)
    assert invoices["window_from"] < invoices["window_until"]
    # One request for the changes of all entities of a company; a changed invoice is read again with all its parts.
    assert requests(qbo) - before == COMPANIES + 1


@pytest.mark.usefixtures("connected")
def test_a_company_that_fails_is_a_row_and_strict_raises_at_the_end(spark, qbo):
    realm_id = list(qbo.companies)[1]
    qbo.fault("forbidden", path=realm_id, times=0)
    rows = qbo_rs.spark.sync(spark, ENTITIES).collect()
    states = {row["realm_id"]: row["status"] for row in rows if row["entity"] is None}
    assert states == {each: "failed" if each == realm_id else "ok" for each in qbo.companies}
    before = requests(qbo)
    with pytest.raises(qbo_rs.spark.SyncFailedError, match=f"1 of {COMPANIES} companies .* {realm_id}") as caught:
        qbo_rs.spark.sync(spark, ENTITIES, strict=True)
    assert caught.value.report.count() > 0
    # No task was repeated: each of the others got one request for its changes.
    in_step = requests(qbo) - before
    assert in_step <= COMPANIES + 1


@pytest.mark.usefixtures("connected")
def test_a_company_whose_settings_are_missing_on_the_executor_is_a_row(monkeypatch):
    from qbo_rs._plan import Company
    from qbo_rs.spark._options import Options
    from qbo_rs.spark._report import sync_companies

    monkeypatch.delenv("DATABASE_URL")
    companies = [Company("1"), Company("2")]
    [batch] = sync_companies(Options(mode="sync"), ("items",), companies, is_repeated=False)
    assert batch.column("realm_id").to_pylist() == ["1", "2"]
    assert batch.column("status").to_pylist() == ["failed", "failed"]
    assert "PG_HOST" in batch.column("error")[0].as_py()


@pytest.mark.usefixtures("connected")
def test_a_company_that_was_forgotten_after_the_plan_is_a_row_and_the_others_are_synced(qbo):
    from qbo_rs._plan import Company
    from qbo_rs.spark._options import Options
    from qbo_rs.spark._report import sync_companies

    first, second, *_ = qbo.companies
    companies = [Company(first), Company("1017"), Company(second)]
    [batch] = sync_companies(Options(mode="sync"), ("items",), companies, is_repeated=False)
    rows = {row["realm_id"]: row for row in batch.to_pylist() if row["entity"] is None}
    assert {realm_id: row["status"] for realm_id, row in rows.items()} == {
        "1017": "failed",
        first: "ok",
        second: "ok",
    }
    assert "holds no company 1017" in rows["1017"]["error"]
    before = requests(qbo)
    [batch] = sync_companies(Options(mode="sync"), ("items",), [Company("1017")], is_repeated=False)
    assert [(row["realm_id"], row["status"]) for row in batch.to_pylist()] == [("1017", "failed")]
    assert requests(qbo) == before


@pytest.mark.usefixtures("connected")
def test_a_company_that_nobody_knows_is_told_by_the_driver(spark, qbo):
    before = requests(qbo)
    with pytest.raises(qbo_rs.ConfigError, match="holds no company 4711; it holds"):
        qbo_rs.spark.sync(spark, "items", accounts=[*qbo.companies, "4711"], via="mapInArrow")
    with pytest.raises(Exception, match="holds no company 4711; it holds"):
        qbo_rs.spark.sync(spark, "items", accounts=[*qbo.companies, "4711"])
    assert requests(qbo) == before


@pytest.mark.usefixtures("connected")
def test_an_empty_list_of_companies_is_not_every_company(spark, qbo):
    before = requests(qbo)
    with pytest.raises(qbo_rs.ConfigError, match="accounts: the list is empty"):
        qbo_rs.spark.sync(spark, "items", accounts=[])
    with pytest.raises(qbo_rs.ConfigError, match="accounts: the list is empty"):
        qbo_rs.spark.frame(spark, entities="items", accounts=(), start=START, end="2026-01-01")
    assert requests(qbo) == before


@pytest.fixture
def busy(connected, qbo, database):
    """Sync one company slowly in another thread; return its id."""
    realm_id = next(iter(qbo.companies))
    qbo.fault("slow", path=realm_id, times=2, ms=1500)
    thread = threading.Thread(
        target=qbo_rs.sync, args=(ENTITIES,), kwargs={"accounts": realm_id, "database_url": connected["DATABASE_URL"]}
    )
    thread.start()
    turn = f"SELECT 1 FROM qbo.sync_turns WHERE realm_id = '{realm_id}'"
    until(lambda: database.query(turn), "the sync has no turn", every=0.01)
    yield realm_id
    thread.join()


def test_a_company_that_another_sync_reads_is_held_and_gets_no_request(spark, busy):
    rows = qbo_rs.spark.sync(spark, ENTITIES, accounts=busy).collect()
    assert [(row["status"], row["requests"]) for row in rows] == [("held", 0)]
    assert "another sync of" in rows[0]["error"]


def test_a_repeated_task_waits_for_its_first_attempt_and_reports_its_own_sync(busy):
    from qbo_rs._plan import Company
    from qbo_rs.spark._options import Options
    from qbo_rs.spark._report import sync_companies

    [batch] = sync_companies(Options(mode="sync"), ENTITIES, [Company(busy)], is_repeated=True)
    assert set(batch.column("status").to_pylist()) == {"ok"}
    # What the first attempt has read was not read again.
    assert sum(count or 0 for count in batch.column("inserted").to_pylist()) == 0


@pytest.mark.usefixtures("connected")
def test_backfill_and_spark_make_the_same_tables_while_records_are_edited(spark, qbo, database):
    stop = threading.Event()

    def edit():
        while not stop.wait(0.02):
            for realm_id in qbo.companies:
                qbo.edit("Invoice", "random", realm=realm_id)
                qbo.edit("Customer", "random", realm=realm_id)

    editing = threading.Thread(target=edit)
    editing.start()
    try:
        for _ in range(3):
            qbo_rs.spark.sync(spark, ENTITIES, partitions=2, strict=True)
    finally:
        stop.set()
        editing.join()
    qbo.clock(advance="10m")
    qbo_rs.spark.sync(spark, ENTITIES, partitions=2, strict=True)
    by_spark = tables(database)
    for realm_id in qbo.companies:
        report = qbo_rs.backfill(
            ENTITIES, "2024-01-01", "2027-01-01", "year", realm_id=realm_id, schema=f"b_{realm_id}"
        )
        report.raise_for_failures()
        for table in TABLES:
            assert database.rows(f"b_{realm_id}.{table}") == by_spark[realm_id, table], (realm_id, table)
    assert verified_by(qbo, by_spark)


def verified_by(qbo, found) -> bool:
    """Compare tables with what QuickBooks has, by ids."""
    names = {"qb_customers": "Customer", "qb_invoices": "Invoice", "qb_items": "Item"}
    return all(
        {row[0] for row in rows} == set(qbo.truth(names[table], START, "2027-01-01", realm=realm_id))
        for (realm_id, table), rows in found.items()
    )


def test_many_companies_of_a_task_wait_for_quickbooks_together(spark, database, monkeypatch, tmp_path):
    from companies import connect

    few = {"customers": 5, "items": 5, "invoices": 5, "others": 1}
    with qbo_rs.sandbox(**few, companies=12, limits=False) as slow:
        connect(slow, database, monkeypatch, tmp_path)
        qbo_rs.spark.sync(spark, ENTITIES, partitions=1, strict=True)
        slow.fault("slow", times=0, ms=300)
        begin = time.monotonic()
        rows = qbo_rs.spark.sync(spark, ENTITIES, partitions=1, strict=True).collect()
        took = time.monotonic() - begin
    alone = sum(row["seconds"] for row in rows if row["entity"] is None)
    assert took < alone / 2, (took, alone)


def test_tokens_are_refreshed_once_each_whoever_asks(spark, database, monkeypatch, tmp_path):
    from companies import connect

    few = {"customers": 5, "items": 5, "invoices": 5, "others": 1}
    # Every refresh replaces the refresh token at once, and a replaced one is refused.
    with qbo_rs.sandbox(**few, companies=6, limits=False, rotate_after_s=0, grace_s=0) as strict:
        connect(strict, database, monkeypatch, tmp_path)
        strict.clock(advance="2h")
        before = strict.stats()["refreshes"]
        threads = [
            threading.Thread(target=qbo_rs.spark.sync, args=(spark, ENTITIES), kwargs={"partitions": 6}),
            threading.Thread(target=qbo_rs.sync, args=(ENTITIES,)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert strict.stats()["refreshes"] - before == 6
    assert database.query("SELECT count(*) FROM qbo.accounts WHERE state = 'needs_reauth'") == [(0,)]


@pytest.mark.usefixtures("connected")
def test_tasks_together_send_no_read_beyond_the_cap_of_the_month(spark, qbo, database, monkeypatch):
    cap = 13
    monkeypatch.setenv("QBO_MAX_MONTHLY_READS", str(cap))
    before = requests(qbo)
    report = qbo_rs.spark.sync(spark, ENTITIES, partitions=3, page_size=20).collect()
    assert requests(qbo) - before == cap
    refused = [row for row in report if row["entity"] is None and row["status"] != "ok"]
    assert refused
    assert all("QBO_MAX_MONTHLY_READS" in row["error"] for row in refused)
    # Whoever meets the cap later sends nothing.
    qbo_rs.spark.sync(spark, ENTITIES, partitions=3, page_size=20).collect()
    assert requests(qbo) - before == cap
    monkeypatch.delenv("QBO_MAX_MONTHLY_READS")
    report = qbo_rs.spark.sync(spark, ENTITIES, partitions=3, page_size=20, strict=True)
    assert {row["status"] for row in report.collect()} == {"ok"}
    assert verified(qbo.companies, database)


def test_limits_are_kept_by_all_tasks_together_and_reads_are_counted_in_postgres(
    spark, database, monkeypatch, tmp_path
):
    from companies import connect

    few = {"customers": 15, "items": 15, "invoices": 15, "others": 1}
    with qbo_rs.sandbox(**few, limits=False) as company:
        connect(company, database, monkeypatch, tmp_path)
        monkeypatch.setenv("QBO_MAX_IN_FLIGHT", "2")
        company.fault("slow", times=0, ms=50)
        # Tasks of a frame and of a sync, and this process, ask for the same company. Each of them alone would have two
        # requests in flight.
        options = {"entities": "customers,invoices,items", "start": START, "end": END, "page_size": "5"}
        frame = spark.read.format("qbo").options(**options).load()
        counts = []
        threads = [
            threading.Thread(target=lambda: counts.append(frame.count())),
            threading.Thread(target=qbo_rs.spark.sync, args=(spark, ENTITIES), kwargs={"page_size": 5}),
            threading.Thread(target=lambda: counts.append(frame.count())),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [45, 45]
        stats = company.stats()
        assert stats["most_in_flight"] == 2
        counted = sum(account.monthly_reads for account in qbo_rs.status().accounts)
        assert counted == stats["data_requests"]
