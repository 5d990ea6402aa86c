"""Compares the speed of a backfill with what Postgres alone achieves on the same rows, in one run.

Prints one table: a plain COPY into an unindexed jsonb table, a hand-written COPY into a staging table with one merge,
and ``qbo-rs backfill`` from the simulator, first into an empty table and then again with nothing changed. Simulator,
Postgres and client share the cores of this machine. ``--rows`` sets the number of invoices.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import measured_process
import psycopg

import qbo_rs

if TYPE_CHECKING:
    from measured_process import Usage

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from with_postgres import throw_away_postgres, url  # noqa: E402

COMMAND = str(Path(sys.executable).parent / "qbo-rs")
# The longest that a command may take.
LIMIT_S = 3600
RANGE = ["--start", "2024-01-01", "--end", "2026-01-01"]
METADATA = "\t2024-01-01 00:00:00+00\t2024-01-01 00:00:00+00\t2024-02-01 00:00:00+00\t1\t1000\t"
# What a backfill stores beside each row, so that the rows are the same.
REQUEST = json.dumps(
    {
        "method": "POST",
        "path": "/v3/company/9341450000000001/query",
        "query": "SELECT * FROM Invoice WHERE MetaData.LastUpdatedTime >= '2024-01-01T00:00:00Z' AND "
        "MetaData.LastUpdatedTime < '2024-02-01T00:00:00Z' ORDERBY MetaData.LastUpdatedTime ASC STARTPOSITION 1 "
        "MAXRESULTS 1000",
        "include": "enhancedAllCustomFields,invoiceLink",
        "minorversion": 75,
    }
)
COLUMNS = """id text {key}, payload jsonb NOT NULL, ingested_at_utc timestamptz NOT NULL,
    extract_window_start_utc timestamptz NOT NULL, extract_window_end_utc timestamptz NOT NULL,
    page_number int NOT NULL, page_size int NOT NULL, request_payload jsonb NOT NULL"""
MERGE = """INSERT INTO bench_merged AS known SELECT * FROM bench_staging ON CONFLICT (id) DO UPDATE SET
    payload = EXCLUDED.payload, ingested_at_utc = EXCLUDED.ingested_at_utc,
    extract_window_start_utc = EXCLUDED.extract_window_start_utc,
    extract_window_end_utc = EXCLUDED.extract_window_end_utc, page_number = EXCLUDED.page_number,
    page_size = EXCLUDED.page_size, request_payload = EXCLUDED.request_payload
    WHERE known.payload IS DISTINCT FROM EXCLUDED.payload"""


class Measure(NamedTuple):
    """One line of the table."""

    name: str
    rows: int
    seconds: float
    peak_mb: float | None = None
    processor_s: float | None = None

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


def escape(json_text: str) -> str:
    """Escape JSON for the text format of COPY."""
    return json_text.replace("\\", "\\\\")


def copy(connection: psycopg.Connection, statement: str, lines: list[bytes]) -> None:
    """Send prepared lines in large pieces."""
    with connection.cursor().copy(statement) as stream:
        for first in range(0, len(lines), 1000):
            stream.write(b"".join(lines[first : first + 1000]))


def plain_copy(connection: psycopg.Connection, payloads: dict[str, str]) -> Measure:
    """Measure a plain COPY, without key, metadata or merge."""
    connection.execute("CREATE TABLE bench_plain (payload jsonb)")
    lines = [f"{escape(payload)}\n".encode() for payload in payloads.values()]
    begin = time.perf_counter()
    copy(connection, "COPY bench_plain FROM STDIN", lines)
    connection.commit()
    return Measure("COPY, one jsonb column, no index", len(lines), time.perf_counter() - begin)


def copy_and_merge(database: str, payloads: dict[str, str], connections: int = 1) -> Measure:
    """Measure the loading work of a backfill, written by hand, each connection with an equal share of the rows."""
    tail = METADATA + escape(REQUEST)
    lines = [f"{key}\t{escape(payload)}{tail}\n".encode() for key, payload in payloads.items()]
    shares = [lines[first::connections] for first in range(connections)]
    with ExitStack() as opened:
        open_now = [opened.enter_context(psycopg.connect(database)) for _ in shares]
        open_now[0].execute(
            f"DROP TABLE IF EXISTS bench_merged; CREATE TABLE bench_merged ({COLUMNS.format(key='PRIMARY KEY')})"
        )
        open_now[0].commit()
        begin = time.perf_counter()
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(merge_share, open_now, shares))
        seconds = time.perf_counter() - begin
    name = "one connection" if connections == 1 else f"{connections} connections"
    return Measure(f"hand-made COPY + merge, {name}", len(lines), seconds)


def merge_share(connection: psycopg.Connection, lines: list[bytes]) -> None:
    """Load lines in one transaction: staged, then merged."""
    connection.execute(f"CREATE TEMP TABLE bench_staging ({COLUMNS.format(key='')}) ON COMMIT DROP")
    copy(connection, "COPY bench_staging FROM STDIN", lines)
    connection.execute(MERGE)
    connection.commit()


def backfill(name: str, environment: dict[str, str], chunk: str, page_size: int = 1000) -> Measure:
    """Measure the duration, the processor time and the peak memory of the command."""
    unit = ["--chunk", chunk, "--page-size", str(page_size)]
    line = [COMMAND, "backfill", "invoices", *RANGE, *unit, "--json", "--log-level", "error"]
    output, usage = run(line, environment)
    totals = json.loads(output)["runs"][0]["totals"]
    return Measure(name, totals["rows"], usage.seconds, usage.peak_mb, usage.cpu_s)


def run(line: list[str], environment: dict[str, str], accepted: int = 0) -> tuple[bytes, Usage]:
    """Run a command; return what it printed and what it took. Its failure ends the benchmark, with another code."""
    with TemporaryDirectory() as folder:
        try:
            usage = measured_process.run([line], os.environ | environment, Path(folder), LIMIT_S, accepted)
        except measured_process.ProcessError as error:
            sys.exit(f"{' '.join(line)}: {error}")
        return (Path(folder) / "output").read_bytes(), usage


def start_sandbox(rows: int) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start the simulator as a process; return the process and the environment for clients."""
    line = [
        COMMAND,
        "sandbox",
        "--port",
        "0",
        "--no-limits",
        "--customers",
        "500",
        "--items",
        "300",
        "--invoices",
        str(rows),
    ]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    environment = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
    for output in process.stdout:
        if not output.startswith("export "):
            return process, environment
        name, value = output.removeprefix("export ").strip().split("=", 1)
        environment[name] = value
    sys.exit("the sandbox did not start")


