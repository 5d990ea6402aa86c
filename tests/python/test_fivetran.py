"""The tables that the dbt package fivetran/dbt_quickbooks reads.

The package is not run here: it is in no package registry that pip or cargo reads, and nothing of it may be copied into
this repository. What it reads is listed in facts/fivetran.tsv, and these tests hold the views against that list and
against records whose columns were written down by hand. How the package itself was run is in docs/fivetran.md.
"""

from __future__ import annotations

import itertools
import json
import re
from datetime import date, datetime, timezone
from decimal import Decimal

import fivetran_company as company
import psycopg
import pytest
import yaml
from conftest import ROOT
from test_views import FIELDS, put, views

import qbo_rs

TYPES = {"timestamptz": "timestamp with time zone"}
EXPECTED = json.loads((ROOT / "tests" / "python" / "fivetran_expected.json").read_text())


def contract() -> dict[str, tuple[str, str, dict[str, tuple[str, str]]]]:
    """Return variable, rows, and type and source of each column, of each table."""
    tables: dict[str, tuple[str, str, dict[str, tuple[str, str]]]] = {}
    text = (ROOT / "facts" / "fivetran.tsv").read_text()
    for line in [line for line in text.splitlines() if not line.startswith("#")][1:]:
        table, column, kind, source, _ = line.split("\t")
        if column == "*":
            tables[table] = (kind, source, {})
        else:
            tables[table][2][column] = (kind, source)
    return tables


TABLES = contract()


@pytest.fixture
def tables(run):
    assert run("db", "migrate").returncode == 0
    return run


def made(run, *arguments: str) -> str:
    process = run("db", "views", "--style", "fivetran", *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout


def fill(database, records: dict[str, list[dict]], *, deleted: str = "NULL") -> None:
    for entity, some in records.items():
        for record in some:
            put(database, f"qb_{entity}", record["Id"], json.dumps(record), deleted=deleted)


def rows(database, table: str) -> list[dict]:
    with psycopg.connect(database.url) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        cursor = connection.execute(f"SELECT * FROM quickbooks.{table}")
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_every_table_and_column_exists_with_its_type_and_a_comment(tables, database):
    made(tables)
    found: dict[str, dict[str, str]] = {}
    for table, column, kind, comment in database.query(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum) "
        "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = 'quickbooks'::regnamespace"
    ):
        assert comment, (table, column)
        found.setdefault(table, {})[column] = kind
    expected = {
        table: {column: TYPES.get(kind, kind) for column, (kind, _) in columns.items()}
        for table, (_, _, columns) in TABLES.items()
    }
    assert len(expected) == 52
    assert found == expected
    uncommented = database.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'quickbooks'::regnamespace "
        "AND obj_description(oid, 'pg_class') NOT LIKE '%[qbo_rs fivetran %'"
    )
    assert uncommented == []


def test_values_are_those_written_down_by_hand(tables, database):
    fill(database, company.RECORDS)
    fill(database, company.DELETED, deleted="now()")
    made(tables)
    assert set(EXPECTED) <= set(TABLES)
    for table in TABLES:
        found = [
            {
                name: str(value)
                for name, value in row.items()
                if value is not None and name != "_fivetran_synced" and (name, value) != ("_fivetran_deleted", False)
            }
            for row in rows(database, table)
        ]
        expected = EXPECTED.get(table, [])
        assert sorted(found, key=str) == sorted(expected, key=str), table


@pytest.mark.parametrize(
    ("more", "balances"), [({}, company.BALANCES), (company.TRAPS, company.BALANCES_WITH_TRAPS)], ids=["small", "traps"]
)
def test_the_ledger_of_the_small_company_is_what_was_added_up_by_hand(tables, database, more, balances):
    fill(database, company.RECORDS)
    fill(database, more)
    fill(database, company.DELETED, deleted="now()")
    assert sum(Decimal(balance) for balance in balances.values()) == 0
    process = tables("db", "ledger")
    assert process.returncode == 0, process.stderr
    found = database.query("SELECT account_id, sum(debit - credit) FROM books.gl_entries GROUP BY 1")
    assert dict(found) == {account: Decimal(balance) for account, balance in balances.items()}


