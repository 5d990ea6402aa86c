"""Records for notebooks, and the tables made of them."""

from __future__ import annotations

import gzip
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from itertools import islice, permutations
from typing import TYPE_CHECKING

import pytest
from conftest import keywords
from service import wait_until

import qbo_rs
from qbo_rs import _tables
from qbo_rs._records import Records

if TYPE_CHECKING:
    from pathlib import Path

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


def test_pandas_arrow_and_polars_tables_hold_the_same_records(qbo, company):
    customers = qbo_rs.records("customers", *RANGE, **company)
    truth = {key: json.loads(text, parse_float=Decimal) for key, text in qbo.truth("Customer", *RANGE).items()}
    names = {key: customer["DisplayName"] for key, customer in truth.items()}
    balances = {key: customer["Balance"] for key, customer in truth.items()}
    exact = qbo_rs.records("customers", *RANGE, parse_float=Decimal, **company)
    for table, columns in (
        (exact.to_pandas(), lambda table, name: table[name].tolist()),
        (customers.to_arrow(), lambda table, name: table.column(name).to_pylist()),
        (customers.to_polars(), lambda table, name: table[name].to_list()),
    ):
        ids = columns(table, "Id")
        assert dict(zip(ids, columns(table, "DisplayName"), strict=True)) == names
        assert dict(zip(ids, columns(table, "Balance"), strict=True)) == balances
    assert qbo_rs.records("customers", "2020-01-01", "2021-01-01", **company).to_arrow().num_rows == 0


def test_an_unreadable_record_raises_an_error(qbo, company):
    qbo.corrupt("Item", "oldest", "processing")
    with pytest.raises(qbo_rs.IncompleteError, match="1 records were rejected"):
        list(qbo_rs.records("items", *RANGE, **company))


def written(*payloads: str) -> Records:
    """Return records as a file has them, whatever QuickBooks would send."""

    def write(path: Path) -> None:
        with gzip.open(path, "wt", encoding="utf-8") as lines:
            lines.writelines(
                f'{{"id": "{number}", "payload": {payload}}}\n' for number, payload in enumerate(payloads, 1)
            )

    return Records(write, float)


def test_an_entity_that_the_company_lacks_is_not_an_entity_without_records(qbo, company):
    qbo.control("unavailable", entity="Budget", code="5030")
    with pytest.raises(qbo_rs.UnavailableError, match="not available in this company"):
        list(qbo_rs.records("budgets", *RANGE, **company))
    landing = qbo_rs.extract("budgets", qbo_rs.chunk_range(*RANGE, "month"), **company)
    landing.raise_for_failures()
    assert landing.paths == []
    assert "5030" in landing.run.unavailable


def test_every_member_of_every_record_is_a_column_of_every_table(qbo, company):
    qbo.edit("Customer", "newest")
    for entity, name in (("customers", "Customer"), ("invoices", "Invoice"), ("items", "Item")):
        records = qbo_rs.records(entity, *RANGE, **company)
        truth = [json.loads(text, parse_float=Decimal) for text in qbo.truth(name, *RANGE).values()]
        members = {member for record in truth for member in record}
        assert len(members) > len(truth[0]) or entity == "items"
        arrow, polars, pandas = records.to_arrow(), records.to_polars(), records.to_pandas()
        for columns, rows in (
            (arrow.column_names, arrow.num_rows),
            (polars.columns, polars.height),
            (list(pandas.columns), len(pandas)),
        ):
            assert set(columns) == members
            assert rows == len(truth)
        # Every value is there, nested ones too; a member that a record lacks is null.
        expected = {record["Id"]: record for record in truth}
        for row in arrow.to_pylist():
            assert present(row) == present(expected[row["Id"]])
        assert polars.to_dicts() == arrow.to_pylist()


