"""Operators in a real Airflow with its own database, against the simulator and Postgres."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from companies import forget
from conftest import fail_invoices_once, reader_of

import qbo_rs
from qbo_rs import buckets

if TYPE_CHECKING:
    from own_database import Database

DAGS = Path(__file__).parent / "dags"
# Airflow reads these when it is imported.
os.environ |= {
    "AIRFLOW_HOME": tempfile.mkdtemp(prefix="qbo_rs-airflow-"),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
}
MARCH = datetime(2024, 4, 1, tzinfo=timezone.utc)
"""When the interval of March 2024 has ended."""


@pytest.fixture(scope="module")
def books() -> Any:
    command = [str(Path(sys.executable).parent / "airflow"), "db", "migrate"]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    spec = importlib.util.spec_from_file_location("books", DAGS / "books.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(run: Any, task_id: str) -> list[Any]:
    """Return what the instances of a task have returned."""
    tasks = [each for each in run.get_task_instances() if each.task_id == task_id]
    return [each.xcom_pull(task_ids=task_id, map_indexes=each.map_index) for each in tasks]


@pytest.mark.usefixtures("connected")
def test_companies_are_synced_by_buckets_and_one_that_fails_is_told_in_one_line(books, qbo, capfd):
    run = books.books_buckets.test()
    assert run.state == "success"
    done = results(run, "sync")
    assert sorted(each["companies"] for each in done) == [1, 2]
    assert sum(each["inserted"] for each in done) == 3 * (40 + 150)
    broken = list(qbo.companies)[1]
    qbo.control("disconnect", realm=broken)
    qbo.control("expire-tokens")
    for realm_id in qbo.companies:
        qbo.insert("Customer", 1, realm=realm_id)
    qbo.clock(advance="10m")
    capfd.readouterr()
    assert books.books_sync.test().state == "failed"
    output = "".join(capfd.readouterr())
    assert f"AirflowFailException: 1 of 3 companies are not in step, first {broken}: " in output
    # The others went on: nothing is left to insert.
    left = [each.inserted for account in qbo_rs.sync("customers").accounts for each in account.entities]
    assert set(left) == {0}


@pytest.mark.usefixtures("connected")
def test_a_company_that_was_forgotten_after_the_plan_fails_and_the_others_are_synced(books, qbo, monkeypatch, capfd):
    gone, *others = qbo.companies
    plan = buckets.plan
    # The task that divides the companies has ended by then.
    monkeypatch.setattr(buckets, "plan", lambda *args, **kwargs: (plan(*args, **kwargs), forget(gone))[0])
    assert books.books_buckets.test().state == "failed"
    output = "".join(capfd.readouterr())
    assert re.search(
        rf"AirflowException: 1 of [12] companies are not in step, first {gone}: .* holds no company", output
    )
    left = {each.realm_id: each.entities[0].inserted for each in qbo_rs.sync("customers").accounts}
    assert left == dict.fromkeys(others, 0)


@pytest.mark.usefixtures("one_company")
def test_a_data_interval_is_backfilled_and_a_retry_leaves_out_what_is_committed(books, qbo, database, monkeypatch):
    fail_invoices_once(qbo, monkeypatch)
    run = books.books_months.test(logical_date=MARCH)
    assert run.state == "success"
    [march] = qbo_rs.chunk_range("2024-03-01", "2024-04-01", "month")
    windows = database.query("SELECT DISTINCT window_start_utc, window_end_utc FROM qbo.windows")
    assert windows == [(march.start, march.end)]
    assert (reader_of(database, "customers"), reader_of(database, "invoices")) == ((1, 2), (2, 2))
    # A task that is cleared reads everything again.
    assert books.books_months.test(logical_date=MARCH).state == "success"
    assert (reader_of(database, "customers"), reader_of(database, "invoices")) == ((3, 3), (3, 3))


def test_the_company_of_the_operator_is_read_whatever_connection_and_environment_name(
    books, one_company, qbo, database, monkeypatch
):
    (first, token), (second, other_token), _ = qbo.companies.items()
    # The environment names the first company, the connection the second one.
    extra = {"realm_id": second, "refresh_token": other_token}
    monkeypatch.setenv("AIRFLOW_CONN_QBO", json.dumps({"conn_type": "qbo", "extra": extra}))
    assert one_company["QBO_REALM_ID"] == first
    qbo_rs.sync("company_info", accounts=[first])
    assert books.books_of_company.test(logical_date=MARCH, run_conf={"company": first}).state == "success"
    assert read_of(database) == {first}
    # The environment names none, the connection the first one, with its token.
    for name in ("QBO_REALM_ID", "QBO_REFRESH_TOKEN"):
        monkeypatch.delenv(name)
    extra = {"realm_id": first, "refresh_token": token, "token_store": os.environ["AIRFLOW_HOME"] + "/new.json"}
    monkeypatch.setenv("AIRFLOW_CONN_QBO", json.dumps({"conn_type": "qbo", "extra": extra}))
    assert books.books_of_company.test(logical_date=MARCH, run_conf={"company": first}).state == "success"


def read_of(database: Database) -> set[str]:
    """Return the companies of which customers were read."""
    return {realm_id for (realm_id,) in database.query("SELECT realm_id FROM qbo.windows WHERE entity = 'customers'")}


def test_settings_come_from_a_connection_and_secrets_stay_out_of_the_log(
    books, one_company, database, monkeypatch, capfd
):
    keywords = dict(qbo_rs._core.settings())
    extra = {keywords[name]: value for name, value in one_company.items() if name in keywords}
    for name in one_company:
        if name in keywords:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_CONN_QBO", json.dumps({"conn_type": "qbo", "extra": extra}))
    assert books.books_of_connection.test(logical_date=MARCH).state == "success"
    assert database.query("SELECT count(*) FROM raw.qb_invoices")[0][0] > 0
    extra["refresh_token"] = "unknown-" + os.urandom(8).hex()
    extra["token_store"] = os.environ["AIRFLOW_HOME"] + "/none.json"
    monkeypatch.setenv("AIRFLOW_CONN_QBO", json.dumps({"conn_type": "qbo", "extra": extra}))
    # A retry would come in an hour; a person has to connect the company.
    assert books.books_of_connection.test(logical_date=MARCH).state == "failed"
    output = "".join(capfd.readouterr())
    assert "AirflowFailException" in output
    for name in ("client_secret", "refresh_token", "database_url", "token_key"):
        assert extra[name] not in output, name
