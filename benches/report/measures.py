"""What is measured, each by a function that returns its figures."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import backfill
import merge
import psycopg
from instructions.counts import COUNTS, Counts
from with_postgres import throw_away_postgres, url  # found through backfill, which adds its directory

import qbo_rs

from . import processor
from .figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RATE = "Rate under QuickBooks' limits"
LATENCIES_MS = 0, 50, 500
FIRST_REQUESTS, ALLOWED_A_MINUTE = 60, 500
LOADING, MEMORY, START, REQUESTS = "Loading", "Memory", "Start", "Requests"
PROCESSORS = "Processor time of the largest load, for a million rows"
INSTRUCTIONS = "Instructions"
#: Every time of a start is the median of this many.
STARTS = 21
MONTH, WHOLE = "month", "900d"
#: Every rate and ratio of a load is the median of this many turns.
TURNS = 5
ONE, FOUR = "COPY and merge by hand, one connection", "COPY and merge by hand, four connections"
EMPTY, AGAIN = "`qbo-rs backfill` into an empty table", "`qbo-rs backfill` again, nothing changed"
SINGLE = "`qbo-rs backfill`, everything in one window"


def servers() -> list[str | None]:
    """Return where Postgres is: that of the wheel, and the newest of Debian, which has lz4, if it is installed."""
    return [None, *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:])]


def loading(server: str | None, rows: int) -> Iterator[Figure]:
    """Load invoices, and load the same rows by hand into the same server: in turn, several times."""
    with qbo_rs.sandbox(customers=500, items=300, invoices=rows) as same:
        payloads = same.truth("Invoice", "2024-01-01", "2026-01-01")
    with throw_away_postgres(server) as postgres:
        group = f"{LOADING} into {named(url(postgres))}"
        sandbox, environment = backfill.start_sandbox(rows)
        try:
            rounds = [turn(environment | postgres, payloads) for _ in range(TURNS)]
        finally:
            sandbox.terminate()
            sandbox.wait(timeout=10)

    def ratio(ours: str, by_hand: str) -> float:
        return statistics.median(loads[ours].rate / loads[by_hand].rate for loads in rounds)

    average = sum(map(len, payloads.values())) / len(payloads)
    yield Figure(group, "Bytes of an invoice, on average", average, "bytes")
    for name in rounds[0]:
        yield Figure(group, name, statistics.median(loads[name].rate for loads in rounds), "rows/s")
    yield Figure(group, "Empty table, against one connection by hand", ratio(EMPTY, ONE), "times", 1.6)
    yield Figure(group, "Empty table, against four connections by hand", ratio(EMPTY, FOUR), "times", 1.0)
    yield Figure(group, "One window, against one connection by hand", ratio(SINGLE, ONE), "times")
    yield Figure(group, "Four connections by hand, against one", ratio(FOUR, ONE), "times")
    for name in (ONE, EMPTY, AGAIN):
        written = statistics.median(loads[name].wal for loads in rounds)
        yield Figure(group, f"Write-ahead log of a row, {name}", written, "bytes")


def named(database: str) -> str:
    """Return the version of a server, and how a load compresses long payloads in it."""
    with psycopg.connect(database) as connection:
        (version,) = connection.execute("SHOW server_version").fetchone()
        (methods,) = connection.execute(
            "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
        ).fetchone()
    return f"Postgres {version.split()[0]}, {'lz4' if 'lz4' in methods else 'pglz'}"


class Load(NamedTuple):
    """What one load took."""

    rate: float
    #: Bytes that the server wrote to its log, for each row.
    wal: float


def turn(environment: dict[str, str], payloads: dict[str, bytes]) -> dict[str, Load]:
    """Load the same rows in each way, once."""
    database = url(environment)
    loads = {}
    for name, connections in ((ONE, 1), (FOUR, 4)):
        loads[name] = watched(database, partial(backfill.copy_and_merge, database, payloads, connections))
    for name, chunk in ((EMPTY, MONTH), (AGAIN, MONTH)):
        loads[name] = watched(database, partial(backfill.backfill, name, environment, chunk))
    forget(database)
    loads[SINGLE] = watched(database, partial(backfill.backfill, SINGLE, environment, WHOLE))
    forget(database)
    return loads


def watched(database: str, load: Callable[[], backfill.Measure]) -> Load:
    """Load, and look at how much the server has written to its log meanwhile."""
    with psycopg.connect(database, autocommit=True) as connection:
        (begin,) = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        measure = load()
        (written,) = connection.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)::float8", [begin]
        ).fetchone()
    return Load(measure.rate, written / measure.rows)


def growth(sizes: list[int]) -> Iterator[Figure]:
    """Load companies of several sizes; look at the peak, and at who takes the processors' time."""
    peaks, spent = [], {}
    for rows in sizes:
        with throw_away_postgres() as postgres:
            sandbox, environment = backfill.start_sandbox(rows)
            others = {"Postgres": postmaster(url(postgres)), "the simulator": sandbox.pid}
            before = {name: processor.seconds(pid) for name, pid in others.items()}
            try:
                load = backfill.backfill(f"{rows} rows", environment | postgres, MONTH)
                spent = {name: processor.seconds(pid) - before[name] for name, pid in others.items()}
            finally:
                sandbox.terminate()
                sandbox.wait(timeout=10)
        peaks.append(load.peak_mb)
        yield Figure(MEMORY, f"Peak of `qbo-rs backfill`, {rows:,} invoices", load.peak_mb, "MB", 60, "at most")
    yield Figure(MEMORY, "Largest peak against the smallest", max(peaks) / min(peaks), "times")
    million = load.rows / 1e6
    yield Figure(PROCESSORS, "`qbo-rs`", load.processor_s / million, "s", 6, "at most")
    for name, seconds in spent.items():
        yield Figure(PROCESSORS, name, seconds / million, "s")
    whole = load.seconds * (os.cpu_count() or 1)
    yield Figure(
        PROCESSORS,
        "All three, of what the processors have",
        100 * (load.processor_s + sum(spent.values())) / whole,
        "%",
    )


