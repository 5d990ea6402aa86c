"""Tables in place of views: equal to the views after every commit, whoever makes it."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import threading
import time

import psycopg
import pytest
from companies import UNLIMITED
from conftest import COMMAND, VARIABLES
from test_sync import a_minute_ago
from test_views import INVOICE, ODD, made, put
from test_webhooks import TOKEN
from waiting import until

import qbo_rs

KINDS = "SELECT relname, relkind FROM pg_class WHERE relnamespace = '{}'::regnamespace AND relkind IN ('r', 'v')"


@pytest.fixture
def tables(run):
    assert run("db", "migrate").returncode == 0
    return run


def both(run, raw: str = "raw", into: str = "books") -> None:
    """Make tables, and the views that they have to equal."""
    made(run, "--schema", raw, "--into", into, "--materialize")
    made(run, "--schema", raw, "--into", f"{into}_live")


def differences(database, into: str = "books") -> dict[str, tuple]:
    """Return the tables that differ from their views, with the number of rows of both, at one instant."""
    found = {}
    with psycopg.connect(database.url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        names = [name for name, kind in connection.execute(KINDS.format(into)).fetchall() if kind == "r"]
        assert len(names) > 70
        rows = "SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {}.{} AS t"
        for name in names:
            table = connection.execute(rows.format(into, name)).fetchone()
            view = connection.execute(rows.format(f"{into}_live", name)).fetchone()
            if table != view:
                found[name] = (table[0], view[0])
    return found


def count(database, table: str) -> int:
    return database.query(f"SELECT count(*) FROM {table}")[0][0]


def two_customers(database) -> list[str]:
    return [key for (key,) in database.query("SELECT id FROM raw.qb_customers ORDER BY ingested_at_utc, id LIMIT 2")]


def no_triggers(database) -> bool:
    triggers = "SELECT FROM pg_trigger WHERE tgname LIKE 'qbo\\_rs%'"
    return database.query(f"{triggers} UNION ALL SELECT FROM pg_proc WHERE proname LIKE 'qbo\\_rs%'") == []


@pytest.mark.timeout(400)
def test_tables_equal_the_views_after_every_kind_of_load(tables, qbo, database, tmp_path):
    both(tables)
    kinds = dict(database.query(KINDS.format("books")))
    assert {name for name, kind in kinds.items() if kind == "v"} == {"companies"}

    def check(*arguments: str) -> None:
        process = tables(*arguments)
        assert process.returncode == 0, process.stderr
        assert differences(database) == {}, arguments

    check("sync")
    filled = [name for name, kind in kinds.items() if kind == "r" and count(database, f"books.{name}")]
    assert len(filled) > 30
    assert {"invoices", "invoice_lines", "linked_transactions", "custom_fields"} <= set(filled)
    qbo.edit("Invoice", "newest", at=a_minute_ago())
    qbo.void("Invoice", "oldest", at=a_minute_ago())
    qbo.delete("Invoice", "2", at=a_minute_ago())
    qbo.insert("Customer", 3, at=a_minute_ago())
    qbo.merge("Customer", *two_customers(database), at=a_minute_ago())
    check("sync")
    assert database.query(
        "SELECT count(*) FILTER (WHERE deleted_at IS NOT NULL), count(*) FILTER (WHERE is_voided) > 0 "
        "FROM books.invoices"
    ) == [(1, True)]
    everything = ("--start", "2020-01-01", "--end", "2030-01-01", "--chunk", "year")
    check("backfill", "invoices", "customers", *everything)
    out = str(tmp_path / "archive.jsonl.zst")
    check("db", "archive", "invoices", "--before", "2026-11-01", "--out", out)
    # The two that were edited and voided a minute ago are no old ones.
    assert database.query("SELECT count(*) FROM books.invoices WHERE deleted_at IS NULL") == [(2,)]
    check("load", out)
    assert count(database, "books.invoices") == count(database, "raw.qb_invoices") > 290
    landed = str(tmp_path / "landed.jsonl")
    qbo.edit("Invoice", "newest", at=a_minute_ago())
    assert tables("extract", "invoices", *everything, "--out", landed).returncode == 0
    check("load", landed)
    check("verify", "invoices", *everything, "--deep", "--repair")


def test_tables_follow_webhooks(tables, serve, qbo, database):
    both(tables)
    server = serve("--workers", "2", QBO_WEBHOOK_VERIFIER_TOKEN=TOKEN, QBO_LAG_S="0")
    first = server.call("POST", "/api/qbo/sync/", {"entities": ["customers", "invoices"]})[1]
    assert server.ended(first["job_id"])["status"] == "done"
    hooks = {"url": f"{server.url}/webhooks/qbo", "verifier_token": TOKEN, "gather_ms": 50, "retry_s": [0.2, 0.5, 1]}
    qbo.control("webhooks", **hooks)
    qbo.merge("Customer", *two_customers(database))
    qbo.delete("Invoice", "oldest")
    edited = qbo.edit("Customer", "newest")
    end = time.monotonic() + 30
    wanted = "SELECT (SELECT count(*) FROM books.{} WHERE deleted_at IS NOT NULL)"
    while any(database.query(wanted.format(name)) != [(1,)] for name in ("customers", "invoices")):
        assert differences(database) == {}
        assert time.monotonic() < end, edited
    assert differences(database) == {}
    assert database.query("SELECT count(*) FROM books.customers WHERE is_merged") == [(1,)]


EVENT = """INSERT INTO qbo.webhook_events (event_id, realm_id, entity, entity_id, operation, occurred_at, event)
VALUES ('{}', '77', 'customers', '5', 'merged', '', '{{"data": {{"deletedId": "{}"}}}}')"""


def test_merges_are_marked_in_any_order_and_beside_writers(tables, database):
    database.execute("INSERT INTO qbo.schema_realms (schema_name, realm_id) VALUES ('raw', '77')")
    both(tables)
    merged = "SELECT id, is_merged FROM books.customers ORDER BY id"
    put(database, "qb_customers", "1", "{}", deleted="now()")
    database.execute(EVENT.format("a", "1"))
    assert database.query(merged) == [("1", True)]
    database.execute(EVENT.format("b", "2"))
    put(database, "qb_customers", "2", "{}")
    assert database.query(merged) == [("1", True), ("2", None)]
    database.execute("UPDATE raw.qb_customers SET deleted_at_utc = now() WHERE id = '2'")
    assert database.query(merged) == [("1", True), ("2", True)]
    assert differences(database) == {}
    # The writer of a row commits after the event was sent, and the event waits for it.
    for number, write in (
        ("3", "INSERT INTO raw.qb_customers VALUES ('3', '{}', now(), now(), now(), 1, 1, '{}', now())"),
        ("4", "UPDATE raw.qb_customers SET deleted_at_utc = now() WHERE id = '4'"),
    ):
        put(database, "qb_customers", "4", "{}") if number == "4" else None
        with psycopg.connect(database.url) as writer, psycopg.connect(database.url) as watcher:
            watcher.autocommit = True
            writer.execute(write)
            inbox = threading.Thread(target=database.execute, args=(EVENT.format(number, number),))
            inbox.start()
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            end = time.monotonic() + 20
            while watcher.execute(waiting).fetchone() == (0,):
                assert time.monotonic() < end
                assert inbox.is_alive()
            writer.commit()
            inbox.join()
        assert (number, True) in database.query(merged)
        assert differences(database) == {}
    database.execute("UPDATE qbo.webhook_events SET processed_at_utc = now()")
    assert differences(database) == {}
    database.execute("DELETE FROM qbo.webhook_events WHERE event_id = 'a'")
    assert database.query(merged)[0] == ("1", None)
    database.execute("TRUNCATE qbo.webhook_events")
    assert differences(database) == {}
    # The inbox takes an event although a table is broken.
    database.execute("DROP TABLE books.customers")
    database.execute(EVENT.format("c", "1"))
    assert count(database, "qbo.webhook_events") == 1


@pytest.mark.timeout(400)
def test_tables_follow_whoever_writes(tables, database):
    put(database, "qb_invoices", "1", INVOICE)
    both(tables)
    writes = [
        "INSERT INTO raw.qb_invoices SELECT '2', payload, now(), now(), now(), 1, 1, '{}' FROM raw.qb_invoices",
        (
            "INSERT INTO raw.qb_invoices SELECT id, '{\"TotalAmt\": 7}', now(), now(), now(), 1, 1, '{}' "
            "FROM unnest('{2,3,4}'::text[]) AS id ON CONFLICT (id) DO UPDATE SET payload = EXCLUDED.payload"
        ),
        "UPDATE raw.qb_invoices SET id = (id::int + 10)::text WHERE id IN ('1', '4')",
        'SET session_replication_role = replica; UPDATE raw.qb_invoices SET payload = \'{"DocNumber": "x"}\'',
        "SET session_replication_role = replica; DELETE FROM raw.qb_invoices WHERE id = '11'",
        (
            "WITH gone AS (DELETE FROM raw.qb_invoices WHERE id = '3' RETURNING *) "
            "INSERT INTO raw.qb_invoices SELECT '8', payload, now(), now(), now(), 1, 1, '{}' FROM gone"
        ),
        "UPDATE qbo.schema_realms SET realm_id = '78'",
        "DELETE FROM qbo.schema_realms",
        "INSERT INTO qbo.schema_realms (schema_name, realm_id) VALUES ('raw', '79'), ('other', '5')",
        "TRUNCATE qbo.schema_realms",
        (
            'INSERT INTO raw.qb_bills SELECT i::text, \'{"Line": [{"Amount": 1, "LinkedTxn": [{"TxnId": "1"}]}]}\', '
            "now(), now(), now(), 1, 1, '{}' FROM generate_series(1, 25000) AS i"
        ),
        "UPDATE raw.qb_bills SET deleted_at_utc = now()",
        "TRUNCATE raw.qb_invoices",
        "DELETE FROM raw.qb_bills",
    ]
    for write in writes:
        database.execute(write)
        assert differences(database) == {}, write
    # Other triggers may change the row after the statement; ours run before and after them.
    put(database, "qb_invoices", "9", INVOICE)
    for name in ("a_first", "z_last"):
        database.execute(
            "CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF pg_trigger_depth() = 1 THEN UPDATE raw.qb_invoices SET payload = payload || '{\"TotalAmt\": 3}'; "
            "END IF;"
            "RETURN NULL; END $$;"
            f"CREATE TRIGGER {name} AFTER UPDATE ON raw.qb_invoices FOR EACH STATEMENT EXECUTE FUNCTION public.touch()"
        )
        database.execute("UPDATE raw.qb_invoices SET payload = payload || '{\"TotalAmt\": 2}'")
        assert database.query("SELECT total_amt FROM books.invoices") == [(3,)], name
        assert differences(database) == {}
        database.execute("DROP FUNCTION public.touch CASCADE")
    # A trigger of others changes a new row before ours sees that it is new.
    database.execute(
        "CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "UPDATE raw.qb_invoices SET payload = payload || '{\"TotalAmt\": 4}' WHERE id = NEW.id; RETURN NULL; END $$;"
        "CREATE TRIGGER a_first AFTER INSERT ON raw.qb_invoices FOR EACH ROW EXECUTE FUNCTION public.touch()"
    )
    put(database, "qb_invoices", "10", INVOICE)
    assert database.query("SELECT total_amt FROM books.invoices WHERE id = '10'") == [(4,)]
    assert differences(database) == {}
    database.execute("DROP FUNCTION public.touch CASCADE; DELETE FROM raw.qb_invoices WHERE id = '10'")
    # A transaction that is rolled back leaves nothing.
    with psycopg.connect(database.url) as connection:
        connection.execute("DELETE FROM raw.qb_invoices")
        assert connection.execute("SELECT count(*) FROM books.invoice_lines").fetchone() == (0,)
        connection.rollback()
    assert count(database, "books.invoice_lines") == 7
    assert differences(database) == {}
    # The comparison notices a table that does not follow.
    database.execute("ALTER TABLE raw.qb_invoices DISABLE TRIGGER USER; DELETE FROM raw.qb_invoices")
    assert set(differences(database)) >= {"invoices", "invoice_lines", "linked_transactions", "custom_fields"}


def test_tables_follow_partitions(tables, database):
    database.execute(
        "DROP TABLE raw.qb_invoices; CREATE TABLE raw.qb_invoices (LIKE raw.qb_bills INCLUDING ALL) "
        "PARTITION BY HASH (id)"
    )
    for number in range(3):
        database.execute(
            f"CREATE TABLE raw.part_{number} PARTITION OF raw.qb_invoices "
            f"FOR VALUES WITH (MODULUS 3, REMAINDER {number})"
        )
    both(tables)
    assert tables("sync", "invoices").returncode == 0
    assert count(database, "books.invoices") == 300
    assert differences(database) == {}
    for write in (
        "UPDATE raw.part_1 SET payload = payload || '{\"TotalAmt\": 2}'",
        "UPDATE raw.qb_invoices SET id = 'x' || id",
        "DELETE FROM raw.part_2",
        "TRUNCATE raw.part_0",
        "DELETE FROM raw.qb_invoices",
    ):
        database.execute(write)
        assert differences(database) == {}, write


def environment_of(qbo, database) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return inherited | qbo.environment | UNLIMITED | database.environment | {"QBO_TOKEN_STORE": "postgres"}


@pytest.mark.timeout(300)
def test_tables_equal_the_views_while_processes_load_and_are_killed(tables, qbo, database):
    both(tables)
    seed = int(os.environ.get("SEED", str(random.randrange(10**6))))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    environment = environment_of(qbo, database)
    line = ["backfill", "invoices", "customers", "--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "month"]
    line += ["--page-size", "30"]

    def start(*arguments: str) -> subprocess.Popen:
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([COMMAND, *arguments], env=environment, **pipes)

    for _ in range(4):
        processes = [start(*line), start(*line), start("sync", "invoices", "customers")]
        time.sleep(chance.uniform(0.2, 2))
        assert differences(database) == {}
        for process in processes[:2]:
            process.send_signal(signal.SIGKILL)
        assert differences(database) == {}
        for process in processes:
            process.communicate()
        assert differences(database) == {}
        for record in ("oldest", "newest"):
            qbo.edit("Invoice", record)
    workers = [start(*line), start(*line), start("sync", "invoices", "customers")]
    while any(worker.poll() is None for worker in workers):
        assert differences(database) == {}
    for worker in workers:
        assert worker.communicate()[1].count("deadlock") == 0
        assert worker.returncode == 0
    assert differences(database) == {}
    assert count(database, "books.invoices") == 300


def test_two_companies_have_tables_of_their_own(tables, database):
    assert tables("db", "migrate", "--schema", "raw_acme").returncode == 0
    both(tables)
    both(tables, "raw_acme", "books_acme")
    refused = tables("db", "views", "--schema", "raw_acme", "--materialize")
    assert (refused.returncode, "of another company" in refused.stderr) == (2, True)
    with qbo_rs.sandbox(customers=5, items=5, invoices=20, others=1, limits=False) as other:
        load = ("backfill", "invoices", "--start", "2024-01-01", "--end", "2030-01-01", "--chunk", "year")
        own, second = tables(*load), tables(*load, "--schema", "raw_acme", **other.environment)
    assert (own.returncode, second.returncode) == (0, 0), second.stderr
    assert [count(database, f"{into}.invoices") for into in ("books", "books_acme")] == [300, 20]
    for into in ("books", "books_acme"):
        assert differences(database, into) == {}
        assert count(database, f"(SELECT DISTINCT realm_id FROM {into}.invoices) AS realms") == 1


def test_no_payload_makes_a_load_fail(tables, database):
    both(tables)
    long = "x" * 20_000
    huge = [
        '{"TotalAmt": 1e131000, "ExchangeRate": 1e131000, "Line": [{"Amount": 1e131000}]}',
        f'{{"TotalAmt": 0.{"1" * 16000}, "ExchangeRate": 0.{"1" * 16000}, "Line": [{{"Amount": 0.{"1" * 16000}}}]}}',
        json.dumps({f"{name}Ref": {"value": long, "name": long} for name in ("Customer", "Vendor")}),
        json.dumps({"Line": [{"LinkedTxn": [{"TxnId": long}], "SalesItemLineDetail": {"ItemRef": {"value": long}}}]}),
    ]
    for (table,) in database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'raw'"):
        for number, payload in enumerate(ODD + huge):
            put(database, table, str(number), payload)
    put(database, "qb_invoices", "y" * 2000, INVOICE)
    assert differences(database) == {}
    found = "SELECT count(*) FROM books.invoices WHERE customer_ref_value = '{}'"
    assert database.query(found.format(long)) == [(1,)]


@pytest.mark.timeout(400)
def test_a_broken_table_fails_the_window_says_why_and_is_mended(tables, qbo, database):
    both(tables)
    assert tables("sync", "invoices").returncode == 0
    before = database.query("SELECT id, payload FROM raw.qb_invoices ORDER BY id")
    everything = ("backfill", "invoices", "--start", "2020-01-01", "--end", "2030-01-01", "--chunk", "year")
    for damage, word in (
        ("ALTER TABLE books.invoices DROP COLUMN total_amt", 'column "total_amt" of relation "invoices"'),
        ("DROP TABLE books.invoice_lines", 'relation "books.invoice_lines" does not exist'),
        ("ALTER TABLE books.custom_fields ADD CONSTRAINT c CHECK (name <> name) NOT VALID", "check constraint"),
    ):
        database.execute(damage)
        edited = qbo.edit("Invoice", "newest", at=a_minute_ago())
        failed = tables(*everything)
        assert failed.returncode == 1, failed.stderr
        assert 'the tables in books cannot follow "raw"."qb_invoices"' in failed.stderr, failed.stderr
        assert word in failed.stderr
        assert "`qbo-rs db views --materialize` mends the tables" in failed.stderr
        assert database.query("SELECT id, payload FROM raw.qb_invoices ORDER BY id") == before
        database.execute("ALTER TABLE books.custom_fields DROP CONSTRAINT IF EXISTS c")
        made(tables, "--materialize")
        assert differences(database) == {}
        assert tables(*everything).returncode == 0
        assert differences(database) == {}
        before = database.query("SELECT id, payload FROM raw.qb_invoices ORDER BY id")
        assert edited in dict(before)
    whole = r"books: all \d+ tables are as they should be\n"
    # What does not run any more is found too, and what was missed is filled in.
    for damage in (
        "ALTER TABLE raw.qb_invoices DISABLE TRIGGER qbo_rs_update_books",
        "ALTER TABLE raw.qb_invoices ENABLE TRIGGER qbo_rs_update_books",
        "DROP TRIGGER qbo_rs_delete_books ON raw.qb_invoices",
        "DROP FUNCTION books.qbo_rs_follow_invoices() CASCADE",
        "DROP TRIGGER qbo_rs_change_books ON qbo.schema_realms",
        "DROP INDEX books.qbo_rs_invoices_txn_date",
    ):
        database.execute(f"{damage}; UPDATE raw.qb_invoices SET payload = payload || '{{\"TotalAmt\": 0.5}}'")
        database.execute("UPDATE raw.qb_invoices SET payload = payload - 'TotalAmt' WHERE id = '2'")
        assert not re.fullmatch(whole, made(tables, "--materialize"))
        assert differences(database) == {}, damage
        assert re.fullmatch(whole, made(tables, "--materialize"))


def test_a_second_run_changes_nothing_and_views_are_made_again_on_request(tables, database):
    put(database, "qb_invoices", "9", INVOICE)
    printed = made(tables, "--materialize", "--print")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(printed)
    catalogue = (
        "SELECT oid, xmin::text FROM pg_class WHERE relnamespace = 'books'::regnamespace UNION ALL "
        "SELECT oid, xmin::text FROM pg_trigger UNION ALL SELECT oid, xmin::text FROM pg_proc ORDER BY 1"
    )
    before = database.query(catalogue)
    for arguments in (["--materialize"], [], ["--materialize=true"]):
        assert re.fullmatch(r"books: all \d+ tables are as they should be\n", made(tables, *arguments))
    assert made(tables, "--print") == "-- nothing to do: every view is as it should be\n"
    assert database.query(catalogue) == before
    comment = database.query("SELECT obj_description('books.invoices'::regclass)")[0][0]
    assert re.fullmatch(r"Invoice of QuickBooks.*\n\[qbo_rs views \d+, schema raw, [0-9a-f]{16}\]", comment)
    without = database.query(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = 'books'::regnamespace AND c.relkind = 'r' "
        "AND coalesce(col_description(c.oid, a.attnum), '') = ''"
    )
    assert without == []
    assert " replaced: " in made(tables, "--materialize=false")
    assert {kind for _, kind in database.query(KINDS.format("books"))} == {"v"}
    assert no_triggers(database)
    assert database.query("SELECT total_amt FROM books.invoices") == [(100,)]
    assert re.fullmatch(r"books: all \d+ views are as they should be\n", made(tables))
    # Whoever drops the schema is rid of everything.
    made(tables, "--materialize")
    assert not no_triggers(database)
    database.execute("DROP SCHEMA books CASCADE")
    assert no_triggers(database)
    put(database, "qb_invoices", "10", INVOICE)


def test_tables_of_an_earlier_version_are_upgraded_with_rights_and_indexes(tables, database):
    put(database, "qb_invoices", "9", INVOICE)
    both(tables)
    role = f"reader_{database.settings['pg_db'][-8:]}"
    earlier = "COMMENT ON TABLE books.invoices IS 'Invoice.\n[qbo_rs views 0, schema raw, 0123456789abcdef]'"
    database.execute(
        f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA books TO {role}; GRANT SELECT ON books.invoices TO {role}"
    )
    try:
        database.execute(f"{earlier}; CREATE INDEX mine ON books.invoices (doc_number) WHERE doc_number <> ''")
        assert "1 replaced: invoices\n" in made(tables)
        database.execute(f"SET ROLE {role}; SELECT total_amt FROM books.invoices")
        mine = "SELECT indexdef FROM pg_indexes WHERE indexname = 'mine'"
        assert database.query(mine)[0][0].startswith("CREATE INDEX mine ON books.invoices")
        refused = tables("db", "views", "--materialize=false")
        assert (refused.returncode, "CREATE INDEX mine" in refused.stderr) == (2, True), refused.stderr
        database.execute("DROP INDEX books.mine")
        for addition, name in (
            ("CREATE POLICY p ON books.invoices USING (true)", "policy p"),
            ("CREATE STATISTICS books.s ON id, doc_number FROM books.invoices", "statistics s"),
            ("ALTER TABLE books.invoices ADD CONSTRAINT k CHECK (id <> '')", "constraint k"),
            ("CREATE PUBLICATION b FOR TABLE books.invoices", "publication b"),
            ("CREATE VIEW public.v AS SELECT id FROM books.invoices", "view public.v depends on table books.invoices"),
        ):
            database.execute(f"{earlier}; {addition}")
            for arguments in ([], ["--materialize=false"]):
                refused = tables("db", "views", *arguments)
                assert (refused.returncode, name in refused.stderr) == (2, True), refused.stderr
                assert "nothing was changed" in refused.stderr
            database.execute(
                "DROP POLICY IF EXISTS p ON books.invoices; DROP STATISTICS IF EXISTS books.s; DROP VIEW IF EXISTS "
                "public.v; ALTER TABLE books.invoices DROP CONSTRAINT IF EXISTS k; DROP PUBLICATION IF EXISTS b"
            )
        made(tables)
        assert differences(database) == {}
        # The functions of an earlier version made other values.
        database.execute(
            "COMMENT ON FUNCTION books.qbo_rs_renew_invoices(text[], boolean) IS '[qbo_rs views 0, schema raw, 1]';"
            "CREATE FUNCTION books.qbo_rs_refresh_invoices(text[]) RETURNS void LANGUAGE sql AS '';"
            "COMMENT ON FUNCTION books.qbo_rs_refresh_invoices(text[]) IS '[qbo_rs views 1, schema raw, 1]';"
            "UPDATE books.invoices SET total_amt = 1; UPDATE books.linked_transactions SET linked_id = 'x'"
        )
        assert "in step with every load: invoices\n" in made(tables)
        assert differences(database) == {}
        assert database.query("SELECT to_regprocedure('books.qbo_rs_refresh_invoices(text[])')") == [(None,)]
        # An entity whose table is gone takes its rows along, and comes back with them.
        put(database, "qb_bills", "1", '{"LinkedTxn": [{"TxnId": "4"}]}')
        database.execute("ALTER TABLE raw.qb_bills RENAME TO bills_before")
        assert "dropped, because this version does not make them: bill_lines" in made(tables)
        assert database.query("SELECT DISTINCT entity FROM books.linked_transactions") == [("Invoice",)]
        database.execute("DELETE FROM raw.bills_before WHERE id = '2'; ALTER TABLE raw.bills_before RENAME TO qb_bills")
        made(tables)
        assert count(database, "books.bills") == 1
        both(tables)
        assert differences(database) == {}
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


WAITING = """
SELECT held.relation::regclass::text
FROM pg_locks AS wanted JOIN pg_locks AS held ON held.pid = wanted.pid AND held.granted
WHERE NOT wanted.granted AND wanted.relation = 'raw.qb_vendors'::regclass
  AND held.relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'raw'::regnamespace AND relkind = 'r')
  AND held.mode IN ('AccessExclusiveLock', 'ShareRowExclusiveLock')
