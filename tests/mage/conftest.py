"""Fixtures: a simulated company with rotating tokens, and a real Mage. Databases are those of the plugin."""

from __future__ import annotations

import os

import pytest
from companies import UNLIMITED, VARIABLES
from host import MAGE, Mage

import qbo_rs

pytest_plugins = ["own_database"]

PIPELINES = [f"qb_{entity}_backfill" for entity in ("customers", "invoices", "items")]
RANGE = {"fecha_inicio": "2024-01-01T00:00:00Z", "fecha_fin": "2026-01-01"}


@pytest.fixture(scope="session", autouse=True)
def _mage_is_installed():
    if not (MAGE / "mage").exists():
        pytest.exit(f"no Mage in {MAGE}: run make test-mage", returncode=2)


@pytest.fixture
def qbo():
    with qbo_rs.sandbox(customers=60, items=40, invoices=600, limits=False, rotate_after_s=0) as sandbox:
        yield sandbox


@pytest.fixture
def secrets(qbo, database):
    """The settings that a user stores in Mage Secrets."""
    names = ("QBO_CLIENT_ID", "QBO_CLIENT_SECRET", "QBO_REFRESH_TOKEN", "QBO_REALM_ID")
    return {name: qbo.environment[name] for name in names} | database.environment


@pytest.fixture
def bare_mage(qbo, make_database, tmp_path):
    """Mage without secrets; its environment only has the address of the simulated company."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {name: qbo.environment[name] for name in ("QBO_API_URL", "QBO_TOKEN_URL")}
    mage = Mage(tmp_path, make_database().url, environment | UNLIMITED)
    yield mage
    mage.kill()


@pytest.fixture
def mage(bare_mage, secrets):
    """Mage with the secrets of a user."""
    bare_mage.create_secrets(secrets)
    return bare_mage
