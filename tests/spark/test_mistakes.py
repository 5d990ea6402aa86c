"""Options and machines that cannot work: the driver says it, in words of the options and without secrets."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from companies import END, START, VARIABLES
from conftest import requests
from waiting import until

import qbo_rs
import qbo_rs.spark
from qbo_rs.spark._options import References, references
from qbo_rs.spark._source import QboDataSource

SECRET = "postgresql://u:sekretsekret@h/db"  # noqa: S105 - of nobody
RANGE = {"entities": "items", "start": START, "end": END}
NO_DATABASE = "PG_HOST: not set, nor is DATABASE_URL: no database"


@pytest.mark.parametrize(
    "place",
    [f"env:{SECRET}", "env:$DATABASE_URL", "env:", "env:kX-9", "env:1st", f"file:{SECRET}", "file:", "file:a\nsekret"],
)
def test_what_cannot_be_a_place_is_refused_and_never_repeated(place):
    with pytest.raises(qbo_rs.ConfigError, match=r"database_url: options are shown .* name the place") as caught:
        references({"database_url": place})
    assert not any(text in str(caught.value) for text in ("sekret", "$", "kX-9", "1st"))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("env:ABsekretsekret9xQ", "client_secret: the variable of setting.client_secret is not set on this machine"),
        ("env:GONE", "client_secret: the variable GONE is not set on this machine"),
        ("file:ABsekretsekret9xQ", "client_secret: the file of setting.client_secret cannot be read .*FileNotFound"),
        ("file:/run/sekret=", "client_secret: the file of setting.client_secret cannot be read .*FileNotFound"),
        (f"file:/{'sekret' * 100}", "client_secret: the file of setting.client_secret cannot be read on this machine"),
    ],
)
def test_a_secret_that_could_be_a_place_is_not_repeated_either(place, words):
    with pytest.raises(qbo_rs.ConfigError, match=words) as caught:
        references({"client_secret": place}).settings()
    assert "sekret" not in str(caught.value)


def test_a_setting_may_be_in_a_variable_of_any_name_and_in_a_file_beside_the_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret file").write_text("one\n")
    monkeypatch.setenv("my_books", "two")
    found = references({"client_secret": "file:secret file", "client_id": "env:my_books"}).settings()
    assert found == {"client_secret": "one", "client_id": "two"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start", "2025-12-01"),
        ("end", "zzz"),
        ("typed", "true"),
        ("tz", "Nowhere/Land"),
        ("deletions", "reported"),
        ("every", "30s"),
    ],
)
@pytest.mark.parametrize("call", ["sync", "mode", "frame"])
def test_a_sync_refuses_options_of_frames(name, value, call):
    calls = {
        "sync": lambda: qbo_rs.spark.sync(None, "invoices", **{name: value}),
        "mode": lambda: QboDataSource({"mode": "sync", "entities": "items", name: value}).schema(),
        "frame": lambda: qbo_rs.spark.frame(None, mode="sync", entities="items", **{name: value}),
    }
    with pytest.raises(qbo_rs.ConfigError, match=f"{name}: a sync has no {name}"):
        calls[call]()


def test_frames_refuse_options_of_streams_and_streams_those_of_frames():
    for name, value in (("deletions", "reported"), ("every", "30s")):
        reader = QboDataSource({**RANGE, name: value}).reader(None)
        with pytest.raises(qbo_rs.ConfigError, match=f"{name}: a frame has no {name}"):
            reader.partitions()
    with pytest.raises(qbo_rs.ConfigError, match="end: a stream has no end"):
        QboDataSource(RANGE).streamReader(None)


def test_a_company_is_chosen_by_accounts_and_not_by_a_setting():
    with pytest.raises(qbo_rs.ConfigError, match="realm_id: .* use the option accounts"):
        QboDataSource({**RANGE, "setting.realm_id": "env:X"}).reader(None)
    # Together they say whose the token is.
    token = {"setting.realm_id": "env:X", "setting.refresh_token": "env:Y"}
    assert QboDataSource({**RANGE, **token}).reader(None).options.references == References(
        {"realm_id": "env:X", "refresh_token": "env:Y"}
    )


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("is_by_source", [True, False])
def test_a_frame_ends_now_by_the_clock_of_the_driver(spark, qbo, monkeypatch, is_by_source):
    monkeypatch.setenv("QBO_LAG_S", "1")
    realm_id = next(iter(qbo.companies))
    options = {"entities": "items", "accounts": realm_id, "start": START, "end": "now"}
    qbo.insert("Item", 1, realm=realm_id)
    truth = set(qbo.truth("Item", START, "2030-01-01", realm=realm_id))
    assert len(truth) == 21
    source = spark.read.format("qbo").options(**options)

    def complete():
        frame = source.load() if is_by_source else qbo_rs.spark.frame(spark, **options)
        rows = frame.selectExpr("id", "unix_micros(window_until)").collect()
        return rows if len(rows) == len(truth) else None

    rows = until(complete, "the new item is not read")
    assert {row[0] for row in rows} == truth
    # Both the lag of a read and as much for clocks that differ are left out.
    last = datetime.fromtimestamp(max(row[1] for row in rows) / 1e6, timezone.utc)
    assert timedelta(seconds=2) <= datetime.now(timezone.utc) - last < timedelta(minutes=1)


@pytest.mark.usefixtures("connected")
def test_a_frame_that_begins_after_what_can_be_read_has_no_rows_and_costs_nothing(spark, qbo):
    before = requests(qbo)
    start = (datetime.now(timezone.utc) - timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    frame = spark.read.format("qbo").options(entities="items", start=start, end="now").load()
    assert frame.count() == 0
    assert requests(qbo) == before


@pytest.mark.usefixtures("connected")
def test_an_instant_that_nobody_can_read_yet_stays_an_error_that_advises_now(spark):
    ahead = (datetime.now(timezone.utc) + timedelta(days=40)).strftime("%Y-%m-%d")
    frame = spark.read.format("qbo").options(entities="items", start=START, end=ahead).load()
    with pytest.raises(Exception, match="could be read up to .* only; let a frame end 'now'"):
        frame.count()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("accounts", "Sandbox Company", "accounts: 'Sandbox Company' is not a company id, which is digits"),
        ("accounts", "all,934", "accounts: 'all' is not a company id"),
        ("page_size", "5000", "page_size: '5000' is not between 1 and 1000"),
        ("entities", "vendorz", "^entities: .*did you mean 'vendors'"),
    ],
)
def test_a_mistake_is_told_by_the_driver_with_the_name_of_the_option(option, value, words):
    with pytest.raises(qbo_rs.ConfigError, match=words):
        QboDataSource({**RANGE, option: value}).schema()
    with pytest.raises(qbo_rs.ConfigError, match=words):
        qbo_rs.spark.sync(None, **{"entities": "items", option: value})


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("via", ["source", "mapInArrow"])
def test_a_company_that_nobody_knows_is_told_by_the_driver_as_an_option(spark, qbo, via):
    words = r"accounts: the table qbo\.accounts holds no company 123; it holds "
    with pytest.raises(Exception, match=words):
        qbo_rs.spark.sync(spark, "items", accounts="123", via=via)
    before = requests(qbo)
    with pytest.raises(qbo_rs.ConfigError, match="^" + words):
        QboDataSource({**RANGE, "accounts": "123"}).reader(None).partitions()
    with pytest.raises(qbo_rs.ConfigError, match="^entities: .* no queries about change_orders"):
        QboDataSource({**RANGE, "entities": "change_orders"}).reader(None).partitions()
    assert requests(qbo) == before


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """Take all settings away, and the token file of this machine."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("QBO_CLIENT_ID", "one")
    monkeypatch.setenv("QBO_CLIENT_SECRET", "two")
    return tmp_path


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("via", ["source", "mapInArrow"])
@pytest.mark.parametrize("is_connected", [False, True])
def test_a_sync_without_a_database_is_refused_by_the_driver(spark, monkeypatch, via, is_connected):
    if is_connected:
        monkeypatch.setenv("QBO_REALM_ID", "9341450000000001")
        monkeypatch.setenv("QBO_REFRESH_TOKEN", "three")
    with pytest.raises(Exception, match=NO_DATABASE):
        qbo_rs.spark.sync(spark, "customers", via=via)