"""


def test_tables_are_changed_again_after_a_deadlock_with_a_load(tables, qbo, database):
    made(tables, "--materialize")
    with psycopg.connect(database.url) as load:
        # Postgres ends the one that looks first.
        load.execute("SET deadlock_timeout = '1min'")
        load.execute("LOCK TABLE raw.qb_vendors IN ROW EXCLUSIVE MODE")
        line = [COMMAND, "db", "views", "--materialize=false"]
        with subprocess.Popen(line, env=environment_of(qbo, database), stdout=-1, stderr=-1, text=True) as views:
            until(lambda: database.query(WAITING) or views.poll() is not None, views.args, limit=60)
            assert views.poll() is None, views.communicate()
            locked = database.query(WAITING)
            load.execute(f"LOCK TABLE {locked[0][0]} IN ROW EXCLUSIVE MODE")
            load.commit()
            output, errors = views.communicate(timeout=60)
    assert views.returncode == 0, (output, errors)
    assert dict(database.query(KINDS.format("books"))).get("invoices") == "v"
    [(deadlocks,)] = database.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks == 1


def test_nothing_of_others_is_in_the_way_of_tables(tables, database):
    made(tables)
    for create, drop, word in (
        ("TABLE books.terms (id text)", "TABLE books.terms", "is a table"),
        ("VIEW books.terms AS SELECT 1 AS one", "VIEW books.terms", "a view that this command has not made"),
        (
            "FUNCTION books.qbo_rs_follow_terms() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
            "FUNCTION books.qbo_rs_follow_terms",
            "is a function that this command has not made",
        ),
    ):
        database.execute("DROP VIEW IF EXISTS books.terms")
        database.execute(f"CREATE {create}")
        refused = tables("db", "views", "--materialize")
        assert (refused.returncode, word in refused.stderr) == (2, True), refused.stderr
        database.execute(f"DROP {drop}")
        assert no_triggers(database)
    database.execute("CREATE TABLE books.own (id text)")
    made(tables, "--materialize")
    made(tables, "--materialize=false")
    assert count(database, "books.own") == 0


def test_a_loading_role_needs_no_right_on_the_tables_and_nobody_may_call_the_functions(tables, database):
    both(tables)
    role = f"loader_{database.settings['pg_db'][-8:]}"
    database.execute(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA raw TO {role}; GRANT ALL ON raw.qb_invoices TO {role}")
    try:
        with psycopg.connect(database.url) as connection:
            # Nothing that the role makes stands in for what the functions call.
            connection.execute(
                f"GRANT CREATE ON SCHEMA public TO {role}; SET ROLE {role}; SET search_path = pg_temp, public;"
                "CREATE FUNCTION public.starts_with(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT 1/0 = 1';"
                "CREATE TEMP TABLE qbo_new (id text)"
            )
            connection.execute(
                "INSERT INTO raw.qb_invoices VALUES ('1', %s::jsonb, now(), now(), now(), 1, 1, '{}')", (INVOICE,)
            )
        assert differences(database) == {}
        assert count(database, "books.invoices") == 1
        database.execute(f"GRANT USAGE ON SCHEMA books TO {role}")
        for call in ("SELECT books.qbo_rs_renew_invoices('{1}', true)", "SELECT * FROM books.invoices"):
            with psycopg.connect(database.url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SET ROLE {role}; {call}")
        definers = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'books'::regnamespace AND NOT "
        pinned = "(prosecdef AND proconfig @> '{\"search_path=pg_catalog, pg_temp\"}')"
        assert database.query(definers + pinned) == [(0,)]
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
