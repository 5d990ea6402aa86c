"""Records for notebooks, as dicts; test_columns.py has the tables."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from itertools import islice

import pandas as pd
import pyarrow as pa
import pytest
from conftest import keywords
from waiting import until

import qbo_rs
from qbo_rs import _records

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


def test_a_mistyped_entity_is_told_by_the_call(company):
    with pytest.raises(qbo_rs.ConfigError, match="did you mean 'invoices'"):
        qbo_rs.records("invocies", *RANGE, **company)
    # Neither a database nor the simulator is asked before.
    nowhere = {"database_url": "postgresql://nobody@127.0.0.1:1/nowhere"}
    with pytest.raises(qbo_rs.ConfigError, match="did you mean 'vendors'"):
        qbo_rs.table("vendorz", **nowhere)
    with pytest.raises(qbo_rs.ConfigError, match="did you mean 'vendors'"):
        qbo_rs.status("vendorz", **nowhere)
    with pytest.raises(qbo_rs.ConfigError, match="did you mean 'vendors'"):
        asyncio.run(qbo_rs.records_async("vendorz", "no day", "nor this", **company))
    for entity in qbo_rs.entities():
        qbo_rs.records(entity, *RANGE, **company)
        qbo_rs.table(entity, **nowhere)


def test_a_record_edited_during_the_read_is_yielded_once(qbo, company):
    qbo.fault("slow", on="query", ms=200, times=0)
    invoices = qbo_rs.records("invoices", *RANGE, page_size=20, **company)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(invoices))
        until(lambda: qbo.stats()["requests"].get("query", {}).get("200", 0) >= 4)
        # The record moves from the first page to the last.
        edited = qbo.edit("Invoice", "oldest", at="2025-12-31T23:59:59Z")
        listed = reading.result(60)
    truth = {key: json.loads(text) for key, text in qbo.truth("Invoice", *RANGE).items()}
    assert len(listed) == len(truth)
    assert by_id(listed)[edited]["SyncToken"] == truth[edited]["SyncToken"]
    assert by_id(listed) == truth
    # The file has more lines than that.
    with gzip.open(invoices.kept(), "rt") as lines:
        assert sum(1 for _ in lines) > len(truth)
    assert f"{len(truth)} records" in repr(invoices)
    assert list(invoices) == listed


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


def test_what_was_read_once_costs_no_request_again(qbo, company):
    invoices = qbo_rs.records("invoices", *RANGE, **company)
    assert "not read yet" in repr(invoices)
    assert "not read yet" in invoices._repr_html_()
    assert qbo.stats()["requests"] == {}
    frame = invoices.to_pandas()
    asked = qbo.stats()["data_requests"]
    assert asked > 0
    qbo.insert("Invoice", 3, at="2025-06-01T00:00:00Z")
    assert len(list(invoices)) == len(frame) == 300
    assert invoices.to_polars().height == invoices.to_arrow().num_rows == 300
    assert "300 records" in repr(invoices)
    shown = invoices._repr_html_()
    assert "and 280 more records" in shown
    # Amounts stand at the right, with and without cents; QuickBooks writes 0 for 0.00.
    assert "<td>0</td>" in shown
    assert re.search(r"<td>\d+\.\d\d?</td>", shown)
    assert qbo.stats()["data_requests"] == asked
    # Whoever wants the present asks for it.
    assert len(list(qbo_rs.records("invoices", *RANGE, **company))) == 303


def test_a_look_at_records_reads_no_more_of_them_than_it_shows(company, monkeypatch):
    parsed, opened = [], []
    monkeypatch.setattr(_records, "_whole", lambda text: parsed.append(text) or int(text))
    spied = _records.gzip.open
    monkeypatch.setattr(_records.gzip, "open", lambda *given, **more: opened.append(given) or spied(*given, **more))
    invoices = qbo_rs.records("invoices", *RANGE, **company)
    assert invoices.to_arrow().num_rows == 300
    assert "300 records" in repr(invoices)
    assert (parsed, len(opened)) == ([], 1)
    # Each invoice has some whole numbers, such as those of its lines.
    of_first = len([parsed.clear(), *islice(invoices, 20)]) and len(parsed)
    parsed.clear()
    assert "and 280 more records" in invoices._repr_html_()
    assert 0 < len(parsed) == of_first
    # How many there are, and which of them are superseded, is known now.
    opened.clear()
    assert (len(list(invoices)), len(opened)) == (300, 1)


def test_a_read_that_failed_is_not_kept(qbo, company):
    items = qbo_rs.records("items", *RANGE, **company)
    broken = next(iter(qbo.truth("Item", *RANGE)))
    qbo.corrupt("Item", broken, "processing")
    with pytest.raises(qbo_rs.IncompleteError):
        list(items)
    qbo.corrupt("Item", broken, "healed")
    assert len(list(items)) == 40


def test_the_file_goes_with_the_records_but_not_with_those_of_a_forked_child(company, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    items = qbo_rs.records("items", *RANGE, **company)
    assert len(list(items)) == 40
    child = os.fork()
    if child == 0:
        del items
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(items)) == 40
    del items
    gc.collect()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys, qbo_rs
items = qbo_rs.records("items", "2020-01-01", "2030-01-01")
next(iter(items))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_records_of_a_killed_process_are_removed_by_the_next_one(qbo, company, monkeypatch, tmp_path):
    environment = os.environ | qbo.environment | {"TMPDIR": str(tmp_path), "QBO_TOKEN_STORE": str(tmp_path / "t.json")}
    line = [sys.executable, "-c", KILLED]
    killed = subprocess.run(line, env=environment, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    [left] = tmp_path.glob("qbo_rs-*")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert len(list(qbo_rs.records("items", *RANGE, **company))) == 40
    assert not left.exists()


def test_each_line_is_a_row(qbo, company):
    truth = [json.loads(text, parse_float=Decimal) for text in qbo.truth("Invoice", *RANGE).values()]
    invoices = qbo_rs.records("invoices", *RANGE, **company)
    lines = invoices.to_pandas(explode="Line")
    expected = [
        (invoice["Id"], place, line.get("Amount"), line.get("SalesItemLineDetail", {}).get("ItemRef", {}).get("name"))
        for invoice in truth
        for place, line in enumerate(invoice["Line"], 1)
    ]
    columns = ["id", "line_number", "line_amount", "line_item_ref_name"]
    found = [tuple(None if value is pd.NA else value for value in row) for row in lines[columns].to_numpy()]
    assert sorted(found, key=lambda row: row[:2]) == sorted(expected, key=lambda row: (row[0], row[1]))
    assert len(lines) > len(truth)
    assert invoices.to_polars(explode="line").height == len(lines)
    assert invoices.to_arrow(explode="Line").schema.field("line_amount").type == pa.decimal128(38, 10)
    whole = invoices.to_pandas(flatten=False)
    assert json.loads(whole["customer_ref"][0]).keys() >= {"value"}
    assert "customer_ref_value" not in whole.columns


def test_a_list_that_there_is_not_is_an_error_before_a_request(qbo, company):
    with pytest.raises(qbo_rs.ConfigError, match="invoices have no list 'Lines'; their lists: LinkedTxn, CustomField"):
        qbo_rs.records("invoices", *RANGE, **company).to_pandas(explode="Lines")
    assert qbo.stats()["requests"] == {}


def test_stored_records_have_lines_too(settings):
    assert qbo_rs.backfill("invoices", *RANGE, "year", **settings).ok
    stored, read = qbo_rs.table("invoices", **settings), qbo_rs.records("invoices", *RANGE, **settings)
    assert repr(stored).startswith("<Table invoices: read when it is used")
    assert repr(qbo_rs.table("invoices", schema="raw")).startswith("<Table invoices of schema raw: read")
    frames = [columns.to_polars(explode="Line").sort("id", "line_number") for columns in (stored, read)]
    assert frames[0].height > 300
    # JSON text is as Postgres writes it.
    names = [name for name in frames[0].columns if name != "custom_field"]
    assert [name for name in names if not frames[0][name].equals(frames[1][name])] == []
