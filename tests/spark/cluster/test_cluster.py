"""A real Spark of two executors (`local-cluster[2,1,1024]`), whose processes are killed while they sync.

A local master (`local[N]`) never repeats a task, so none is used.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
from companies import COMPANIES, END, START, connect
from conftest import requests
from waiting import until

import qbo_rs
import qbo_rs.spark

ENTITIES = ["customers", "invoices", "items"]
#: A page each; they are more than those under way, so that a sync that reads them again is seen.
YEARS_BEFORE_THE_KILL = 14
PAGES_UNDER_WAY = 12
#: The limit of a company, and the request to one after which the access tokens of all expire.
PER_MINUTE = 60
BEFORE_THE_ROTATION = 4
TABLES = {"qb_customers": "Customer", "qb_invoices": "Invoice", "qb_items": "Item"}
KEYWORDS = dict(qbo_rs._core.settings())
CONF = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # The companies of these tests are few; so are the processes that may die.
    "spark.deploy.maxExecutorRetries": "-1",
}


@pytest.fixture(scope="module")
def cluster():
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master("local-cluster[2,1,1024]")
    for name, value in CONF.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    qbo_rs.spark.register(session)
    yield session
    session.stop()


@pytest.fixture
def places(connected, tmp_path):
    """Return where the settings are."""
    return put_into_files(connected, tmp_path)


def put_into_files(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Put settings into files, and return the options that name them.

    The processes of the cluster are older than the test, so that its environment does not reach them.
    """
    places = {}
    for name, value in environment.items():
        if name in KEYWORDS:
            path = tmp_path / KEYWORDS[name]
            path.write_text(value)
            places[f"setting_{KEYWORDS[name]}"] = f"file:{path}"
    return places


def schemas(database) -> dict[str, str]:
    return dict(database.query("SELECT realm_id, schema_name FROM qbo.schema_realms"))


def assert_in_step(qbo, database, start: str = START) -> None:
    """Compare every record of every company with QuickBooks, by `verify` and by the simulator's own account."""
    known = schemas(database)
    assert set(known) == set(qbo.companies)
    for realm_id, schema in known.items():
        report = qbo_rs.verify(ENTITIES, start, "2027-01-01", "year", deep=True, realm_id=realm_id, schema=schema)
        assert report.ok, report
        for table, entity in TABLES.items():
            truth = qbo.truth(entity, start, "2027-01-01", realm=realm_id)
            assert {id_ for id_, _ in database.rows(f"{schema}.{table}")} == set(truth)


def worker_of(database, realm_id) -> int:
    """Wait until a process syncs a company; return its id."""
    return until(lambda: pids(database, realm_id), "no process syncs the company", 60)[0]