# Every column against an evaluation of its source that is not that of the program.


def steps(source: str) -> list[tuple[str, tuple[str, list[str]] | None]]:
    """Return the names of a path, and the condition before each."""
    found = []
    condition = None
    for name, test in re.findall(r"([^.\[\]]+)|\[([^\]]+)\]", source):
        if test:
            prop, values = test.split("=")
            condition = (prop, values.lower().split(","))
            continue
        found.append((name, condition))
        condition = None
    return found


def at(value: object, source: str) -> object:
    for name, condition in steps(source):
        if condition:
            prop, wanted = condition
            some = value if isinstance(value, list) else [value]
            value = next((one for one in some if one and str(one.get(prop)).lower() in wanted), None)
        value = value.get(name) if isinstance(value, dict) else None
    return value


def typed(value: object, kind: str) -> object:
    if value is None:
        return None
    match kind:
        case "numeric":
            return Decimal(str(value))
        case "date":
            return date.fromisoformat(value)
        case "timestamptz":
            return datetime.fromisoformat(value).astimezone(timezone.utc)
        case "boolean":
            return value
    return json.loads(json.dumps(value)) if isinstance(value, list) else str(value)


def elements(record: dict, path: list[str]) -> list[tuple[int | None, int | None, dict]]:
    """Return the elements of a list in a record, each with its place and that of the line around it."""
    found: list[tuple[int | None, int | None, dict]] = [(None, None, record)]
    for name in path:
        inner = []
        for parent, place, value in found:
            below = value.get(name)
            if isinstance(below, list):
                inner += [(place, number, one) for number, one in enumerate(below)]
            elif below is not None:
                inner.append((parent, place, below))
        found = inner
    return found


def value_of(kind: str, source: str, record: dict, element: tuple[int | None, int | None, dict], entity: str) -> object:
    parent, place, value = element
    places = {"": None, "@id": record["Id"], "@index": place, "@parent": parent, "@deleted": False}
    if source in places:
        return places[source]
    if source == "@group_account":
        members = at(value, "GroupLineDetail.Line") or []
        accounts = {at(member, "SalesItemLineDetail.ItemAccountRef.value") for member in members}
        return accounts.pop() if len(accounts) == 1 else None
    if source.startswith("@address "):
        name = source.removeprefix("@address ")
        address = record.get(name)
        return address and (address.get("Id") or f"{entity} {record['Id']} {name}")
    values = (typed(at(value, path), kind) for path in source.split(" | "))
    return next((one for one in values if one is not None), None)


def names_of_entities() -> dict[str, str]:
    """Return our name of each entity, by that of QuickBooks."""
    lower = {name.replace("_", ""): name for name in qbo_rs.entities()}
    found = {}
    for entity in FIELDS:
        word = entity.lower()
        for name in (word + "s", word + "es", word[:-1] + "ies", word):
            if name in lower:
                found[entity] = lower[name]
    return found


def expected_rows(table: str, records: dict[str, list[dict]], entities: dict[str, str]) -> list[dict]:
    _, source, columns = TABLES[table]
    first = re.match(r"(\w+)(?:\[Type(!?)=Group\])?\.?(.*)", source)
    entity, negated, path = first.group(1), first.group(2), first.group(3)
    only = "[" in source
    found = []
    for record in records[entities[entity]]:
        if only and (record.get("Type") == "Group") == bool(negated):
            continue
        for element in elements(record, [name for name in path.split(".") if name]):
            row = {
                column: value_of(kind, source, record, element, entity)
                for column, (kind, source) in columns.items()
                if source != "@synced"
            }
            found.append(row)
    return found


