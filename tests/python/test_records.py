"""Records for notebooks, as dicts; test_columns.py has the tables."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from itertools import islice

import pytest
from conftest import keywords
from service import wait_until

import qbo_rs

RANGE = ("2024-01-01", "2026-01-01")


@pytest.fixture
def company(qbo):
    return keywords(qbo)


def by_id(records) -> dict:
    return {record["Id"]: record for record in records}


def test_each_record_is_yielded_once_with_every_digit(qbo, company):
    invoices = qbo_rs.records("invoices", *RANGE, parse_float=Decimal, **company)
    assert qbo.stats()["requests"] == {}
    listed = list(invoices)
    times = [datetime.fromisoformat(record["MetaData"]["LastUpdatedTime"]) for record in listed]
    truth = {key: json.loads(text, parse_float=Decimal) for key, text in qbo.truth("Invoice", *RANGE).items()}
    assert by_id(listed) == truth
    assert len(listed) == len(truth) == 300
    assert times == sorted(times)
    # A second iteration may stop early.
    assert list(islice(invoices, 3)) == listed[:3]
    with pytest.raises(qbo_rs.ConfigError, match="invoicez"):
        next(iter(qbo_rs.records("invoicez", *RANGE, **company)))


def test_a_record_edited_during_the_read_is_yielded_once(qbo, company):
    qbo.fault("slow", on="query", ms=200, times=0)
    invoices = qbo_rs.records("invoices", *RANGE, page_size=20, **company)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(invoices))
        wait_until(lambda: qbo.stats()["requests"].get("query", {}).get("200", 0) >= 4)
        # The record moves from the first page to the last.
        edited = qbo.edit("Invoice", "oldest", at="2025-12-31T23:59:59Z")
        listed = reading.result(60)
    truth = {key: json.loads(text) for key, text in qbo.truth("Invoice", *RANGE).items()}
    assert len(listed) == len(truth)
    assert by_id(listed)[edited]["SyncToken"] == truth[edited]["SyncToken"]
    assert by_id(listed) == truth


def test_an_unreadable_record_raises_an_error(qbo, company):
    qbo.corrupt("Item", "oldest", "processing")
    with pytest.raises(qbo_rs.IncompleteError, match="1 records were rejected"):
        list(qbo_rs.records("items", *RANGE, **company))


def test_an_entity_that_the_company_lacks_is_not_an_entity_without_records(qbo, company):
    qbo.control("unavailable", entity="Budget", code="5030")
    with pytest.raises(qbo_rs.UnavailableError, match="not available in this company"):
        list(qbo_rs.records("budgets", *RANGE, **company))
    landing = qbo_rs.extract("budgets", qbo_rs.chunk_range(*RANGE, "month"), **company)
    landing.raise_for_failures()
    assert landing.paths == []
    assert "5030" in landing.run.unavailable
