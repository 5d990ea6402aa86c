"""Measures sums over a million invoices: by the views, by the tables of ``--materialize``, and by columns made by hand.

The results are in docs/views.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psycopg

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from with_postgres import throw_away_postgres, url

import qbo_rs

# The same rows for all: the column by hand is beside the payload, and is computed when a row is written.
BY_HAND = (
    "ALTER TABLE raw.qb_invoices ADD COLUMN total_by_hand numeric "
    "GENERATED ALWAYS AS ((payload ->> 'TotalAmt')::numeric) STORED"
)
# Copies of what was loaded, each with an id and a total of its own.
MULTIPLY = """
INSERT INTO raw.qb_invoices
SELECT n || '-' || id, jsonb_set(payload, '{{TotalAmt}}', to_jsonb((payload ->> 'TotalAmt')::numeric + n)),
    ingested_at_utc, extract_window_start_utc, extract_window_end_utc, page_number, page_size, request_payload
FROM raw.qb_invoices CROSS JOIN generate_series(1, {}) AS n"""
LIVE = "WHERE deleted_at IS NULL"
BESIDE = "total, by hand, beside the payload"
QUERIES = {
    BESIDE: "SELECT sum(total_by_hand) FROM raw.qb_invoices WHERE deleted_at_utc IS NULL",
    "total, by hand, in a table of two columns": "SELECT sum(total) FROM by_hand",
    "total, view": f"SELECT sum(total_amt) FROM live.invoices {LIVE}",
    "total, table": f"SELECT sum(total_amt) FROM books.invoices {LIVE}",
    "days, view": f"SELECT count(txn_date) FROM live.invoices {LIVE}",
    "days, table": f"SELECT count(txn_date) FROM books.invoices {LIVE}",
    "a month by customer, view": "SELECT count(*) FROM (SELECT customer_ref_value, sum(total_amt) FROM live.invoices "
    "WHERE txn_date >= '2024-06-01' AND txn_date < '2024-07-01' GROUP BY 1) AS s",
    "a month by customer, table": "SELECT count(*) FROM (SELECT customer_ref_value, sum(total_amt) FROM books.invoices "
    "WHERE txn_date >= '2024-06-01' AND txn_date < '2024-07-01' GROUP BY 1) AS s",
    "amount of lines, view": f"SELECT sum(amount) FROM live.invoice_lines {LIVE}",
    "amount of lines, table": f"SELECT sum(amount) FROM books.invoice_lines {LIVE}",
    "links, view": f"SELECT count(linked_id) FROM live.linked_transactions {LIVE}",
    "links, table": f"SELECT count(linked_id) FROM books.linked_transactions {LIVE}",
}
RUNS = 3


def processor_ms(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def measure(connection: psycopg.Connection) -> None:
    """Print the medians of each query, and the plan of those that sum the total."""
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    connection.execute("SET max_parallel_workers_per_gather = 0; SET jit = off")
    print(f"{'query':46}{'ms':>9}{'processor ms':>14}  load")
    answers: dict[str, set] = {}
    medians: dict[str, float] = {}
    for name, query in QUERIES.items():
        elapsed, used = [], []
        for _ in range(RUNS):
            begin, before = time.monotonic(), processor_ms(pid)
            answers.setdefault(name.partition(",")[0], set()).add(connection.execute(query).fetchone())
            elapsed.append((time.monotonic() - begin) * 1000)
            used.append(processor_ms(pid) - before)
        medians[name] = statistics.median(used)
        print(f"{name:46}{statistics.median(elapsed):9.0f}{medians[name]:14.0f}  {os.getloadavg()[0]:.1f}")
    different = [name for name, found in answers.items() if len(found) > 1]
    if different:
        sys.exit(f"different answers: {different}")
    print("\nprocessor time, times that of the column by hand beside the payload")
    for name in ("total, view", "total, table", "total, by hand, in a table of two columns"):
        print(f"{name:46}{medians[name] / medians[BESIDE]:9.2f}")
    for name in [name for name in QUERIES if name.startswith("total")]:
        print(f"\nEXPLAIN (ANALYZE, TIMING OFF) {QUERIES[name]};")
        for (line,) in connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {QUERIES[name]}"):
            print(f" {line}")


def measure_loads(command: str, server: str, rows: int, environment: dict[str, str]) -> None:
    """Print the time of a backfill into a new database and of one in which every record has changed."""
    took: dict[str, list[float]] = {}
    with qbo_rs.sandbox(invoices=rows, customers=1000, others=0, limits=False) as qbo:
        environment = environment | qbo.environment
        for _ in range(RUNS):
            for kind in ("views", "tables"):
                with psycopg.connect(server, autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {kind}")
                own = environment | {"PG_DB": kind}
                subprocess.run([command, "db", "migrate"], env=own, check=True, stdout=subprocess.DEVNULL)
                if kind == "tables":
                    views = [command, "db", "views", "--materialize"]
                    subprocess.run(views, env=own, check=True, stdout=subprocess.DEVNULL)
                backfill = [
                    "--log-level",
                    "error",
                    "backfill",
                    "invoices",
                    "--start",
                    "2024-01-01",
                    "--end",
                    "2026-01-01",
                    "--chunk",
                    "week",
                ]
                loader = Path(sys.executable).parent / "qbo-rs"
                for step in ("new", "changed"):
                    begin = time.monotonic()
                    subprocess.run([loader, *backfill], env=own, check=True, stdout=subprocess.DEVNULL)
                    took.setdefault(f"{step}, {kind}", []).append(time.monotonic() - begin)
                    with psycopg.connect(f"{server.rpartition('/')[0]}/{kind}", autocommit=True) as connection:
                        # The next load finds each row in another version.
                        change = "UPDATE raw.qb_invoices SET payload = jsonb_set(payload, '{SyncToken}', '\"0\"')"
                        connection.execute(f"SET session_replication_role = replica; {change}")
                with psycopg.connect(server, autocommit=True) as connection:
                    connection.execute(f"DROP DATABASE {kind}")
    print(f"\nbackfill of {rows} invoices, median of {RUNS}")
    for step in ("new", "changed"):
        views, tables = (statistics.median(took[f"{step}, {kind}"]) for kind in ("views", "tables"))
        print(
            f"{step:10} views {rows / views:8.0f} rows/s   tables {rows / tables:8.0f} rows/s   "
            f"slower by {100 * (tables / views - 1):.0f} %"
        )


def main() -> None:
    """Load some invoices, multiply them in the database, and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--loaded", type=int, default=50_000)
    parser.add_argument("--command", default=str(Path(sys.executable).parent / "qbo-rs"))
    parser.add_argument("--without-loads", action="store_true")
    parser.add_argument("--compression", choices=["pglz", "lz4"], help="of the payloads, instead of the server's own")
    options = parser.parse_args()
    with throw_away_postgres() as postgres:
        unlimited = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
        environment = os.environ | postgres | unlimited
        if not options.without_loads:
            measure_loads(options.command, url(postgres), options.loaded, environment)
        with qbo_rs.sandbox(invoices=options.loaded, customers=1000, others=0, limits=False) as qbo:
            everything = ["--start", "2024-01-01", "--end", "2026-01-01"]
            loader = Path(sys.executable).parent / "qbo-rs"
            subprocess.run(
                [loader, "--log-level", "error", "backfill", "invoices", *everything, "--chunk", "month"],
                env=environment | qbo.environment,
                check=True,
            )
        with psycopg.connect(url(postgres), autocommit=True) as connection:
            connection.execute(BY_HAND)
            if options.compression:
                # Each row is stored anew, so that all payloads are compressed alike.
                alter = f"ALTER TABLE raw.qb_invoices ALTER COLUMN payload SET COMPRESSION {options.compression}"
                connection.execute(f"{alter}; UPDATE raw.qb_invoices SET payload = payload || '{{}}'; ")
            begin = time.monotonic()
            connection.execute(MULTIPLY.format(options.rows // options.loaded - 1))
            print(f"\nmultiplied in {time.monotonic() - begin:.0f} s")
            connection.execute("CREATE TABLE by_hand AS SELECT id, total_by_hand AS total FROM raw.qb_invoices")
            for arguments in (["--into", "live"], ["--materialize"]):
                begin = time.monotonic()
                views = [options.command, "db", "views", *arguments]
                subprocess.run(views, env=environment, check=True, stdout=subprocess.DEVNULL)
                print(f"db views {' '.join(arguments)}: {time.monotonic() - begin:.0f} s")
            connection.execute("VACUUM ANALYZE")
            (version, rows, average) = connection.execute(
                "SELECT version(), count(*), avg(length(payload::text)) FROM raw.qb_invoices"
            ).fetchone()
            print(f"{version}; {rows} invoices, {average:.0f} bytes a payload as text; {os.cpu_count()} processors\n")
            sizes = (
                "SELECT relname, pg_total_relation_size(oid) / 1e6 FROM pg_class WHERE relkind = 'r' AND "
                "pg_total_relation_size(oid) > 1e6 AND relnamespace IN ('raw'::regnamespace, 'books'::regnamespace)"
            )
            for name, megabytes in connection.execute(sizes):
                print(f"{name:30}{megabytes:8.0f} MB")
            measure(connection)


if __name__ == "__main__":
    main()
