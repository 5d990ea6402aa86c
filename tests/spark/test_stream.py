"""The reader of streams. Sail runs no streams of Python, so that its methods are called as Spark calls them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from companies import COMPANIES
from conftest import requests
from waiting import until

import qbo_rs
from qbo_rs.spark._source import QboDataSource

OPTIONS = {"entities": "customers,invoices", "every": "1s"}
SINCE, UNTIL = "2020-01-01", "2030-01-01"


@pytest.fixture(autouse=True)
def _present(connected, monkeypatch):
    """Let streams follow the clock closely: the simulator's is this machine's."""
    assert "QBO_LAG_S" not in connected
    monkeypatch.setenv("QBO_LAG_S", "1")


def stream(**options):
    return QboDataSource({**OPTIONS, **options}).streamReader(None)


def micro_batch(reader, start, end):
    rows = []
    for partition in reader.partitions(start, end):
        for batch in reader.read(partition):
            rows += batch.to_pylist()
    return rows


def merged(table, rows):
    """Merge rows as a sink has to: the newest version of a record wins, and a tie overwrites."""
    for row in rows:
        key = (row["realm_id"], row["entity"], row["id"])
        known = table.get(key)
        if known is None or known["last_updated"] <= row["last_updated"]:
            table[key] = row


def living(table, realm_id, entity):
    return {
        key[2]: row["payload"] for key, row in table.items() if key[:2] == (realm_id, entity) and not row["deleted"]
    }


def upto(instant, companies, entities="customers,invoices"):
    """Return the offset of companies and entities that were read up to an instant."""
    return {"until": instant, "companies": ",".join(sorted(companies)), "entities": entities}


def forget(database, realm_id):
    """Take a company out of the token store; return what connects it again."""
    database.execute(f"CREATE TABLE kept AS SELECT * FROM qbo.accounts WHERE realm_id = '{realm_id}'")
    database.execute(f"DELETE FROM qbo.accounts WHERE realm_id = '{realm_id}'")
    return lambda: database.execute("INSERT INTO qbo.accounts SELECT * FROM kept")


def later(reader, offset):
    """Wait until a micro-batch can end after an offset; return its end."""
    now = datetime.now(timezone.utc)

    def reached():
        end = reader.latestOffset(offset, None)
        return end if datetime.fromisoformat(end["until"]) >= now else None

    return until(reached, "no micro-batch can end")


@pytest.mark.usefixtures("connected")
def test_a_stream_follows_changes_and_deletions_to_the_last_state(qbo):
    reader = stream(start="2020-01-01", partitions="2")
    table = {}
    start = reader.initialOffset()
    end = reader.latestOffset(start, None)
    merged(table, micro_batch(reader, start, end))
    realm_id = next(iter(qbo.companies))
    assert living(table, realm_id, "invoices") == qbo.truth("Invoice", "2020-01-01", "2030-01-01", realm=realm_id)
    gone = qbo.delete("Invoice", "newest", realm=realm_id)
    qbo.edit("Invoice", "oldest", realm=realm_id)
    qbo.insert("Customer", 2, realm=realm_id)
    before = requests(qbo)
    start, end = end, later(reader, end)
    rows = micro_batch(reader, start, end)
    # One request a company for the changes and deletions of all entities; the changed invoice is read again with all
    # its parts.
    assert requests(qbo) - before == COMPANIES + 1
    assert [row["id"] for row in rows if row["deleted"]] == [gone]
    merged(table, rows)
    for entity, name in (("invoices", "Invoice"), ("customers", "Customer")):
        assert living(table, realm_id, entity) == qbo.truth(name, "2020-01-01", "2030-01-01", realm=realm_id)
    assert table[realm_id, "invoices", gone]["deleted"]


@pytest.mark.usefixtures("connected")
def test_a_micro_batch_that_is_repeated_after_edits_loses_no_change(qbo):
    reader = stream()
    realm_id = next(iter(qbo.companies))
    start = upto(reader.initialOffset()["until"], qbo.companies)
    first = qbo.edit("Invoice", "oldest", realm=realm_id)
    qbo.edit("Customer", "oldest", realm=realm_id)
    end = later(reader, start)
    rows = micro_batch(reader, start, end)
    # The source has the last versions only: the same time is read with another one.
    qbo.edit("Invoice", first, realm=realm_id)
    again = micro_batch(reader, start, end)
    assert {row["payload"] for row in again} != {row["payload"] for row in rows}
    table = {}
    # In whichever order the attempts arrive.
    merged(table, again)
    merged(table, rows)
    merged(table, micro_batch(reader, end, later(reader, end)))
    known = qbo.truth("Invoice", "2020-01-01", "2030-01-01", realm=realm_id)
    assert living(table, realm_id, "invoices")[first] == known[first]


@pytest.mark.usefixtures("connected")
def test_offsets_are_json_of_text_and_both_signatures_of_latest_offset_work(qbo):
    reader = stream(start="2025-03-01T05:00:00Z")
    start = reader.initialOffset()
    assert json.loads(json.dumps(start)) == start == {"until": "2025-03-01T05:00:00Z", "first": "true"}
    for end in (reader.latestOffset(), reader.latestOffset(start, None)):
        assert json.loads(json.dumps(end)) == end == upto(end["until"], qbo.companies)
    assert not reader.partitions(upto("2025-03-02T00:00:00Z", qbo.companies), upto("2025-03-01T00:00:00Z", []))


@pytest.mark.usefixtures("connected")
def test_an_offset_that_names_no_companies_is_refused():
    reader = stream()
    with pytest.raises(qbo_rs.ConfigError, match="the offset 2025-03-01T00:00:00Z names no companies or no entities"):
        reader.partitions({"until": "2025-03-01T00:00:00Z"}, reader.latestOffset())


@pytest.mark.usefixtures("connected")
def test_an_offset_that_names_no_entities_is_refused(qbo):
    reader = stream()
    old = upto("2025-03-01T00:00:00Z", qbo.companies)
    del old["entities"]
    with pytest.raises(qbo_rs.ConfigError, match="the offset 2025-03-01T00:00:00Z names no companies or no entities"):
        reader.partitions(old, reader.latestOffset())
    with pytest.raises(qbo_rs.ConfigError, match="the offset 2025-03-01T00:00:00Z names no companies or no entities"):
        reader.partitions(reader.initialOffset(), old)


@pytest.mark.usefixtures("connected")
def test_an_entity_that_is_named_later_is_read_from_the_start(qbo):
    reader = stream(start=SINCE, every="1h")
    start, table = reader.initialOffset(), {}
    end = reader.latestOffset(start, None)
    merged(table, micro_batch(reader, start, end))
    # The same checkpoint, and within the same step.
    reader = stream(start=SINCE, every="1h", entities="items,customers,invoices")
    start, end = end, reader.latestOffset(end, None)
    assert end == upto(start["until"], qbo.companies, "customers,invoices,items")
    before = requests(qbo)
    merged(table, micro_batch(reader, start, end))
    for each in qbo.companies:
        assert living(table, each, "items") == qbo.truth("Item", SINCE, UNTIL, realm=each)
    # The others were not read from there again.
    assert requests(qbo) - before == COMPANIES
    assert reader.latestOffset(end, None) == end
    reader = stream(start=SINCE, entities="customers,invoices,items")
    realm_id, *_ = qbo.companies
    gone = qbo.delete("Item", "newest", realm=realm_id)
    changed = qbo.edit("Invoice", "oldest", realm=realm_id)
    rows = micro_batch(reader, end, later(reader, end))
    assert {changed} <= {row["id"] for row in rows if row["entity"] == "invoices"}
    assert gone in {row["id"] for row in rows if row["deleted"]}


@pytest.mark.usefixtures("connected")
def test_entities_and_companies_that_are_new_at_once_are_all_read_from_the_start(qbo, database):
    realm_id = next(iter(qbo.companies))
    connect_again = forget(database, realm_id)
    reader = stream(start=SINCE, entities="customers")
    start, table = reader.initialOffset(), {}
    end = reader.latestOffset(start, None)
    merged(table, micro_batch(reader, start, end))
    connect_again()
    # Entities that replace all others are new, too.
    reader = stream(start=SINCE, entities="invoices,items")
    start, end = end, later(reader, end)
    merged(table, micro_batch(reader, start, end))
    for each in qbo.companies:
        for entity, name in (("invoices", "Invoice"), ("items", "Item")):
            assert living(table, each, entity) == qbo.truth(name, SINCE, UNTIL, realm=each)


@pytest.mark.usefixtures("connected")
def test_an_entity_that_was_left_out_within_a_micro_batch_loses_nothing_when_it_comes_back(qbo, caplog):
    reader = stream(start=SINCE)
    start = reader.initialOffset()
    end = reader.latestOffset(start, None)
    # Spark begins the micro-batch again, with the end that it has written down.
    reader, table = stream(start=SINCE, entities="customers"), {}
    merged(table, micro_batch(reader, start, end))
    assert {key[1] for key in table} == {"customers"}
    start, end = end, reader.latestOffset(end, None)
    assert end == upto(end["until"], qbo.companies, "customers")
    assert not {row["entity"] for row in micro_batch(reader, start, end)} - {"customers"}
    assert "the stream goes on without invoices; remove their rows from the sink" in caplog.text
    reader = stream(start=SINCE)
    start, end = end, later(reader, end)
    merged(table, micro_batch(reader, start, end))
    for each in qbo.companies:
        assert living(table, each, "invoices") == qbo.truth("Invoice", SINCE, UNTIL, realm=each)


@pytest.mark.usefixtures("connected")
def test_an_entity_that_is_named_later_without_a_start_is_read_from_then_on(qbo):
    reader = stream(entities="customers")
    old = upto(reader.initialOffset()["until"], qbo.companies, "customers")
    reader = stream()
    end = later(reader, old)
    rows = micro_batch(reader, old, end)
    assert not [row for row in rows if row["entity"] == "invoices" and row["last_updated"].year < 2026]
    changed = qbo.edit("Invoice", "oldest", realm=next(iter(qbo.companies)))
    assert changed in {row["id"] for row in micro_batch(reader, end, later(reader, end))}


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize(("options", "minutes"), [({}, 15), ({"every": "1h"}, 60)])
def test_micro_batches_end_at_steps_so_that_polls_within_one_ask_nobody(qbo, monkeypatch, options, minutes):
    reader = QboDataSource({"entities": "items", **options}).streamReader(None)
    before = requests(qbo)
    first = reader.latestOffset()
    end = datetime.fromisoformat(first["until"])
    assert (end.minute % minutes, end.second, end.microsecond) == (0, 0, 0)
    assert datetime.now(timezone.utc) - end <= timedelta(minutes=minutes, seconds=10)
    # Spark asks many times a second whether there is anything new; the database need not know of it either.
    monkeypatch.delenv("DATABASE_URL")
    assert reader.latestOffset(first, None) == reader.latestOffset() == first
    assert requests(qbo) == before


@pytest.mark.parametrize("text", ["0m", "15", "15 minutes", "-1h", ""])
def test_a_step_that_is_no_duration_is_refused(text):
    with pytest.raises(qbo_rs.ConfigError, match="every: .* is no duration such as"):
        stream(every=text)


@pytest.mark.parametrize("start", ["-30d", "today", "yesterday", "now", "ayer"])
def test_a_stream_refuses_a_start_that_means_another_instant_tomorrow(start):
    with pytest.raises(qbo_rs.ConfigError, match=f"start: '{start}' means another instant"):
        stream(start=start)


@pytest.mark.usefixtures("connected")
def test_a_company_that_is_connected_later_is_read_from_the_start(qbo, database):
    realm_id = next(iter(qbo.companies))
    connect_again = forget(database, realm_id)
    reader = stream(start=SINCE)
    start, table = reader.initialOffset(), {}
    end = reader.latestOffset(start, None)
    merged(table, micro_batch(reader, start, end))
    assert not living(table, realm_id, "invoices")
    connect_again()
    before = requests(qbo)
    start, end = end, later(reader, end)
    merged(table, micro_batch(reader, start, end))
    for each in qbo.companies:
        assert living(table, each, "invoices") == qbo.truth("Invoice", SINCE, UNTIL, realm=each)
    # The others were not read from there again.
    assert requests(qbo) - before < 2 * COMPANIES + 2
    assert not [row for row in micro_batch(reader, end, later(reader, end)) if row["last_updated"].year < 2026]


@pytest.mark.usefixtures("connected")
def test_a_company_that_was_forgotten_within_a_micro_batch_loses_nothing_when_it_comes_back(qbo, database):
    realm_id, other, *_ = qbo.companies
    reader = stream(start=SINCE)
    start = reader.initialOffset()
    end = reader.latestOffset(start, None)
    connect_again = forget(database, realm_id)
    # Spark begins the micro-batch again, with the end that it has written down.
    reader, table = stream(start=SINCE), {}
    merged(table, micro_batch(reader, start, end))
    assert not living(table, realm_id, "invoices")
    assert living(table, other, "invoices") == qbo.truth("Invoice", SINCE, UNTIL, realm=other)
    # The next offset says that the company is not read, even if it is there again by then.
    connect_again()
    start, end = end, reader.latestOffset(end, None)
    assert end == upto(end["until"], set(qbo.companies) - {realm_id})
    assert end != start
    merged(table, micro_batch(reader, start, end))
    start, end = end, later(reader, end)
    merged(table, micro_batch(reader, start, end))
    assert living(table, realm_id, "invoices") == qbo.truth("Invoice", SINCE, UNTIL, realm=realm_id)


@pytest.mark.usefixtures("connected")
def test_a_sink_that_removes_the_rows_of_a_company_that_leaves_is_exact_when_it_comes_back(qbo, database, caplog):
    realm_id, *_ = qbo.companies
    reader = stream(start=SINCE)
    start, kept = reader.initialOffset(), {}
    end = reader.latestOffset(start, None)
    merged(kept, micro_batch(reader, start, end))
    connect_again = forget(database, realm_id)
    start, end = end, later(reader, end)
    merged(kept, micro_batch(reader, start, end))
    assert f"the stream goes on without {realm_id}; remove its rows from the sink" in caplog.text
    removed = {key: row for key, row in kept.items() if key[0] != realm_id}
    gone = qbo.delete("Invoice", "newest", realm=realm_id)
    qbo.edit("Invoice", "oldest", realm=realm_id)
    connect_again()
    start, end = end, later(reader, end)
    rows = micro_batch(reader, start, end)
    merged(kept, rows)
    merged(removed, rows)
    truth = qbo.truth("Invoice", SINCE, UNTIL, realm=realm_id)
    assert living(removed, realm_id, "invoices") == truth
    # The bound that is documented.
    assert living(kept, realm_id, "invoices").keys() == truth.keys() | {gone}


@pytest.mark.parametrize("is_by_option", [True, False])
def test_a_stream_stays_behind_the_clock_twice_as_long_as_a_read(is_by_option, monkeypatch, tmp_path):
    (tmp_path / "lag").write_text("600")
    if is_by_option:
        reader = stream(**{"setting.lag_s": f"file:{tmp_path / 'lag'}"})
    else:
        monkeypatch.setenv("QBO_LAG_S", "600")
        reader = stream()
    behind = datetime.now(timezone.utc) - datetime.fromisoformat(reader.latestOffset()["until"])
    assert timedelta(minutes=20) <= behind <= timedelta(minutes=20, seconds=10)


@pytest.mark.usefixtures("connected")
def test_a_stream_that_cannot_tell_what_was_deleted_says_so(qbo):
    old = upto("2025-03-01T00:00:00Z", qbo.companies)
    reader = stream(partitions="1")
    end = reader.latestOffset(old, None)
    with pytest.raises(
        qbo_rs.ConfigError, match=r"does not tell which customers, invoices were deleted since 2025-02-28"
    ):
        micro_batch(reader, old, end)
    assert micro_batch(stream(deletions="reported"), old, end)


@pytest.mark.usefixtures("connected")
def test_an_exact_stream_refuses_entities_whose_deletions_are_not_reported(qbo):
    reader = stream(entities="customers,time_activities")
    with pytest.raises(qbo_rs.ConfigError, match="QuickBooks reports no deletions of time_activities"):
        reader.latestOffset()
    with pytest.raises(qbo_rs.ConfigError, match="QuickBooks reports no deletions of time_activities"):
        reader.partitions(reader.initialOffset(), upto("2026-01-01T00:00:00Z", qbo.companies))
    reader = stream(entities="customers,time_activities", deletions="reported")
    old = upto(SINCE + "T00:00:00Z", qbo.companies, "customers,time_activities")
    [part] = reader.partitions(old, reader.latestOffset())
    assert part.entities == ("customers", "time_activities")


@pytest.mark.usefixtures("connected")
def test_an_exact_stream_ends_if_a_company_does_not_report_deletions(qbo):
    realm_id = next(iter(qbo.companies))
    qbo.fault("refused", on="cdc", contains="Customer", path=realm_id, times=0, status=400)
    reader = stream(accounts=realm_id)
    start = upto(reader.initialOffset()["until"], [realm_id])
    with pytest.raises(qbo_rs.ConfigError, match=f"{realm_id}: QuickBooks does not report which customers were"):
        micro_batch(reader, start, later(reader, start))
    reader = stream(accounts=realm_id, deletions="reported")
    micro_batch(reader, start, later(reader, start))


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("deletions", ["exact", "reported"])
def test_a_stream_reads_all_entities_if_none_is_named(qbo, deletions):
    realm_id = next(iter(qbo.companies))
    reader = QboDataSource({"every": "1s", "accounts": realm_id, "start": SINCE, "deletions": deletions})
    reader = reader.streamReader(None)
    start = reader.initialOffset()
    end = reader.latestOffset()
    [part] = reader.partitions(start, end)
    assert ("time_activities" in part.entities) == (deletions == "reported")
    assert "change_orders" not in part.entities
    found = {row["entity"] for row in micro_batch(reader, start, end)}
    assert {"customers", "invoices", "items", "payments"} <= found
    start, end = end, later(reader, end)
    gone = qbo.delete("Invoice", "newest", realm=realm_id)
    start, end = end, later(reader, end)
    assert gone in {row["id"] for row in micro_batch(reader, start, end) if row["deleted"]}


@pytest.mark.usefixtures("connected")
def test_a_company_that_ends_a_stream_is_named(qbo):
    realm_id = list(qbo.companies)[1]
    reader = stream()
    start = upto(reader.initialOffset()["until"], qbo.companies)
    end = later(reader, start)
    qbo.fault("forbidden", path=realm_id, times=0)
    with pytest.raises(qbo_rs.PermissionDeniedError, match=f"^company {realm_id}: access denied") as caught:
        micro_batch(reader, start, end)
    assert caught.value.code == "3100"


@pytest.mark.usefixtures("connected")
def test_a_range_beyond_the_present_of_quickbooks_is_an_error_and_not_a_gap(qbo):
    reader = stream(partitions="1")
    ahead = (datetime.now(timezone.utc) + timedelta(minutes=10)).replace(microsecond=0).isoformat()
    with pytest.raises(qbo_rs.IncompleteError, match="could be read up to"):
        micro_batch(reader, {"until": "2025-12-01T00:00:00Z", "first": "true"}, upto(ahead, qbo.companies))


@pytest.mark.usefixtures("connected")
def test_typed_streams_have_the_columns_of_their_entity_and_deletions(qbo):
    realm_id = next(iter(qbo.companies))
    source = QboDataSource({"entities": "invoices", "typed": "true", "accounts": realm_id, "every": "1s"})
    reader = source.streamReader(None)
    start = upto(reader.initialOffset()["until"], [realm_id], "invoices")
    gone = qbo.delete("Invoice", "oldest", realm=realm_id)
    changed = qbo.edit("Invoice", "newest", realm=realm_id)
    rows = micro_batch(reader, start, later(reader, start))
    assert {row["id"] for row in rows} == {gone, changed}
    assert set(rows[0]) == set(re.findall(r"`(\w+)`", source.schema()))
    assert next(row for row in rows if row["id"] == gone)["deleted_at"] is not None
    assert next(row for row in rows if row["id"] == changed)["total_amt"] is not None
