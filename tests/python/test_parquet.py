"""Parquet files: read by other programs, loaded like landing files, and refused if they are made to harm."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from conftest import COMMAND, keywords

import qbo_rs

if TYPE_CHECKING:
    from pathlib import Path

RANGE = ("2024-01-01", "2026-01-01")
MEASURED = """
import resource, subprocess, sys

code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=False).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
#: Kilobytes that the command may need at its peak, whatever a file asks for.
MOST = 300_000


@pytest.fixture
def company(qbo):
    return keywords(qbo)


def truth_of(qbo, name):
    return {key: json.loads(text, parse_float=Decimal) for key, text in qbo.truth(name, *RANGE).items()}


def test_a_parquet_file_is_read_by_everybody_and_loaded_byte_for_byte(qbo, company, database, tmp_path):
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    where = database.settings
    path = tmp_path / "invoices.parquet"
    windows = qbo_rs.chunk_range(*RANGE, "month")
    landing = qbo_rs.extract("invoices", windows, out=path, **company)
    landing.raise_for_failures()
    truth = truth_of(qbo, "Invoice")
    expected = sum(record["TotalAmt"] for record in truth.values())
    table = pq.read_table(path)
    assert table.num_rows == len(truth)
    assert table.schema.field("total_amt").type == pa.decimal128(38, 10)
    assert pc.sum(table.column("total_amt")).as_py() == expected
    assert pl.read_parquet(path)["total_amt"].sum() == expected
    assert pd.read_parquet(path, dtype_backend="pyarrow")["total_amt"].sum() == expected
    [(total,)] = duckdb.sql(f"SELECT sum(total_amt) FROM '{path}'").fetchall()
    assert total == expected
    texts = dict(zip(table.column("id").to_pylist(), table.column("payload").to_pylist(), strict=True))
    assert texts == qbo.truth("Invoice", *RANGE)
    metadata = pq.ParquetFile(path).metadata.row_group(0)
    columns = {metadata.column(i).path_in_schema: metadata.column(i) for i in range(metadata.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert columns["total_amt"].statistics.has_min_max
    assert not columns["payload"].is_stats_set
    # Loaded, it gives the rows that a backfill gives.
    report = qbo_rs.upsert(path, **where)
    report.raise_for_failures()
    stored = dict(database.query("SELECT id, payload::text FROM raw.qb_invoices"))
    assert {key: json.loads(text, parse_float=Decimal) for key, text in stored.items()} == truth
    again = qbo_rs.backfill("invoices", *RANGE, "month", **company, **where)
    again.raise_for_failures()
    assert (again.runs[0].totals.inserted, again.runs[0].totals.updated) == (0, 0)
    # A second extract replaces its windows and keeps the others.
    qbo_rs.extract("invoices", windows[:1], out=path, **company).raise_for_failures()
    assert pq.read_table(path).num_rows == len(truth)


def test_a_parquet_file_holds_one_entity(company, tmp_path):
    path = tmp_path / "x.parquet"
    windows = qbo_rs.chunk_range(*RANGE, "year")
    qbo_rs.extract("items", windows, out=path, **company).raise_for_failures()
    before = path.read_bytes()
    with pytest.raises(qbo_rs.ConfigError, match="exists and holds items; a Parquet file holds one entity"):
        qbo_rs.extract("customers", windows, out=path, **company)
    assert path.read_bytes() == before


def test_a_directory_of_parquet_has_a_file_for_each_window_and_entity(qbo, company, database, tmp_path):
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow.parquet as pq

    out = tmp_path / "books.parquet"
    windows = qbo_rs.chunk_range(*RANGE, "month")
    for entity in ("invoices", "items"):
        landing = qbo_rs.extract(entity, windows, out=f"{out}/", **company)
        landing.raise_for_failures()
        assert len(landing.paths) == len(windows) == 24
    [realm] = out.iterdir()
    files = sorted((realm / "invoices").iterdir())
    assert [file.suffix for file in files] == [".parquet"] * 24
    # A window without records has the columns too.
    assert len({str(pq.read_schema(file)) for file in files}) == 1
    truth = truth_of(qbo, "Invoice")
    expected = sum(record["TotalAmt"] for record in truth.values())
    every = f"{realm}/invoices/*.parquet"
    assert duckdb.sql(f"SELECT count(*), sum(total_amt) FROM '{every}'").fetchall() == [(len(truth), expected)]
    assert pl.scan_parquet(every).select(pl.col("total_amt").sum()).collect().item() == expected
    frame = pd.read_parquet(realm / "invoices", dtype_backend="pyarrow")
    assert (len(frame), frame["total_amt"].sum()) == (len(truth), expected)
    # A directory that exists needs no slash.
    requests = qbo.stats()["requests"]
    again = qbo_rs.extract("invoices", windows, out=out, resume=True, **company)
    assert qbo.stats()["requests"] == requests
    assert {window.status for window in again.run.windows} == {"skipped"}
    qbo_rs.upsert(out, **database.settings).raise_for_failures()
    for table, name in (("qb_invoices", "Invoice"), ("qb_items", "Item")):
        stored = dict(database.query(f"SELECT id, payload::text FROM raw.{table}"))
        assert {key: json.loads(text, parse_float=Decimal) for key, text in stored.items()} == truth_of(qbo, name)
    # Which of two files of a window is right is not guessed.
    twin = files[0].with_suffix(".jsonl.zst")
    twin.touch()
    with pytest.raises(qbo_rs.ConfigError, match="hold the same window"):
        qbo_rs.upsert(out, **database.settings)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a file as `extract` writes it."""
    path = tmp_path_factory.mktemp("parquet") / "items.parquet"
    with qbo_rs.sandbox(customers=1, items=40, invoices=1, limits=False) as sandbox:
        qbo_rs.extract("items", qbo_rs.chunk_range(*RANGE, "year"), out=path, **keywords(sandbox)).raise_for_failures()
    return path


@pytest.fixture
def load(database, tmp_path):
    """Return a function that loads a file; it returns exit code, stderr, and the kilobytes of the peak."""

    def load(path: Path) -> tuple[int, str, int]:
        # A process of its own, because a child begins with the peak of its parent.
        line = [sys.executable, "-c", MEASURED, COMMAND, "load", str(path)]
        variables = {**os.environ, **database.environment, "XDG_STATE_HOME": str(tmp_path)}
        done = subprocess.run(line, env=variables, capture_output=True, text=True, timeout=60, check=False)
        code, kilobytes = map(int, done.stdout.split()[-2:])
        return code, done.stderr, kilobytes

    return load


def stored(database):
    return database.query("SELECT id, payload::text FROM raw.qb_items ORDER BY 1")


def changed(written, path, change, **options):
    """Write the table of a file anew, changed, with pyarrow."""
    import pyarrow.parquet as pq

    options = {"compression": "zstd", "use_dictionary": False} | options
    pq.write_table(change(pq.read_table(written)), path, **options)


def replaced(table, name, value):
    return table.set_column(table.column_names.index(name), name, value)


def with_payload(text: str):
    """Return a change that gives every row this payload, which is in memory once."""
    import pyarrow as pa

    def change(table):
        places = pa.array([0] * table.num_rows, pa.int32())
        return replaced(table, "payload", pa.DictionaryArray.from_arrays(places, pa.array([text])))

    return change


def with_payloads(text: str):
    import pyarrow as pa

    return lambda table: replaced(table, "payload", pa.array([text] * table.num_rows))


def test_a_file_that_another_program_has_written_is_loaded(written, load, database, tmp_path):
    import duckdb
    import polars as pl

    code, err, peak = load(written)
    assert code == 0, err
    assert peak < MOST
    rows = stored(database)
    assert len(rows) == 40
    path = tmp_path / "x.parquet"
    for write in (
        lambda: changed(written, path, lambda table: table, use_dictionary=True),
        lambda: changed(written, path, lambda table: table, compression="none", data_page_version="2.0"),
        lambda: changed(written, path, lambda table: table.drop_columns(["crc32", "rejected", "read_until_utc"])),
        lambda: changed(written, path, lambda table: table, compression="snappy", use_dictionary=True),
        lambda: changed(written, path, lambda table: table, compression="snappy", data_page_version="2.0"),
        lambda: pl.read_parquet(written).write_parquet(path),
        lambda: duckdb.sql(f"COPY (FROM '{written}') TO '{path}' (FORMAT parquet, COMPRESSION zstd)"),
        # Its default is Snappy.
        lambda: duckdb.sql(f"COPY (FROM '{written}') TO '{path}' (FORMAT parquet)"),
    ):
        write()
        database.execute("TRUNCATE raw.qb_items")
        code, err, _ = load(path)
        assert code == 0, err
        assert stored(database) == rows


def test_files_that_ask_for_much_memory_are_refused_before_it_is_taken(written, load, tmp_path):
    path = tmp_path / "bomb.parquet"
    many = '{"Id":"1","Name":"' + "x" * (1 << 18) + '"}'
    for change, options, reason in (
        (with_payload("x" * (20 << 20)), {"use_dictionary": ["payload"]}, "a page is longer than 8 MB"),
        (lambda table: with_payloads("x" * (80 << 20))(table.slice(0, 1)), {}, "a page is longer than 64 MB"),
        (
            lambda table: with_payloads("x" * (80 << 20))(table.slice(0, 1)),
            {"compression": "snappy"},
            "a page is longer than 64 MB",
        ),
        (with_payload("x" * (20 << 20)), {"use_dictionary": ["payload"], "compression": "snappy"}, "longer than 8 MB"),
        (with_payloads(many), {"column_encoding": {"payload": "DELTA_BYTE_ARRAY"}}, "the encoding 7 is not read"),
        (with_payloads(many), {"column_encoding": {"payload": "DELTA_LENGTH_BYTE_ARRAY"}}, "the encoding 6 is not"),
        # One text of 256 KB for all rows: little by little.
        (with_payload(many), {"use_dictionary": ["payload"]}, "checksum"),
    ):
        changed(written, path, change, **options)
        assert path.stat().st_size < 5 << 20
        code, err, peak = load(path)
        assert code != 0
        assert reason in err
        assert peak < MOST


def test_the_texts_of_all_columns_share_their_memory(written, load, tmp_path):
    import pyarrow as pa

    path = tmp_path / "bomb.parquet"
    names = ("entity", "realm_id", "id", "request_payload", "payload", "rejected", "crc32")

    def with_texts(megabytes: int):
        def change(table):
            for name in names:
                places = pa.array([0] * table.num_rows, pa.int32())
                text = pa.array(["x" * (megabytes << 20)])
                table = replaced(table, name, pa.DictionaryArray.from_arrays(places, text))
            return table

        return change

    one = lambda megabytes: lambda table: with_texts(megabytes)(table.slice(0, 1))  # noqa: E731
    for change, options, reason in (
        (one(60), {}, "the pages of its columns are longer than 64 MB together"),
        (with_texts(7), {"use_dictionary": list(names)}, "longer than 8 MB together"),
        (one(9), {}, "row 1: it is longer than 32 MB"),
        # A text that is six times as long in a line.
        (lambda table: replaced(table.slice(0, 1), "id", pa.array(["\x01" * (30 << 20)])), {}, "its id is longer than"),
    ):
        changed(written, path, change, **options)
        assert path.stat().st_size < 1 << 20
        code, err, peak = load(path)
        assert code != 0
        assert reason in err
        assert peak < MOST


def test_other_schemas_and_damaged_files_are_refused_by_name(written, load, database, tmp_path):
    import pyarrow as pa

    path = tmp_path / "x.parquet"
    for change, reason in (
        (lambda table: table.drop_columns(["payload"]), "it has no column payload"),
        (lambda table: table.select(["id"]), "it has no column realm_id"),
        (lambda table: replaced(table, "id", pa.array(range(40), pa.int64())), "its column id has the type Int64"),
        (lambda table: replaced(table, "id", pa.array([["7"]] * 40)), "its column id has the type List"),
        (lambda table: replaced(table, "page_number", pa.array(["1"] * 40)), "page_number has the type Utf8"),
        (
            lambda table: replaced(table, "ingested_at_utc", pa.array([0] * 40, pa.timestamp("ns"))),
            "ingested_at_utc has the type Timestamp",
        ),
        (lambda table: replaced(table, "id", pa.nulls(40, pa.string())), "row 1: it has no id"),
        (lambda table: replaced(table, "page_number", pa.array([-1] * 40, pa.int32())), "row 1: it has no page_number"),
        (lambda table: replaced(table, "id", pa.array(["7"] * 40)), "checksum"),
        (with_payloads("{"), "row 1: "),
    ):
        changed(written, path, change)
        code, err, _ = load(path)
        assert code != 0
        assert reason in err
    for compression in ("gzip", "brotli", "lz4"):
        changed(written, path, lambda table: table, compression=compression)
        code, err, _ = load(path)
        assert code != 0
        assert re.search(
            rf"its column \w+ is compressed with {compression}\w*, which is not read", err, re.IGNORECASE
        ), err
        assert "zstd, snappy or none" in err
    whole = written.read_bytes()
    for length in (0, 4, 11, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        code, err, _ = load(path)
        assert code != 0
        assert "x.parquet" in err
    # Nothing of them was loaded.
    assert database.query("SELECT to_regclass('raw.qb_items') IS NULL") == [(True,)] or stored(database) == []
