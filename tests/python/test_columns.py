"""Records as columns with types: exact, with a fixed schema, the same in every library."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg
import pytest
from conftest import keywords
from test_views import CASES, ODD, at, column_name, entity_of, payloads, put, scalars

import qbo_rs
from qbo_rs import Columns, _core

if TYPE_CHECKING:
    from pathlib import Path

RANGE = ("2024-01-01", "2026-01-01")
FIRST = ["realm_id", "id", "sync_token", "created_at", "updated_at", "deleted_at"]


@pytest.fixture
def company(qbo):
    return keywords(qbo)


def truth_of(qbo, name):
    return {key: json.loads(text, parse_float=Decimal) for key, text in qbo.truth(name, *RANGE).items()}


def landed(tmp_path: Path, *payloads: str, entity: str = "invoices") -> Columns:
    """Return records as a landing file has them, whatever QuickBooks would send."""
    path = tmp_path / "records.jsonl"
    line = (
        '{{"entity":"{}","realm_id":"9","id":"{}","ingested_at_utc":"2025-01-01T00:00:00Z",'
        '"extract_window_start_utc":"2024-01-01T00:00:00Z","extract_window_end_utc":"2025-01-01T00:00:00Z",'
        '"page_number":1,"page_size":1000,"request_payload":{{}},"payload":{}}}\n'
    )
    path.write_text("".join(line.format(entity, number, payload) for number, payload in enumerate(payloads, 1)))

    class Landed(Columns):
        def __arrow_c_stream__(self, requested_schema=None):
            return _core.landing_stream(str(path), entity)

    return Landed()


def test_all_libraries_agree_with_exact_sums_to_the_last_digit(qbo, company):
    import duckdb
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc

    for entity, name, column, member in (
        ("invoices", "Invoice", "total_amt", "TotalAmt"),
        ("customers", "Customer", "balance", "Balance"),
        ("items", "Item", "unit_price", "UnitPrice"),
    ):
        truth = truth_of(qbo, name)
        records = qbo_rs.records(entity, *RANGE, **company)
        table = records.to_arrow()
        values = [Decimal(record[member]) for record in truth.values() if record.get(member) is not None]
        expected = sum(values)
        assert table.num_rows == len(truth)
        assert table.column_names[:6] == FIRST
        assert table.schema.field(column).type == pa.decimal128(38, 10)
        assert table.schema.field("updated_at").type == pa.timestamp("us", "UTC")
        assert table.column(column).null_count == len(truth) - len(values)
        assert pc.sum(table.column(column)).as_py() == expected
        assert set(table.column("id").to_pylist()) == set(truth)
        frame = records.to_polars()
        assert frame.schema[column] == pl.Decimal(38, 10)
        assert frame[column].sum() == expected
        assert frame.height == len(truth)
        assert records.to_pandas()[column].sum() == expected
        with duckdb.connect() as connection:
            relation = records.to_duckdb(connection)
            assert relation.aggregate(f"sum({column})").fetchall() == [(expected,)]


def sums_of(columns: Columns, numeric: list[str]) -> list[dict[str, Decimal]]:
    """Return the sums of columns, computed by each library, which reads the stream itself."""
    import duckdb
    import polars as pl
    import pyarrow.compute as pc

    table, frame, series = columns.to_arrow(), columns.to_polars(), columns.to_pandas()
    with duckdb.connect() as connection:
        listed = ", ".join(f'coalesce(sum("{name}"), 0)' for name in numeric)
        [row] = columns.to_duckdb(connection).aggregate(listed).fetchall()
    assert frame.schema.keys() == set(table.column_names)
    assert {frame.schema[name] for name in numeric} == {pl.Decimal(38, 10)}
    return [
        {name: pc.sum(table.column(name)).as_py() or 0 for name in numeric},
        {name: frame[name].sum() or 0 for name in numeric},
        {name: series[name].sum() or 0 for name in numeric},
        dict(zip(numeric, row, strict=True)),
    ]


def test_every_column_of_every_entity_agrees_with_exact_arithmetic_over_the_json(run, database):

    assert run("sync").returncode == 0
    compared = summed = 0
    for (name,) in database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'raw' ORDER BY 1"):
        records, entity = payloads(database, name), name.removeprefix("qb_")
        if entity == "recurring_transactions":
            records = [next(iter(record.values())) for record in records]
        stored = qbo_rs.table(entity, **database.settings)
        table = stored.to_arrow()
        assert table.num_rows == len(records)
        sums = {}
        for place, kind in scalars(entity_of(entity)):
            column = column_name(".".join(place))
            column = column if len(column) <= 63 else column_name(".".join(place[1:]))
            if place in (("Id",), ("SyncToken",)) or place[0] == "MetaData" or place == ("HomeTotalAmt",):
                continue
            values = [value for record in records if (value := at(record, place)) is not None]
            found = table.column(column)
            assert len(found) - found.null_count == len(values), (entity, column)
            if kind == "numeric":
                sums[column] = sum(map(Decimal, values))
            compared += len(values) > 0
        if sums:
            assert all(found == sums for found in sums_of(stored, list(sums))), entity
            summed += any(sums.values())
    assert compared > 200
    assert summed > 20


def test_a_value_is_what_the_views_make_of_it(run, database):
    assert run("db", "migrate").returncode == 0
    for number, (name, _, value, _) in enumerate(CASES):
        put(database, "qb_invoices", f"{number:03}", f'{{"{name}": {value}}}')
    rows = {row["id"]: row for row in qbo_rs.table("invoices", **database.settings).to_arrow().to_pylist()}
    too_long = 0
    for number, (name, column, value, expected) in enumerate(CASES):
        row = rows[f"{number:03}"]
        if isinstance(expected, Decimal) and expected.as_tuple().exponent < -10:
            # Views hold any number; what a column does not hold is in extra.
            too_long += 1
            assert (row[column], row["extra"]) == (None, f'{{"{name}": {value}}}'.replace(" ", ""))
        else:
            assert row[column] == expected, (column, value)
        assert row["realm_id"] is None
    assert too_long == 1


def test_no_payload_makes_a_table_fail(run, database):
    assert run("db", "migrate").returncode == 0
    tables = [name for (name,) in database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'raw'")]
    assert len(tables) > 30
    for table in tables:
        for number, payload in enumerate(ODD):
            put(database, table, str(number), payload)
        assert qbo_rs.table(table.removeprefix("qb_"), **database.settings).to_arrow().num_rows == len(ODD)


def test_the_schema_does_not_depend_on_the_records(company, tmp_path):
    table = qbo_rs.records("invoices", *RANGE, **company).to_arrow()
    empty = qbo_rs.records("invoices", "2020-01-01", "2021-01-01", **company).to_arrow()
    assert empty.num_rows == 0
    odd = landed(tmp_path, '{"Id":"1","TotalAmt":"x","Line":{}}').to_arrow()
    assert table.schema == empty.schema == odd.schema
    assert odd.to_pylist()[0]["extra"] == '{"TotalAmt":"x"}'
    assert odd.to_pylist()[0]["line"] == "{}"


def test_values_keep_their_digits_days_and_instants(tmp_path):
    [row] = (
        landed(
            tmp_path,
            '{"Id":"1","TotalAmt":12345678901234567890.0123456789,"Balance":"100.00","TxnDate":"2024-02-29",'
            '"DueDate":"2024-02-30","CustomerRef":{"value":"7"},"CustomerMemo":{"value":"\\ud83d!"},"Odd":[1.10],'
            '"MetaData":{"CreateTime":"2024-02-28T16:00:00-08:00","LastUpdatedTime":"2024-03-01T00:00:00Z"}}',
        )
        .to_arrow()
        .to_pylist()
    )
    assert row["total_amt"] == Decimal("12345678901234567890.0123456789")
    assert row["balance"] == 100
    assert row["txn_date"] == date(2024, 2, 29)
    assert row["created_at"] == datetime(2024, 2, 29, tzinfo=timezone.utc)
    assert (row["due_date"], row["extra"]) == (None, '{"DueDate":"2024-02-30","Odd":[1.10]}')
    assert (row["customer_ref_value"], row["customer_ref_name"]) == ("7", None)


def test_whole_numbers_fractions_nulls_and_missing_members_are_one_column(tmp_path):
    payloads = ('{"TotalAmt":1}', '{"TotalAmt":0.1}', "{}", '{"TotalAmt":null}', '{"TotalAmt":"2.30"}', "[]")
    expected = [Decimal(1), Decimal("0.1"), None, None, Decimal("2.3"), None]
    for order in (payloads, payloads[::-1]):
        records = landed(tmp_path, *order)
        values = expected if order is payloads else expected[::-1]
        assert records.to_arrow().column("total_amt").to_pylist() == values
        assert records.to_polars()["total_amt"].to_list() == values
        assert records.to_pandas()["total_amt"].sum() == Decimal("3.4")
        assert [row[0] for row in records.to_duckdb().project("total_amt").fetchall()] == values


def test_values_that_do_not_fit_are_counted_in_the_log(tmp_path, caplog):
    landed(tmp_path, '{"Id":"1","TotalAmt":"x"}', '{"Id":"2","TotalAmt":[]}').to_arrow()
    assert "invoices: 2 values do not fit the column total_amt" in caplog.text
    assert "invoices: invoices:" not in caplog.text


def test_a_damaged_line_is_an_error_and_not_a_shorter_table(tmp_path):
    import pyarrow as pa

    records = landed(tmp_path, '{"Id":"1"}', '{"Id":"2"}')
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text()[:-10])
    with pytest.raises(qbo_rs.DataError, match="line 2"):
        records.to_arrow()
    # After the first batch, the error is that of the reader.
    rows = [f'{{"Id":"{number}"}}' for number in range(20_000)]
    records = landed(tmp_path, *rows)
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].replace('"page_number":1', '"page_number":"x"')
    path.write_text("\n".join(lines))
    for read in (records.to_arrow, records.to_polars, records.to_pandas):
        with pytest.raises(qbo_rs.DataError, match="20000"):
            read()
    with pytest.raises(Exception, match="20000") as raised:
        pa.RecordBatchReader.from_stream(records).read_all()
    assert not isinstance(raised.value, qbo_rs.QboError)


def test_batches_are_bounded_and_may_be_left(tmp_path):
    import pyarrow as pa

    rows = [f'{{"Id":"{number}"}}' for number in range(20_000)]
    records = landed(tmp_path, *rows)
    reader = pa.RecordBatchReader.from_stream(records)
    sizes = [batch.num_rows for batch in reader]
    assert sizes == [8192, 8192, 20_000 - 2 * 8192]
    # One that is not read to its end holds up nothing.
    reader = pa.RecordBatchReader.from_stream(records)
    assert reader.read_next_batch().num_rows == 8192
    del reader


def test_records_async_reads_once(qbo, company):
    async def read():
        return await qbo_rs.records_async("invoices", *RANGE, **company)

    records = asyncio.run(read())
    requests = qbo.stats()["requests"]
    kept = records.kept()
    truth = truth_of(qbo, "Invoice")
    assert records.to_arrow().num_rows == len(truth)
    assert {record["Id"] for record in records} == set(truth)
    assert qbo.stats()["requests"] == requests
    assert kept.exists()
    del records
    assert not kept.parent.exists()


def test_a_table_reads_what_postgres_holds_without_a_request(qbo, company, database):
    where = database.settings
    with pytest.raises(qbo_rs.ConfigError, match="'invoices' was never loaded into the schema 'raw'"):
        qbo_rs.table("invoices", **where).to_arrow()
    qbo_rs.backfill("invoices", *RANGE, "month", **company, **where).raise_for_failures()
    requests = qbo.stats()["requests"]
    stored = qbo_rs.table("invoices", **where).to_arrow().sort_by("id")
    assert qbo.stats()["requests"] == requests
    with pytest.raises(qbo_rs.ConfigError, match="'items' was never loaded"):
        qbo_rs.table("items", **where).to_arrow()
    with pytest.raises(qbo_rs.ConfigError, match="invoicez"):
        qbo_rs.table("invoicez", **where).to_arrow()
    read = qbo_rs.records("invoices", *RANGE, **company).to_arrow().sort_by("id")
    assert stored.schema == read.schema
    json_columns = {"line", "linked_txn", "custom_field", "txn_tax_detail_tax_line"}
    for name in read.column_names:
        if name in json_columns:
            parsed = [
                [text and json.loads(text) for text in table.column(name).to_pylist()] for table in (stored, read)
            ]
            assert parsed[0] == parsed[1], name
        elif name != "extra":
            assert stored.column(name).equals(read.column(name)), name


def fill(database, entity: str, payload: str, rows: int) -> None:
    """Store rows with the ids from 1 on; ``{}`` in the payload stands for the id."""
    values = "'2025-01-01'::timestamptz, '2024-01-01'::timestamptz, '2025-01-01'::timestamptz, 1, 1, '{}'::jsonb"
    database.execute(
        f"INSERT INTO raw.qb_{entity} SELECT n::text, replace($p${payload}$p$, '{{}}', n::text)::jsonb, {values} "
        f"FROM generate_series(1, {rows}) AS n"
    )


def test_a_table_is_that_of_one_instant(run, database):
    import pyarrow as pa

    assert run("db", "migrate").returncode == 0
    fill(database, "invoices", '{"TotalAmt": {}.5}', 60_000)
    reader = pa.RecordBatchReader.from_stream(qbo_rs.table("invoices", **database.settings))
    total = sum(reader.read_next_batch().column("total_amt").to_pylist())
    # What others do meanwhile is not seen, in rows that come later either.
    database.execute(
        "UPDATE raw.qb_invoices SET payload = '{\"TotalAmt\": 0}';"
        "DELETE FROM raw.qb_invoices WHERE id LIKE '9%';"
        "UPDATE raw.qb_invoices SET deleted_at_utc = now() WHERE id LIKE '8%'"
    )
    rows = 8192
    for batch in reader:
        total += sum(batch.column("total_amt").to_pylist())
        rows += batch.num_rows
    assert (rows, total) == (60_000, Decimal(60_000 * 60_001 // 2) + 30_000)


READ_ALL = """
import json, resource, sys
import pyarrow as pa
import qbo_rs