def compare(database, records: dict[str, list[dict]], entities: dict[str, str]) -> set[tuple[str, str]]:
    """Compare every table but that of addresses, and return the columns that had a value."""
    seen = set()
    for table, (_, _, columns) in TABLES.items():
        if table == "address":
            continue
        found = rows(database, table)
        for row in found:
            assert row.pop("_fivetran_synced") is not None
            for column, value in row.items():
                if isinstance(value, datetime):
                    row[column] = value.astimezone(timezone.utc)
                elif columns[column][1] == "OtherContactInfo" and value is not None:
                    row[column] = json.loads(value)
        expected = expected_rows(table, records, entities)
        key = lambda row: [str(row.get(name)) for name in sorted(row)]  # noqa: E731
        assert sorted(found, key=key) == sorted(expected, key=key), table
        seen |= {(table, column) for row in found for column, value in row.items() if value is not None}
    return seen


def test_values_of_the_sandbox_agree_with_the_json(run, database):
    assert run("sync").returncode == 0
    made(run)
    entities = names_of_entities()
    records = {}
    for name in set(entities.values()):
        payloads = database.query(f"SELECT payload::text FROM raw.qb_{name} WHERE deleted_at_utc IS NULL")
        records[name] = [json.loads(text, parse_float=Decimal) for (text,) in payloads]
    assert len(compare(database, records, entities)) > 250
    assert rows(database, "address")


def test_every_column_takes_its_value_from_its_property(tables, database):
    entities = names_of_entities()
    used = {re.match(r"\w+", rows).group() for _, source, _ in TABLES.values() for rows in source.split(" | ")}
    records: dict[str, list[dict]] = {}
    for entity in sorted(used):
        made_up = [full(entity, kind, number) for number, kind in enumerate(KINDS, 1)]
        records[entities[entity]] = made_up
    fill(database, records)
    made(tables)
    seen = compare(database, records, entities)
    elsewhere = {
        (table, column)
        for table, (_, _, columns) in TABLES.items()
        for column, (_, source) in columns.items()
        if source in ("", "@synced", "@group_account") or table == "address"
    }
    all_columns = {(table, column) for table, (_, _, columns) in TABLES.items() for column in columns}
    assert all_columns - elsewhere - seen == set()


# Types of linked transactions and names of custom fields that the list names.
NAMED = {
    name: sorted(
        {
            value
            for _, _, columns in TABLES.values()
            for _, source in columns.values()
            for test in re.findall(rf"\[{name}=([^\]]+)\]", source)
            for value in test.split(",")
        }
    )
    for name in ("TxnType", "Name")
}


KINDS = ("Customer", "Vendor", "Employee", "Group")


def full(entity: str, kind: str, number: int) -> dict:
    return Filler(entity, kind, number).whole(entity) | {"Id": str(number)}


class Filler:
    """Makes a record with every property of the table of fields, each with a value of its own."""

    def __init__(self, entity: str, kind: str, number: int) -> None:
        self.entity, self.kind = entity, kind
        self.counter = itertools.count(number * 1000)

    def single(self, field_type: str, path: str, *, has_type: bool) -> object:
        unique = next(self.counter)
        reference = {"value": str(unique), "name": f"n{unique}"} | ({"type": self.kind.upper()} if has_type else {})
        texts = {"Type": self.kind, "DetailType": "SalesItemLineDetail"}
        values = {
            "numeric": unique + 0.25,
            "boolean": True,
            "date": date.fromordinal(739000 + unique).isoformat(),
            "timestamptz": datetime.fromtimestamp(1_700_000_000 + unique, timezone.utc).isoformat(),
            "reference": reference,
        }
        return values.get(field_type, texts.get(path, f"t{unique}"))

    def elements(self, of: str, depth: int) -> list[dict]:
        if of == "LinkedTxn":
            return [{"TxnId": str(next(self.counter)), "TxnType": name} for name in NAMED["TxnType"]]
        if of == "CustomField":
            return [{"Name": name, "StringValue": str(next(self.counter))} for name in NAMED["Name"]]
        if of == "Line":
            return [] if depth > 3 else [self.whole(of, depth) for _ in range(2)]
        return [self.whole(of, depth)]

    def value(self, model: str, path: str, depth: int) -> object:
        field_type, of = FIELDS[model][path]
        if field_type == "object" and of:
            return self.whole(of, depth + 1)
        if field_type == "list" and of:
            return self.elements(of, depth + 1)
        return self.single(field_type, path, has_type=bool(of))

    def whole(self, model: str, depth: int = 0) -> dict:
        names = [(model, path) for path in FIELDS[model]]
        if model == "Line":
            names += [(f"{self.entity}.Line", path) for path in FIELDS.get(f"{self.entity}.Line", {})]
        return {path: self.value(of, path, depth) for of, path in names}


