"""Processes killed at any instant and restarts of Postgres: the table ends complete and exact."""

import os
import random
import signal
import time
from pathlib import Path

import psycopg
import pytest
from conftest import report_of
from own_database import Database
from postgres_server import EmbeddedPostgres, open_directory
from test_tokens import environment_of, finish, run, start

import qbo_rs
from qbo_rs.__main__ import find_postgres

KILLS = int(os.environ.get("CRASHES", "20"))
RESTARTS = int(os.environ.get("RESTARTS", "4"))
# Fifty windows, each with its own requests.
RANGE = ("--start", "2024-01-01", "--end", "2025-11-30", "--chunk", "14d", "--strict-windows", "--page-size", "7")
BACKFILL = ("backfill", "invoices", *RANGE)
TRUTH = ("Invoice", "2024-01-01", "2025-11-30")


@pytest.fixture(scope="module")
def qbo():
    with qbo_rs.sandbox(customers=5, items=5, invoices=400, others=0, limits=False) as sandbox:
        yield sandbox


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.005)


def table(database):
    """Return the rows of the table without the time and the run of the load."""
    columns = "id, payload, extract_window_start_utc, extract_window_end_utc, page_number, page_size, request_payload"
    return database.query(f"SELECT {columns} FROM raw.qb_invoices ORDER BY id")


def committed(database):
    statement = "SELECT window_start_utc FROM qbo.windows WHERE committed_at_utc IS NOT NULL AND NOT is_part"
    return {start for (start,) in database.query(statement)}


def ahead(database):
    """Return the number of rows that a part has brought and that are not before its end."""
    changed = "(payload -> 'MetaData' ->> 'LastUpdatedTime')::timestamptz"
    statement = f"""SELECT count(*) FROM raw.qb_invoices JOIN qbo.windows ON entity = 'invoices'
        AND {changed} >= read_until_utc AND {changed} < window_end_utc WHERE is_part"""
    return database.query(statement)[0][0]


def exists(database):
    return database.query("SELECT to_regclass('qbo.runs') IS NOT NULL AND to_regclass('raw.qb_invoices') IS NOT NULL")[
        0
    ][0]


def let_run(database, seconds):
    """Let a run go on for some seconds, wherever it is then; without a number, until some windows are committed."""
    if seconds is not None:
        time.sleep(seconds)
        return
    least = random.randint(1, 25)
    wait_for(lambda: exists(database) and len(committed(database)) >= least)
    time.sleep(random.uniform(0, 0.05))


@pytest.mark.timeout(600)
def test_a_backfill_killed_at_any_instant_is_resumed_to_the_same_table(qbo, database, tmp_path):
    seed = int(os.environ.get("SEED", str(random.randrange(10**6))))
    print(f"SEED={seed}")
    random.seed(seed)
    environment = environment_of(qbo, database.environment)
    begin = time.monotonic()
    undisturbed = run((*BACKFILL, "--json"), environment, tmp_path)
    whole = time.monotonic() - begin
    windows = report_of(undisturbed)["runs"][0]["windows"]
    assert len(windows) == 50
    most = 4 * sum(window["requests"] for window in windows) // 5
    expected = table(database)
    assert {row[0] for row in expected} == set(qbo.truth(*TRUTH))
    instants, in_mid_run = [], []
    for number in range(KILLS):
        database.execute("DROP SCHEMA raw, qbo CASCADE")
        by_time = random.uniform(0, whole) if number % 2 else None
        # One that is killed in its middle does not end before.
        if by_time is None:
            qbo.fault("hang", on="query", nth=most, times=0)
        process = start(BACKFILL, environment, tmp_path)
        try:
            let_run(database, by_time)
        finally:
            process.send_signal(signal.SIGKILL)
            finish(process)
            qbo.clear_faults()
        done = committed(database) if exists(database) else set()
        known = ahead(database) if exists(database) else 0
        (in_mid_run if by_time is None else instants).append(len(done))
        requests = qbo.stats()["data_requests"]
        resumed = run((*BACKFILL, "--resume", "--json"), environment, tmp_path)
        assert resumed.returncode == 0, resumed.stderr
        windows = report_of(resumed)["runs"][0]["windows"]
        assert sum(window["status"] == "skipped" for window in windows) == len(done)
        assert sum(window["status"] == "done" for window in windows) == 50 - len(done)
        # Committed windows are not requested again.
        sent = sum(window["requests"] for window in windows if window["status"] == "done")
        assert qbo.stats()["data_requests"] - requests == sent
        assert table(database) == expected
        rows, inserted, unchanged = database.query("SELECT sum(rows), sum(inserted), sum(unchanged) FROM qbo.windows")[
            0
        ]
        assert rows == inserted + unchanged == len(expected), "the ledger differs from the table"
        # Those that had come with a part and lie behind its end are read again.
        assert unchanged == known
        states = database.query("SELECT status, count(*) FROM qbo.windows GROUP BY 1")
        assert states == [("done", 50)]
        runs = sorted(status for (status,) in database.query("SELECT status FROM qbo.runs"))
        assert runs in (["ok"], ["ok", "running"], ["ok", "ok"])
    print(f"{KILLS} kills, with so many of 50 windows committed: in mid-run {in_mid_run}, at any time {instants}")
    assert in_mid_run
    assert all(0 < number < 50 for number in in_mid_run)


