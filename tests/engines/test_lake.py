"""Delta tables and Parquet, written from Postgres, read by DuckDB and polars; on disk and on an S3 server."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import fsspec
import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError
from fsspec.implementations.dirfs import DirFileSystem
from pyarrow import fs

import qbo_rs
import qbo_rs.lake
from qbo_rs.lake._address import shown
from qbo_rs.lake._private import make_directory, make_directory_of, make_file

if TYPE_CHECKING:
    from own_database import Database

MONDAY = datetime(2025, 3, 3, tzinfo=timezone.utc)


@pytest.fixture
def synced(qbo, one_company):
    assert "DATABASE_URL" in one_company
    qbo_rs.sync(["customers", "invoices"])
    return qbo


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "invoices")


def stored(**options: object) -> pl.DataFrame:
    """Return what Postgres holds."""
    return qbo_rs.table("invoices", **options).to_polars().sort("realm_id", "id")


def held(uri: str, **options: object) -> pl.DataFrame:
    return pl.read_delta(uri, **options).sort("realm_id", "id")


def assert_equal(uri: str, **options: object) -> None:
    there, here = held(uri, **options), stored()
    assert there.equals(here.select(there.columns)), (there, here)
    assert set(there.columns) == set(here.columns)


def edit(qbo: qbo_rs.Sandbox) -> None:
    """Change, delete and add invoices, and sync them."""
    for number in ("oldest", "newest"):
        qbo.edit("Invoice", number)
    qbo.delete("Invoice", "random")
    qbo.insert("Invoice", 3)
    qbo.clock(advance="10m")
    qbo_rs.sync(["customers", "invoices"])


def test_edits_and_deletions_are_merged_and_repeated_writes_change_no_row(synced, uri):
    first = qbo_rs.lake.write_delta(uri, "invoices")
    assert (first.inserted, first.updated, first.deleted) == (150, 0, 0)
    assert_equal(uri)
    files = set(DeltaTable(uri).file_uris())

    again = qbo_rs.lake.write_delta(uri, "invoices")
    assert (again.inserted, again.updated, again.deleted) == (0, 0, 0)
    assert set(DeltaTable(uri).file_uris()) == files
    assert again.version == first.version

    # Time goes on and nothing changes: the commit holds the instant alone.
    synced.clock(advance="1h")
    qbo_rs.sync("invoices")
    later = qbo_rs.lake.write_delta(uri, "invoices")
    assert (later.version, later.until > first.until) == (first.version + 1, True)
    assert set(DeltaTable(uri).file_uris()) == files
    assert instant(uri) == later.until

    edit(synced)
    third = qbo_rs.lake.write_delta(uri, "invoices")
    assert third.inserted == 3
    assert 1 <= third.updated <= 2
    assert third.deleted == 1
    assert third.until > first.until
    assert_equal(uri)
    # What delta-rs reads goes to DuckDB as it is; DuckDB's own reader of Delta is an extension to be downloaded.
    rows = duckdb.from_arrow(DeltaTable(uri).to_pyarrow_table()).aggregate("count(*), sum(total_amt)").fetchall()
    assert rows == [(152, stored()["total_amt"].sum())]


def instant(uri: str) -> datetime:
    """Return the instant up to which the table says that it is complete."""
    table = DeltaTable(uri)
    [realm_id] = set(held(uri)["realm_id"])
    return datetime.fromtimestamp(table.transaction_version(f"qbo_rs/{realm_id}/invoices") / 1e6, timezone.utc)


@pytest.mark.usefixtures("synced")
def test_the_instant_is_in_the_commit_of_the_rows(uri):
    written = qbo_rs.lake.write_delta(uri, "invoices")
    table = DeltaTable(uri)
    [status] = qbo_rs.status("invoices").entities
    [stretch] = status.committed
    assert written.until == stretch.end
    app_id = f"qbo_rs/{status.realm_id}/invoices"
    assert table.transaction_version(app_id) == round(written.until.timestamp() * 1_000_000)
    assert table.history()[0]["until"] == written.until.isoformat().replace("+00:00", "Z").replace("000Z", "Z")
    # Rows that are older than the table's are refused: a database that was restored from a backup.
    ahead = Transaction(app_id, table.transaction_version(app_id) + 1_000_000)
    write_deltalake(
        table, stored().head(0).to_arrow(), mode="append", commit_properties=CommitProperties(app_transactions=[ahead])
    )
    with pytest.raises(qbo_rs.ConfigError, match="up to .*, the database only up to .*; sync it first"):
        qbo_rs.lake.write_delta(uri, "invoices")


@pytest.mark.usefixtures("one_company")
def test_what_is_promised_ends_where_the_first_gap_begins(uri, tmp_path):
    whole, gap = ("2025-01-01", "2025-03-01"), ("2025-03-01", "2025-04-01")
    for start, end in (whole, ("2025-04-01", "2025-06-01")):
        qbo_rs.backfill("invoices", start, end, "month").raise_for_failures()
    march, june = (datetime(2025, month, 1, tzinfo=timezone.utc) for month in (3, 6))
    files = str(tmp_path / "parquet")
    assert qbo_rs.lake.write_delta(uri, "invoices").until == march == instant(uri)
    assert qbo_rs.lake.write_parquet(files, "invoices").until == march
    qbo_rs.backfill("invoices", *gap, "month").raise_for_failures()
    assert qbo_rs.lake.write_delta(uri, "invoices").until == june == instant(uri)
    assert qbo_rs.lake.write_parquet(files, "invoices").until == june
    # Time before all of it, and a gap after that: the table is complete up to June, the database only up to May.
    qbo_rs.backfill("invoices", "2024-01-01", "2024-05-01", "month").raise_for_failures()
    with pytest.raises(qbo_rs.ConfigError, match="only up to 2024-05-01T00:00:00Z; sync it first, or backfill"):
        qbo_rs.lake.write_delta(uri, "invoices")


#: Holds a sync up before it commits a deletion, after it has committed what was edited.
HOLD_DELETIONS = """
CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(42); RETURN NEW; END $$;
CREATE TRIGGER hold AFTER UPDATE ON raw.qb_invoices FOR EACH ROW
WHEN (OLD.deleted_at_utc IS NULL AND NEW.deleted_at_utc IS NOT NULL) EXECUTE FUNCTION public.hold()
"""


def test_an_instant_promises_edits_and_no_deletion_and_the_next_write_removes_the_row(synced, uri, database):
    first = qbo_rs.lake.write_delta(uri, "invoices")
    deleted_at = datetime.now(timezone.utc) - timedelta(minutes=2)
    synced.edit("Invoice", "newest")
    synced.delete("Invoice", "oldest", at=f"{deleted_at:%Y-%m-%dT%H:%M:%SZ}")
    synced.clock(advance="10m")
    database.execute(HOLD_DELETIONS)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database.url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(42)")
        syncing = pool.submit(qbo_rs.sync, "invoices")
        while not waiting(database):
            assert not syncing.done()
        between = qbo_rs.lake.write_delta(uri, "invoices")
        holder.rollback()
        syncing.result(timeout=60).raise_for_failures()
    assert first.until < deleted_at < between.until
    assert (between.updated, between.deleted) == (1, 0)
    after = qbo_rs.lake.write_delta(uri, "invoices")
    assert (after.until, after.updated, after.deleted) == (between.until, 0, 1)
    assert_equal(uri)


def test_a_table_of_an_earlier_version_gets_the_columns_that_it_lacks(synced, uri):
    # A table that knows one column less, and holds its rows.
    before = stored().to_arrow().drop_columns(["due_date"])
    write_deltalake(uri, before, partition_by=["realm_id"])
    written = qbo_rs.lake.write_delta(uri, "invoices")
    assert (written.inserted, written.deleted) == (0, 0)
    assert written.updated == stored()["due_date"].count() > 0
    assert_equal(uri)
    edit(synced)
    qbo_rs.lake.write_delta(uri, "invoices")
    assert_equal(uri)


def test_deleted_records_can_stay_as_rows(synced, uri):
    qbo_rs.lake.write_delta(uri, "invoices", with_deleted=True)
    edit(synced)
    written = qbo_rs.lake.write_delta(uri, "invoices", with_deleted=True)
    assert (written.inserted, written.deleted) == (3, 0)
    assert held(uri)["deleted_at"].count() == 1
    assert held(uri).equals(stored(with_deleted=True).select(held(uri).columns))


@pytest.mark.usefixtures("connected")
def test_companies_share_a_table_and_leave_each_other_alone(qbo, uri):
    qbo_rs.sync("invoices")
    schemas = {account.realm_id: account.schema for account in qbo_rs.sync("invoices").accounts}
    assert len(set(schemas.values())) == 3
    for schema in schemas.values():
        assert qbo_rs.lake.write_delta(uri, "invoices", schema=schema).inserted == 150
    gone = list(qbo.companies)[1]
    qbo.delete("Invoice", "newest", realm=gone)
    qbo.clock(advance="10m")
    qbo_rs.sync("invoices")
    for realm_id, schema in schemas.items():
        written = qbo_rs.lake.write_delta(uri, "invoices", schema=schema)
        assert written.deleted == (realm_id == gone)
    counts = held(uri).group_by("realm_id").len().sort("realm_id")["len"].to_list()
    assert sorted(counts) == [149, 150, 150]


def test_a_write_that_is_overtaken_begins_anew(synced, uri, database):
    qbo_rs.lake.write_delta(uri, "invoices")
    edit(synced)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database.url) as holder:
        holder.execute("LOCK TABLE raw.qb_invoices IN ACCESS EXCLUSIVE MODE")
        writing = pool.submit(qbo_rs.lake.write_delta, uri, "invoices")
        # It has opened the Delta table, and waits for its rows.
        while not waiting(database):
            pass
        other = DeltaTable(uri)
        [realm_id] = set(held(uri)["realm_id"])
        app_id = f"qbo_rs/{realm_id}/invoices"
        mark = Transaction(app_id, other.transaction_version(app_id))
        other.delete("id = '1'", commit_properties=CommitProperties(app_transactions=[mark]))
        holder.rollback()
        assert writing.result(timeout=60).version == other.version() + 1
    assert_equal(uri)


@pytest.mark.usefixtures("synced")
def test_a_first_write_begins_anew_if_another_one_has_made_the_table(uri, monkeypatch):
    create = DeltaTable.create
    made = []

    def created(*args: object, **options: object) -> None:
        create(*args, **options)
        made.append(args)
        if len(made) == 1:
            # As delta-rs does where another one has made the table between its look and its commit.
            raise CommitFailedError("Failed to commit transaction: Protocol changed since last commit")

    monkeypatch.setattr(DeltaTable, "create", created)
    assert qbo_rs.lake.write_delta(uri, "invoices").inserted == 150
    assert len(made) == 2
    assert_equal(uri)


@pytest.mark.usefixtures("synced")
def test_first_writers_of_one_table_write_its_rows_once(uri):
    with ThreadPoolExecutor(4) as pool:
        each = [pool.submit(qbo_rs.lake.write_delta, uri, "invoices") for _ in range(4)]
        assert sum(one.result(timeout=60).inserted for one in each) == 150
    assert_equal(uri)


@pytest.mark.usefixtures("synced")
def test_writers_that_add_the_same_columns_at_once_begin_anew(tmp_path, monkeypatch):
    from qbo_rs.lake import _delta

    together = threading.Barrier(3)
    add = _delta._add_columns

    def added(*args: object) -> None:
        if threading.current_thread() not in begun:
            begun.add(threading.current_thread())
            together.wait(timeout=60)
        add(*args)

    monkeypatch.setattr(_delta, "_add_columns", added)
    for number in range(3):
        uri = str(tmp_path / str(number))
        write_deltalake(uri, stored().to_arrow().drop_columns(["due_date"]), partition_by=["realm_id"])
        begun: set[threading.Thread] = set()
        with ThreadPoolExecutor(3) as pool:
            each = [pool.submit(qbo_rs.lake.write_delta, uri, "invoices") for _ in range(3)]
            for future in each:
                future.result(timeout=60)
        assert_equal(uri)


@pytest.mark.usefixtures("one_company")
def test_a_table_of_another_entity_is_refused_and_gets_no_commit(qbo, uri, monkeypatch):
    qbo_rs.sync(["customers", "invoices", "terms", "change_orders"])
    assert qbo_rs.table("change_orders").to_arrow().num_rows == 0
    qbo_rs.lake.write_delta(uri, "invoices")
    terms = f"{uri}-terms"
    create = DeltaTable.create
    with monkeypatch.context() as earlier:
        # An earlier version gave its tables no name.
        earlier.setattr(DeltaTable, "create", lambda *args, **options: create(*args, **options | {"name": None}))
        qbo_rs.lake.write_delta(terms, "terms")
    for place, held_there, entity in (
        (uri, "invoices", "customers"),
        (uri, "invoices", "change_orders"),
        (terms, "terms", "invoices"),
        (terms, "terms", "change_orders"),
    ):
        before = DeltaTable(place)
        with pytest.raises(
            qbo_rs.ConfigError, match=f"uri: it holds {held_there}, not {entity}; give each a directory of its own"
        ):
            qbo_rs.lake.write_delta(place, entity)
        after = DeltaTable(place)
        assert (after.version(), after.schema()) == (before.version(), before.schema())
    # Not even a company that has no row there yet, as its only commit says.
    other = list(qbo.companies)[1]
    keys = {"realm_id": other, "refresh_token": qbo.companies[other]}
    [account] = qbo_rs.sync(["customers", "invoices"], accounts=[other], **keys).accounts
    for place in (uri, terms):
        with pytest.raises(qbo_rs.ConfigError, match="uri: it holds .*, not customers; give each a directory"):
            qbo_rs.lake.write_delta(place, "customers", schema=account.schema)
    # The table was not damaged: another company, and a whole partition, can be written.
    assert qbo_rs.lake.write_delta(uri, "invoices", schema=account.schema).inserted == 150
    DeltaTable(uri).delete()
    assert qbo_rs.lake.write_delta(uri, "invoices").inserted == 150


@pytest.mark.usefixtures("synced")
def test_a_table_with_columns_of_something_else_is_refused_and_gets_no_commit(uri, tmp_path):
    qbo_rs.lake.write_delta(uri, "invoices")
    # As an earlier version left it after a write of customers.
    extra = pa.schema([("given_name", pa.string())])
    DeltaTable(uri).alter.add_columns(Schema.from_arrow(extra).fields)
    with pytest.raises(qbo_rs.ConfigError, match=r"columns that are none of invoices, such as given_name; .*restore"):
        qbo_rs.lake.write_delta(uri, "invoices")
    assert DeltaTable(uri).version() == 2
    DeltaTable(uri).restore(1)
    assert qbo_rs.lake.write_delta(uri, "invoices").inserted == 0
    assert_equal(uri)
    foreign = str(tmp_path / "foreign")
    write_deltalake(foreign, pa.table({"name": ["a"]}))
    with pytest.raises(qbo_rs.ConfigError, match="uri: the table has no column realm_id"):
        qbo_rs.lake.write_delta(foreign, "invoices")
    assert DeltaTable(foreign).version() == 0


@pytest.mark.usefixtures("connected")
def test_the_company_of_the_settings_is_written_as_table_reads_it(uri, qbo, monkeypatch):
    qbo_rs.sync("invoices")
    first, second, third = qbo.companies
    qbo_rs.lake.write_delta(uri, "invoices", realm_id=second)
    assert set(held(uri)["realm_id"]) == {second}
    assert qbo_rs.lake.write_parquet(f"{uri}-2", "invoices", realm_id=second).rows == 150
    assert set(pl.read_parquet(f"{uri}-2/*.parquet")["realm_id"]) == {second}
    monkeypatch.setenv("QBO_REALM_ID", third)
    qbo_rs.lake.write_delta(uri, "invoices")
    assert set(held(uri)["realm_id"]) == {second, third}
    # A schema that is named says which company is meant, as for `table`.
    qbo_rs.lake.write_delta(uri, "invoices", schema="raw")
    assert set(held(uri)["realm_id"]) == {first, second, third}
    for write in (qbo_rs.lake.write_delta, qbo_rs.lake.write_parquet):
        with pytest.raises(qbo_rs.ConfigError, match="no schema holds company 555"):
            write(f"{uri}-555", "invoices", realm_id="555")
    assert not Path(f"{uri}-555").exists()


@pytest.mark.usefixtures("one_company")
def test_a_time_before_the_first_committed_range_is_not_promised(uri):
    qbo_rs.backfill("invoices", "2025-01-01", "2025-06-01", "month").raise_for_failures()
    january, june = (datetime(2025, month, 1, tzinfo=timezone.utc) for month in (1, 6))
    written = qbo_rs.lake.write_delta(uri, "invoices")
    assert (written.start, written.until) == (january, june)
    assert DeltaTable(uri).history()[0]["start"] == "2025-01-01T00:00:00Z"
    files = f"{uri}-parquet"
    snapshot = qbo_rs.lake.write_parquet(files, "invoices")
    assert (snapshot.start, snapshot.until) == (january, june)
    # What follows the range is in the rows; what came before it joins the promise once it is committed.
    qbo_rs.backfill("invoices", "2020-01-01", "2025-01-01", "year").raise_for_failures()
    written = qbo_rs.lake.write_delta(uri, "invoices")
    assert (written.start.year, written.until) == (2020, june)
    # An earlier version said no start.
    path = Path(files, "manifest.json")
    known = json.loads(path.read_text())
    del known["start"], known["digest"]
    known["files"] = [each["name"] for each in known["files"]]
    path.write_text(json.dumps(known))
    assert qbo_rs.lake.read_manifest(files).start is None
    assert qbo_rs.lake.write_parquet(files, "invoices").start == written.start


@pytest.mark.usefixtures("synced")
def test_after_a_sync_the_instant_is_some_minutes_before_its_end(uri):
    written = qbo_rs.lake.write_delta(uri, "invoices")
    [state] = qbo_rs.status("invoices").entities
    assert state.last_sync is not None
    assert state.last_sync.attempted_at is not None
    # The next sync reads these minutes again: what was written in them can become visible late.
    assert timedelta(minutes=5) < state.last_sync.attempted_at - written.until < timedelta(minutes=7)
    assert written.start == datetime(2000, 1, 1, tzinfo=timezone.utc)


KEY, SECRET = "AKIAEXAMPLEEXAMPLE", "sEcReT0fA"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (f"s3://{KEY}:{SECRET}@books/invoices", "s3://***@books/invoices"),
        (f"s3://{KEY}:{SECRET}/+rest@books/invoices", "s3://***@books/invoices"),
        (f"s3://{KEY}:{SECRET}?x#y@books/invoices", "s3://***@books/invoices"),
        (f"az://books/invoices?sv=2024&sig={SECRET}%3D", "az://books/invoices?***"),
        (f"s3:{KEY}:{SECRET}@books/invoices", "s3:***@books/invoices"),
        ("s3://books/invoices", "s3://books/invoices"),
        ("/lake/me@home/what?", "/lake/me@home/what?"),
        ("C:/lake/me@home", "C:/lake/me@home"),
    ],
)
def test_an_address_is_shown_without_keys(address, expected):
    assert shown(address) == expected


@pytest.mark.usefixtures("synced")
@pytest.mark.parametrize(
    "address",
    [
        f"s3://{KEY}:{SECRET}/+rest@books/invoices",
        f"s3://{KEY}:{SECRET}%2Frest@books/invoices?endpoint_override=127.0.0.1:9&retry={SECRET}",
        f"nowhere://books/invoices?sig={SECRET}",
    ],
)
def test_no_error_and_no_log_shows_a_key_of_an_address(address, tmp_path, caplog):
    (tmp_path / "invoices.jsonl").write_text("")
    options = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true", "max_retries": "0"}
    for call in (
        lambda: qbo_rs.lake.read_manifest(address),
        lambda: qbo_rs.lake.write_parquet(address, "invoices"),
        lambda: qbo_rs.lake.write_delta(address, "invoices", storage_options=options),
        lambda: qbo_rs.lake.write_files(tmp_path, address),
        lambda: qbo_rs.lake.read_files(address, tmp_path / "back"),
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of any library
            call()
        text = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
        assert SECRET not in text
        assert KEY not in text


def test_a_missing_manifest_is_told_without_keys(tmp_path):
    store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    with pytest.raises(FileNotFoundError) as caught:
        qbo_rs.lake.read_manifest(f"s3://{KEY}:{SECRET}@books/invoices", filesystem=store)
    assert str(caught.value) == "s3://***@books/invoices: there is no manifest.json"


def waiting(database: Database) -> bool:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return database.query(statement) != [(0,)]


WRITE = "import sys, qbo_rs.lake; qbo_rs.lake.write_delta(sys.argv[1], 'invoices')"


def test_a_killed_write_is_applied_once_or_not_at_all(synced, uri):
    qbo_rs.lake.write_delta(uri, "invoices")
    kills_before_the_commit = 0
    for _ in range(3):
        before, version = held(uri), DeltaTable(uri).version()
        edit(synced)
        known = set(Path(uri).rglob("*.parquet"))
        with subprocess.Popen([sys.executable, "-c", WRITE, uri]) as writer:
            # Its rows are in a file; the commit that names the file comes next.
            while set(Path(uri).rglob("*.parquet")) == known and writer.poll() is None:
                pass
            writer.send_signal(signal.SIGKILL)
        if DeltaTable(uri).version() == version:
            assert held(uri).equals(before)
            kills_before_the_commit += 1
        else:
            assert_equal(uri)
        qbo_rs.lake.write_delta(uri, "invoices")
        assert_equal(uri)
    assert kills_before_the_commit > 0


@pytest.mark.usefixtures("synced")
def test_values_survive_to_the_last_digit(uri):
    qbo_rs.lake.write_delta(uri, "invoices")
    there = DeltaTable(uri).to_pyarrow_table()
    here = qbo_rs.table("invoices").to_arrow()
    for name in ("total_amt", "txn_date", "updated_at", "apply_tax_after_discount"):
        column = here.schema.field(name).type
        assert there.schema.field(name).type == column, name
    assert there.column("total_amt").type == pa.decimal128(38, 10)


@pytest.mark.usefixtures("one_company")
def test_an_entity_that_was_never_loaded_is_told(uri):
    with pytest.raises(qbo_rs.ConfigError, match="entity: 'invoices' was never loaded into the schema 'raw'"):
        qbo_rs.lake.write_delta(uri, "invoices")
    assert not Path(uri).exists()


@pytest.mark.parametrize("write", [qbo_rs.lake.write_parquet, qbo_rs.lake.write_delta])
def test_a_mistyped_entity_is_told_before_anything_is_made(write, tmp_path):
    with pytest.raises(qbo_rs.ConfigError, match="did you mean 'vendors'"):
        write(str(tmp_path / "table"), "vendorz")
    assert list(tmp_path.iterdir()) == []


def test_parquet_is_named_by_a_manifest_only_when_it_is_whole(synced, uri):
    first = qbo_rs.lake.write_parquet(uri, "invoices")
    assert first == qbo_rs.lake.read_manifest(uri)
    assert pq.read_table(list(first.files)).num_rows == first.rows == 150
    edit(synced)
    # A file that is cut off, as a killed write leaves it, is nobody's.
    (Path(uri) / "half.parquet").write_bytes(b"PAR1")
    second = qbo_rs.lake.write_parquet(uri, "invoices")
    assert pl.read_parquet(list(second.files)).sort("realm_id", "id").equals(stored())
    # Whoever reads the snapshot before goes on; the one before that is removed.
    assert pq.read_table(list(first.files)).num_rows == 150
    third = qbo_rs.lake.write_parquet(uri, "invoices")
    assert third.rows == second.rows
    assert not Path(first.files[0]).exists()
    assert Path(second.files[0]).exists()
    assert (Path(uri) / "half.parquet").exists()


def disks(folder: Path) -> dict[str, tuple[str, fs.FileSystem | None]]:
    """Return addresses of directories on this disk, each by another file system."""
    disk = fsspec.filesystem("file")
    of_fsspec = fs.PyFileSystem(fs.FSSpecHandler(DirFileSystem(str(folder), disk)))
    return {
        "bare": (f"file://{folder / 'bare'}", None),
        "below": ("below", fs.SubTreeFileSystem(str(folder), fs.SubTreeFileSystem("/", fs.LocalFileSystem()))),
        "file": (str(folder / "file"), fs.PyFileSystem(fs.FSSpecHandler(disk))),
        "dir": ("dir", of_fsspec),
    }


@pytest.mark.usefixtures("synced")
@pytest.mark.parametrize("kind", ["bare", "below", "file", "dir"])
def test_a_manifest_on_a_disk_is_replaced_at_once_and_is_private(kind, tmp_path):
    uri, store = disks(tmp_path)[kind]
    before = os.umask(0o022)
    try:
        qbo_rs.lake.write_parquet(uri, "invoices", filesystem=store)
        path = tmp_path / kind / "manifest.json"
        old = path.read_text()
        with path.open() as reading:
            qbo_rs.lake.write_parquet(uri, "invoices", filesystem=store)
            # Whoever has opened the one before reads all of it.
            assert reading.read() == old != path.read_text()
    finally:
        os.umask(before)
    assert {_mode(file) for file in path.parent.iterdir()} == {0o600}


@pytest.mark.usefixtures("synced")
def test_a_manifest_that_cannot_be_read_is_named(uri):
    qbo_rs.lake.write_parquet(uri, "invoices")
    path = Path(uri) / "manifest.json"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b'"rows": 1') + 8] ^= 1
    for content in (b"", b"{", b"[]", b"\xff", b'{"files": [1], "previous": []}', whole[:-1], bytes(flipped)):
        path.write_bytes(content)
        for call in (
            lambda: qbo_rs.lake.read_manifest(uri),
            lambda: qbo_rs.lake.write_parquet(uri, "invoices"),
        ):
            with pytest.raises(
                qbo_rs.LandingError, match=r"invoices/manifest.json cannot be read: .* Once it is remov"
            ):
                call()
    path.unlink()
    assert qbo_rs.lake.write_parquet(uri, "invoices").rows == 150


@pytest.mark.usefixtures("synced")
def test_only_files_of_its_own_names_are_removed(uri, tmp_path):
    victim = tmp_path / "authorized_keys"
    victim.write_text("key")
    qbo_rs.lake.write_parquet(uri, "invoices")
    path = Path(uri) / "manifest.json"
    whole = json.loads(path.read_text())
    beside = Path(uri) / "mine.parquet"
    beside.write_text("mine")
    for name in ("../authorized_keys", str(victim), "mine.parquet"):
        # As an earlier version wrote it, and as this one does.
        earlier = {name: value for name, value in whole.items() if name != "digest"}
        earlier["files"] = [each if isinstance(each, str) else each["name"] for each in whole["files"]]
        for members in ({"previous": [name]}, {"files": [name]}):
            path.write_text(json.dumps(earlier | members))
            for _ in range(2):
                with pytest.raises(qbo_rs.LandingError, match="it names .*, which no write has made"):
                    qbo_rs.lake.write_parquet(uri, "invoices")
    assert victim.read_text() == "key"
    assert beside.read_text() == "mine"
    # A manifest of an earlier version is read.
    path.write_text(json.dumps(earlier))
    assert qbo_rs.lake.read_manifest(uri).rows == qbo_rs.lake.write_parquet(uri, "invoices").rows == 150


@pytest.mark.usefixtures("synced")
def test_no_other_user_can_read_what_is_written(tmp_path):
    there = tmp_path / "open"
    there.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        for name in ("parquet", "there"):
            folder = there if name == "there" else tmp_path / name / "deep"
            for _ in range(2):
                qbo_rs.lake.write_parquet(f"file://{folder}", "invoices")
        within = fs.SubTreeFileSystem(str(tmp_path), fs.SubTreeFileSystem("/", fs.LocalFileSystem()))
        for _ in range(2):
            qbo_rs.lake.write_parquet("within/deep", "invoices", filesystem=within)
        qbo_rs.lake.write_delta(str(tmp_path / "lake" / "delta"), "invoices")
        qbo_rs.lake.write_delta(f"file://{tmp_path / 'lake' / 'other'}", "invoices")
        make_directory_of(f"file:{tmp_path / 'lake' / 'one'}")
    finally:
        os.umask(before)
    assert _mode(there) == 0o755
    files = [
        path
        for folder in (there, tmp_path / "parquet", tmp_path / "within")
        for path in folder.rglob("*")
        if path.is_file()
    ]
    assert len(files) == 9
    assert {_mode(path) for path in files} == {0o600}
    made = [tmp_path / "parquet", tmp_path / "parquet" / "deep", tmp_path / "within", tmp_path / "within" / "deep"]
    made += [tmp_path / "lake", *(tmp_path / "lake").iterdir()]
    assert len(made) == 8
    assert {_mode(path) for path in made} == {0o700}


def test_no_other_user_can_read_what_fsspec_writes_on_a_disk(tmp_path):
    disk = fsspec.filesystem("file")
    inner = DirFileSystem(str(tmp_path), disk)
    before = os.umask(0o022)
    try:
        for name, system, folder in (
            ("local", disk, str(tmp_path / "local")),
            ("dir", inner, "dir"),
            ("nested", DirFileSystem("nested/", inner), "/deep"),
        ):
            store = fs.PyFileSystem(fs.FSSpecHandler(system))
            for within in (store, fs.SubTreeFileSystem(folder, store)):
                place = "in" if within is not store else f"{folder}/out"
                make_directory(within, place)
                make_file(within, f"{place}/file")
                with within.open_output_stream(f"{place}/file") as out:
                    out.write(b"secret")
            files = list((tmp_path / name).rglob("file"))
            assert len(files) == 2
            assert {path.read_bytes() for path in files} == {b"secret"}
            assert {_mode(path) for path in files} == {0o600}
            assert {_mode(path.parent) for path in files} == {0o700}
    finally:
        os.umask(before)
    memory = fs.PyFileSystem(fs.FSSpecHandler(DirFileSystem("/there", fsspec.filesystem("memory"))))
    make_directory(memory, "deep")
    make_file(memory, "deep/file")
    assert not Path("/there").exists()


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_parquet_of_another_entity_or_company_and_of_an_earlier_state_replaces_nothing(synced, uri, database):
    qbo_rs.lake.write_parquet(uri, "invoices")
    edit(synced)
    written = qbo_rs.lake.write_parquet(uri, "invoices")
    with pytest.raises(qbo_rs.ConfigError, match="uri: it holds invoices of company .*, not customers of company"):
        qbo_rs.lake.write_parquet(uri, "customers")
    other = list(synced.companies)[1]
    keys = {"realm_id": other, "refresh_token": synced.companies[other], "schema": "other"}
    qbo_rs.backfill("invoices", "2020-01-01", "2026-12-01", "year", **keys).raise_for_failures()
    with pytest.raises(qbo_rs.ConfigError, match=f"uri: it holds invoices of company .*, not invoices of .*{other}"):
        qbo_rs.lake.write_parquet(uri, "invoices", schema="other")
    # A database that was restored from a backup.
    database.execute(f"DELETE FROM qbo.windows WHERE realm_id <> '{other}'")
    qbo_rs.backfill("invoices", "2024-01-01", "2024-06-01", "month").raise_for_failures()
    with pytest.raises(qbo_rs.ConfigError, match="only up to 2024-06-01T00:00:00Z; sync it first"):
        qbo_rs.lake.write_parquet(uri, "invoices")
    assert qbo_rs.lake.read_manifest(uri) == written
    assert len(list(Path(uri).glob("*.parquet"))) == 2


@pytest.mark.usefixtures("synced")
def test_an_entity_is_the_same_by_any_of_its_names(uri, database):
    parquet = f"{uri}-parquet"
    for name in ("facturas", "invoices", "Invoice"):
        qbo_rs.lake.write_delta(uri, name)
        assert qbo_rs.lake.write_parquet(parquet, name).rows == len(stored())
    manifest = json.loads((Path(parquet) / "manifest.json").read_text())
    assert manifest["entity"] == "invoices"
    target = DeltaTable(uri)
    assert target.transaction_version(f"qbo_rs/{manifest['realm_id']}/invoices")
    assert target.transaction_version(f"qbo_rs/{manifest['realm_id']}/Invoice") is None
    # A database that was restored from a backup.
    database.execute("DELETE FROM qbo.windows")
    qbo_rs.backfill("invoices", "2024-01-01", "2024-06-01", "month").raise_for_failures()
    with pytest.raises(qbo_rs.ConfigError, match="only up to 2024-06-01T00:00:00Z; sync it first"):
        qbo_rs.lake.write_delta(uri, "facturas")


@pytest.mark.usefixtures("synced")
def test_parquet_of_killed_writes_is_removed_after_a_day_and_a_file_that_is_gone_stops_no_write(uri):
    for _ in range(2):
        first = qbo_rs.lake.write_parquet(uri, "invoices")
    left, young = (
        Path(uri) / f"{day:%Y%m%d}T000000-{'0' * 32}.parquet" for day in (MONDAY, datetime.now(timezone.utc))
    )
    draft = left.with_suffix(".json")
    for path in (left, young, draft):
        path.write_bytes(b"PAR1")
    for path in set(Path(uri).glob("*.parquet")) - {left, young, Path(first.files[0])}:
        # As another writer does that has read the same manifest.
        path.unlink()
    second = qbo_rs.lake.write_parquet(uri, "invoices")
    names = {path.name for path in Path(uri).iterdir()}
    kept = {Path(path).name for path in (*first.files, *second.files)}
    assert names == kept | {young.name, "manifest.json"}


def test_delta_and_parquet_on_an_s3_server(synced, s3_address):
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    boto3.client("s3", endpoint_url=f"http://{s3_address}", region_name="us-east-1", **keys).create_bucket(
        Bucket="books"
    )
    options = {name.upper(): value for name, value in keys.items()} | {
        "AWS_ENDPOINT_URL": f"http://{s3_address}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "aws_conditional_put": "etag",
    }
    uri = "s3://books/invoices"
    assert qbo_rs.lake.write_delta(uri, "invoices", storage_options=options).inserted == 150
    edit(synced)
    written = qbo_rs.lake.write_delta(uri, "invoices", storage_options=options)
    assert (written.inserted, written.deleted) == (3, 1)
    assert_equal(uri, storage_options=options)

    store = fs.S3FileSystem(
        access_key="test", secret_key="test", endpoint_override=s3_address, scheme="http", region="us-east-1"
    )
    snapshot = qbo_rs.lake.write_parquet("s3://books/parquet", "invoices", filesystem=store)
    assert qbo_rs.lake.read_manifest("s3://books/parquet", filesystem=store) == snapshot
    assert pq.read_table(list(snapshot.files), filesystem=store).num_rows == snapshot.rows == 152


@pytest.mark.usefixtures("synced")
def test_a_role_that_only_reads_writes_a_lake(uri, database, monkeypatch):
    reader = f"reader_{database.url.rpartition('/')[2]}"
    database.execute(f"CREATE ROLE {reader} LOGIN PASSWORD 'reads'")
    try:
        database.execute(f"GRANT USAGE ON SCHEMA qbo, raw TO {reader}")
        database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA qbo, raw TO {reader}")
        parts = {"pg_host": database.settings["pg_host"], "pg_port": str(database.settings["pg_port"])}
        for name in ("DATABASE_URL", "QBO_REFRESH_TOKEN"):
            monkeypatch.delenv(name)
        settings = {**parts, "pg_db": database.settings["pg_db"], "pg_user": reader, "pg_password": "reads"}
        assert qbo_rs.lake.write_delta(uri, "invoices", **settings).inserted == 150
        assert qbo_rs.lake.write_parquet(f"{uri}-parquet", "invoices", **settings).rows == 150
    finally:
        database.execute(f"DROP OWNED BY {reader}")
        database.execute(f"DROP ROLE {reader}")
