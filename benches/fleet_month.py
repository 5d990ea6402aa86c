"""Lets 100,000 companies live through a month on a virtual clock, by the rules of the schedule.

A sync of a company in which nothing has changed is measured first, on a real Postgres and the simulator: requests,
transactions, WAL. Then a model repeats the rules of `qbo.sync_accounts` (who is due, spreading, backoff, 32 companies
at a time in a process) and of tokens for a month of companies in four time zones, whose webhooks follow their working
hours, with two outages of Intuit. It prints what the month costs, how far companies fall behind and come back, and what
one Postgres must bear. `tests/python/test_fleet_month.py` compares the numbers of the rules with the code.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
from dataclasses import dataclass

import numpy as np
import psycopg
from backfill import COMMAND, machine
from fairness import connect
from with_postgres import throw_away_postgres, url

import qbo_rs

# The rules of the code.
SPREAD = 0.1
MAX_BACKOFF_INTERVALS = 32
COMPANIES_AT_A_TIME = 32
# What Intuit documents (qbo-facts 1 and 6.2): seconds of an access token; reads that a month includes.
ACCESS_TOKEN_S = 3600
TIERS = {"Builder": 500_000, "Silver": 1_000_000, "Gold": 10_000_000, "Platinum": 75_000_000}

# Entities of a company, each with a table.
ENTITIES = len(qbo_rs.entities())

STEP_S = 30.0
DAY_S = 86_400.0
# Intuit answers nothing: begin and length in seconds.
OUTAGES = ((10.5 * DAY_S, 7200.0), (20 * DAY_S, 600.0))
# Seconds after an outage in which ages are not usual.
RECOVERY_S = DAY_S
# Seconds between a change and the read that sees it, as `QBO_LAG_S` has it.
LAG_S = 31
# A process refreshes a token that ends within so many seconds.
REFRESH_BUFFER_S = 300
NOTE_S = 600
WORKING_DAYS = 5
# Hours from UTC of the companies' zones, and their working hours.
ZONES = (-5, -6, -7, -8)
WORK = (8, 18)


@dataclass(frozen=True)
class Cost:
    """What a sync of one company costs in which nothing has changed."""

    requests: float
    transactions: float
    wal_bytes: float


def measure(companies: int = 20) -> Cost:
    """Sync companies in which nothing has changed, and return what one costs."""
    size = {"customers": 20, "items": 10, "invoices": 50}
    with throw_away_postgres() as postgres, qbo_rs.sandbox(companies=companies, limits=False, **size) as qbo:
        environment = connect(qbo, os.environ | qbo.environment | postgres)
        line = [COMMAND, "--json", "sync", "--log-level", "error"]

        def sync() -> int:
            done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=900, check=True)
            return sum(account["requests"] for account in json.loads(done.stdout)["accounts"])

        sync()
        with psycopg.connect(url(postgres), autocommit=True) as database:

            def counters() -> tuple[int, int]:
                database.execute("SELECT pg_stat_clear_snapshot()")
                select = "SELECT xact_commit, pg_current_wal_lsn() - '0/0' FROM pg_stat_database WHERE datname = %s"
                return database.execute(select, (postgres["PG_DB"],)).fetchone()

            before, requests, after = counters(), sync(), counters()
    transactions, wal = (later - earlier for earlier, later in zip(before, after, strict=True))
    return Cost(requests / companies, transactions / companies, float(wal) / companies)


class Calendar:
    """The steps in which the people of each zone work."""

    def __init__(self, steps: int) -> None:
        """Find the working steps of so many."""
        now = np.arange(steps) * STEP_S
        is_weekday = (now // DAY_S) % 7 < WORKING_DAYS
        hours = (now[None, :] / 3600 + np.array(ZONES)[:, None]) % 24
        is_working = (hours >= WORK[0]) & (hours < WORK[1]) & is_weekday
        self.steps = steps
        # Working steps before each step, and the step of each working step; behind the last one there is none.
        self.before = np.concatenate((np.zeros((len(ZONES), 1), dtype=np.int64), is_working.cumsum(axis=1)), axis=1)
        self.working = np.full((len(ZONES), steps + 1), steps, dtype=np.int64)
        for zone, works in enumerate(is_working):
            self.working[zone, : works.sum()] = np.flatnonzero(works)

    def after(self, step: int, zone: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Return the step that is the working step of this number from a step on, or the number of all steps."""
        first = self.before[zone, min(step, self.steps)]
        return self.working[zone, np.minimum(first + count - 1, self.steps)]


