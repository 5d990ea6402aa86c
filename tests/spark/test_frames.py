"""Frames of records, on Sail: ``spark.read.format("qbo")`` and ``mapInArrow``."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from companies import COMPANIES, END, START
from conftest import ROOT, requests
from waiting import until

import qbo_rs
import qbo_rs.spark
from qbo_rs._plan import Company, divide
from qbo_rs.spark import _records
from qbo_rs.spark._options import Options
from qbo_rs.spark._source import QboDataSource

MANY_COMPANIES = (
    "INSERT INTO qbo.accounts (realm_id, state, sealed_tokens) SELECT 'c' || n, 'active', '' "
    "FROM generate_series(1, 5000) n"
)
RAW = ["realm_id", "entity", "id", "last_updated", "deleted", "payload", "window_from", "window_until"]


def reading(spark, **options):
    return spark.read.format("qbo").options(start=START, end=END, **options).load()


def truth_of(qbo, realm_id, entity="Invoice"):
    return qbo.truth(entity, START, END, realm=realm_id)


@pytest.mark.usefixtures("connected")
def test_raw_records_of_all_companies_arrive_byte_for_byte(spark, qbo):
    frame = reading(spark, entities="invoices,customers")
    assert frame.columns == RAW
    rows = frame.collect()
    for name, entity in (("invoices", "Invoice"), ("customers", "Customer")):
        for realm_id in qbo.companies:
            found = {row["id"]: row["payload"] for row in rows if (row["realm_id"], row["entity"]) == (realm_id, name)}
            assert found == truth_of(qbo, realm_id, entity)
    assert not any(row["deleted"] for row in rows)
    assert len(rows) == COMPANIES * (150 + 40)


@pytest.mark.usefixtures("connected")
def test_typed_columns_are_those_of_the_entity_and_exact(spark, qbo):
    frame = reading(spark, entities="invoices", typed="true")
    realm_id = next(iter(qbo.companies))
    expected = qbo_rs.records("invoices", START, END, realm_id=realm_id).to_arrow()
    assert frame.columns == expected.schema.names
    types = dict(frame.dtypes)
    assert (types["total_amt"], types["txn_date"], types["updated_at"]) == ("decimal(38,10)", "date", "timestamp")
    total = frame.where(frame.realm_id == realm_id).agg({"total_amt": "sum"}).collect()[0][0]
    amounts = [json.loads(text, parse_float=Decimal)["TotalAmt"] for text in truth_of(qbo, realm_id).values()]
    assert total == sum(amounts, Decimal(0))


@pytest.mark.usefixtures("connected")
def test_instants_have_microseconds_in_utc_whatever_the_session_says(spark, qbo):
    realm_id = next(iter(qbo.companies))
    zone = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "America/Guayaquil")
    try:
        frame = reading(spark, entities="customers", accounts=realm_id)
        seconds = {row[0]: row[1] for row in frame.selectExpr("id", "unix_micros(last_updated)").collect()}
    finally:
        spark.conf.set("spark.sql.session.timeZone", zone)
    table = qbo_rs.records("customers", START, END, realm_id=realm_id).to_arrow()
    expected = dict(zip(table["id"].to_pylist(), table["updated_at"].cast("int64").to_pylist(), strict=True))
    assert seconds == expected


@pytest.mark.usefixtures("connected")
def test_map_in_arrow_gives_the_same_frame(spark):
    by_source = reading(spark, entities="invoices").toArrow()
    by_map = qbo_rs.spark.frame(spark, entities="invoices", start=START, end=END, partitions=2).toArrow()
    order = [("realm_id", "ascending"), ("id", "ascending")]
    assert by_map.sort_by(order).equals(by_source.sort_by(order))


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("is_by_source", [True, False])
def test_a_frame_without_named_entities_has_all_that_can_be_read(spark, qbo, is_by_source):
    realm_id = next(iter(qbo.companies))
    if is_by_source:
        frame = reading(spark, accounts=realm_id)
    else:
        frame = qbo_rs.spark.frame(spark, accounts=[realm_id], start=START, end=END)
    rows = frame.collect()
    for name, entity in (("invoices", "Invoice"), ("items", "Item"), ("time_activities", "TimeActivity")):
        assert {row["id"] for row in rows if row["entity"] == name} == set(truth_of(qbo, realm_id, entity))


@pytest.mark.usefixtures("connected")
def test_an_entity_of_which_no_range_can_be_read_is_refused_by_the_driver():
    reader = QboDataSource({"start": START, "end": END, "entities": "items,change_orders"}).reader(None)
    with pytest.raises(qbo_rs.ConfigError, match="no queries about change_orders"):
        reader.partitions()


@pytest.mark.usefixtures("connected")
def test_the_driver_says_which_time_is_read_and_not_each_task():
    reader = QboDataSource({"start": "-30d", "end": "today", "entities": "items"}).reader(None)
    [partition] = reader.partitions()
    now = datetime.now(timezone.utc)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    found = [datetime.fromisoformat(instant) for instant in partition.span]
    assert [midnight - instant for instant in found] in ([timedelta(30), timedelta(0)], [timedelta(31), timedelta(1)])
    # A task that is repeated a day later reads the same time.
    partition.span = (f"{START}T00:00:00Z", f"{END}T00:00:00Z")
    assert sum(batch.num_rows for batch in reader.read(partition)) == COMPANIES * 20


@pytest.mark.usefixtures("connected")
def test_a_record_that_is_edited_during_the_read_is_there_once_in_its_last_version(spark, qbo):
    realm_id = next(iter(qbo.companies))
    edits = [{"command": "edit", "entity": "Invoice", "id": "oldest", "at": "2025-12-31T00:00:00Z"}]
    qbo.fault("change", do=edits, on="query", nth=2)
    rows = reading(spark, entities="invoices", accounts=realm_id, page_size="20").collect()
    assert {row["id"]: row["payload"] for row in rows} == truth_of(qbo, realm_id)
    assert len(rows) == 150


@pytest.mark.usefixtures("connected")
def test_planning_asks_the_database_as_often_for_many_companies_as_for_few(database):
    from qbo_rs.spark._task import plan_of

    options = Options.of({"entities": "items", "start": START, "end": END})

    def transactions() -> int:
        """Return the statements of the plan: each is a transaction."""
        seen = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        # A connection that ends has told its count.
        until(lambda: database.query(others) == [(0,)], "a connection stays open")
        return database.query(seen)[0][0]

    def counted() -> int:
        before = transactions()
        between = transactions() - before
        before = transactions()
        plan_of(options)
        return transactions() - before - between

    few = counted()
    database.execute(MANY_COMPANIES)
    assert counted() == few < 100


@pytest.mark.usefixtures("connected")
def test_planning_sends_no_request_and_partitions_are_small(qbo, database):
    # As many companies as the design speaks of; nobody asks QuickBooks about them.
    database.execute(MANY_COMPANIES)
    before = requests(qbo)
    reader = QboDataSource({"start": START, "end": END}).reader(None)
    partitions = reader.partitions()
    assert requests(qbo) == before
    assert len(partitions) == 157
    companies = [company.realm_id for partition in partitions for company in partition.companies]
    assert len(companies) == len(set(companies)) == 5000 + COMPANIES
    assert max(len(pickle.dumps(partition)) for partition in partitions) < 4096


def test_a_company_is_in_one_bucket_and_buckets_cost_about_the_same():
    costs = [(float(1 + number % 7 * 100), Company(str(number))) for number in range(1000)]
    buckets = divide(costs, 16)
    realm_ids = [company.realm_id for bucket in buckets for company in bucket]
    assert sorted(realm_ids) == sorted(company.realm_id for _, company in costs)
    of = {company.realm_id: cost for cost, company in costs}
    sums = [sum(of[company.realm_id] for company in bucket) for bucket in buckets]
    assert max(sums) - min(sums) <= 700
    assert len(divide(costs[:3], 16)) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"setting.client_secret": "hush-hush"}, "client_secret: options are shown in plans"),
        ({"setting.colour": "env:X"}, "colour: no such setting"),
        ({"client_secret": "hush-hush"}, "client_secret: no such option"),
        ({"typed": "true"}, "typed: the columns are those of one entity"),
        ({"partitions": "0"}, "partitions: '0' is not a number above 0"),
        ({"mode": "write"}, "mode: 'write' is none of"),
        ({"accounts": ""}, "accounts: the list is empty"),
        ({"accounts": " , "}, "accounts: the list is empty"),
        ({"entities": ""}, "entities: the list is empty"),
        ({"entities": "invoices,vendorz"}, "did you mean 'vendors'"),
    ],
)
def test_options_that_cannot_be_used_are_named_and_never_repeated(options, words):
    with pytest.raises(qbo_rs.ConfigError, match=words) as caught:
        Options.of(options)
    assert "hush" not in str(caught.value)


@pytest.mark.usefixtures("connected")
def test_settings_are_named_by_variable_or_file_and_read_where_they_are_used(spark, monkeypatch, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(os.environ["QBO_CLIENT_SECRET"] + "\n")
    monkeypatch.setenv("MY_BOOKS", os.environ["DATABASE_URL"])
    for name in ("QBO_CLIENT_SECRET", "DATABASE_URL"):
        monkeypatch.delenv(name)
    options = {"setting.client_secret": f"file:{secret}", "setting.database_url": "env:MY_BOOKS"}
    assert reading(spark, entities="items", **options).count() == COMPANIES * 20
    with pytest.raises(qbo_rs.ConfigError, match="database_url: the variable GONE is not set"):
        Options.of({"setting.database_url": "env:GONE"}).references.settings()


def test_no_secret_is_in_options_plans_partitions_or_readers(spark, connected, qbo, capfd):
    secrets = [connected["QBO_CLIENT_SECRET"], connected["QBO_TOKEN_KEY"], connected["DATABASE_URL"]]
    secrets += qbo.companies.values()
    options = {"entities": "invoices", "start": START, "end": END, "setting.client_secret": "env:QBO_CLIENT_SECRET"}
    source = QboDataSource(options)
    reader = source.reader(None)
    del options["end"]
    stream = QboDataSource(options).streamReader(None)
    slices = stream.partitions(stream.initialOffset(), stream.latestOffset())
    pickles = [pickle.dumps(each) for each in (source.options, reader, stream, reader.partitions(), slices)]
    spark.read.format("qbo").options(end=END, **options).load().explain(extended=True)
    shown = [capfd.readouterr().out.encode(), *pickles]
    assert not [secret for secret in secrets for text in shown if secret.encode() in text]


@pytest.mark.usefixtures("connected")
def test_a_company_that_cannot_be_read_fails_the_frame_and_is_named(spark, qbo, database):
    realm_id = list(qbo.companies)[1]
    database.execute(
        f"UPDATE qbo.accounts SET state = 'needs_reauth', reason = 'revoked' WHERE realm_id = '{realm_id}'"
    )
    qbo.fault("forbidden", path=realm_id, times=0)
    with pytest.raises(Exception, match=realm_id):
        reading(spark, entities="invoices").collect()


def test_the_package_does_not_import_pyspark():
    code = "import sys, qbo_rs; assert not [name for name in sys.modules if 'spark' in name]; import qbo_rs.spark; "
    code += "assert 'pyspark' not in sys.modules and 'pyarrow' not in sys.modules"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent, env=environment)


KILLED = """
import os, pickle, signal, sys
reader, partition = pickle.load(sys.stdin.buffer)
batches = reader.read(partition)
next(batches)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Return the temporary directory of this process and those that it starts."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return directory


