"""What is measured, each by a function that returns its figures."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import backfill
import merge
import psycopg
from instructions.counts import COUNTS, Counts
from with_postgres import throw_away_postgres, url  # found through backfill, which adds its directory

import qbo_rs

from .figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADING, MEMORY, START, REQUESTS = "Loading", "Memory", "Start", "Requests"
INSTRUCTIONS = "Instructions"
#: Every time of a start is the median of this many.
STARTS = 21
MONTH, WHOLE = "month", "900d"


def loading(rows: int) -> Iterator[Figure]:
    """Load invoices, and load the same rows by hand into the same server."""
    with throw_away_postgres() as postgres:
        sandbox, environment = backfill.start_sandbox(rows)
        environment |= postgres
        try:
            empty = backfill.backfill("empty table", environment, MONTH)
            again = backfill.backfill("again", environment, MONTH)
            forget(url(postgres))
            single = backfill.backfill("one window", environment, WHOLE)
            forget(url(postgres))
        finally:
            sandbox.terminate()
            sandbox.wait(timeout=10)
        with qbo_rs.sandbox(customers=500, items=300, invoices=rows) as same:
            payloads = same.truth("Invoice", "2024-01-01", "2026-01-01")
        one, four = (backfill.copy_and_merge(url(postgres), payloads, connections) for connections in (1, 4))
    average = sum(map(len, payloads.values())) / len(payloads)
    yield Figure(LOADING, "Bytes of an invoice, on average", average, "bytes")
    yield Figure(LOADING, "COPY and merge by hand, one connection", one.rate, "rows/s")
    yield Figure(LOADING, "COPY and merge by hand, four connections", four.rate, "rows/s")
    yield Figure(LOADING, "`qbo-rs backfill` into an empty table", empty.rate, "rows/s")
    yield Figure(LOADING, "`qbo-rs backfill` again, nothing changed", again.rate, "rows/s")
    yield Figure(LOADING, "`qbo-rs backfill`, everything in one window", single.rate, "rows/s")
    yield Figure(LOADING, "Empty table, against one connection by hand", empty.rate / one.rate, "times", 1.6)
    yield Figure(LOADING, "Empty table, against four connections by hand", empty.rate / four.rate, "times", 1.0)
    yield Figure(LOADING, "One window, against one connection by hand", single.rate / one.rate, "times")
    processor = empty.processor_s / empty.rows * 1e6
    yield Figure(LOADING, "Processor time of `qbo-rs`, for a million rows", processor, "s", 6, "at most")


def memory(sizes: list[int]) -> Iterator[Figure]:
    """Load companies of several sizes and look at the peak."""
    peaks = []
    for rows in sizes:
        with throw_away_postgres() as postgres:
            sandbox, environment = backfill.start_sandbox(rows)
            try:
                peaks.append(backfill.backfill(f"{rows} rows", environment | postgres, MONTH).peak_mb)
            finally:
                sandbox.terminate()
                sandbox.wait(timeout=10)
        yield Figure(MEMORY, f"Peak of `qbo-rs backfill`, {rows:,} invoices", peaks[-1], "MB", 60, "at most")
    yield Figure(MEMORY, "Largest peak against the smallest", max(peaks) / min(peaks), "times")


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