def present(value):
    """Return a value without nulls, with numbers as decimals, and with the text of an empty object."""
    if isinstance(value, dict):
        return {name: present(member) for name, member in value.items() if member is not None} or "{}"
    if isinstance(value, list):
        return [present(item) for item in value]
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_a_tables_types_hold_the_values_of_all_records_whatever_the_first_looks_like():
    import polars as pl
    import pyarrow as pa

    payloads = (
        '{"Id": "1"}',
        '{"Id": "2", "Amount": 100, "Count": 1, "Large": 99999999999999999999, "Mixed": 1.10, "Lines": [], "Ref": {}}',
        '{"Id": "3", "Amount": 0.1, "Count": null, "Mixed": "x", "Lines": [{"Rate": 7}], "Ref": {"v": "7"}}',
        '{"Id": "4", "Amount": -5, "Mixed": {"a": [1.50, null]}, "Lines": [{"Rate": 0.12345}, {"Note": "y"}]}',
        '{"Id": "5", "Amount": 2.2500, "Text": "\\ud83d!", "Endless": ' + "9" * 39 + ', "Nothing": [], "Empty": {}}',
    )
    for order in permutations(payloads, len(payloads)):
        table = written(*order).to_arrow()
        types = {name: table.schema.field(name).type for name in table.column_names}
        assert types["Amount"] == pa.decimal128(38, 4)
        assert types["Count"] == pa.int64()
        assert types["Large"] == pa.decimal128(38, 0)
        assert types["Mixed"] == types["Endless"] == types["Empty"] == pa.string()
        rows = {row["Id"]: row for row in table.to_pylist()}
        assert len(rows) == len(payloads)
        assert [rows[key]["Amount"] for key in "12345"] == [None, 100, Decimal("0.1"), -5, Decimal("2.25")]
        assert rows["2"]["Large"] == 99999999999999999999
        assert [rows[key]["Mixed"] for key in "234"] == ["1.10", "x", '{"a": [1.50, null]}']
        assert rows["3"]["Lines"] == [{"Rate": 7, "Note": None}]
        assert rows["4"]["Lines"] == [
            {"Rate": Decimal("0.12345"), "Note": None},
            {"Rate": None, "Note": "y"},
        ]
        assert (rows["2"]["Ref"], rows["3"]["Ref"], rows["4"]["Ref"]) == ({"v": None}, {"v": "7"}, None)
        assert (rows["5"]["Text"], rows["5"]["Endless"], rows["5"]["Empty"]) == ("\ufffd!", "9" * 39, "{}")
        frame = written(*order).to_polars()
        assert frame.to_dicts() == table.to_pylist()
        assert frame.schema["Amount"] == pl.Decimal(38, 4)


def test_pandas_keeps_whole_numbers_whole_and_every_value():
    large = 2**60 + 1
    frame = written(
        '{"Id": "1"}',
        f'{{"Id": "2", "Count": {large}, "Beyond": {2**70}, "Both": {large}, "Amount": 1, "Mixed": 1, "Flag": true}}',
        '{"Id": "3", "Both": 0.5, "Amount": 2.5, "Mixed": "x", "Ref": {"value": "7"}}',
    ).to_pandas()
    assert list(frame.columns) == ["Id", "Count", "Beyond", "Both", "Amount", "Mixed", "Flag", "Ref"]
    assert (frame["Count"][1], frame["Beyond"][1], frame["Both"][1]) == (large, 2**70, large)
    assert (str(frame["Count"].dtype), frame["Amount"].sum()) == ("Int64", 3.5)
    assert (list(frame["Mixed"])[1:], frame["Ref"][2]) == ([1, "x"], {"value": "7"})
    assert frame["Flag"][1] is True


def test_tables_of_no_records_and_of_numbers_without_end():
    assert (written().to_arrow().num_rows, written().to_polars().height, len(written().to_pandas())) == (0, 0, 0)
    assert written("{}", "{}").to_arrow().num_rows == 2
    endless = written('{"Id": "1", "a": ' + "7" * 5000 + "}", '{"Id": "2", "a": 1e999}', '{"Id": "3", "a": 1}')
    assert endless.to_arrow().column("a").to_pylist() == ["7" * 5000, "1E+999", "1"]
    assert endless.to_polars()["a"].to_list() == ["7" * 5000, "1E+999", "1"]
    # What the caller's own parser makes of a fraction is kept.
    texts = Records(written('{"a": 1.50}')._read, str)
    assert texts.to_arrow().column("a").to_pylist() == ["1.50"]


@pytest.mark.parametrize(
    ("package", "method"), [("pandas", "to_pandas"), ("pyarrow", "to_arrow"), ("polars", "to_polars")]
)
def test_a_table_without_its_package_says_how_to_install_it(package, method, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"^{package} is not installed.*pip install {package}$"):
        getattr(_tables, method)([{"Id": "7"}])
