"""Views with typed columns: exact, NULL for a value that does not fit, and careful with objects of others."""

from __future__ import annotations

import itertools
import json
import os
import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from conftest import ROOT

import qbo_rs

HEAD = ["realm_id", "id", "sync_token", "created_at", "updated_at", "deleted_at"]
SCALARS = {"text", "numeric", "boolean", "date", "timestamptz"}


def field_table() -> dict[str, dict[str, tuple[str, str]]]:
    """Return type and model of each property, by model and property."""
    models: dict[str, dict[str, tuple[str, str]]] = {}
    text = (ROOT / "facts" / "fields.tsv").read_text()
    for line in [line for line in text.splitlines() if not line.startswith("#")][1:]:
        model, path, kind, of, _ = line.split("\t")
        models.setdefault(model, {})[path] = (kind, of)
    return models


FIELDS = field_table()


def column_name(path: str) -> str:
    words = re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|[A-Z]+\d*|\d+", path)
    return "_".join(words).lower()


def scalars(model: str, above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """Return the place and type of every single value of a model."""
    found = []
    for path, (kind, of) in FIELDS[model].items():
        place = (*above, path)
        if kind in SCALARS:
            found.append((place, kind))
        elif kind == "reference":
            found.append(((*place, "value"), "text"))
        elif kind == "object" and of and len(place) < 5:
            found += scalars(of, place)
    return found


def at(record: object, place: tuple[str, ...]) -> object:
    for name in place:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def put(database, table: str, record_id: str, payload: str, *, deleted: str = "NULL", schema: str = "raw") -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute(
            f"INSERT INTO {schema}.{table} VALUES (%s, %s::jsonb, now(), now(), now(), 1, 1, '{{}}', {deleted})",
            (record_id, payload),
        )


def payloads(database, table: str) -> list[dict]:
    rows = database.query(f"SELECT payload::text FROM raw.{table} ORDER BY id")
    return [json.loads(text, parse_float=Decimal, parse_int=Decimal) for (text,) in rows]


def views(database, schema: str = "books") -> list[str]:
    return [
        name for (name,) in database.query(f"SELECT viewname FROM pg_views WHERE schemaname = '{schema}' ORDER BY 1")
    ]


@pytest.fixture
def tables(run):
    assert run("db", "migrate").returncode == 0
    return run


def made(run, *arguments: str) -> str:
    process = run("db", "views", *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_every_column_of_every_entity_agrees_with_exact_arithmetic_over_the_json(run, database):
    assert run("sync").returncode == 0
    made(run)
    assert compare(database) > 200


@pytest.mark.skipif("QBO_RECORDED_ANSWERS" not in os.environ, reason="the folder of recorded answers is not named")
def test_recorded_answers_agree_too(tables, database):
    ids = itertools.count()
    tables_of = {entity_of(name): f"qb_{name}" for name in qbo_rs.entities()}
    with psycopg.connect(database.url) as connection:
        for path in sorted(Path(os.environ["QBO_RECORDED_ANSWERS"]).rglob("*.json")):
            text = path.read_text()
            for entity, place in recorded(json.loads(text), tables_of):
                connection.execute(
                    f"INSERT INTO raw.{tables_of[entity]} "
                    "VALUES (%s, %s::jsonb #> %s, now(), now(), now(), 1, 1, '{}')",
                    (str(next(ids)), text, [str(step) for step in place]),
                )
    made(tables)
    assert compare(database) > 50


def recorded(answer: dict, known: dict[str, str]) -> list[tuple[str, tuple]]:
    """Return entity and place of each record of an answer."""
    parts = [((), answer), (("QueryResponse",), answer.get("QueryResponse", {}))]
    for number, group in enumerate(answer.get("CDCResponse", [])):
        for position, part in enumerate(group.get("QueryResponse", [])):
            parts.append((("CDCResponse", number, "QueryResponse", position), part))
    found = []
    for place, part in parts:
        for name, value in part.items():
            if name in known and isinstance(value, list):
                found += [(name, (*place, name, number)) for number in range(len(value))]
            elif name in known and isinstance(value, dict):
                found.append((name, (*place, name)))
    return found


def compare(database) -> int:
    """Compare every column with the JSON; return how many columns had a value."""
    compared = 0
    for (table,) in database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'raw' ORDER BY 1"):
        view = table.removeprefix("qb_")
        records = payloads(database, table)
        entity = entity_of(view)
        if view == "recurring_transactions":
            records = [next(iter(record.values())) for record in records]
        described = database.query(
            "SELECT column_name, data_type FROM information_schema.columns "
            f"WHERE table_schema = 'books' AND table_name = '{view}' ORDER BY ordinal_position"
        )
        columns = dict(described)
        assert list(columns)[:6] == HEAD
        expected = {"count(*)": len(records)}
        for place, kind in scalars(entity):
            name = column_name(".".join(place))
            # Postgres keeps 63 bytes of a name; the outermost objects are left out of a longer one.
            name = name if len(name) <= 63 else column_name(".".join(place[1:]))
            if place in (("Id",), ("SyncToken",)) or place[0] == "MetaData" or place == ("HomeTotalAmt",):
                continue
            values = [value for record in records if (value := at(record, place)) is not None]
            if kind == "numeric":
                assert columns[name] == "numeric", (view, name)
                expected[f"coalesce(sum({name}), 0)"] = sum(map(Decimal, values), Decimal(0))
            else:
                expected[f"count({name})"] = len(values)
            compared += len(values) > 0
        (found,) = database.query(f"SELECT {', '.join(expected)} FROM books.{view}")
        assert dict(zip(expected, found, strict=True)) == expected, view
        if "Line" in FIELDS[entity]:
            compare_lines(database, view, entity, records)
    return compared


def entity_of(view: str) -> str:
    rows = (ROOT / "facts" / "entities.tsv").read_text().splitlines()
    names = {column_name(row.split("\t")[0]): row.split("\t")[0] for row in rows if not row.startswith("#")}
    for ending, singular in (("ies", "y"), ("ses", "s"), ("s", ""), ("", "")):
        name = view.removesuffix(ending) + singular
        if view.endswith(ending) and name in names:
            return names[name]
    return names[view]


def compare_lines(database, view: str, entity: str, records: list[dict]) -> None:
    lines = [line for record in records for line in record.get("Line", [])]
    members = [member for line in lines for member in (at(line, ("GroupLineDetail", "Line")) or [])]
    name = f"{column_name(entity)}_lines"
    total = sum((Decimal(line["Amount"]) for line in lines if "Amount" in line), Decimal(0))
    sums = f"SELECT count(*), coalesce(sum(amount), 0) FROM books.{name} WHERE parent_line_number"
    assert database.query(f"{sums} IS NULL") == [(len(lines), total)], view
    total = sum((Decimal(line["Amount"]) for line in members if "Amount" in line), Decimal(0))
    assert database.query(f"{sums} IS NOT NULL") == [(len(members), total)], view
    details = list(FIELDS.get(f"{entity}.Line", {}))
    for column in {place[-1] for detail in details for place, kind in scalars(detail) if kind == "numeric"}:
        values = [at(line, (detail, column)) for line in lines + members for detail in details]
        expected = sum((Decimal(value) for value in values if value is not None), Decimal(0))
        if expected:
            found = database.query(f"SELECT coalesce(sum({column_name(column)}), 0) FROM books.{name}")
            assert found == [(expected,)], (view, column)


NUMBERS = [
    ("629.10", "629.10"),
    ("0", "0"),
    ("1e5", "100000"),
    ("99999999999.9999999", "99999999999.9999999"),
    ("12345678901234567890.12345678901234567890", "12345678901234567890.12345678901234567890"),
    ('"12.50"', "12.50"),
    ('"-5"', "-5"),
    ('".00"', "0.00"),
    ('"1e3"', "1000"),
    ('"1e999999"', None),
    ('"' + "9" * 200 + '"', None),
    ('"1,000.00"', None),
    ('"NaN"', None),
    ('"Infinity"', None),
    ('"12.50\\n"', None),
    ('""', None),
    ("null", None),
    ("true", None),
    ("{}", None),
    ("[1]", None),
]
DAYS = [
    ('"2024-02-29"', date(2024, 2, 29)),
    ('"2023-02-29"', None),
    ('"2023-02-30"', None),
    ('"1900-02-29"', None),
    ('"2000-02-29"', date(2000, 2, 29)),
    ('"2024-04-31"', None),
    ('"2024-13-01"', None),
    ('"2024-01-05Z"', date(2024, 1, 5)),
    ('"2024-01-05-08:00"', date(2024, 1, 5)),
    ('"2024-01-05T23:30:00-08:00"', date(2024, 1, 5)),
    ('"2024/03/04"', date(2024, 3, 4)),
    ('"04/03/2024"', None),
    ('"0000-01-01"', None),
    ('"10000-01-01"', None),
    ('"infinity"', None),
    ('"now"', None),
    ("5", None),
    ("{}", None),
]
FLAGS = [
    ("true", True),
    ("false", False),
    ('"true"', True),
    ('"false"', False),
    ('"False"', False),
    ('"yes and no"', None),
    ("1", None),
    ("null", None),
    ("{}", None),
]
EIGHT_WEST = timezone(timedelta(hours=-8))
TIMES = [
    ('"2024-01-05T10:00:00-08:00"', datetime(2024, 1, 5, 10, tzinfo=EIGHT_WEST)),
    ('"2024-01-05T10:00:00Z"', datetime(2024, 1, 5, 10, tzinfo=timezone.utc)),
    ('"2024-01-05T10:00:00"', datetime(2024, 1, 5, 10, tzinfo=timezone.utc)),
    ('"2024-01-05T10:00:00.123-0800"', datetime(2024, 1, 5, 10, 0, 0, 123000, tzinfo=EIGHT_WEST)),
    ('"2024-02-30T10:00:00Z"', None),
    ('"2024-01-05T25:00:00Z"', None),
    ('"infinity"', None),
    ("1704449000", None),
]
TEXTS = [('"5000000000000503624"', "5000000000000503624"), ("17", "17"), ("{}", None), ("[]", None), ('""', "")]
CASES = [
    *(("TotalAmt", "total_amt", value, None if number is None else Decimal(number)) for value, number in NUMBERS),
    *(("TxnDate", "txn_date", *case) for case in DAYS),
    *(("ApplyTaxAfterDiscount", "apply_tax_after_discount", *case) for case in FLAGS),
    *(("MetaData", "updated_at", f'{{"LastUpdatedTime": {value}}}', expected) for value, expected in TIMES),
    *(("DocNumber", "doc_number", *case) for case in TEXTS),
]


def test_a_value_that_does_not_fit_is_null_whatever_the_session(tables, database):
    for number, (name, _, value, _) in enumerate(CASES):
        put(database, "qb_invoices", f"{number:03}", f'{{"{name}": {value}}}')
    made(tables)
    for settings in ("SET TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'SQL, DMY'", "SET TimeZone = 'UTC'"):
        with psycopg.connect(database.url) as connection:
            connection.execute(settings)
            for number, (_, column, value, expected) in enumerate(CASES):
                row = f"FROM books.invoices WHERE id = '{number:03}'"
                same = connection.execute(f"SELECT {column} IS NOT DISTINCT FROM %s {row}", (expected,)).fetchone()
                assert same == (True,), (column, value)
                if isinstance(expected, Decimal):
                    text = connection.execute(f"SELECT {column}::text {row}").fetchone()
                    assert text == (str(expected),), (column, value)


ODD = [
    "{}",
    "[]",
    '"text"',
    "17",
    "null",
    '{"MetaData": 5, "Line": "x", "LinkedTxn": {}, "CustomField": 1, "TxnTaxDetail": [], "CurrencyRef": "USD"}',
    '{"Line": [], "LinkedTxn": [], "TxnTaxDetail": {"TaxLine": {}}, "CustomExtensions": "x"}',
    '{"Line": [1, "x", null, [], {}], "LinkedTxn": [null, 3], "CustomField": [[]], "TxnTaxDetail": {"TaxLine": [7]}}',
    '{"Line": [{"Amount": {}, "DetailType": {}, "GroupLineDetail": {"Line": 4}, "LinkedTxn": "y"}]}',
    '{"Line": [{"GroupLineDetail": {"Line": [5, {}]}, "CustomExtensions": [1, {"AssociatedValues": 3}]}]}',
    '{"Invoice": {"Id": "5"}, "Bill": {"Id": "6"}}',
]


def test_no_payload_makes_a_view_fail(tables, database):
    tables_of_records = {row[0] for row in database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'raw'")}
    for table in tables_of_records:
        for number, payload in enumerate(ODD):
            put(database, table, str(number), payload)
    made(tables)
    names = views(database)
    assert len(names) > 70
    for name in names:
        rows = database.query(f"SELECT * FROM books.{name}")
        if f"qb_{name}" in tables_of_records:
            assert len(rows) == len(ODD), name


INVOICE = """{"Id": "9", "SyncToken": "3", "TotalAmt": 100.00, "ExchangeRate": 1.5, "Color": "red", "domain": "QBO",
 "CurrencyRef": {"value": "EUR"}, "LinkedTxn": [{"TxnId": "4", "TxnType": "Estimate"}],
 "CustomField": [{"DefinitionId": "1", "Name": "Crew", "Type": "StringType", "StringValue": "B"},
   {"DefinitionId": "2"}],
 "TxnTaxDetail": {"TotalTax": 8.25, "TaxLine": [{"Amount": 8.25, "DetailType": "TaxLineDetail",
   "TaxLineDetail": {"TaxRateRef": {"value": "3"}, "TaxPercent": 8.25}}]},
 "Line": [
  {"Id": "6", "LineNum": 1, "Amount": 40.5, "DetailType": "SalesItemLineDetail", "Shade": 1,
   "SalesItemLineDetail": {"ItemRef": {"value": "11", "name": "Design"}, "Qty": 0.6993497, "UnitPrice": 75,
    "TaxCodeRef": {"value": "NON"}},
   "CustomExtensions": [{"ExtensionType": "DIMENSION", "AssociatedValues": [{"Key": "7", "Value": "70"}]}],
   "LinkedTxn": [{"TxnId": "5", "TxnType": "TimeActivity"}]},
  {"Id": "7", "Amount": 60, "DetailType": "GroupLineDetail", "GroupLineDetail": {
    "GroupItemRef": {"value": "12"}, "Line": [
    {"Id": "8", "Amount": 20, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"Qty": 2}},
    {"Id": "9", "Amount": 40, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {}}]}},
  {"DetailType": "DescriptionOnly", "Description": "Subtotal: 9.99", "DescriptionLineDetail": {}},
  {"Amount": 100.5, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}},
  {"Amount": 0.5, "DetailType": "DiscountLineDetail", "DiscountLineDetail": {"PercentBased": false}}]}"""


def test_lines_links_fields_and_taxes_are_rows(tables, database):
    put(database, "qb_invoices", "9", INVOICE)
    payment = '{"Line": [{"Amount": 70.00, "LinkedTxn": [{"TxnId": "70", "TxnType": "Invoice"}]}]}'
    put(database, "qb_payments", "2", payment)
    made(tables)
    lines = database.query(
        "SELECT line_number, parent_line_number, kind, line_id, amount, home_amount, item_ref_value, qty, "
        "group_item_ref_value, extra FROM books.invoice_lines ORDER BY coalesce(parent_line_number, line_number), "
        "parent_line_number NULLS FIRST, line_number"
    )
    quantity = Decimal("0.6993497")
    assert lines == [
        (1, None, "item", "6", Decimal("40.5"), Decimal("60.75"), "11", quantity, None, {"Shade": 1}),
        (2, None, "group", "7", Decimal(60), Decimal(90), None, None, "12", None),
        (1, 2, "group_member", "8", Decimal(20), Decimal(30), None, Decimal(2), None, None),
        (2, 2, "group_member", "9", Decimal(40), Decimal(60), None, None, None, None),
        (3, None, "description", None, None, None, None, None, None, None),
        (4, None, "subtotal", None, Decimal("100.5"), Decimal("150.75"), None, None, None, None),
        (5, None, "discount", None, Decimal("0.5"), Decimal("0.75"), None, None, None, None),
    ]
    record = "SELECT sync_token, total_amt, home_total_amt, is_voided, currency_ref_value, extra FROM books.invoices"
    assert database.query(record) == [("3", Decimal(100), Decimal(150), False, "EUR", {"Color": "red"})]
    links = "SELECT entity, id, line_number, link_number, linked_id, linked_type FROM books.linked_transactions"
    assert database.query(f"{links} ORDER BY linked_id") == [
        ("Invoice", "9", None, 1, "4", "Estimate"),
        ("Invoice", "9", 1, 1, "5", "TimeActivity"),
        ("Payment", "2", 1, 1, "70", "Invoice"),
    ]
    fields = "SELECT entity, line_number, definition_id, name, type, value FROM books.custom_fields"
    assert database.query(f"{fields} ORDER BY definition_id") == [
        ("Invoice", None, "1", "Crew", "StringType", "B"),
        ("Invoice", None, "2", None, None, None),
        ("Invoice", 1, "7", None, "DIMENSION", "70"),
    ]
    taxes = "SELECT line_number, amount, tax_rate_ref_value, tax_percent FROM books.invoice_tax_lines"
    assert database.query(taxes) == [(1, Decimal("8.25"), "3", Decimal("8.25"))]
    assert database.query("SELECT kind, amount FROM books.payment_lines") == [("linked", Decimal(70))]


def test_a_rate_that_is_no_number_makes_no_home_amount(tables, database):
    rates = ['"0.00912408759124"', '"none"', "{}", "null", "1e999"]
    for number, rate in enumerate(rates):
        payload = f'{{"TotalAmt": 1000, "ExchangeRate": {rate}, "Line": [{{"Amount": 1000}}]}}'
        put(database, "qb_invoices", str(number), payload)
    put(database, "qb_invoices", "5", '{"TotalAmt": 1000, "Line": [{"Amount": 1000}]}')
    made(tables)
    home = [Decimal("9.12408759124"), None, None, 1000, Decimal("1e1002"), 1000]
    for column, view in (("home_total_amt", "invoices"), ("home_amount", "invoice_lines")):
        assert [row[0] for row in database.query(f"SELECT {column} FROM books.{view} ORDER BY id")] == home
    assert tables("db", "views", "--materialize").returncode == 0
    for column, view in (("home_total_amt", "invoices"), ("home_amount", "invoice_lines")):
        assert [row[0] for row in database.query(f"SELECT {column} FROM books.{view} ORDER BY id")] == home


def test_elements_of_other_lists_are_rows(tables, database):
    put(database, "qb_budgets", "1", '{"BudgetDetail": [{"Amount": 9.5, "AccountRef": {"value": "3"}}, {"Amount": 1}]}')
    put(database, "qb_items", "2", '{"ItemGroupDetail": {"ItemGroupLine": [{"Qty": "2", "ItemRef": {"value": "8"}}]}}')
    made(tables)
    details = "SELECT id, line_number, amount, account_ref_value FROM books.budget_details ORDER BY line_number"
    assert database.query(details) == [("1", 1, Decimal("9.5"), "3"), ("1", 2, Decimal(1), None)]
    assert database.query("SELECT id, qty, item_ref_value FROM books.item_group_lines") == [("2", Decimal(2), "8")]


def test_voided_deleted_and_merged_records_are_marked(tables, database):
    put(database, "qb_invoices", "1", '{"PrivateNote": "Voided - by hand", "TotalAmt": 0}')
    put(database, "qb_invoices", "2", '{"PrivateNote": "Voided cheque received", "TotalAmt": 5}')
    put(
        database,
        "qb_invoices",
        "3",
        '{"HomeTotalAmt": 7.01, "TotalAmt": 5, "ExchangeRate": 1.4}',
        deleted="'2025-01-01Z'",
    )
    put(database, "qb_customers", "1", "{}", deleted="now()")
    put(database, "qb_customers", "2", "{}", deleted="now()")
    database.execute(
        "INSERT INTO qbo.schema_realms (schema_name, realm_id) VALUES ('raw', '77');"
        "INSERT INTO qbo.webhook_events (event_id, realm_id, entity, entity_id, operation, occurred_at, event) VALUES "
        """('a', '77', 'customers', '5', 'merged', '', '{"data": {"deletedId": "2"}}')"""
    )
    made(tables)
    rows = database.query("SELECT id, is_voided, home_total_amt, deleted_at IS NULL FROM books.invoices ORDER BY id")
    assert rows == [("1", True, 0, True), ("2", False, 5, True), ("3", False, Decimal("7.01"), False)]
    assert database.query("SELECT id, is_merged, realm_id FROM books.customers ORDER BY id") == [
        ("1", None, "77"),
        ("2", True, "77"),
    ]


def test_a_journal_entry_is_voided_if_its_lines_are_zero(tables, database):
    notes = [
        ("1", "Voided check 117 reversed", '[{"Amount": 5000}]', 0),
        ("2", "Voided", '[{"Amount": 0}, {"Amount": "5000.00"}]', 0),
        ("3", "Voided", '[{"Amount": 0}, {"Amount": "0.00"}, {}]', 0),
        ("4", "Voided", "null", 0),
        ("5", "Voided", "null", '"much"'),
        ("6", "Reversed", '[{"Amount": 0}]', 0),
    ]
    for number, note, lines, total in notes:
        payload = f'{{"PrivateNote": "{note}", "TotalAmt": {total}, "Line": {lines}}}'
        put(database, "qb_journal_entries", number, payload)
    voided = [False, False, True, True, False, False]
    for arguments in ((), ("--materialize",)):
        assert tables("db", "views", *arguments).returncode == 0
        rows = database.query("SELECT is_voided FROM books.journal_entries ORDER BY id")
        assert [row[0] for row in rows] == voided


def test_every_view_and_column_has_a_comment(tables, database):
    made(tables)
    without = database.query(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = 'books'::regnamespace AND coalesce(col_description(c.oid, a.attnum), '') = ''"
    )
    assert without == []
    comment = database.query("SELECT obj_description('books.invoices'::regclass)")[0][0]
    assert re.fullmatch(r"Invoice of QuickBooks.*\n\[qbo_rs views \d+, schema raw, [0-9a-f]{16}\]", comment)


def test_a_second_run_changes_nothing(tables, database):
    assert "created: accounts, " in made(tables)
    catalogue = "SELECT c.oid, c.xmin::text FROM pg_class c WHERE relnamespace = 'books'::regnamespace ORDER BY 1"
    before = database.query(catalogue)
    assert re.fullmatch(r"books: all \d+ views are as they should be\n", made(tables))
    assert made(tables, "--print") == "-- nothing to do: every view is as it should be\n"
    assert database.query(catalogue) == before


def test_what_is_printed_runs_in_psql(tables, database):
    put(database, "qb_invoices", "9", INVOICE)
    printed = made(tables, "--print")
    assert views(database) == []
    assert (printed.startswith("BEGIN;\n"), printed.endswith("COMMIT;\n")) == (True, True)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(printed)
    assert database.query("SELECT total_amt FROM books.invoices") == [(100,)]
    assert "are as they should be" in made(tables)
    described = json.loads(tables("db", "views", "--print", "--json").stdout)
    assert (described["unchanged"], described["created"]) == (len(views(database)), [])


def earlier(database, columns: str) -> None:
    """Leave a view as an earlier version would have made it."""
    database.execute(
        f"DROP VIEW books.terms; CREATE VIEW books.terms AS SELECT {columns} FROM raw.qb_terms;"
        "COMMENT ON VIEW books.terms IS 'Terms.\n[qbo_rs views 0, schema raw, 0123456789abcdef]'"
    )


def test_views_of_an_earlier_version_are_upgraded_and_can_be_read_by_whom_they_could(tables, database):
    put(database, "qb_terms", "1", '{"Name": "Net 30"}')
    made(tables)
    role = f"reader_{database.settings['pg_db'][-8:]}"
    database.execute(f"CREATE ROLE {role}")
    try:
        # The columns that are there are the first of the new ones, so that the view stays.
        earlier(database, "NULL::text AS realm_id, id")
        database.execute("CREATE SCHEMA mine; CREATE VIEW mine.ids AS SELECT id FROM books.terms")
        assert "1 replaced: terms" in made(tables)
        assert database.query("SELECT name FROM books.terms") == [("Net 30",)]
        assert database.query("SELECT id FROM mine.ids") == [("1",)]
        # Other columns: the view is made anew, with its rights.
        database.execute("DROP SCHEMA mine CASCADE")
        earlier(database, "id, payload")
        database.execute(f"GRANT SELECT ON books.terms TO {role}; GRANT USAGE ON SCHEMA books TO {role}")
        assert "1 replaced: terms" in made(tables)
        database.execute(f"SET ROLE {role}; SELECT name FROM books.terms")
        # A view that this version does not make any more.
        database.execute(
            "CREATE VIEW books.gone AS SELECT 1 AS one;"
            "COMMENT ON VIEW books.gone IS '[qbo_rs views 0, schema raw, 0123456789abcdef]'"
        )
        assert "1 dropped, because this version does not make them: gone" in made(tables)
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_nothing_of_others_is_dropped_or_replaced(tables, database):
    made(tables)
    earlier(database, "id, payload")
    database.execute("CREATE SCHEMA mine; CREATE VIEW mine.terms AS SELECT payload FROM books.terms")
    refused = tables("db", "views")
    assert refused.returncode == 2
    assert "view mine.terms depends on view books.terms" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert database.query("SELECT count(*) FROM mine.terms") == [(0,)]
    database.execute("DROP VIEW mine.terms")
    for create, drop, word in (
        ("VIEW books.terms AS SELECT 1 AS one", "VIEW", "a view that this command has not made"),
        ("TABLE books.terms (id text)", "TABLE", "a table"),
        ("MATERIALIZED VIEW books.terms AS SELECT 1 AS one", "MATERIALIZED VIEW", "a materialised view"),
    ):
        database.execute("DROP VIEW IF EXISTS books.terms")
        database.execute(f"CREATE {create}")
        refused = tables("db", "views")
        assert (refused.returncode, f"books.terms: is {word}" in refused.stderr) == (2, True), refused.stderr
        database.execute(f"DROP {drop} books.terms")
    database.execute("CREATE TABLE books.own (id text)")
    assert "1 created: terms" in made(tables)
    assert database.query("SELECT count(*) FROM books.own") == [(0,)]


def test_each_company_has_views_of_its_own_and_all_are_in_companies(tables, database):
    assert tables("db", "migrate", "--schema", "raw_acme").returncode == 0
    database.execute(
        "INSERT INTO qbo.schema_realms (schema_name, realm_id) "
        "VALUES ('raw', '1'), ('raw_acme', '2'), ('raw_lost', '3')"
    )
    for schema, name, currency in (("raw", "Own", "USD"), ("raw_acme", "Acme", "EUR")):
        preferences = {"CurrencyPrefs": {"HomeCurrency": {"value": currency}}}
        put(database, "qb_company_info", "1", json.dumps({"CompanyName": name}), schema=schema)
        put(database, "qb_preferences", "1", json.dumps(preferences), schema=schema)
    made(tables)
    refused = tables("db", "views", "--schema", "raw_acme")
    assert (refused.returncode, "of another company" in refused.stderr) == (2, True)
    made(tables, "--schema", "raw_acme", "--into", "books_acme")
    companies = "SELECT realm_id, schema_name, company_name, home_currency FROM {}.companies ORDER BY 1"
    expected = [("1", "raw", "Own", "USD"), ("2", "raw_acme", "Acme", "EUR"), ("3", "raw_lost", None, None)]
    for schema in ("books", "books_acme"):
        assert database.query(companies.format(schema)) == expected
    assert database.query("SELECT realm_id FROM books_acme.company_info") == [("2",)]


def test_tables_that_are_missing_are_named_and_bad_schemas_refused(tables, database):
    refused = tables("db", "views", "--schema", "nowhere")
    assert (refused.returncode, "'nowhere' holds no raw tables" in refused.stderr) == (2, True)
    database.execute("DROP TABLE raw.qb_bills")
    assert "left out, because there is no table: bills\n" in made(tables)
    assert "bills" not in views(database)
    assert "bill_lines" not in views(database)
    database.execute("CREATE TABLE raw.qb_bills (id text PRIMARY KEY, payload json)")
    refused = tables("db", "views")
    assert (refused.returncode, "raw.qb_bills: has another shape" in refused.stderr) == (2, True)
    for into in ("raw", "qbo", "pg_books", ""):
        assert tables("db", "views", "--into", into).returncode == 2


def test_readers_need_no_right_on_the_raw_tables(tables, database):
    put(database, "qb_invoices", "9", INVOICE)
    made(tables)
    role = f"reader_{database.settings['pg_db'][-8:]}"
    database.execute(
        f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA books TO {role};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA books TO {role}"
    )
    try:
        with psycopg.connect(database.url) as connection:
            connection.execute(f"SET ROLE {role}")
            for name in views(database):
                connection.execute(f"SELECT * FROM books.{name}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM raw.qb_invoices")
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_sum_reads_one_property_and_a_filter_on_the_key_uses_the_index(tables, database):
    made(tables)
    with psycopg.connect(database.url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute("EXPLAIN (VERBOSE) SELECT sum(total_amt) FROM books.invoices")
        total = "\n".join(row[0] for row in plan)
        assert "TotalAmt" in total
        assert not re.search("TxnDate|schema_realms|Line", total), total
        one = "\n".join(row[0] for row in connection.execute("EXPLAIN SELECT * FROM books.invoices WHERE id = '9'"))
        assert "qb_invoices_pkey" in one


def test_unknown_properties_are_printed_as_rows_of_the_table_of_fields(run, tables, database):
    assert made(tables, "--print-unknown") == ""
    assert run("sync", "departments", "estimates").returncode == 0
    (example, since) = database.query(
        "SELECT example_id, first_seen_utc::date FROM qbo.schema_drift WHERE path = 'Balance'"
    )[0]
    # A row that is no property, and another company, are left out.
    database.execute(
        "INSERT INTO qbo.schema_drift (realm_id, entity, path, kind, found, expected, records, example_id) VALUES "
        "((SELECT realm_id FROM qbo.schema_realms), 'estimates', 'TotalAmt', 'type', 'object', 'numeric', 1, '1'), "
        "('1', 'estimates', 'OfAnother', 'unknown', 'text', NULL, 1, '1')"
    )
    printed = made(tables, "--print-unknown").splitlines()
    rows = [row.split("\t") for row in printed]
    assert [row[:4] for row in rows] == [
        ["Department", "SubClass", "boolean", ""],
        ["Estimate", "Balance", "numeric", ""],
        ["SalesItemLineDetail", "AccountRef", "reference", ""],
    ]
    assert rows[1][4] == f"?; Balance of Estimate, record {example}, since {since}"
    # They are rows as the table has them, which lacks them.
    table = (ROOT / "facts" / "fields.tsv").read_text().splitlines()
    header = next(row for row in table if not row.startswith("#")).split("\t")
    assert {len(row) for row in rows} == {len(header)}
    assert not [row for row in rows if any(line.startswith("\t".join(row[:2]) + "\t") for line in table)]
    assert database.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'books'") == [(0,)]
