"""Simulated companies whose settings are in the environment, where other programs find them. A plugin of pytest."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import qbo_rs

if TYPE_CHECKING:
    from own_database import Database

# Every variable that is read; the tests remove them from the environment of the machine.
VARIABLES = {name for name, _ in qbo_rs._core.settings()}
UNLIMITED = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
COMPANIES = 3
START, END = "2024-01-01", "2026-01-01"


def keywords(sandbox: qbo_rs.Sandbox) -> dict[str, str]:
    """Return the sandbox's settings as keywords, without limits."""
    names = dict(qbo_rs._core.settings())
    return {names[name]: value for name, value in (sandbox.environment | UNLIMITED).items()}


@pytest.fixture
def qbo():
    """Several companies with the same numbers of records."""
    with qbo_rs.sandbox(customers=40, items=20, invoices=150, others=2, companies=COMPANIES, limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def one_company(qbo, database, monkeypatch, tmp_path):
    """Put the settings of the first company into the environment."""
    return configure(qbo, database, monkeypatch, tmp_path)


@pytest.fixture
def connected(qbo, database, monkeypatch, tmp_path):
    """Put the settings of all companies into the environment, and their tokens into the database."""
    return connect(qbo, database, monkeypatch, tmp_path)


def forget(realm_id: str) -> None:
    """Forget a company, as its owner does."""
    line = [sys.executable, "-m", "qbo_rs", "auth", "forget", "--force"]
    environment = os.environ | {"QBO_REALM_ID": realm_id}
    subprocess.run(line, check=True, capture_output=True, timeout=60, env=environment)


def configure(qbo: qbo_rs.Sandbox, database: Database, monkeypatch, tmp_path) -> dict[str, str]:
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
    return environment


def connect(qbo: qbo_rs.Sandbox, database: Database, monkeypatch, tmp_path) -> dict[str, str]:
    environment = configure(qbo, database, monkeypatch, tmp_path)
    for realm_id, token in qbo.companies.items():
        # The first sync with a token keeps it in the database.
        qbo_rs.sync("company_info", accounts=[realm_id], realm_id=realm_id, refresh_token=token)
    for name in ("QBO_REALM_ID", "QBO_REFRESH_TOKEN"):
        monkeypatch.delenv(name)
        del environment[name]
    return environment
