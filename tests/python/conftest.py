"""Fixtures: a real Postgres, a sandbox over real HTTP, and the installed command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import qbo_rs

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).parent / "qbo-rs")
# Every variable that the command reads; the tests remove them from the environment of the machine.
VARIABLES = {name for name, _ in qbo_rs._core.settings()}
UNLIMITED = {"requests_per_minute": 0, "requests_per_second": 0, "max_in_flight": 0}


class Database:
    """The database of one test."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self.settings = {
            "pg_host": parts.hostname,
            "pg_port": parts.port,
            "pg_db": parts.path.lstrip("/"),
            "pg_user": parts.username,
            "pg_password": parts.password,
        }
        self.environment = {name.upper(): str(value) for name, value in self.settings.items()}

    def query(self, statement: str) -> list[tuple]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement).fetchall()

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement)


@pytest.fixture(autouse=True)
def state_home(tmp_path_factory, monkeypatch):
    """Give each test a state directory of its own, where tokens are kept without a database."""
    home = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


@pytest.fixture
def database():
    server = os.environ.get("TEST_DATABASE_URL")
    if server is None:
        pytest.exit("TEST_DATABASE_URL is not set: run make test-python", returncode=2)
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield Database(f"{server.rsplit('/', 1)[0]}/{name}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def qbo():
    with qbo_rs.sandbox(customers=60, items=40, invoices=300, limits=False) as sandbox:
        yield sandbox


def keywords(sandbox: qbo_rs.Sandbox) -> dict:
    """Return the sandbox's settings as keywords, without limits."""
    names = dict(qbo_rs._core.settings())
    return {names[name]: value for name, value in sandbox.environment.items()} | UNLIMITED


@pytest.fixture
def settings(qbo, database):
    return keywords(qbo) | database.settings


@pytest.fixture
def environment(qbo, database):
    """Return the environment of a service: a company, a database, and a token store in it."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    unlimited = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
    return inherited | qbo.environment | unlimited | database.environment | {"QBO_TOKEN_STORE": "postgres"}


@pytest.fixture
def run(qbo, database):
    """Return a function that runs the command with the settings of a company and a database."""

    def run(*arguments: str, timeout: int = 60, **environment: str | None) -> subprocess.CompletedProcess:
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        unlimited = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
        merged = inherited | qbo.environment | unlimited | database.environment | environment
        merged = {name: value for name, value in merged.items() if value is not None}
        line = [COMMAND, *arguments]
        return subprocess.run(line, env=merged, capture_output=True, text=True, timeout=timeout, check=False)

    return run


def report_of(process: subprocess.CompletedProcess) -> dict:
    """Return the JSON object on the only line of stdout."""
    assert process.stdout.count("\n") == 1, process.stdout
    return json.loads(process.stdout)


@pytest.fixture
def serve(environment):
    """Return a function that starts ``qbo-rs serve``; every server is stopped at the end of the test."""
    from service import Server

    servers = []

    def serve(*arguments: str, **more: str) -> Server:
        servers.append(Server(environment | more, *arguments))
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()
