"""Fixtures of the tests with Spark: Sail in this process. Databases and companies are those of the plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

import qbo_rs

pytest_plugins = ["own_database", "companies"]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def sail():
    """Sail, whose driver and executors are threads of this process."""
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer()
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