class Month:
    """The companies and their clock."""

    def __init__(self, options: argparse.Namespace, cost: Cost) -> None:
        """Connect the companies."""
        self.options, self.cost = options, cost
        self.random = np.random.default_rng(options.seed)
        count = options.companies
        self.steps = int(options.days * DAY_S / STEP_S)
        self.calendar = Calendar(self.steps)
        self.due = np.arange(count) * options.interval / count
        self.failures = np.zeros(count, dtype=np.int64)
        self.done = np.zeros(count)
        self.token_until = np.zeros(count)
        # Its number among the zones.
        self.zone = self.random.integers(len(ZONES), size=count)
        # Changes of a working day: few companies make most of them.
        self.changes = np.minimum(self.random.lognormal(1.5, 1.5, count), 2_000)
        self.rate = np.minimum(self.changes * STEP_S / ((WORK[1] - WORK[0]) * 3600), 1)
        self.is_busy = self.changes > np.median(self.changes)
        # The step in which the next event becomes a sync.
        self.ready_at = self.next_ready(0, np.arange(count))
        self.chosen = np.zeros(count, dtype=bool)
        self.syncs = self.failed = self.jobs = 0
        self.refreshes: list[int] = []
        self.overdue: list[int] = []
        self.ages: list[tuple[float, float, float, float, float]] = []

    def is_outage(self, now: float) -> bool:
        """Return whether Intuit answers nothing."""
        return any(begin <= now < begin + length for begin, length in OUTAGES)

    def capacity(self) -> int:
        """Return how many syncs all processes end in a step."""
        seconds = self.cost.requests * self.options.latency + self.options.own
        at_a_time = self.options.processes * COMPANIES_AT_A_TIME
        return int(at_a_time * STEP_S / seconds)

    def next_ready(self, step: int, who: np.ndarray) -> np.ndarray:
        """Return when the next event of companies becomes a sync, if it may come from a step on.

        In each working step an event comes or not, so the number of steps until it comes is geometric.
        """
        comes = self.calendar.after(step, self.zone[who], self.random.geometric(self.rate[who]))
        return comes + math.ceil(LAG_S / STEP_S)

    def webhooks(self, step: int) -> np.ndarray:
        """Return the companies whose webhooks become a sync now. One sync takes all events that wait."""
        ready = np.flatnonzero(self.ready_at <= step)
        self.ready_at[ready] = self.next_ready(step + 1, ready)
        return ready

    def sync(self, who: np.ndarray, now: float) -> None:
        """Sync companies, and note what becomes of it."""
        interval = self.options.interval
        fails = np.full(len(who), self.is_outage(now)) | (self.random.random(len(who)) < self.options.failures)
        well, ill = who[~fails], who[fails]
        is_refreshed = self.token_until[who] <= now + REFRESH_BUFFER_S
        self.refreshes[-1] += int(is_refreshed.sum())
        self.token_until[who[is_refreshed & ~fails]] = now + ACCESS_TOKEN_S
        self.due[well] = now + interval * (1 - SPREAD + 2 * SPREAD * self.random.random(len(well)))
        self.done[well], self.failures[well] = now, 0
        self.failures[ill] += 1
        self.due[ill] = now + interval * np.minimum(2.0 ** self.failures[ill], MAX_BACKOFF_INTERVALS)
        self.syncs += len(well)
        self.failed += len(ill)

    def run(self) -> None:
        """Let the month pass."""
        for step in range(self.steps):
            now = step * STEP_S
            self.refreshes.append(0)
            ready = self.webhooks(step) if self.options.webhooks else np.empty(0, dtype=np.int64)
            self.jobs += len(ready)
            room = max(self.capacity() - len(ready), 0)
            due = np.flatnonzero(self.due <= now)
            self.overdue.append(max(len(due) - room, 0))
            if len(due) > room:
                due = due[np.argpartition(self.due[due], room)[:room]] if room else due[:0]
            self.sync(self.union(ready, due), now)
            if now % NOTE_S == 0:
                self.note_ages(now)

    def union(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return companies that are in one of two lists, each once."""
        self.chosen[some] = self.chosen[others] = True
        who = np.flatnonzero(self.chosen)
        self.chosen[who] = False
        return who

    def note_ages(self, now: float) -> None:
        """Note how old the copies are: of all, and of the busy and the quiet half."""
        ages = now - self.done
        busy, quiet = np.percentile(ages[self.is_busy], 99), np.percentile(ages[~self.is_busy], 99)
        self.ages.append((now, *np.percentile(ages, (50, 99)), busy, quiet))

    def events(self) -> float:
        """Return how many webhook events come in the whole time, each change being one."""
        days = sum(day % 7 < WORKING_DAYS for day in range(math.ceil(self.options.days)))
        return float(self.changes.sum()) * days if self.options.webhooks else 0.0

    def caught_up(self, outage: tuple[float, float]) -> str:
        """Return the minutes from the end of an outage until 99 of 100 copies are as young as usual."""
        usual = self.options.interval * (1 + SPREAD) + NOTE_S
        end = sum(outage)
        found = next((now for now, _, age, _, _ in self.ages if now >= end and age <= usual), None)
        return "never" if found is None else f"{(found - end) / 60:.0f} min"


def report(month: Month) -> None:
    """Print what the month was like."""
    options, cost = month.options, month.cost
    seconds = options.days * DAY_S
    reads = month.syncs * cost.requests
    tier = next((name for name, most in TIERS.items() if reads <= most), "beyond Platinum")
    refreshes, ages = np.array(month.refreshes) / STEP_S, np.array(month.ages)
    times = ages[:, 0]
    usual = times > 2 * options.interval
    for begin, length in OUTAGES:
        usual &= (times < begin) | (times > begin + length + RECOVERY_S)
    median, oldest, busy, quiet = (f"{ages[usual, column].mean():.0f} s" for column in range(1, 5))
    every = month.syncs / seconds
    rows = {
        "reads in this time": f"{reads:,.0f} ({tier})",
        "syncs a second": f"{every:.1f}, of them {month.jobs / seconds:.1f} by webhooks",
        "share of the processes' time": f"{every * STEP_S / month.capacity():.0%}",
        "age of a copy: median, 99 of 100": f"{median}, {oldest}",
        "99 of 100: busy half, quiet half": f"{busy}, {quiet}",
        "most companies overdue at a time": f"{max(month.overdue):,}",
        "caught up after outages of 2 h, 10 min": ", ".join(map(month.caught_up, OUTAGES)),
        "token refreshes a second: mean, most": f"{refreshes.mean():.1f}, {refreshes.max():.1f}",
        "transactions a second": f"{every * cost.transactions:,.0f}",
        "WAL a day": f"{every * cost.wal_bytes * DAY_S / 1e9:,.1f} GB",
        "raw tables": f"{options.companies * ENTITIES:,}",
        "rows of the ledger and of sync states, at least": f"{2 * options.companies * ENTITIES:,}",
        "jobs and webhook events of this time": f"{month.jobs:,} and {month.events():,.0f}",
    }
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def options_of(line: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--companies", type=int, default=100_000)
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--interval", type=float, default=900, help="seconds between two syncs (default 900)")
    parser.add_argument("--processes", type=int, default=8, help="processes of `qbo-rs serve --every` (default 8)")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds of an answer of Intuit (default 0.5)")
    parser.add_argument("--own", type=float, default=0.1, help="seconds of a sync beside its requests (default 0.1)")
    parser.add_argument("--failures", type=float, default=0.001, help="share of syncs that fail (default 0.001)")
    parser.add_argument("--webhooks", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(line)


def main() -> None:
    """Measure a sync, and print the month."""
    options = options_of()
    cost = measure()
    print(f"{machine()}; seed {options.seed}; {options.companies:,} companies for {options.days:.0f} days,")
    print(f"synced every {options.interval:.0f} s by {options.processes} processes; {options.latency} s an answer")
    print(f"a sync without changes: {cost.requests:.1f} requests, {cost.transactions:.0f} transactions, ", end="")
    print(f"{cost.wal_bytes / 1000:.1f} KB of WAL\n\n| | |\n| --- | --- |")
    month = Month(options, cost)
    month.run()
    report(month)


if __name__ == "__main__":
    main()
