"""Compares the Mage pipeline with the command on the same 100,000 invoices.

Both get the same variables, the same simulated company and the same Postgres, on this machine. Mage's own start is
that of ``mage run`` with a pipeline of three blocks that do nothing. ``--rows`` sets how many invoices.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from backfill import ROOT, backfill, machine, start_sandbox

sys.path.insert(0, str(ROOT / "tests" / "mage"))

from host import Mage
from with_postgres import throw_away_postgres, url

PIPELINE = "qb_invoices_backfill"
BLOCKS = {
    "data_loaders/chunk_fecha_invoices.py": "data_loader",
    "data_loaders/extract_qbo_invoices.py": "data_loader",
    "data_exporters/load_postgres_invoices.py": "data_exporter",
}
IDLE = "@{0}\ndef nothing(*args, **kwargs):\n    return {{'rows': 0}}\n"


def run(mage: Mage, variables: dict[str, object]) -> float:
    """Run a pipeline; return its duration in seconds."""
    begin = time.perf_counter()
    done = mage.run(PIPELINE, **variables)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return time.perf_counter() - begin


def measure(postgres: dict[str, str], company: dict[str, str], page_size: int) -> tuple[float, float, float]:
    """Return the seconds of the command, the pipeline, and Mage alone."""
    variables = {"fecha_inicio": "2024-01-01", "fecha_fin": "2026-01-01", "chunk": "month", "page_size": page_size}
    with psycopg.connect(url(postgres), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS raw, qbo CASCADE")
        connection.execute("DROP DATABASE IF EXISTS bench_mage")
        connection.execute("CREATE DATABASE bench_mage")
        command = backfill("qbo-rs backfill", company | postgres, "month", page_size).seconds
        connection.execute("DROP SCHEMA raw, qbo CASCADE")
        with tempfile.TemporaryDirectory() as directory:
            environment = {"PATH": "/usr/bin:/bin"} | company | postgres
            mage = Mage(Path(directory), f"{url(postgres).rsplit('/', 1)[0]}/bench_mage", environment)
            mage.create_secrets({})
            pipeline = run(mage, variables)
            rows = connection.execute("SELECT count(*) FROM raw.qb_invoices").fetchone()[0]
            for path, decorator in BLOCKS.items():
                (mage.project / path).write_text(IDLE.format(decorator))
            start = run(mage, variables)
    print(f"  {rows} rows: command {command:.1f} s, pipeline {pipeline:.1f} s, Mage alone {start:.1f} s")
    return command, pipeline, start


def main() -> None:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="invoices (default 100000)")
    parser.add_argument("--times", type=int, default=3, help="repetitions (default 3)")
    arguments = parser.parse_args()
    print(f"{arguments.rows} invoices; {machine()}")
    with throw_away_postgres() as postgres:
        for page_size in (200, 1000):
            print(f"pages of {page_size}")
            measures = []
            for _ in range(arguments.times):
                # A new company each time, since the pipeline stores the rotated token in a database that is dropped.
                sandbox, company = start_sandbox(arguments.rows)
                try:
                    measures.append(measure(postgres, company, page_size))
                finally:
                    sandbox.terminate()
                    sandbox.wait(timeout=10)
            command, pipeline, start = (statistics.median(column) for column in zip(*measures, strict=True))
            ratio = (pipeline - start) / command
            print(f"  median: ({pipeline:.1f} s - {start:.1f} s of Mage's own) / {command:.1f} s = {ratio:.2f}")


if __name__ == "__main__":
    main()
