"""Measures what many connected companies cost: the looks of people and monitors, and syncs by several processes.

The first table is about companies that rest: their rows are put into the operational tables, then the commands and the
service are asked. The second one is about companies that are synced as often as the machine allows, by one process and
by several that share the schedule. Simulator, Postgres and processes share this machine, so the second table says where
this machine ends, not where the schedule does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import psycopg
from backfill import COMMAND, machine
from fairness import connect
from with_postgres import throw_away_postgres, url

import qbo_rs

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "key of the benchmark"
PATHS = ["/", "/healthz?deep", "/metrics", "/api/qbo/accounts/"]
COPIES = """
INSERT INTO qbo.accounts SELECT (copy).* FROM (
    SELECT jsonb_populate_record(account, jsonb_build_object('realm_id', account.realm_id || number)) AS copy
    FROM qbo.accounts AS account, generate_series(1, %(copies)s) AS number
) AS copies;
INSERT INTO qbo.sync_state (
    schema_name, realm_id, entity, status, last_attempt_at_utc, last_success_at_utc, checkpoint_utc
)
SELECT 'raw_' || realm_id, realm_id, entity, 'success', now(), now(), now()
FROM qbo.accounts CROSS JOIN unnest(%(entities)s::text[]) AS entity ON CONFLICT DO NOTHING;
INSERT INTO qbo.windows (
    schema_name, realm_id, entity, window_start_utc, window_end_utc, status, attempts, run_id, started_at_utc,
    committed_at_utc
)
SELECT schema_name, realm_id, entity, '2026-01-01Z', '2027-01-01Z', 'done', 1, gen_random_uuid(), now(), now()
FROM qbo.sync_state ON CONFLICT DO NOTHING;
INSERT INTO qbo.schema_realms (schema_name, realm_id)
SELECT 'raw_' || realm_id, realm_id FROM qbo.accounts ON CONFLICT DO NOTHING;
"""


def timed(line: list[str], environment: dict[str, str]) -> float:
    """Return the seconds that a command takes."""
    begin = time.monotonic()
    subprocess.run(line, env=environment, stdout=-3, stderr=-3, timeout=600)  # noqa: PLW1510 - needs somebody: exit 1
    return time.monotonic() - begin


def asked(address: str, path: str) -> tuple[float, int]:
    """Return the seconds and the bytes of an answer of the service."""
    request = urllib.request.Request(address + path, headers={"Authorization": f"Bearer {KEY}"})  # noqa: S310
    begin = time.monotonic()
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - the service of this benchmark
        size = len(answer.read())
    return time.monotonic() - begin, size


def resting(companies: int) -> None:
    """Print what looks at so many companies cost."""
    with throw_away_postgres() as postgres, qbo_rs.sandbox(customers=10, items=10, invoices=10) as qbo:
        environment = os.environ | qbo.environment | postgres | {"QBO_TOKEN_STORE": "postgres", "QBO_API_KEY": KEY}
        subprocess.run([COMMAND, "sync"], env=environment, stdout=-3, stderr=-3, check=True, timeout=300)
        with psycopg.connect(url(postgres), autocommit=True) as database:
            entities = [name for (name,) in database.execute("SELECT DISTINCT entity FROM qbo.sync_state")]
            cursor = psycopg.ClientCursor(database)
            cursor.execute(COPIES, {"copies": companies - 1, "entities": entities})
            database.execute("VACUUM ANALYZE")
        seconds = timed([COMMAND, "auth", "status"], environment)
        print(f"| {companies:,} | `qbo-rs auth status` | {seconds:.2f} s | |")
        line = [COMMAND, "serve", "--port", "0", "--log-level", "error"]
        service = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            address = service.stdout.readline().split()[-1] if service.stdout else ""
            for path in PATHS:
                seconds, size = asked(address, path)
                print(f"| {companies:,} | `{path}` | {seconds:.2f} s | {size / 1000:,.0f} KB |", flush=True)
        finally:
            service.terminate()
            service.wait(timeout=60)


def ended(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the company of every sync that succeeds."""
    for output in process.stdout or []:
        for account in json.loads(output)["accounts"]:
            if account["status"] == "ok":
                yield account["realm_id"]


def busy(companies: int, processes: int, seconds: float) -> None:
    """Print how many syncs so many processes end."""
    size = {"customers": 20, "items": 10, "invoices": 50, "others": 0}
    with throw_away_postgres() as postgres, qbo_rs.sandbox(companies=companies, limits=False, **size) as qbo:
        unlimited = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
        environment = connect(qbo, os.environ | qbo.environment | postgres | unlimited)
        line = [COMMAND, "sync", "customers", "invoices", "items"]
        # The first sync makes the tables.
        subprocess.run(line, env=environment, stdout=-3, stderr=-3, check=True, timeout=600)
        line = [COMMAND, "--json", *line[1:], "--every", "1s", "--log-level", "error"]
        running = [
            subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=-3, text=True)
            for _ in range(processes)
        ]
        seen: list[list[str]] = [[] for _ in running]
        begin = time.monotonic()

        def count(number: int) -> None:
            for realm_id in ended(running[number]):
                if time.monotonic() - begin > 5:  # noqa: PLR2004 - until all processes work
                    seen[number].append(realm_id)

        threads = [threading.Thread(target=count, args=(number,)) for number in range(processes)]
        for thread in threads:
            thread.start()
        time.sleep(5 + seconds)
        for process in running:
            process.terminate()
        for process, thread in zip(running, threads, strict=True):
            process.wait(timeout=60)
            thread.join(timeout=60)
    syncs = sum(map(len, seen))
    synced = len(set().union(*seen))
    print(f"| {companies:,} | {processes} | {syncs / seconds * 60:,.0f} | {synced:,} |", flush=True)


def main() -> None:
    """Run the benchmark and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resting", type=int, nargs="*", default=[100, 1000, 5000], help="companies that rest")
    parser.add_argument("--busy", type=int, nargs="*", default=[20, 100, 500], help="companies that are synced")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4], help="processes that sync them")
    parser.add_argument("--seconds", type=float, default=20, help="duration of each count (default 20)")
    arguments = parser.parse_args()
    print(f"{machine()}\n\n| companies | looked at | time | size |\n| --: | --- | --: | --: |")
    for companies in arguments.resting:
        resting(companies)
    print("\n| companies | processes | syncs a minute | companies synced |\n| --: | --: | --: | --: |")
    for companies in arguments.busy:
        for processes in arguments.processes:
            busy(companies, processes, arguments.seconds)


if __name__ == "__main__":
    main()