def postmaster(database: str) -> int:
    """Return the process id of a server on this machine."""
    with psycopg.connect(database) as connection:
        (directory,) = connection.execute("SHOW data_directory").fetchone()
    return int((Path(directory) / "postmaster.pid").read_text().split()[0])


def start() -> Iterator[Figure]:
    """Start the command and import the package, each many times in turn."""
    lines = {
        "`python -c pass`": ([sys.executable, "-c", "pass"], None),
        "`python -c 'import qbo_rs'`, beyond `python -c pass`": ([sys.executable, "-c", "import qbo_rs"], 60),
        "`qbo-rs --help`": ([backfill.COMMAND, "--help"], 30),
    }
    taken = {name: [] for name in lines}
    for _ in range(STARTS):
        for name, (line, _) in lines.items():
            begin = time.perf_counter()
            subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
            taken[name].append((time.perf_counter() - begin) * 1000)
    bare = 0.0
    for name, (_, goal) in lines.items():
        median = statistics.median(taken[name])
        bare = bare or median
        value = median - bare if "beyond" in name else median
        yield Figure(START, name, value, "ms", goal, "at most")


def requests() -> Iterator[Figure]:
    """Sync a company twice and count what the second one asks, when nothing has changed."""
    size = {"customers": 50, "items": 30, "invoices": 200}
    with throw_away_postgres() as postgres, qbo_rs.sandbox(**size) as qbo:
        environment = os.environ | qbo.environment | postgres | {"QBO_LAG_S": "0"}
        line = [backfill.COMMAND, "--json", "sync", "--log-level", "error"]
        subprocess.run(line, env=environment, stdout=subprocess.DEVNULL, check=True)
        before = qbo.stats()["data_requests"]
        told = subprocess.run(line, env=environment, stdout=subprocess.PIPE, check=True).stdout
        asked = qbo.stats()["data_requests"] - before
    entities = len(json.loads(told)["accounts"][0]["entities"])
    yield Figure(REQUESTS, f"A sync of {entities} entities in which nothing is new", asked, "requests", 2, "at most")


def rate(seconds: float) -> Iterator[Figure]:
    """Read under QuickBooks' limits while each answer takes its time, and count requests against what is allowed."""
    line = [backfill.COMMAND, "extract", "items", "--start", "2000-01-01", "--end", "2026-01-01", "--strict-windows"]
    for latency in LATENCIES_MS:
        with (
            qbo_rs.sandbox(customers=1, items=1, invoices=1, others=0, limits=True, latency_ms=latency) as qbo,
            TemporaryDirectory() as folder,
        ):
            told = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen([*line, "--out", folder], env=os.environ | qbo.environment, **told)
            try:
                # The first answers tell how many requests it takes at a time.
                wait(lambda: qbo.stats()["data_requests"] >= FIRST_REQUESTS)
                begin, before = time.perf_counter(), qbo.stats()["data_requests"]
                time.sleep(seconds)
                sent, passed = qbo.stats()["data_requests"] - before, time.perf_counter() - begin
            finally:
                process.kill()
                process.wait(timeout=10)
            throttled = qbo.stats()["throttled"]
        share = 100 * sent / passed / (ALLOWED_A_MINUTE / 60)
        yield Figure(RATE, f"Requests of one process, of what is allowed, answers after {latency} ms", share, "%", 95)
        yield Figure(RATE, f"Answers 429 meanwhile, answers after {latency} ms", throttled, "answers", 0, "at most")


def wait(is_so: Callable[[], bool]) -> None:
    """Wait until a condition holds, for at most a minute."""
    end = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > end:
            sys.exit("the command sent no requests within a minute")
        time.sleep(0.05)


def instructions() -> Iterator[Figure]:
    """Return the counts that ``make bench-check`` holds."""
    for work, count in Counts.read(COUNTS).cases.items():
        yield Figure(INSTRUCTIONS, work.capitalize(), count / 1e6, "million")


def plan() -> Iterator[Figure]:
    """Load into a table that was emptied and analysed, whose statistics say that it is empty."""
    rows = 20_000
    sandbox, environment = backfill.start_sandbox(rows)
    try:
        for windows, unit in merge.UNITS.items():
            new, emptied = merge.measure(environment, unit)
            name = f"Emptied table against a new one, {windows} {'windows' if windows > 1 else 'window'} at once"
            yield Figure("Plan of the merge", name, emptied / new, "times as long", 3, "at most")
    finally:
        sandbox.terminate()
        sandbox.wait(timeout=10)


def forget(database: str) -> None:
    """Remove what was loaded, and what is known about it."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS raw CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS qbo CASCADE")
