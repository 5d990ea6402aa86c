"""Fixtures of the tests with packages of others; databases and companies are those of the plugins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from own_database import Database

    import qbo_rs

pytest_plugins = ["own_database", "companies"]

# Engines that report on their users shall not do so from a test. They read this when they are imported.
os.environ |= {"DAGSTER_DISABLE_TELEMETRY": "yes", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@pytest.fixture(autouse=True)
def _no_lineage_of_the_machine(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    """Run an S3 server; return its host and port."""
    # Here, and not above: only the environment of the lake has it.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


def fail_invoices_once(qbo: qbo_rs.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the invoices of one window fail in one call; customers are read by it all the same."""
    monkeypatch.setenv("QBO_RETRY_FOR_S", "0.001")
    # The batch with both, the query, and the query of a smaller page.
    qbo.fault("error", contains="FROM Invoice", times=3)


def reader_of(database: Database, entity: str) -> tuple[int, int]:
    """Return which run has read the window of an entity, counted from 1, and the number of its runs."""
    statement = f"SELECT run_id::text FROM qbo.runs WHERE entity = '{entity}' ORDER BY started_at_utc"
    runs = [run_id for (run_id,) in database.query(statement)]
    [(reader,)] = database.query(f"SELECT run_id FROM qbo.windows WHERE entity = '{entity}'")
    return runs.index(reader) + 1, len(runs)