def machine() -> str:
    """Return a description of the machine."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} cores ({names[0] if names else platform.machine()}), {platform.system()}"


def main() -> None:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="invoices (default 100000)")
    parser.add_argument("--chunk", default="month", help="unit of a window (default month)")
    arguments = parser.parse_args()
    with throw_away_postgres() as postgres:
        sandbox, environment = start_sandbox(arguments.rows)
        environment |= postgres
        try:
            measures = [backfill("qbo-rs backfill, empty table", environment, arguments.chunk)]
            measures.append(backfill("qbo-rs backfill again, nothing changed", environment, arguments.chunk))
        finally:
            sandbox.terminate()
            sandbox.wait(timeout=10)
        with qbo_rs.sandbox(customers=500, items=300, invoices=arguments.rows) as same:
            payloads = same.truth("Invoice", "2024-01-01", "2026-01-01")
        with psycopg.connect(url(postgres)) as connection:
            version = connection.execute("SHOW server_version").fetchone()[0]
            connection.execute("DROP TABLE raw.qb_invoices")
            connection.commit()
            plain = plain_copy(connection, payloads)
        floor = copy_and_merge(url(postgres), payloads)
        measures = [plain, floor, copy_and_merge(url(postgres), payloads, connections=4), *measures]
    average = sum(map(len, payloads.values())) / len(payloads)
    print(f"{len(payloads)} invoices of {average:.0f} bytes; Postgres {version}; {machine()}")
    print(f"{'':42}{'rows/s':>10}{'seconds':>10}{'of COPY+merge':>16}{'peak MB':>10}{'CPU s/million':>16}")
    for measure in measures:
        peak = "" if measure.peak_mb is None else f"{measure.peak_mb:.0f}"
        ratio = f"{measure.rate / floor.rate:.2f}"
        processor = "" if measure.processor_s is None else f"{measure.processor_s / measure.rows * 1e6:.1f}"
        print(f"{measure.name:42}{measure.rate:>10.0f}{measure.seconds:>10.1f}{ratio:>16}{peak:>10}{processor:>16}")


if __name__ == "__main__":
    main()
