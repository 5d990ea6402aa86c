"""Measures how many companies the service, Sail and Spark bring into step, by number of workers.

Every row is one run: the first copy of so many new companies, and once more when nothing is new. Simulator, Postgres
and engine share this machine, so the table says where this machine ends, what each engine costs beside it, and what
Postgres has to do. QuickBooks answers after ``--latency`` milliseconds; its limits are off.
"""

from __future__ import annotations

import argparse
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from backfill import machine
from fairness import connect
from report import processor
from with_postgres import throw_away_postgres, url

import qbo_rs
from ceilings.engines import engine, is_installed

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = {"customers": 20, "items": 10, "invoices": 50, "others": 0}
ROWS = SIZE["customers"] + SIZE["items"] + SIZE["invoices"]
UNLIMITED = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
COLUMNS = [
    "engine",
    "workers",
    "companies",
    "companies a minute",
    "rows a second",
    "requests a company",
    "transactions a company",
    "WAL a company",
    "processors: engine",
    "Postgres",
    "again: companies a minute",
    "requests a company",
]


class Server(NamedTuple):
    """A server in whose database all companies are connected and none is copied."""

    url: str
    pid: int

    def database(self, name: str) -> str:
        """Return the URL of another database."""
        return self.url.rpartition("/")[0] + "/" + name


class Load(NamedTuple):
    """What a database, its server and QuickBooks have done so far."""

    transactions: int
    wal: int
    processor: float
    requests: int

    def since(self, before: Load) -> Load:
        """Return what was done since."""
        return Load(*(now - then for now, then in zip(self, before, strict=True)))


def load(database: psycopg.Connection, server: Server, qbo: qbo_rs.Sandbox) -> Load:
    """Return what has been done so far."""
    row = database.execute(
        "SELECT xact_commit + xact_rollback, pg_current_wal_lsn() - '0/0' FROM pg_stat_database WHERE datname = 'run'"
    ).fetchone()
    return Load(int(row[0]), int(row[1]), processor.seconds(server.pid), qbo.stats()["data_requests"])


@contextmanager
def fresh(server: Server) -> Iterator[psycopg.Connection]:
    """Copy the database as `run`; yield a connection to another one."""
    with psycopg.connect(server.database("postgres"), autocommit=True) as maintenance:
        maintenance.execute("DROP DATABASE IF EXISTS run WITH (FORCE)")
        maintenance.execute(f"CREATE DATABASE run TEMPLATE {server.url.rpartition('/')[2]}")
        yield maintenance


def run(name: str, workers: int, server: Server, qbo: qbo_rs.Sandbox, settings: dict[str, str]) -> str:
    """Bring all companies into step, twice; return a row of the table."""
    companies = len(qbo.companies)
    with fresh(server) as watch:
        environment = settings | {"DATABASE_URL": server.database("run")}
        with engine(name, workers, environment, companies) as ready:
            before, spent = load(watch, server, qbo), ready.spent()
            seconds = ready.sync()
            first, of_engine = load(watch, server, qbo).since(before), ready.spent() - spent
            before = load(watch, server, qbo)
            again = ready.sync()
            second = load(watch, server, qbo).since(before)
    cells = [
        f"{companies / seconds * 60:,.0f}",
        f"{companies * ROWS / seconds:,.0f}",
        f"{first.requests / companies:.1f}",
        f"{first.transactions / companies:.0f}",
        f"{first.wal / companies / 1000:,.0f} KB",
        f"{of_engine / seconds:.2f}",
        f"{first.processor / seconds:.2f}",
        f"{companies / again * 60:,.0f}",
        f"{second.requests / companies:.1f}",
    ]
    return f"| {name} | {workers} | {companies:,} | {' | '.join(cells)} |"


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="*", default=["serve", "sail", "spark"])
    parser.add_argument("--companies", type=int, nargs="*", default=[1, 10, 100, 1000])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--latency", type=int, default=100, help="milliseconds of each answer (default 100)")
    arguments = parser.parse_args()
    print(f"{machine()}, {arguments.latency} ms an answer, load {os.getloadavg()[0]:.0f}\n")
    print(f"| {' | '.join(COLUMNS)} |\n| --- {'| --: ' * (len(COLUMNS) - 1)}|", flush=True)
    for companies in arguments.companies:
        options = {"limits": False, "latency_ms": arguments.latency, **SIZE}
        with throw_away_postgres() as postgres, qbo_rs.sandbox(companies=companies, **options) as qbo:
            settings = connect(qbo, os.environ | qbo.environment | postgres | UNLIMITED)
            with psycopg.connect(url(postgres)) as database:
                pid = int(database.execute("SELECT pg_read_file('postmaster.pid')").fetchone()[0].split()[0])
            server = Server(url(postgres), pid)
            for name in arguments.engines:
                for workers in arguments.workers:
                    if is_installed(name):
                        print(run(name, workers, server, qbo, settings), flush=True)
                    else:
                        print(f"| {name} | {workers} | {companies:,} | not installed |", flush=True)


if __name__ == "__main__":
    main()
