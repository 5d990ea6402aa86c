"""Lakes write no value of a masked property in clear."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable

import qbo_rs
import qbo_rs.lake
from qbo_rs._empty import schema_of
from qbo_rs.lake._mask import checker_of

if TYPE_CHECKING:
    from pathlib import Path

KEY = "a key of these tests, which nobody else may know"
HASH = f"hmac:{'0' * 8}:{'a' * 64}"
# A mask is on properties: the name of a customer is in several.
MASK = (
    "Customer.DisplayName,Customer.FullyQualifiedName:hash,Customer.PrimaryEmailAddr,Customer.CompanyName,"
    "Customer.PrintOnCheckName,Customer.BillAddr"
)


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def payloads(folder: Path) -> list[dict]:
    return [json.loads(line)["payload"] for path in folder.glob("*.jsonl") for line in path.open()]


def rows(place: str) -> list[dict]:
    return DeltaTable(place).to_pyarrow_table().to_pylist()


@pytest.mark.usefixtures("one_company")
def test_files_of_before_a_mask_are_sent_as_they_are_and_loaded_without_its_values(tmp_path, monkeypatch, database):
    windows = qbo_rs.chunk_range("2024-01-01", "2026-01-01", "year")
    extracted, store, back = (tmp_path / name for name in ("extracted", "store", "back"))
    # Text that is not compressed, so that a value in clear is seen.
    extracted.mkdir()
    qbo_rs.extract("customers", windows, out=extracted / "customers.jsonl").raise_for_failures()
    clear = content(extracted)
    assert ["DisplayName" in payload for payload in payloads(extracted)] == [True] * 40
    monkeypatch.setenv("QBO_MASK", "Customer.DisplayName")
    qbo_rs.lake.write_files(extracted, store)
    qbo_rs.lake.read_files(store, back)
    assert content(back) == clear
    qbo_rs.upsert(back / "customers.jsonl").raise_for_failures()
    stored = [payload for _, payload in database.rows("raw.qb_customers")]
    assert len(stored) == 40
    assert not any("DisplayName" in payload for payload in stored)
    # What the docstring advises.
    qbo_rs.extract("customers", windows, out=tmp_path / "new" / "customers.jsonl").raise_for_failures()
    for _ in range(2):
        qbo_rs.lake.write_files(tmp_path / "new", store)
    assert ["DisplayName" in payload for payload in payloads(store)] == [False] * 2 * 40


@pytest.mark.usefixtures("one_company")
def test_a_lake_writes_no_value_in_clear_that_is_masked(tmp_path, monkeypatch):
    qbo_rs.sync(["customers", "invoices"])
    names = {row["display_name"] for row in qbo_rs.table("customers").to_arrow().to_pylist()}
    assert len(names) == 40
    delta, parquet = tmp_path / "delta", tmp_path / "parquet"
    refused = r"QBO_MASK: Postgres has values of 'Customer\..*' in clear, .* `qbo-rs backfill customers --start START"
    for write, place in ((qbo_rs.lake.write_delta, delta), (qbo_rs.lake.write_parquet, parquet)):
        with pytest.raises(qbo_rs.ConfigError, match=refused) as caught:
            write(str(place), "customers", mask=MASK, mask_key=KEY)
        assert not any(name in str(caught.value) for name in names)
    monkeypatch.setenv("QBO_MASK", MASK)
    monkeypatch.setenv("QBO_MASK_KEY", KEY)
    with pytest.raises(qbo_rs.ConfigError, match=refused):
        qbo_rs.lake.write_delta(str(delta), "customers")
    assert rows(str(delta)) == []
    assert not list(parquet.glob("*.parquet"))
    # Rules of other entities are not in the way.
    assert qbo_rs.lake.write_delta(str(tmp_path / "invoices"), "invoices").inserted == 150

    # What the error advises.
    qbo_rs.backfill("customers", "2020-01-01", "2027-01-01", "year").raise_for_failures()
    assert qbo_rs.lake.write_delta(str(delta), "customers").inserted == 40
    assert qbo_rs.lake.write_parquet(str(parquet), "customers").rows == 40
    for row in rows(str(delta)):
        assert row["display_name"] is None
        assert row["fully_qualified_name"].startswith("hmac:")
    for folder in (delta, parquet):
        found = content(folder)
        assert not any(name.encode() in found for name in names)
    # Another action for the same property is a row of before, too.
    with pytest.raises(qbo_rs.ConfigError, match=r"'Customer\.FullyQualifiedName' in clear"):
        qbo_rs.lake.write_delta(str(delta), "customers", mask="Customer.FullyQualifiedName")


def batch(entity: str, **values: object) -> pa.RecordBatch:
    schema = schema_of(entity)
    arrays = [pa.array([values.get(field.name)], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


GROUP = [{"GroupLineDetail": {"Line": [{"Description": "card"}]}}]


@pytest.mark.parametrize(
    ("mask", "entity", "values"),
    [
        ("Customer.Balance", "customers", {"balance": 0}),
        ("Customer.DisplayName:hash", "customers", {"display_name": "hmac:1234"}),
        ("Customer.PrimaryEmailAddr.Address", "customers", {"primary_email_addr_address": "a"}),
        ("Customer.PrimaryEmailAddr.Address", "customers", {"extra": {"PrimaryEmailAddr": "a"}}),
        ("Customer.PrimaryEmailAddr", "customers", {"primary_email_addr_address": "a"}),
        ("Customer.BillAddr", "customers", {"bill_addr_city": "a"}),
        ("Customer.Notes", "customers", {"extra": {"notes": "a"}}),
        ("Customer.CustomField[Card]", "customers", {"custom_field": [{"Name": "Card", "StringValue": "a"}]}),
        ("Customer.CustomField[Card]:hash", "customers", {"custom_field": [{"name": "Card", "StringValue": "a"}]}),
        ("Invoice.Line.Description", "invoices", {"line": [{"Description": "card"}]}),
        ("Invoice.Line.Description", "invoices", {"line": GROUP}),
        ("Invoice.Line", "invoices", {"line": []}),
        ("Invoice.PrivateNote", "recurring_transactions", {"template_type": "Invoice", "private_note": "a"}),
        (
            "RecurringTransaction.Invoice.PrivateNote",
            "recurring_transactions",
            {"template_type": "Invoice", "private_note": "a"},
        ),
    ],
)
def test_what_is_left_of_a_masked_property_is_found(mask, entity, values):
    given = {name: json.dumps(value) if isinstance(value, (list, dict)) else value for name, value in values.items()}
    with pytest.raises(qbo_rs.ConfigError, match="in clear") as caught:
        checker_of(entity, {"mask": mask}).check(batch(entity, **given))
    assert "card" not in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "entity", "values"),
    [
        ("Customer.DisplayName", "customers", {"given_name": "a"}),
        ("Customer.DisplayName:hash", "customers", {"display_name": HASH}),
        ("Vendor.DisplayName", "customers", {"display_name": "a"}),
        (
            "Customer.CustomField[Card]",
            "customers",
            {"custom_field": [{"Name": "Card"}, {"Name": "Other", "StringValue": "a"}]},
        ),
        ("Customer.CustomField[Card]:hash", "customers", {"custom_field": [{"Name": "Card", "StringValue": HASH}]}),
        ("Invoice.Line.Description", "invoices", {"line": [{"Amount": 1, "SalesItemLineDetail": {"Description": 1}}]}),
        ("Bill.PrivateNote", "recurring_transactions", {"template_type": "Invoice", "private_note": "a"}),
        ("Customer.DisplayName", "recurring_transactions", {"template_type": "Invoice", "private_note": "a"}),
        ("Invoice.HomeTotalAmt", "invoices", {"home_total_amt": 1}),
        ("", "customers", {"display_name": "a"}),
    ],
)
def test_what_is_not_masked_or_masked_already_is_taken(mask, entity, values):
    given = {name: json.dumps(value) if isinstance(value, (list, dict)) else value for name, value in values.items()}
    checker_of(entity, {"mask": mask}).check(batch(entity, **given))


@pytest.mark.parametrize(
    "mask",
    ["Customer.DispName", "Customer.BillAddr.Cty", "customers.DisplayName", "DisplayName", "Customer.Notes:hide"],
)
def test_a_mask_that_masks_nothing_is_refused(mask):
    with pytest.raises(qbo_rs.ConfigError, match="QBO_MASK: "):
        checker_of("customers", {"mask": mask})