where = json.loads(sys.argv[1])
# The libraries are in memory before anything is measured.
assert qbo_rs.table("items", **where).to_arrow().num_rows == 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(batch.num_rows for batch in pa.RecordBatchReader.from_stream(qbo_rs.table("invoices", **where)))
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_large_table_is_read_in_bounded_memory(run, database):
    assert run("db", "migrate").returncode == 0
    fill(database, "items", '{"Name": "{}"}', 1)
    # 400 MB, of which at most 16 are in a batch.
    fill(database, "invoices", '{"PrivateNote": "' + "x" * 20_000 + '"}', 20_000)
    line = [sys.executable, "-W", "ignore", "-c", READ_ALL, json.dumps(database.settings)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows, megabytes = map(int, done.stdout.split())
    assert rows == 20_000
    assert megabytes < 160


@pytest.mark.timeout(60)
def test_other_threads_run_while_a_table_is_waited_for(run, database):
    assert run("db", "migrate").returncode == 0
    fill(database, "invoices", '{"TotalAmt": {}}', 3)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'raw.qb_invoices'::regclass"
    with psycopg.connect(database.url) as holder:
        holder.execute("LOCK TABLE raw.qb_invoices IN ACCESS EXCLUSIVE MODE")

        def release() -> None:
            while database.query(waiting) == [(0,)]:
                pass
            holder.commit()

        # Only another thread can end the wait of this one.
        other = threading.Thread(target=release)
        other.start()
        assert qbo_rs.table("invoices", **database.settings).to_arrow().num_rows == 3
        other.join()


def parsed(table, name):
    return [text and json.loads(text) for text in table.column(name).to_pylist()]


def test_columns_are_those_of_the_views(run, company, database):
    where = database.settings
    for entity in ("invoices", "customers", "payments"):
        qbo_rs.backfill(entity, *RANGE, "year", **company, **where).raise_for_failures()
    done = run("db", "views")
    assert done.returncode == 0, done.stderr
    # Views have rows of their own for these.
    lists = {"line", "linked_txn", "custom_field", "custom_extensions", "txn_tax_detail_tax_line"}
    for entity in ("invoices", "customers", "payments"):
        columns = database.query(
            "SELECT column_name FROM information_schema.columns "
            f"WHERE table_schema = 'books' AND table_name = '{entity}' ORDER BY ordinal_position"
        )
        view = [name for (name,) in columns if name != "is_merged"]
        table = qbo_rs.table(entity, **where).to_arrow()
        assert [name for name in table.column_names if name not in lists] == view


def test_deleted_records_are_there_if_they_are_asked_for(company, database):
    where = database.settings
    qbo_rs.backfill("invoices", *RANGE, "year", **company, **where).raise_for_failures()
    database.execute(
        "UPDATE raw.qb_invoices SET deleted_at_utc = '2025-06-01T00:00:00Z' "
        "WHERE id = (SELECT min(id) FROM raw.qb_invoices)"
    )
    assert qbo_rs.table("invoices", **where).to_arrow().num_rows == 299
    table = qbo_rs.table("invoices", with_deleted=True, **where).to_arrow()
    assert table.num_rows == 300
    deleted = [time for time in table.column("deleted_at").to_pylist() if time]
    assert deleted == [datetime(2025, 6, 1, tzinfo=timezone.utc)]


@pytest.mark.parametrize(
    ("package", "method"),
    [("pandas", "to_pandas"), ("pyarrow", "to_arrow"), ("polars", "to_polars"), ("duckdb", "to_duckdb")],
)
def test_a_table_without_its_package_says_how_to_install_it(package, method, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"^{package} is not installed.*pip install {package}$"):
        getattr(landed(tmp_path, "{}"), method)()
