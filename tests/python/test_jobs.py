"""Tests of jobs: they outlive their process, run once, and do not wait for an unresponsive company."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from conftest import COMMAND
from waiting import until

import qbo_rs

if TYPE_CHECKING:
    from service import Server


@pytest.fixture
def slow_qbo():
    with qbo_rs.sandbox(customers=20, items=20, invoices=3000, others=0, latency_ms=400, limits=False) as sandbox:
        yield sandbox


def reads(sandbox: qbo_rs.Sandbox) -> int:
    return sandbox.stats()["requests"].get("query", {}).get("200", 0)


def status_of(server: Server, job_id: str) -> str:
    return server.call("GET", f"/api/qbo/jobs/{job_id}")[1]["status"]


def test_a_job_of_a_killed_process_is_finished_once_by_another(serve, slow_qbo, database):
    first = serve(**slow_qbo.environment)
    _, job = first.call("POST", "/api/qbo/sync/", {"entities": ["invoices"]})
    job_id = job["job_id"]
    until(lambda: reads(slow_qbo) >= 2)
    first.process.kill()
    # One of two other processes takes the job over once its heartbeat is old enough.
    others = [serve(**slow_qbo.environment), serve(**slow_qbo.environment)]
    job = others[0].ended(job_id)
    assert (job["status"], job["attempts"]) == ("done", 2)
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(3000,)]
    assert database.query("SELECT count(*) FROM qbo.jobs") == [(1,)]


def test_a_cancelled_job_ends_and_keeps_committed_rows(serve, slow_qbo, database):
    slow_qbo.fault("slow", on="query", ms=8000, times=0)
    server = serve("--workers", "1", **slow_qbo.environment)
    first = server.call("POST", "/api/qbo/sync/", {"entities": ["invoices"]})[1]["job_id"]
    waiting = server.call("POST", "/api/qbo/sync/", {"entities": ["items"]})[1]["job_id"]
    assert server.call("POST", f"/api/qbo/jobs/{waiting}/cancel/")[1]["status"] == "cancelled"
    until(lambda: status_of(server, first) == "running")
    assert server.call("POST", f"/api/qbo/jobs/{first}/cancel/")[0] == 202
    assert server.ended(first)["status"] == "cancelled"
    assert database.query("SELECT status, count(*) FROM qbo.jobs GROUP BY 1") == [("cancelled", 2)]


def test_an_entity_is_pending_until_its_sync_starts(serve, qbo):
    server = serve("customers", "items")

    def statuses() -> set[str]:
        return {state["status"] for state in server.call("GET", "/api/qbo/sync/status/")[1]["entities"]}

    # The first sync starts with a batch request; the next one requests the changes of both.
    for slow, status in (("batch", "pending"), ("cdc", "in_progress")):
        qbo.fault("slow", on=slow, ms=2000, times=1)
        job_id = server.call("POST", "/api/qbo/sync/")[1]["job_id"]
        until(lambda status=status: statuses() == {status}, status)
        assert server.ended(job_id)["status"] == "done"
        assert statuses() == {"success"}


def test_a_process_that_resumes_after_losing_its_job_drops_it(serve, slow_qbo, database):
    sleeper = serve("--workers", "1", **slow_qbo.environment)
    job_id = sleeper.call("POST", "/api/qbo/sync/", {"entities": ["invoices"]})[1]["job_id"]
    until(lambda: reads(slow_qbo) >= 1)
    sleeper.process.send_signal(signal.SIGSTOP)
    other = serve(**slow_qbo.environment)
    done = other.ended(job_id)
    assert (done["status"], done["attempts"]) == ("done", 2)
    other.stop()
    sleeper.process.send_signal(signal.SIGCONT)
    # Its only worker is free again.
    following = sleeper.call("POST", "/api/qbo/sync/", {"entities": ["items"]})[1]["job_id"]
    assert sleeper.ended(following)["status"] == "done"
    assert sleeper.call("GET", f"/api/qbo/jobs/{job_id}")[1] == done
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(3000,)]


# While the table of sleepers has a row, each change of {table} waits for a lock of the test, so that the process can be
# stopped in it.
SLEEPS = """
CREATE TABLE public.sleepers (name text);
CREATE FUNCTION public.sleep_in_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM public.sleepers) THEN PERFORM pg_advisory_xact_lock(7); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sleeps AFTER INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when})
    EXECUTE FUNCTION public.sleep_in_transaction();