def test_no_payload_makes_a_table_fail(tables, database):
    odd = [
        "[]",
        "1",
        '"x"',
        "null",
        "{}",
        '{"Line": 1, "LinkedTxn": {}}',
        '{"Line": [1, null, "x", [], {"Amount": {}}]}',
    ]
    odd += [
        '{"TxnDate": "2026-02-30", "TotalAmt": "1e999999", "Active": "maybe", "CurrencyRef": 3, "BillAddr": []}',
        '{"Line": [{"GroupLineDetail": 1}, {"GroupLineDetail": {"Line": 2}}, {"LinkedTxn": [null, {"TxnType": 1}]}]}',
        '{"BillAddr": {"Id": {}, "City": []}, "ItemGroupDetail": [], "TxnTaxDetail": {"TaxLine": {}}, "Type": "Group"}',
    ]
    entities = names_of_entities()
    for _, source, _ in TABLES.values():
        for entity in {re.match(r"\w+", part).group() for part in source.split(" | ")}:
            for number, payload in enumerate(odd):
                with psycopg.connect(database.url) as connection:
                    connection.execute(
                        f"INSERT INTO raw.qb_{entities[entity]} VALUES "
                        "(%s, %s::jsonb, now(), now(), now(), 1, 1, '{}') ON CONFLICT DO NOTHING",
                        (str(number), payload),
                    )
    made(tables)
    for table in TABLES:
        rows(database, table)


def test_an_address_is_that_of_the_record_that_was_changed_last(tables, database):
    def customer(number: int, changed: str, line: str) -> dict:
        return {"Id": str(number), "BillAddr": {"Id": "5", "Line1": line}, "MetaData": {"LastUpdatedTime": changed}}

    fill(
        database,
        {"customers": [customer(1, "2026-01-02T00:00:00Z", "old"), customer(2, "2026-01-03T00:00:00Z", "new")]},
    )
    fill(database, {"invoices": [customer(3, "2026-01-04T00:00:00Z", "of a deleted invoice")]}, deleted="now()")
    made(tables)
    assert database.query("SELECT id, line_1 FROM quickbooks.address") == [("5", "new")]
    assert database.query("SELECT DISTINCT bill_address_id FROM quickbooks.customer") == [("5",)]


def test_a_bundle_has_an_account_only_if_its_members_agree(tables, database):
    def group(*accounts: int) -> dict:
        lines = [company.sale("1", 1, account) for account in accounts]
        lines.append({"DetailType": "DescriptionOnly", "Description": "no account"})
        return {"DetailType": "GroupLineDetail", "Amount": 2.0, "GroupLineDetail": {"Line": lines}}

    fill(database, {"invoices": [{"Id": "1", "Line": [group(4, 4), group(4, 5), group(), company.sale("1", 1, 4)]}]})
    made(tables)
    found = database.query("SELECT index, account_id FROM quickbooks.invoice_line ORDER BY 1")
    assert found == [(0, "4"), (1, None), (2, None), (3, None)]


