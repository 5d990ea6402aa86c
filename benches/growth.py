"""Measures the disk space of a raw table of a million invoices, and the effect of storage options.

The results are in docs/loading.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import with_postgres
from with_postgres import throw_away_postgres, url

import qbo_rs

# Postgres compresses only rows of more than 2 KB, so the second source stores each payload twice.
SOURCES = {
    "1.3 KB": "SELECT * FROM raw.qb_invoices",
    "2.6 KB": "SELECT id, payload || jsonb_build_object('Again', payload), ingested_at_utc, extract_window_start_utc, "
    "extract_window_end_utc, page_number, page_size, request_payload FROM raw.qb_invoices",
}
TABLES = [
    ("1.3 KB", "as it is made", "", ""),
    ("1.3 KB", "fillfactor 80", "WITH (fillfactor = 80)", ""),
    ("2.6 KB", "uncompressed", "", "ALTER TABLE t ALTER payload SET STORAGE EXTERNAL"),
    ("2.6 KB", "pglz, the default", "", ""),
    ("2.6 KB", "lz4", "", "ALTER TABLE t ALTER payload SET COMPRESSION lz4"),
]
INDEXES = {
    "none": "",
    "B-tree on ingested_at_utc": "CREATE INDEX i ON t (ingested_at_utc)",
    "BRIN on ingested_at_utc": "CREATE INDEX i ON t USING brin (ingested_at_utc)",
}


def seconds(connection: psycopg.Connection, statement: str) -> float:
    """Run a statement; return the elapsed seconds."""
    begin = time.monotonic()
    connection.execute(statement)
    return time.monotonic() - begin


def measure_tables(connection: psycopg.Connection) -> None:
    """Print size and speed of each storage option."""
    print(f"{'table':28}{'MB':>8}{'toast MB':>10}{'insert s':>10}{'read s':>8}{'update 5 % s':>14}{'MB after':>10}")
    for source, how, storage, change in TABLES:
        name = f"{source}, {how}"
        connection.execute(f"CREATE TABLE t (LIKE raw.qb_invoices INCLUDING ALL) {storage}")
        if change:
            try:
                connection.execute(change)
            except psycopg.Error as error:
                print(f"{name:28} not measured: {error}")
                connection.execute("DROP TABLE t")
                continue
        insert = seconds(connection, f"INSERT INTO t {SOURCES[source]}")
        connection.execute("VACUUM ANALYZE t")
        size = (
            "SELECT pg_total_relation_size('t') / 1e6, coalesce(pg_total_relation_size(reltoastrelid), 0) / 1e6 "
            "FROM pg_class WHERE oid = 't'::regclass"
        )
        (total, toast) = connection.execute(size).fetchone()
        read = seconds(connection, "SELECT sum((payload ->> 'TotalAmt')::numeric) FROM t")
        some = "abs(hashtext(id)) % 20 = 0"
        update = seconds(connection, f'UPDATE t SET payload = payload || \'{{"PrivateNote": "edited"}}\' WHERE {some}')
        connection.execute("VACUUM t")
        (after, _) = connection.execute(size).fetchone()
        print(f"{name:28}{total:8.0f}{toast:10.0f}{insert:10.1f}{read:8.1f}{update:14.1f}{after:10.0f}")
        connection.execute("DROP TABLE t")


def measure_indexes(connection: psycopg.Connection) -> None:
    """Print the time to find the rows of the last 0.1 % of the load, for each index."""
    print(f"\n{'index':28}{'MB':>8}{'last 0.1 % ms':>16}")
    connection.execute("CREATE TABLE t AS TABLE raw.qb_invoices")
    last = "SELECT min(ingested_at_utc) + (max(ingested_at_utc) - min(ingested_at_utc)) * 0.999 FROM t"
    (since,) = connection.execute(last).fetchone()
    for name, index in INDEXES.items():
        if index:
            connection.execute(index)
        connection.execute("VACUUM ANALYZE t")
        size = (
            "SELECT coalesce(sum(pg_relation_size(indexrelid)), 0) / 1e6 FROM pg_index WHERE indrelid = 't'::regclass"
        )
        (megabytes,) = connection.execute(size).fetchone()
        took = seconds(connection, f"SELECT count(*) FROM t WHERE ingested_at_utc >= '{since}'")
        print(f"{name:28}{megabytes:8.1f}{took * 1000:16.1f}")
        connection.execute("DROP INDEX IF EXISTS i")
    connection.execute("DROP TABLE t")


def main() -> None:
    """Load the invoices, run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    # Debian's Postgres supports lz4; the embedded one does not.
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if debian:
        with_postgres.find_postgres = lambda: debian[-1]
    with throw_away_postgres() as environment, qbo_rs.sandbox(invoices=rows, limits=False) as qbo:
        names = dict(qbo_rs._core.settings())  # noqa: SLF001
        settings = {names[name]: value for name, value in (qbo.environment | environment).items() if name in names}
        unlimited = {"requests_per_minute": 0, "requests_per_second": 0}
        begin = time.monotonic()
        qbo_rs.backfill("invoices", "2024-01-01", "2026-01-01", "month", **settings, **unlimited).raise_for_failures()
        print(f"{rows} invoices loaded in {time.monotonic() - begin:.1f} s\n")
        with psycopg.connect(url(environment), autocommit=True) as connection:
            (version, average) = connection.execute(
                "SELECT version(), (SELECT avg(pg_column_size(payload)) FROM raw.qb_invoices)"
            ).fetchone()
            print(f"{version}; {average:.0f} bytes a payload\n")
            measure_tables(connection)
            measure_indexes(connection)
        with tempfile.TemporaryDirectory() as directory:
            archive = Path(directory) / "archive.jsonl.zst"
            line = [Path(sys.executable).parent / "qbo-rs", "db", "archive", "invoices", "--before", "2025-01-01"]
            begin = time.monotonic()
            subprocess.run(
                [*line, "--out", archive], env=os.environ | environment, check=True, stdout=subprocess.DEVNULL
            )
            took = time.monotonic() - begin
            print(f"\n`db archive` of the older half: {took:.1f} s, {archive.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
