"""Fixtures: a real Postgres, simulated companies over HTTP, and their settings in the environment."""

from __future__ import annotations

import base64
import os
import uuid

import psycopg
import pytest

import qbo_rs

VARIABLES = {name for name, _ in qbo_rs._core.settings()}
UNLIMITED = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
START, END = "2024-01-01", "2026-01-01"


# Engines that report on their users shall not do so from a test. They read this when they are imported.
os.environ |= {"DAGSTER_DISABLE_TELEMETRY": "yes", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


class Database:
    """The database of one test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, statement: str) -> list[tuple]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement).fetchall()

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement)


@pytest.fixture
def database():
    server = os.environ.get("TEST_DATABASE_URL")
    if server is None:
        pytest.exit("TEST_DATABASE_URL is not set: run make test-schedulers", returncode=2)
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield Database(f"{server.rsplit('/', 1)[0]}/{name}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def qbo():
    """Three companies with the same numbers of records."""
    with qbo_rs.sandbox(customers=40, items=20, invoices=150, others=2, companies=3, limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def one_company(qbo, database, monkeypatch, tmp_path):
    """Put the settings of the first company into the environment."""
    return configure(qbo, database, monkeypatch, tmp_path)


@pytest.fixture
def connected(qbo, database, monkeypatch, tmp_path):
    """Put the settings of all companies into the environment, and their tokens into the database."""
    environment = configure(qbo, database, monkeypatch, tmp_path)
    for realm_id, token in qbo.companies.items():
        # The first sync with a token keeps it in the database.
        qbo_rs.sync("company_info", accounts=[realm_id], realm_id=realm_id, refresh_token=token)
    for name in ("QBO_REALM_ID", "QBO_REFRESH_TOKEN"):
        monkeypatch.delenv(name)
        del environment[name]
    return environment


def configure(qbo, database, monkeypatch, tmp_path) -> dict[str, str]:
    environment = {
        **qbo.environment,
        **UNLIMITED,
        "DATABASE_URL": database.url,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "QBO_TOKEN_KEY": base64.b64encode(os.urandom(32)).decode(),
    }
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


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
