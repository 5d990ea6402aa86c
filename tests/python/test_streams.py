"""Streams of columns while they are read: one snapshot, little memory, other threads, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from threading import Thread

import psycopg
import pytest
from waiting import until

import qbo_rs

ROWS = 60_000
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def items(database):
    """Make a table of items, much longer than what is in memory at a time."""
    database.execute(
        "CREATE SCHEMA raw; CREATE TABLE raw.qb_items "
        "(id text PRIMARY KEY, payload jsonb, ingested_at_utc timestamptz, deleted_at_utc timestamptz); "
        "INSERT INTO raw.qb_items SELECT lpad(n::text, 6, '0'), jsonb_build_object('Name', 'old', 'UnitPrice', 0.1) "
        f"FROM generate_series(1, {ROWS}) n"
    )
    return qbo_rs.table("items", **database.settings)


@pytest.fixture
def held_items(database, items):
    """Make the record 010000, which comes after the first batch, wait for the advisory lock 7."""
    database.execute(
        "ALTER TABLE raw.qb_items RENAME TO stored; ANALYZE raw.stored; "
        "CREATE FUNCTION raw.held(id text, payload jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE COST 100000 AS "
        "$$ BEGIN IF id = '010000' THEN PERFORM pg_advisory_xact_lock_shared(7); END IF; RETURN payload; END $$; "
        "CREATE VIEW raw.qb_items AS SELECT id, raw.held(id, payload) AS payload, ingested_at_utc, deleted_at_utc "
        "FROM raw.stored"
    )
    # In the order of the index, rows are made one by one.
    name = database.query("SELECT current_database()")[0][0]
    database.execute(f"ALTER DATABASE {name} SET enable_sort = off")
    return items


def test_a_table_is_the_records_of_one_instant(database, items):
    import pyarrow as pa

    reader = pa.RecordBatchReader.from_stream(items)
    first = reader.read_next_batch()
    # Most of the table is not read yet.
    database.execute(
        "UPDATE raw.qb_items SET payload = jsonb_build_object('Name', 'new'); "
        "DELETE FROM raw.qb_items WHERE id > '050000'; "
        "INSERT INTO raw.qb_items SELECT lpad(n::text, 6, '0'), '{}' FROM generate_series(70000, 80000) n"
    )
    rest = reader.read_all()
    assert first.num_rows + rest.num_rows == ROWS
    assert set(rest.column("name").to_pylist()) == {"old"}
    assert items.to_arrow().num_rows == 50_000 + 10_001


def test_a_table_ends_its_transaction_when_it_is_read_or_left(database, items):
    import pyarrow as pa

    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    items.to_arrow()
    until(lambda: database.query(idle) == [(0,)])
    reader = pa.RecordBatchReader.from_stream(items)
    reader.read_next_batch()
    del reader
    until(lambda: database.query(idle) == [(0,)])


@pytest.mark.parametrize("method", ["to_arrow", "to_pandas", "to_polars", "to_duckdb"])
def test_other_threads_go_on_while_a_batch_is_awaited(database, held_items, method):
    with psycopg.connect(database.url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(7)")

        def release():
            until(lambda: database.query(WAITING) == [(1,)])
            holder.execute("SELECT pg_advisory_unlock(7)")

        other = Thread(target=release)
        other.start()
        # Were the GIL held, this would wait for a lock that nobody could release.
        table = getattr(held_items, method)()
        other.join()
    assert len(table) == ROWS


READER = """
import json, signal, sys
import qbo_rs

signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    getattr(qbo_rs.table("items", **json.loads(sys.argv[1])), sys.argv[2])()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("method", ["to_arrow", "to_pandas", "to_polars", "to_duckdb"])
@pytest.mark.usefixtures("held_items")
@pytest.mark.parametrize("lock", ["LOCK TABLE raw.stored", "SELECT pg_advisory_xact_lock(7)"])
def test_ctrl_c_ends_a_read_before_and_after_the_first_batch(database, lock, method):
    with psycopg.connect(database.url) as holder:
        holder.execute(lock)
        line = [sys.executable, "-c", READER, json.dumps(database.settings), method]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: database.query(WAITING) == [(1,)])
        process.send_signal(signal.SIGINT)
        # The lock that it waits for stays.
        out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("interrupted\n", 0), err


MEASURED = """
import json, resource, sys
import pyarrow, qbo_rs

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

table = qbo_rs.table("items", **json.loads(sys.argv[1]))
pyarrow.RecordBatchReader.from_stream(table).read_next_batch()
before, rows = peak(), 0
for batch in pyarrow.RecordBatchReader.from_stream(table):
    rows += batch.num_rows
print(rows, peak() - before)
"""


@pytest.mark.usefixtures("items")
def test_memory_holds_a_few_batches_and_not_the_table(database):
    # 480 MB of text.
    database.execute(
        "UPDATE raw.qb_items SET payload = jsonb_build_object('Description', repeat('x', 16000)) WHERE id <= '030000'"
    )
    line = [sys.executable, "-c", MEASURED, json.dumps(database.settings)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    rows, kilobytes = map(int, done.stdout.split())
    assert rows == ROWS
    assert kilobytes < 100_000
