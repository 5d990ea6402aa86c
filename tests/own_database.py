"""Databases of each test, on the server of `with_postgres.py`. A plugin of pytest."""

from __future__ import annotations

import os
import uuid
from urllib.parse import urlsplit

import psycopg
import pytest


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

    def rows(self, table: str) -> list[tuple]:
        """Return the living records of a table: ids and payloads."""
        return self.query(f"SELECT id, payload::text FROM {table} WHERE deleted_at_utc IS NULL ORDER BY id")


@pytest.fixture
def make_database():
    """Return a function that makes databases; they are dropped at the end of the test."""
    server = os.environ.get("TEST_DATABASE_URL")
    if server is None:
        pytest.exit(
            "TEST_DATABASE_URL is not set: run a recipe of the Makefile, such as make test-python", returncode=2
        )
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
