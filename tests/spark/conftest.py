"""Fixtures: a real Postgres, simulated companies over HTTP, and Sail in this process."""

from __future__ import annotations

import base64
import os
import uuid
from pathlib import Path

import psycopg
import pytest

import qbo_rs

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {name for name, _ in qbo_rs._core.settings()}
UNLIMITED = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
COMPANIES = 3
START, END = "2024-01-01", "2026-01-01"


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

    def rows(self, table: str) -> list[tuple]:
        """Return the living records of a table: ids and payloads."""
        return self.query(f"SELECT id, payload::text FROM {table} WHERE deleted_at_utc IS NULL ORDER BY id")


def new_database() -> tuple[Database, str, str]:
    server = os.environ.get("TEST_DATABASE_URL")
    if server is None:
        pytest.exit("TEST_DATABASE_URL is not set: run make test-sail", returncode=2)
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return Database(f"{server.rsplit('/', 1)[0]}/{name}"), server, name


@pytest.fixture
def database():
    database, server, name = new_database()
    yield database
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def qbo():
    """Several companies with the same numbers of records."""
    with qbo_rs.sandbox(customers=40, items=20, invoices=150, others=2, companies=COMPANIES, limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def connected(qbo, database, monkeypatch, tmp_path):
    """Put the settings of all companies into the environment, and their tokens into the database."""
    return connect(qbo, database, monkeypatch, tmp_path)


def connect(qbo, database, monkeypatch, tmp_path) -> dict[str, str]:
    environment = {
        **qbo.environment,
        **UNLIMITED,
        "DATABASE_URL": database.url,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "QBO_TOKEN_KEY": base64.b64encode(os.urandom(32)).decode(),
    }
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for realm_id, token in qbo.companies.items():
        # The first sync with a token keeps it in the database.
        qbo_rs.sync("company_info", accounts=[realm_id], realm_id=realm_id, refresh_token=token)
    monkeypatch.delenv("QBO_REALM_ID")
    monkeypatch.delenv("QBO_REFRESH_TOKEN")
    return {name: value for name, value in environment.items() if name not in {"QBO_REALM_ID", "QBO_REFRESH_TOKEN"}}


@pytest.fixture(scope="session")
def sail():
    """Sail, whose driver and executors are threads of this process."""
    pysail = pytest.importorskip("pysail.spark")
    from pyspark.sql import SparkSession

    server = pysail.SparkConnectServer()
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate()
    yield session
    session.stop()
    server.stop()


@pytest.fixture
def spark(sail):
    """Return a session that knows the data source."""
    qbo_rs.spark.register(sail)
    return sail


def requests(sandbox: qbo_rs.Sandbox) -> int:
    """Return the number of requests for data that QuickBooks has seen."""
    return sandbox.stats()["data_requests"]