def test_variables_fit_what_is_landed(tables, database):
    fill(database, company.RECORDS)
    for table in ("qb_estimates", "qb_departments", "qb_tax_rates"):
        database.execute(f"DROP TABLE raw.{table}")
    text = made(tables)
    assert (
        "left out, because there is no table: department, estimate, estimate_line, estimate_tax_line, tax_rate\n"
        in text
    )
    variables = yaml.safe_load(text[text.index("vars:\n") :])["vars"]
    changes = json.loads(made(tables, "--json"))
    assert changes["dbt_variables"] == variables
    assert changes["unchanged"] == 47
    named = {variable for variable, _, _ in TABLES.values() if variable != "-"}
    assert {name for name in variables if name.startswith("using_")} == named
    off = {name for name, value in variables.items() if value is False}
    assert off == {
        "using_department",
        "using_estimate",
        "using_estimate_tax_line",
        "using_tax_rate",
        "using_tax_agency",
        "using_invoice_bundle",
        "using_journal_entry_tax_line",
    }
    assert variables["quickbooks__home_currency"] == "USD"
    assert variables["quickbooks__exchange_gain_loss_enabled"] is True
    assert variables["quickbooks__tax_lines_enabled"] is True
    assert "quickbooks_schema" not in variables
    assert "warnings" not in changes
    printed = made(tables, "--print", "--into", "acme")
    assert '--   quickbooks_schema: "acme"\n' in printed


def test_what_the_package_cannot_do_is_said(tables, database):
    accounts = [
        company.account(number, "More", "Accounts Receivable", "AccountsReceivable", "Asset") for number in (50, 51)
    ]
    # Accounts that the package does not look at.
    accounts += [account | {"Id": f"1{account['Id']}", "Active": False} for account in accounts]
    accounts.append(accounts[0] | {"Id": "60", "SubAccount": True})
    fill(database, {"accounts": accounts})
    database.execute("DROP TABLE raw.qb_purchases")
    text = made(tables)
    assert "warning: the package needs purchase, purchase_line; load those records too\n" in text
    assert "warning: 2 active accounts are Accounts Receivable in USD; the package posts to each of them" in text


def test_what_is_printed_runs_and_a_second_run_changes_nothing(tables, database):
    fill(database, company.RECORDS)
    printed = made(tables, "--print")
    assert views(database, "quickbooks") == []
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(printed)
    assert set(views(database, "quickbooks")) == set(TABLES)
    assert "quickbooks: all 52 views are as they should be\n" in made(tables)
    assert "-- nothing to do" in made(tables, "--print")


def test_styles_leave_each_other_alone_and_nothing_of_others_is_replaced(tables, database):
    assert tables("db", "views", "--into", "both").returncode == 0
    before = views(database, "both")
    made(tables, "--into", "both")
    assert set(views(database, "both")) == set(before) | set(TABLES)
    again = tables("db", "views", "--into", "both")
    assert "views are as they should be" in again.stdout
    database.execute("CREATE SCHEMA quickbooks; CREATE TABLE quickbooks.vendor (id text)")
    refused = tables("db", "views", "--style", "fivetran")
    assert (refused.returncode, "quickbooks.vendor: is a table" in refused.stderr) == (2, True)
    assert views(database, "quickbooks") == []
    database.execute("DROP TABLE quickbooks.vendor")
    made(tables)
    database.execute("DROP VIEW quickbooks.vendor; CREATE VIEW quickbooks.vendor AS SELECT 1 AS id")
    refused = tables("db", "views", "--style", "fivetran")
    assert (refused.returncode, "a view that this command has not made" in refused.stderr) == (2, True)


def test_a_view_of_an_earlier_version_is_replaced(tables, database):
    made(tables)
    database.execute(
        "DROP VIEW quickbooks.vendor; CREATE VIEW quickbooks.vendor AS SELECT 1 AS id;"
        "COMMENT ON VIEW quickbooks.vendor IS E'Vendors.\\n[qbo_rs fivetran 0, schema raw, 00]'"
    )
    assert "quickbooks: 1 replaced: vendor\n" in made(tables)
    assert len(rows(database, "vendor")) == 0


def test_a_raw_table_of_an_older_shape_is_named(tables, database):
    database.execute("ALTER TABLE raw.qb_bills RENAME COLUMN ingested_at_utc TO loaded")
    refused = tables("db", "views", "--style", "fivetran")
    assert (refused.returncode, "raw.qb_bills: has another shape" in refused.stderr) == (2, True)
