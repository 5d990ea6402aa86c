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

OPTIONS = {"entities": "customers,invoices"}


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
    start = {"until": reader.initialOffset()["until"]}
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
def test_offsets_are_json_of_text_and_both_signatures_of_latest_offset_work():
    reader = stream(start="2025-03-01T05:00:00Z")
    start = reader.initialOffset()
    assert json.loads(json.dumps(start)) == start == {"until": "2025-03-01T05:00:00Z", "first": "true"}
    assert set(reader.latestOffset()) == set(reader.latestOffset(start, None)) == {"until"}
    assert reader.partitions({"until": "2025-03-02T00:00:00Z"}, {"until": "2025-03-01T00:00:00Z"}) == []


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
def test_a_stream_that_cannot_tell_what_was_deleted_says_so():
    old = {"until": "2025-03-01T00:00:00Z"}
    reader = stream(partitions="1")
    end = reader.latestOffset(old, None)
    with pytest.raises(
        qbo_rs.ConfigError, match=r"does not tell which customers, invoices were deleted since 2025-02-28"
    ):
        micro_batch(reader, old, end)
    assert micro_batch(stream(deletions="reported"), old, end)


@pytest.mark.usefixtures("connected")
def test_a_range_beyond_the_present_of_quickbooks_is_an_error_and_not_a_gap():
    reader = stream(partitions="1")
    ahead = (datetime.now(timezone.utc) + timedelta(minutes=10)).replace(microsecond=0).isoformat()
    with pytest.raises(qbo_rs.IncompleteError, match="could be read up to"):
        micro_batch(reader, {"until": "2025-12-01T00:00:00Z", "first": "true"}, {"until": ahead})


@pytest.mark.usefixtures("connected")
def test_typed_streams_have_the_columns_of_their_entity_and_deletions(qbo):
    realm_id = next(iter(qbo.companies))
    source = QboDataSource({"entities": "invoices", "typed": "true", "accounts": realm_id})
    reader = source.streamReader(None)
    start = {"until": reader.initialOffset()["until"]}
    gone = qbo.delete("Invoice", "oldest", realm=realm_id)
    changed = qbo.edit("Invoice", "newest", realm=realm_id)
    rows = micro_batch(reader, start, later(reader, start))
    assert {row["id"] for row in rows} == {gone, changed}
    assert set(rows[0]) == set(re.findall(r"`(\w+)`", source.schema()))
    assert next(row for row in rows if row["id"] == gone)["deleted_at"] is not None
    assert next(row for row in rows if row["id"] == changed)["total_amt"] is not None
