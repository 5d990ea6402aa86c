"""Measures a tie-out of a company's books with its reports, in one run.

The simulator makes a company with double-entry books (``--books`` transactions over five years), which is synced into
a throw-away Postgres. Then ``qbo-rs verify --books`` runs for the last month: the first time, when nothing is known of
the books; until all adjustments of stock are read, of which a comparison reads 1,000; again; and once more after some
records have changed. Simulator, Postgres and client share the cores of this machine. For comparison: a COPY of all
payloads out of Postgres, which every comparison has to read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benches")]

from backfill import machine, run  # noqa: E402
from with_postgres import throw_away_postgres, url  # noqa: E402

COMMAND = str(Path(sys.executable).parent / "qbo-rs")
MONTH = ["--start", "2025-12-01", "--end", "2025-12-31"]
# Records that change between two comparisons: their notes, and so no amount.
CHANGED = 200
# A comparison with more requests has read records of stock one by one, or earlier months.
MANY = 20


class Measure(NamedTuple):
    """One line of the table."""

    name: str
    seconds: float
    peak_mb: float | None = None
    requests: int | None = None


def tie_out(name: str, command: str, environment: dict[str, str]) -> Measure:
    """Measure a comparison of the last month. It has to agree, but for adjustments of stock that are left."""
    line = [command, "verify", "--books", *MONTH, "--json", "--log-level", "error"]
    output, usage = run(line, environment, accepted=1)
    books = json.loads(output)["books"][0]
    if [reason for reason in books["unverified"] if not reason.startswith("inventory_adjustments: ")]:
        sys.exit(f"{name}: {books['unverified']}")
    if any(float(account["unexplained"]) for account in books["accounts"]):
        sys.exit(f"{name}: amounts are unexplained")
    return Measure(name, usage.seconds, usage.peak_mb, books["requests"])


def start_sandbox(command: str, transactions: int) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start the simulator as a process; return the process and the environment for clients."""
    line = [command, "sandbox", "--port", "0", "--no-limits", "--books", str(transactions)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    environment = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
    for output in process.stdout:
        if not output.startswith("export "):
            return process, environment
        name, value = output.removeprefix("export ").strip().split("=", 1)
        environment[name] = value
    sys.exit("the sandbox did not start")


def copy_out(connection: psycopg.Connection) -> tuple[Measure, int]:
    """Measure a COPY of all payloads over one connection; return the number of records, too."""
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'raw' AND tablename LIKE 'qb\\_%'"
    ).fetchall()
    begin, records = time.perf_counter(), 0
    for (table,) in tables:
        with connection.cursor().copy(f"COPY (SELECT payload::text FROM raw.{table}) TO STDOUT") as rows:
            records += sum(1 for _ in rows)
    return Measure("COPY of all payloads, one connection", time.perf_counter() - begin), records


def change_notes(connection: psycopg.Connection) -> None:
    """Change the notes of some invoices, as a sync that finds them changed would."""
    connection.execute(
        """UPDATE raw.qb_invoices
           SET payload = jsonb_set(payload, '{PrivateNote}', '"changed"'), ingested_at_utc = now()
           WHERE id IN (SELECT id FROM raw.qb_invoices WHERE deleted_at_utc IS NULL ORDER BY id LIMIT %s)""",
        [CHANGED],
    )
    connection.commit()


def measures(command: str, environment: dict[str, str], postgres: dict[str, str]) -> tuple[list[Measure], int, str]:
    """Sync, then compare; return what was measured, the number of records, and the version of the server."""
    _, usage = run([command, "sync", "--json", "--log-level", "error"], environment)
    found = [Measure("qbo-rs sync of everything", usage.seconds, usage.peak_mb)]
    with psycopg.connect(url(postgres)) as connection:
        version = connection.execute("SHOW server_version").fetchone()[0]
        floor, records = copy_out(connection)
        found.append(floor)
        connection.commit()
        found.append(tie_out("first comparison of a month", command, environment))
        while found[-1].requests >= MANY:
            found.append(tie_out("the next, with the rest of the stock", command, environment))
        found.append(tie_out("again, nothing changed", command, environment))
        change_notes(connection)
        found.append(tie_out(f"again, {CHANGED} records changed", command, environment))
    return found, records, version


def main() -> None:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--books", type=int, default=100_000, help="transactions (default 100000)")
    parser.add_argument("--command", default=COMMAND, help="the command to measure (default: the installed one)")
    arguments = parser.parse_args()
    with throw_away_postgres() as postgres:
        sandbox, environment = start_sandbox(arguments.command, arguments.books)
        try:
            found, records, version = measures(arguments.command, environment | postgres, postgres)
        finally:
            sandbox.terminate()
            sandbox.wait(timeout=10)
    print(f"{arguments.books} transactions, {records} records; Postgres {version}; {machine()}")
    print(f"{'':42}{'seconds':>10}{'of COPY':>10}{'requests':>10}{'peak MB':>10}")
    floor = next(it for it in found if it.name.startswith("COPY"))
    for it in found:
        requests = "" if it.requests is None else it.requests
        peak = "" if it.peak_mb is None else f"{it.peak_mb:.0f}"
        print(f"{it.name:42}{it.seconds:>10.1f}{it.seconds / floor.seconds:>10.1f}{requests:>10}{peak:>10}")


if __name__ == "__main__":
    main()