def test_a_killed_window_of_a_hundred_pages_is_read_on_from_its_last_page(database, tmp_path):
    line = ("backfill", "invoices", "--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "900d")
    line = (*line, "--page-size", "10", "--json")
    with qbo_rs.sandbox(customers=5, items=5, invoices=1000, others=0, limits=False) as qbo:
        environment = environment_of(qbo, database.environment)
        assert run(line, environment, tmp_path).returncode == 0
        expected = table(database)
        for page in (3, 50, 99):
            database.execute("DROP SCHEMA raw, qbo CASCADE")
            qbo.fault("hang", on="query", nth=page, times=0)
            process = start(line, environment, tmp_path)
            working = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'qbo_rs'"
            stored = f"SELECT count(*) FROM qbo.windows WHERE is_part AND requests >= {page - 1}"
            stored += f" AND NOT EXISTS ({working} AND state <> 'idle')"
            wait_for(lambda stored=stored: exists(database) and database.query(stored) == [(1,)])
            process.send_signal(signal.SIGKILL)
            finish(process)
            qbo.clear_faults()
            [(part_end,)] = database.query("SELECT read_until_utc FROM qbo.windows")
            before = qbo.stats()["data_requests"]
            resumed = run((*line, "--resume"), environment, tmp_path)
            assert resumed.returncode == 0, resumed.stderr
            asked = qbo.stats()["data_requests"] - before
            print(f"killed while page {page} was asked for: {asked} further requests")
            assert table(database) == expected
            assert database.query("SELECT status, is_part, rows FROM qbo.windows") == [("done", False, 1000)]
            assert "resume skips no window; goes on within [2024-01-01T00:00:00Z" in resumed.stderr
            assert ", up to which it is committed" in resumed.stderr
            # Nothing that was stored is read again.
            rest = (*line[:3], part_end.isoformat(), *line[4:], "--schema", "rest")
            assert asked == report_of(run(rest, environment, tmp_path))["runs"][0]["totals"]["requests"]


def test_a_window_that_kills_its_process_is_given_up_and_the_others_are_loaded(qbo, database, tmp_path):
    environment = environment_of(qbo, database.environment, {"QBO_MAX_ATTEMPTS": "2"})
    line = (
        "backfill",
        "invoices",
        "--start",
        "2024-01-01",
        "--end",
        "2024-05-01",
        "--chunk",
        "month",
        "--strict-windows",
    )
    qbo.fault("hang", on="query", contains="Time >= '2024-02-01", times=0)
    try:
        for attempt in (1, 2):
            process = start((*line, "--resume"), environment, tmp_path)
            tried = f"SELECT count(*) FROM qbo.windows WHERE status = 'running' AND attempts = {attempt}"
            wait_for(lambda: exists(database) and len(committed(database)) == 3)
            wait_for(lambda tried=tried: database.query(tried) == [(1,)])
            process.send_signal(signal.SIGKILL)
            finish(process)
        third = run((*line, "--resume", "--json"), environment, tmp_path, timeout=20)
    finally:
        qbo.clear_faults()
    (window,) = [window for window in report_of(third)["runs"][0]["windows"] if window["status"] != "skipped"]
    assert "begun 2 times and never ended" in window["error"]
    assert third.returncode == 1
    assert "stuck [2024-02-01" in run(("status", "-v"), environment, tmp_path).stdout
    assert run((*line, "--resume", "--max-attempts", "0"), environment, tmp_path).returncode == 0


class Server:
    """The Postgres server of one test, which can be stopped without a shutdown."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.start()

    def start(self) -> None:
        # Durable, since committed rows must survive the stop.
        self.running = EmbeddedPostgres(find_postgres(), self.directory, durable=True)

    def stop_at_once(self) -> None:
        pid = int((self.directory / "data" / "postmaster.pid").read_text().split()[0])
        # Like `pg_ctl stop -m immediate`.
        os.kill(pid, signal.SIGQUIT)
        wait_for(lambda: not Path(f"/proc/{pid}").exists())

    def database(self) -> Database:
        names = ("PG_USER", "PG_PASSWORD", "PG_HOST", "PG_PORT", "PG_DB")
        return Database("postgresql://{}:{}@{}:{}/{}".format(*(self.running.environment[name] for name in names)))


@pytest.fixture
def server():
    with open_directory() as directory:
        server = Server(directory)
        yield server
        server.running.stop()


@pytest.mark.timeout(300)
def test_a_restart_of_postgres_in_mid_run_loses_nothing(qbo, server, tmp_path):
    database = server.database()
    environment = environment_of(qbo, database.environment)
    assert run(BACKFILL, environment, tmp_path).returncode == 0
    expected = table(database)
    database.execute("DROP SCHEMA raw, qbo CASCADE")
    process = start((*BACKFILL, "--json"), environment, tmp_path)
    stops = 0
    for number in range(RESTARTS):
        # Each restart comes after some more windows.
        def is_further(least=1 + number * 45 // RESTARTS):
            try:
                return process.poll() is not None or (exists(database) and len(committed(database)) >= least)
            except psycopg.OperationalError:
                return False

        wait_for(is_further)
        if process.poll() is None:
            server.stop_at_once()
            stops += 1
            server.start()
    ended = finish(process, timeout=200)
    assert stops > 0
    assert ended.returncode == 0, ended.stderr
    assert "reading the window again" in ended.stderr
    assert {window["status"] for window in report_of(ended)["runs"][0]["windows"]} == {"done"}
    assert table(database) == expected
    print(f"{stops} restarts in mid-run")


def test_reading_an_unchanged_range_again_writes_no_row_and_almost_no_wal(qbo, server, tmp_path):
    database = server.database()
    environment = environment_of(qbo, database.environment)
    line = ("backfill", "invoices", "--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "900d")

    def wal_of_a_run():
        written = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
        ((before,),) = database.query(written)
        assert run(line, environment, tmp_path).returncode == 0
        return database.query(written)[0][0] - before

    def versions():
        counts = "SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables WHERE relname = 'qb_invoices'"
        return database.query(counts)[0]

    first = wal_of_a_run()
    wait_for(lambda: versions()[0] == 400)
    second = wal_of_a_run()
    # The backend of the run reports its counts when it ends, at the latest.
    ours = "datname = current_database() AND application_name = 'qbo_rs'"
    wait_for(lambda: database.query(f"SELECT count(*) FROM pg_stat_activity WHERE {ours}") == [(0,)])
    assert versions() == (400, 0, 0)
    print(f"{first} bytes of write-ahead log for 400 invoices, {second} for reading them again")
    assert second * 10 < first


def test_the_server_ends_the_merge_of_a_killed_process(qbo, server, tmp_path):
    database = server.database()
    if database.query("SELECT current_setting('server_version_num')::int")[0][0] < 140000:
        pytest.skip("Postgres looks at its connections while it works since version 14")
    # Otherwise the wait for the lock would end the merge.
    environment = environment_of(qbo, database.environment, {"PG_LOCK_TIMEOUT_S": "0"})
    line = ("backfill", "invoices", "--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "900d")
    assert run(line, environment, tmp_path).returncode == 0
    database.execute("TRUNCATE raw.qb_invoices")

    def merging():
        ours = "datname = current_database() AND application_name = 'qbo_rs' AND wait_event_type = 'Lock'"
        return database.query(f"SELECT count(*) FROM pg_stat_activity WHERE {ours}")[0][0]

    with psycopg.connect(database.url) as blocker:
        blocker.execute("LOCK TABLE raw.qb_invoices IN SHARE MODE")
        process = start(line, environment, tmp_path)
        wait_for(merging)
        process.kill()
        process.communicate(timeout=20)
        wait_for(lambda: not merging())
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(0,)]
    assert run(line, environment, tmp_path).returncode == 0
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(400,)]