def test_an_empty_file_names_no_database(bare):
    (bare / "empty").touch()
    with pytest.raises(qbo_rs.ConfigError, match=NO_DATABASE):
        qbo_rs.spark.sync(None, "customers", via="mapInArrow", setting_database_url=f"file:{bare}/empty")


@pytest.mark.usefixtures("bare")
def test_a_frame_of_no_company_asks_for_a_database_and_not_for_a_login():
    with pytest.raises(qbo_rs.ConfigError, match=NO_DATABASE):
        QboDataSource(RANGE).reader(None).partitions()


@pytest.mark.usefixtures("connected")
def test_an_engine_without_streams_says_so(spark):
    query = spark.readStream.format("qbo").options(entities="items", start=START).load().writeStream
    with pytest.raises(Exception, match="end: not given; .* an engine without streams, such as Sail"):
        query.format("console").start()


@pytest.mark.usefixtures("connected")
def test_cache_persist_limit_and_filters_save_no_request_on_sail(spark, qbo):
    """The documents say so: whoever looks twice writes the frame."""

    def cost(look) -> int:
        before = requests(qbo)
        look()
        return requests(qbo) - before

    frame = spark.read.format("qbo").options(**RANGE).load()
    once = cost(frame.count)
    assert once > 0
    for kept in (frame.cache(), frame.persist()):
        kept.count()
        assert cost(kept.count) == once
    assert cost(frame.limit(1).collect) == cost(frame.where("entity = 'invoices'").count) == once
