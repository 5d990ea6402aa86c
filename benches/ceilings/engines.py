"""Engines that bring companies into step. Each is started before its work is measured."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from backfill import COMMAND, ROOT
from report import processor

from ceilings.job import ENTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Sync = Callable[[], float]

LIMIT_S = 900
JOB = Path(__file__).with_name("job.py")
PYTHONS = {
    name: ROOT / ".venv" / "spark" / folder / "bin" / "python"
    for name, folder in [("sail", "sail"), ("spark", "cluster")]
}
DUE = """
INSERT INTO qbo.sync_accounts (realm_id, next_sync_at_utc) SELECT realm_id, now() FROM qbo.accounts
ON CONFLICT (realm_id) DO UPDATE SET next_sync_at_utc = now()
"""
IN_STEP = """
SELECT count(*) FROM (
    SELECT realm_id FROM qbo.sync_state WHERE last_success_at_utc > %s AND entity = ANY(%s)
    GROUP BY realm_id HAVING count(*) = %s
) AS companies
"""


class Engine(NamedTuple):
    """An engine that is ready."""

    #: Bring all companies into step, and return the seconds that it took.
    sync: Sync
    #: Processor time of the engine so far.
    spent: Callable[[], float]


@contextmanager
def serve(workers: int, environment: dict[str, str], companies: int) -> Iterator[Engine]:
    """Start so many processes of the service at each sync; they divide the companies by their turns."""
    spent = 0.0

    def sync() -> float:
        nonlocal spent
        line = [COMMAND, "serve", *ENTITIES, "--port", "0", "--every", "1h", "--log-level", "error"]
        with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as database:
            since = database.execute("SELECT clock_timestamp()").fetchone()[0]
            # None is due a second time while others are copied.
            database.execute(DUE)
            begin = time.monotonic()
            running = [subprocess.Popen(line, env=environment, stdout=-3, stderr=-3) for _ in range(workers)]
            try:
                wait_for(database, (since, ENTITIES, len(ENTITIES)), companies)
                seconds = time.monotonic() - begin
                spent += sum(processor.seconds(process.pid) for process in running)
            finally:
                for process in running:
                    process.terminate()
                for process in running:
                    process.wait(timeout=60)
        return seconds

    yield Engine(sync, lambda: spent)


def wait_for(database: psycopg.Connection, parameters: tuple[object, ...], companies: int) -> None:
    """Wait until so many companies are in step; look ten times a second."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            if database.execute(IN_STEP, parameters).fetchone()[0] >= companies:
                return
        except psycopg.errors.UndefinedTable:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"not all of {companies} companies are in step after {LIMIT_S} s")


@contextmanager
def job(engine: str, workers: int, environment: dict[str, str], companies: int) -> Iterator[Engine]:
    """Start Sail or Spark."""
    line = [str(PYTHONS[engine]), str(JOB), engine, str(workers)]
    with subprocess.Popen(line, env=environment, stdin=-1, stdout=-1, stderr=-3, text=True) as process:
        try:
            # An engine that says nothing ends here, and with it what is read.
            limit = threading.Timer(LIMIT_S, process.kill)
            limit.start()
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"{engine} does not start")

            def sync() -> float:
                process.stdin.write("\n")
                process.stdin.flush()
                answer = json.loads(process.stdout.readline())
                if answer["failed"]:
                    raise RuntimeError(f"{engine}: of {companies} companies these failed: {answer['failed']}")
                return answer["seconds"]

            yield Engine(sync, lambda: processor.seconds(process.pid))
        finally:
            limit.cancel()
            process.stdin.close()
            process.terminate()


def is_installed(engine: str) -> bool:
    """Return whether an engine can be started."""
    if engine == "serve":
        return True
    java = engine != "spark" or any((Path(folder) / "java").exists() for folder in os.environ["PATH"].split(":"))
    return PYTHONS[engine].exists() and java


@contextmanager
def engine(name: str, workers: int, environment: dict[str, str], companies: int) -> Iterator[Engine]:
    """Start an engine."""
    started = serve(workers, environment, companies) if name == "serve" else job(name, workers, environment, companies)
    with started as ready:
        yield ready