def pids(database, realm_id) -> list[int]:
    try:
        return [pid for (pid,) in database.query(f"SELECT pid FROM qbo.sync_turns WHERE realm_id = '{realm_id}'")]
    except psycopg.errors.UndefinedTable:
        return []


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def in_background(function, *arguments, **keywords):
    """Run a function in a thread; return what joins it and returns its result."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function(*arguments, **keywords)))
    thread.start()

    def result():
        thread.join(240)
        assert not thread.is_alive()
        assert found, "it has failed; its traceback is above"
        return found[0]

    return result


def statuses(report) -> dict[str, str]:
    return {row["realm_id"]: row["status"] for row in report.collect() if row["entity"] is None}


def test_a_sync_and_frames_on_a_real_cluster(cluster, places, qbo, database, capfd):
    before = requests(qbo)
    report = qbo_rs.spark.sync(cluster, ENTITIES, partitions=3, strict=True, **places)
    rows = report.collect()
    assert statuses(report) == dict.fromkeys(qbo.companies, "ok")
    assert sum(row["requests"] or 0 for row in rows) == requests(qbo) - before
    assert_in_step(qbo, database)
    options = {name.replace("setting_", "setting."): place for name, place in places.items()}
    frame = cluster.read.format("qbo").options(entities="invoices", start=START, end=END, **options).load()
    expected = {
        (realm_id, id_): text
        for realm_id in qbo.companies
        for id_, text in qbo.truth("Invoice", START, END, realm=realm_id).items()
    }
    assert {(row["realm_id"], row["id"]): row["payload"] for row in frame.collect()} == expected
    by_map = qbo_rs.spark.frame(cluster, entities="invoices", typed=True, start=START, end=END, **places)
    by_source = cluster.read.format("qbo").options(entities="invoices", typed="true", start=START, end=END, **options)
    order = [("realm_id", "ascending"), ("id", "ascending")]
    assert by_map.toArrow().sort_by(order).equals(by_source.load().toArrow().sort_by(order))
    frame.explain(extended=True)
    shown = capfd.readouterr().out
    secrets = [database.url, *qbo.companies.values(), os.environ["QBO_TOKEN_KEY"], os.environ["QBO_CLIENT_SECRET"]]
    assert not [secret for secret in secrets if secret in shown]


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost_or_read_twice(cluster, places, qbo, database):
    slow, *others = qbo.companies
    # A page for each of many years: the companies are alike, so that one is read with the requests of another.
    for realm_id in qbo.companies:
        for year in range(1, 24):
            for month in range(1, 5):
                qbo.insert("Invoice", 10, at=f"20{year:02}-{month:02}-01T00:00:00Z", realm=realm_id)
    qbo.fault("slow", path=slow, times=0, ms=300)
    before = requests(qbo)
    result = in_background(qbo_rs.spark.sync, cluster, ENTITIES, partitions=3, page_size=40, **places)
    pid = worker_of(database, slow)
    years = (
        f"SELECT 1 FROM qbo.windows WHERE realm_id = '{slow}' AND entity = 'invoices' AND status = 'done' AND rows > 0"
    )
    until(lambda: len(database.query(years)) >= YEARS_BEFORE_THE_KILL, "years are committed", 60)
    os.kill(pid, signal.SIGKILL)
    report = result()
    assert statuses(report) == dict.fromkeys(qbo.companies, "ok")
    qbo.clear_faults()
    of_others = [row["requests"] for row in report.collect() if row["realm_id"] in others and row["entity"] is None]
    both_attempts = requests(qbo) - before - sum(of_others)
    # What was committed is not read again, only the pages that were under way.
    assert both_attempts <= max(of_others) + PAGES_UNDER_WAY
    assert_in_step(qbo, database, "2001-01-01")


def test_an_executor_that_is_lost_is_replaced_and_nothing_is_lost(cluster, places, qbo, database):
    slow = next(iter(qbo.companies))
    qbo.fault("slow", path=slow, times=0, ms=700)
    result = in_background(qbo_rs.spark.sync, cluster, ENTITIES, partitions=3, page_size=40, **places)
    # The worker is a fork of a daemon, which the executor has started.
    executor = parent_of(parent_of(worker_of(database, slow)))
    assert b"CoarseGrainedExecutorBackend" in Path(f"/proc/{executor}/cmdline").read_bytes()
    os.kill(executor, signal.SIGKILL)
    report = result()
    assert statuses(report) == dict.fromkeys(qbo.companies, "ok")
    qbo.clear_faults()
    assert_in_step(qbo, database)


def test_tables_are_those_of_a_backfill_while_records_are_edited_and_workers_die(cluster, places, qbo, database):
    stop = threading.Event()

    def edit():
        while not stop.wait(0.05):
            for realm_id in qbo.companies:
                qbo.edit("Invoice", "random", realm=realm_id)
                qbo.edit("Customer", "random", realm=realm_id)

    editing = threading.Thread(target=edit)
    editing.start()
    try:
        victim = list(qbo.companies)[-1]
        qbo.fault("slow", path=victim, times=0, ms=300)
        result = in_background(qbo_rs.spark.sync, cluster, ENTITIES, partitions=3, page_size=40, **places)
        os.kill(worker_of(database, victim), signal.SIGKILL)
        result()
        qbo.clear_faults()
        qbo_rs.spark.sync(cluster, ENTITIES, partitions=2, **places)
    finally:
        stop.set()
        editing.join()
    qbo.clock(advance="10m")
    qbo_rs.spark.sync(cluster, ENTITIES, partitions=2, strict=True, **places)
    for realm_id, schema in schemas(database).items():
        beside = f"b_{realm_id}"
        report = qbo_rs.backfill(ENTITIES, START, "2027-01-01", "year", realm_id=realm_id, schema=beside)
        report.raise_for_failures()
        for table in TABLES:
            assert database.rows(f"{beside}.{table}") == database.rows(f"{schema}.{table}"), (realm_id, table)


def running_tasks(spark) -> list[int]:
    """Return the number of tasks that each process of Spark runs now; the driver runs none."""
    found = spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()
    return sorted(each.numRunningTasks() for each in found)


def test_executors_keep_the_limit_of_a_minute_together_while_refresh_tokens_rotate(
    cluster, database, monkeypatch, tmp_path
):
    few = {"customers": 30, "items": 30, "invoices": 30, "others": 1}
    # A refresh replaces the refresh token, a replaced one is refused, and two refreshes at a time end the connection.
    with qbo_rs.sandbox(**few, companies=2, limits=False, rotate_after_s=0, grace_s=0) as strict:
        strict.control("overlapping-refreshes", revoked=True)
        environment = connect(strict, database, monkeypatch, tmp_path)
        environment["QBO_REQUESTS_PER_MINUTE"] = str(PER_MINUTE)
        # Each executor reads both companies.
        options = {"entities": ENTITIES, "start": START, "end": END, "page_size": 10, "partitions": 1}
        options |= put_into_files(environment, tmp_path)
        frames = [qbo_rs.spark.frame(cluster, **options) for _ in range(2)]
        # Once: a request that is refused with a new token, too, fails.
        expired = {"path": next(iter(strict.companies)), "nth": BEFORE_THE_ROTATION}
        strict.fault("change", **expired, do=[{"command": "expire-tokens"}])
        # The workers have started by then, which is no part of the time.
        cluster.range(0, 8, 1, 8).mapInArrow(lambda batches: batches, "id long").collect()
        before = strict.stats()
        begin = time.monotonic()
        counts = [in_background(frame.count) for frame in frames]
        until(lambda: running_tasks(cluster) == [0, 1, 1], "both executors read", 60)
        assert [count() for count in counts] == [2 * 90] * 2
        seconds = time.monotonic() - begin
        after = strict.stats()
        # Those to the company that has got more of them. Alone, each executor would need half of the time.
        sent = (after["data_requests"] - before["data_requests"]) / len(strict.companies)
        # Each has read 90 records by pages of 10.
        assert sent >= 2 * 9
        assert seconds >= (sent - 1) * 60 / PER_MINUTE, (sent, seconds)
        # Of each company one executor has refreshed, and the other one uses its token. None was refused.
        assert after["refreshes"] - before["refreshes"] == len(strict.companies)
        assert after["token_requests"] - before["token_requests"] == len(strict.companies)
        # What is stored is the newest token of each company.
        strict.control("expire-tokens")
        assert qbo_rs.sync("company_info").ok
        assert strict.stats()["token_requests"] == after["token_requests"] + len(strict.companies)
        states = {account.realm_id: account.state for account in qbo_rs.status().accounts}
        assert states == dict.fromkeys(strict.companies, "active")


def test_a_stream_of_spark_follows_changes_and_deletions(cluster, places, qbo, tmp_path):
    lag = tmp_path / "lag_s"
    lag.write_text("1")
    options = {name.replace("setting_", "setting."): place for name, place in places.items()}
    options |= {"setting.lag_s": f"file:{lag}", "every": "1s"}
    table = {}

    def merge(frame, _batch):
        for row in frame.collect():
            key = (row["realm_id"], row["id"])
            if key not in table or table[key]["last_updated"] <= row["last_updated"]:
                table[key] = row

    def run() -> None:
        stream = cluster.readStream.format("qbo").options(entities="invoices", start="2020-01-01", **options).load()
        written = stream.writeStream.foreachBatch(merge).option("checkpointLocation", str(tmp_path / "checkpoint"))
        query = written.trigger(availableNow=True).start()
        query.awaitTermination(120)
        assert query.exception() is None

    run()
    realm_id = next(iter(qbo.companies))
    assert len(table) == COMPANIES * 150
    gone = qbo.delete("Invoice", "newest", realm=realm_id)
    qbo.edit("Invoice", "oldest", realm=realm_id)
    truth = qbo.truth("Invoice", "2020-01-01", "2030-01-01", realm=realm_id)

    def living() -> dict[str, str]:
        rows = ((id_, row) for (realm, id_), row in table.items() if realm == realm_id and not row["deleted"])
        return {id_: row["payload"] for id_, row in rows}

    # The stream stays behind the clock, so that one run of it may be too early.
    until(lambda: run() or living() == truth, "the stream does not follow", 60)
    assert table[realm_id, gone]["deleted"]
