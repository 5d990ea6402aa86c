"""Fixtures: a sandbox over real HTTP, and the installed command. The database is that of the plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from companies import UNLIMITED, VARIABLES, keywords

import qbo_rs

pytest_plugins = ["own_database"]

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).parent / "qbo-rs")


@pytest.fixture(autouse=True)
def state_home(tmp_path_factory, monkeypatch):
    """Give each test a state directory of its own, where tokens are kept without a database."""
    home = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def language_of_tests(monkeypatch):
    """Let exceptions be English, whatever the locale of this machine is."""
    for name in ("QBO_LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


@pytest.fixture
def qbo():
    with qbo_rs.sandbox(customers=60, items=40, invoices=300, limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def settings(qbo, database):
    return keywords(qbo) | database.settings


@pytest.fixture
def environment(qbo, database):
    """Return the environment of a service: a company, a database, and a token store in it."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return inherited | qbo.environment | UNLIMITED | database.environment | {"QBO_TOKEN_STORE": "postgres"}


@pytest.fixture
def run(qbo, database):
    """Return a function that runs the command with the settings of a company and a database."""

    def run(*arguments: str, timeout: int = 60, **environment: str | None) -> subprocess.CompletedProcess:
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        merged = inherited | qbo.environment | UNLIMITED | database.environment | environment
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
