"""Fixtures: a simulated company with rotating tokens, a database, and a real Mage between them."""

from __future__ import annotations

import os
import uuid
from urllib.parse import urlsplit

import psycopg
import pytest
from host import MAGE, Mage

import qbo_rs

PIPELINES = [f"qb_{entity}_backfill" for entity in ("customers", "invoices", "items")]
RANGE = {"fecha_inicio": "2024-01-01T00:00:00Z", "fecha_fin": "2026-01-01"}
VARIABLES = {name for name, _ in qbo_rs._core.settings()}


@pytest.fixture(scope="session", autouse=True)
def _mage_is_installed():
    if not (MAGE / "mage").exists():
        pytest.exit(f"no Mage in {MAGE}: run make test-mage", returncode=2)


class Database:
    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, statement: str) -> list[tuple]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement).fetchall()

    def settings(self) -> dict[str, str]:
        parts = urlsplit(self.url)
        return {
            "PG_HOST": str(parts.hostname),
            "PG_PORT": str(parts.port),
            "PG_DB": parts.path.lstrip("/"),
            "PG_USER": str(parts.username),
            "PG_PASSWORD": str(parts.password),
        }


@pytest.fixture
def make_database():
    server = os.environ.get("TEST_DATABASE_URL")
    if server is None:
        pytest.exit("TEST_DATABASE_URL is not set: run make test-mage", returncode=2)
    names = []

    def make() -> Database:
        names.append(f"test_{uuid.uuid4().hex}")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {names[-1]}")
        return Database(f"{server.rsplit('/', 1)[0]}/{names[-1]}")

    yield make
    with psycopg.connect(server, autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(make_database):
    return make_database()


@pytest.fixture
def qbo():
    with qbo_rs.sandbox(customers=60, items=40, invoices=600, limits=False, rotate_after_s=0) as sandbox:
        yield sandbox


def keywords(sandbox: qbo_rs.Sandbox) -> dict:
    """Return the company's settings as keywords, without limits."""
    names = dict(qbo_rs._core.settings())
    unlimited = {"requests_per_minute": 0, "requests_per_second": 0, "max_in_flight": 0}
    return {names[name]: value for name, value in sandbox.environment.items()} | unlimited


@pytest.fixture
def secrets(qbo, database):
    """The settings that a user stores in Mage Secrets."""
    names = ("QBO_CLIENT_ID", "QBO_CLIENT_SECRET", "QBO_REFRESH_TOKEN", "QBO_REALM_ID")
    return {name: qbo.environment[name] for name in names} | database.settings()


@pytest.fixture
def bare_mage(qbo, make_database, tmp_path):
    """Mage without secrets; its environment only has the address of the simulated company."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {name: qbo.environment[name] for name in ("QBO_API_URL", "QBO_TOKEN_URL")}
    environment |= {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
    mage = Mage(tmp_path, make_database().url, environment)
    yield mage
    mage.kill()


@pytest.fixture
def mage(bare_mage, secrets):
    """Mage with the secrets of a user."""
    bare_mage.create_secrets(secrets)
    return bare_mage