@pytest.mark.usefixtures("connected")
def test_records_of_a_killed_task_are_removed_by_the_next_one(temporary):
    reader = QboDataSource({"entities": "items", "start": START, "end": END}).reader(None)
    [partition] = reader.partitions()
    given = pickle.dumps((reader, partition))
    killed = subprocess.run([sys.executable, "-c", KILLED], input=given, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    [left] = temporary.iterdir()
    batches = reader.read(partition)
    next(batches)
    [held] = temporary.iterdir()
    assert held != left
    # That of a task that is alive is not touched.
    assert sum(batch.num_rows for batch in reader.read(partition)) == COMPANIES * 20
    assert [*temporary.iterdir()] == [held]
    assert list(batches)
    assert not [*temporary.iterdir()]


@pytest.mark.usefixtures("connected")
def test_a_task_keeps_the_files_of_as_many_companies_as_it_reads_at_a_time(temporary, monkeypatch):
    monkeypatch.setattr(_records, "READERS", 1)
    reader = QboDataSource({"entities": "items", "start": START, "end": END}).reader(None)
    [partition] = reader.partitions()
    companies = [f"{company.realm_id}.parquet" for company in partition.companies]
    kept = [[path.name for path in temporary.glob("*/*.parquet")] for _ in reader.read(partition)]
    assert {name for names in kept for name in names} == set(companies)
    assert max(len(names) for names in kept) == 1


@pytest.mark.usefixtures("connected")
def test_a_forked_child_of_a_process_that_has_read_reads_too():
    source = QboDataSource({"entities": "items", "start": START, "end": END})
    reader = source.reader(None)
    [partition] = reader.partitions()
    assert sum(batch.num_rows for batch in reader.read(partition)) == COMPANIES * 20
    child = os.fork()
    if child == 0:
        rows = sum(batch.num_rows for batch in reader.read(partition))
        os._exit(0 if rows == COMPANIES * 20 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