INSERT INTO public.sleepers VALUES ('all');
"""


# The limits that all processes share, the lock of table changes that every run takes, the rows of a window, and the
# ledger row of an empty one.
@pytest.mark.parametrize("table", ["qbo.admission", "qbo.schema_realms", "raw.qb_invoices", "qbo.windows"])
def test_a_process_that_is_stopped_in_a_transaction_holds_up_no_other(table, serve, slow_qbo, database):
    sleeper = serve("--workers", "1", **slow_qbo.environment)
    if table in {"raw.qb_invoices", "qbo.windows"}:
        first = sleeper.call("POST", "/api/qbo/sync/", {"entities": ["invoices"]})[1]["job_id"]
        assert sleeper.ended(first)["status"] == "done"
    if table == "raw.qb_invoices":
        slow_qbo.edit("Invoice", "oldest")
    # The triggers run after a row is stored: one that runs before could change it, and is refused.
    ends = "NEW.status = 'done'" if table == "qbo.windows" else "true"
    database.execute(SLEEPS.format(table=table, when=ends))
    with psycopg.connect(database.url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(7)")
        job_id = sleeper.call("POST", "/api/qbo/sync/", {"entities": ["invoices"]})[1]["job_id"]
        asleep = (
            "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database AND datname = current_database() "
            "WHERE locktype = 'advisory' AND (classid, objid) = (0, 7) AND NOT granted"
        )
        until(lambda: database.query(asleep) == [(1,)])
        sleeper.process.send_signal(signal.SIGSTOP)
        database.execute("DELETE FROM public.sleepers")
    idle = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    until(lambda: len(database.query(idle)) == 1)
    stopped_at, held_by = time.monotonic(), database.query(idle)
    other = serve(**slow_qbo.environment)
    ended = other.ended(job_id, 60)
    took = time.monotonic() - stopped_at
    assert ended["status"] == "done"
    assert not set(held_by) & set(database.query(idle))
    print(f"{table}: the job was done {took:.1f} s after the transaction began to wait for a stopped process")
    # Half a minute, and the time of the job. Without a limit, the process would hold it up for ever.
    assert took < 45
    sleeper.process.send_signal(signal.SIGCONT)
    following = sleeper.call("POST", "/api/qbo/sync/", {"entities": ["items"]})[1]["job_id"]
    assert sleeper.ended(following)["status"] == "done"
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(3000,)]


def test_a_stopped_service_returns_its_job_to_the_queue_at_once(serve, slow_qbo, database):
    first = serve(**slow_qbo.environment)
    job_id = first.call("POST", "/api/qbo/sync/", {"entities": ["invoices"]})[1]["job_id"]
    until(lambda: reads(slow_qbo) >= 2)
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(10) == 0
    assert database.query("SELECT status, attempts FROM qbo.jobs") == [("queued", 0)]
    job = serve(**slow_qbo.environment).ended(job_id)
    assert (job["status"], job["attempts"]) == ("done", 1)
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(3000,)]


def test_a_job_that_ends_five_processes_is_given_up_and_proper_stops_do_not_count(serve, slow_qbo, database):
    slow_qbo.fault("slow", on="query", ms=60_000, times=0)
    realm_id = slow_qbo.environment["QBO_REALM_ID"]
    server = serve("--workers", "0", **slow_qbo.environment)
    request = {"entities": ["invoices"], "accounts": [realm_id]}
    job_id = server.call("POST", "/api/qbo/sync/", request)[1]["job_id"]
    # An event that the job has taken.
    database.execute(
        "INSERT INTO qbo.webhook_events (event_id, realm_id, entity, entity_id, operation, occurred_at, event, "
        f"processed_at_utc) SELECT 'e', '{realm_id}', 'invoices', '1', 'updated', '', '{{}}', created_at_utc "
        "FROM qbo.jobs"
    )
    attempts = "SELECT status, attempts FROM qbo.jobs"
    for end, count in [(signal.SIGTERM, 1)] * 4 + [(signal.SIGKILL, count) for count in range(1, 6)]:
        worker = serve("--workers", "1", **slow_qbo.environment)
        until(lambda count=count: database.query(attempts) == [("running", count)], database.query(attempts))
        worker.process.send_signal(end)
        worker.process.wait(20)
        # As if it had been a while ago.
        database.execute("UPDATE qbo.jobs SET alive_at_utc = alive_at_utc - interval '1 minute'")
    serve("--workers", "1", **slow_qbo.environment)
    job = server.ended(job_id)
    assert (job["status"], job["attempts"]) == ("failed", 5)
    assert job["error"] == "it ended the process that worked on it 5 times"
    # It may be what ended them, so that it does not come again by itself.
    assert database.query("SELECT count(*) FROM qbo.webhook_events WHERE processed_at_utc IS NULL") == [(0,)]


def test_jobs_of_an_unresponsive_company_occupy_one_worker(serve, environment):
    with qbo_rs.sandbox(companies=2, customers=20, items=20, invoices=20, others=0, limits=False) as sandbox:
        for realm_id, token in sandbox.companies.items():
            connection = environment | sandbox.environment | {"QBO_REALM_ID": realm_id, "QBO_REFRESH_TOKEN": ""}
            line = [COMMAND, "auth", "import", "-"]
            subprocess.run(line, env=connection, input=token, capture_output=True, text=True, timeout=30, check=True)
        silent, other = sandbox.companies
        sandbox.fault("slow", path=silent, ms=60_000, times=0)
        settings = sandbox.environment | {"QBO_REFRESH_TOKEN": "", "QBO_REALM_ID": ""}
        server = serve("items", "--workers", "2", **settings)

        def ask(realm_id: str) -> str:
            return server.call("POST", "/api/qbo/sync/", {"accounts": [realm_id]})[1]["job_id"]

        waiting = [ask(silent) for _ in range(3)]
        until(lambda: status_of(server, waiting[0]) == "running")
        assert server.ended(ask(other))["status"] == "done"
        assert [status_of(server, job_id) for job_id in waiting] == ["running", "queued", "queued"]
