"""Masked properties are written nowhere: every byte of tables, files, logs and output is searched."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import uuid
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from conftest import keywords, report_of
from service import Server
from test_tokens import environment_of, run
from test_webhooks import TOKEN, signature
from waiting import until

import qbo_rs

KEY = "a key of these tests, which nobody else may know"
MASK = {"QBO_MASK": "Employee.SSN, Customer.PrimaryTaxIdentifier:hash,Customer.CustomField[Card]", "QBO_MASK_KEY": KEY}
RANGE = ("--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "year")
TRACE = ("--log-level", "trace", "--log-format")


def secret(name: str) -> str:
    """Return a value that occurs nowhere else, not even in another test."""
    return f"{name}-{uuid.uuid4().hex}"


class Search:
    """Everything that was written."""

    def __init__(self, database, directory: Path, *secrets: str) -> None:
        self.database, self.directory = database, directory
        self.secrets = secrets
        self.told: list[str] = []

    def tell(self, process):
        self.told += [process.stdout, process.stderr]
        return process

    def found(self) -> set[str]:
        """Return the places that hold a secret."""
        places = set()
        for name, content in self.places():
            if any(secret.encode() in content for secret in self.secrets):
                places.add(name)
        return places

    def places(self):
        yield "output", "\n".join(self.told).encode()
        with psycopg.connect(self.database.url) as connection:
            tables = connection.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            assert len(tables) > 5
            for (table,) in tables:
                with connection.cursor().copy(f"COPY {table} TO STDOUT") as rows:
                    yield table, b"".join(rows)
        for path in self.directory.rglob("*"):
            if path.is_file():
                yield path.name, content_of(path)
        # What a transaction wrote and took back, the log of changes, and temporary files of the server.
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            (data,), (oid,) = connection.execute(
                "SELECT current_setting('data_directory') UNION ALL"
                " SELECT oid::text FROM pg_database WHERE datname = current_database()"
            ).fetchall()
        for part in (f"base/{oid}", "base/pgsql_tmp", "pg_wal"):
            for path in Path(data, part).rglob("*"):
                if path.is_file():
                    yield "files of the server", path.read_bytes()


def content_of(path: Path) -> bytes:
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout  # noqa: S607
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def give(qbo, entity: str, record_id: str, **members) -> None:
    """Give a record more members, without a change of its time."""
    record = json.loads(qbo.truth(entity, "2000-01-01", "2100-01-01")[record_id])
    qbo.put(entity, record | members)


def ids(qbo, entity: str) -> list[str]:
    return sorted(qbo.truth(entity, "2000-01-01", "2100-01-01"))


def give_secrets(qbo, ssn: str, tax: str) -> None:
    for record_id in ids(qbo, "Employee"):
        give(qbo, "Employee", record_id, SSN=ssn)
    for record_id in ids(qbo, "Customer"):
        card = {"DefinitionId": "1", "Name": "Card", "Type": "StringType", "StringValue": ssn}
        give(qbo, "Customer", record_id, PrimaryTaxIdentifier=tax, CustomField=[card])
    # Three that are set aside: one without a time, two that Postgres cannot store.
    qbo.corrupt("Employee", ids(qbo, "Employee")[2], "time")
    qbo.corrupt("Employee", ids(qbo, "Employee")[3], "nul")
    qbo.corrupt("Customer", ids(qbo, "Customer")[3], "surrogate")


@pytest.fixture
def books():
    with qbo_rs.sandbox(customers=12, items=3, invoices=3, others=9, limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def environment(books, database, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    places = {"TMPDIR": str(temporary), "QBO_LANDING_DIR": str(tmp_path / "landing"), "QBO_LAG_S": "0"}
    return environment_of(books, database.environment, {"QBO_TOKEN_STORE": "postgres"}, places)


def use_everything(books, environment, search, tmp_path) -> None:
    """Run every verb that writes something."""
    entities = ("employees", "customers")

    def told(*arguments: str, form: str = "json"):
        return search.tell(run((*arguments, *TRACE, form), environment, tmp_path))

    told("backfill", *entities, *RANGE)
    told("verify", *entities, "--start", "2024-01-01", "--end", "2026-01-01", "--deep")
    told("extract", *entities, *RANGE, "--out", str(tmp_path / "one.jsonl"), form="human")
    told("extract", *entities, *RANGE, "--out", str(tmp_path / "one.jsonl"))
    told("extract", *entities, *RANGE, "--out", str(tmp_path / "one.jsonl.gz"))
    told("extract", *entities, *RANGE)
    told("load", str(tmp_path / "one.jsonl.gz"), "--schema", "raw")
    told("load")
    # Changes: the first sync reads by queries, the second by change data capture.
    told("sync", *entities)
    for number in (0, 1):
        books.edit("Employee", ids(books, "Employee")[number])
        books.edit("Customer", ids(books, "Customer")[number])
    told("sync", *entities, form="human")
    told("status", "--json")
    told("rejects")
    told("rejects", str(tmp_path / "one.jsonl"))
    told("db", "archive", "employees", "--before", "2024-09-01", "--out", str(tmp_path / "archive.jsonl"))


def deliver(server, books, ssn: str) -> None:
    """Send events that hold more of a record than Intuit's do."""
    realm = books.environment["QBO_REALM_ID"]
    good = {"id": "e1", "type": "qbo.employee.updated.v1", "intuitentityid": ids(books, "Employee")[0]}
    events = [
        good | {"intuitaccountid": realm, "data": {"Employee": {"SSN": ssn}, "SSN": ssn}},
        {"Employee": {"SSN": ssn}},
        ssn,
    ]
    signed = signature(json.dumps(events).encode())
    assert server.call("POST", "/webhooks/qbo", events, intuit_signature=signed)[0] == 200


@contextmanager
def service(environment, tmp_path):
    """Run the service, with its log in a file."""
    log = tmp_path / "service.log"
    with log.open("w") as errors:
        verifier = {"QBO_WEBHOOK_VERIFIER_TOKEN": TOKEN}
        server = Server(environment | verifier, "employees", "customers", "--log-level", "trace", errors=errors)
        try:
            yield server
        finally:
            server.stop()


@pytest.mark.timeout(300)
def test_masked_properties_are_written_nowhere(books, database, environment, tmp_path):
    ssn, tax = secret("SSN"), secret("TAX")
    give_secrets(books, ssn, tax)
    environment |= MASK
    search = Search(database, tmp_path, ssn, tax)
    use_everything(books, environment, search, tmp_path)
    with service(environment, tmp_path) as server:
        deliver(server, books, ssn)
        until(lambda: database.query("SELECT count(*) FROM qbo.jobs WHERE status = 'done'") == [(1,)])
        assert server.call("GET", "/metrics")[0] == 200
    search.told.append((tmp_path / "service.log").read_text())
    assert "record_rejected" in "".join(search.told)
    assert search.found() == set()
    assert not any(KEY.encode() in content for _, content in search.places())
    # Everything arrived, and each row says what was done to it.
    kept = database.query("SELECT payload ? 'SSN', request_payload -> 'masked' FROM raw.qb_employees")
    assert kept
    assert all(row == (False, {"dropped": ["SSN"]}) for row in kept), kept
    hashes = database.query(
        "SELECT DISTINCT payload ->> 'PrimaryTaxIdentifier', request_payload #>> '{masked,key}' FROM raw.qb_customers"
    )
    ((value, key),) = hashes
    assert value.startswith(f"hmac:{key}:"), hashes
    assert database.query("SELECT count(*) FROM qbo.rejects WHERE payload IS NOT NULL") != [(0,)]
    # Reading them again changes nothing.
    again = run(("backfill", "customers", *RANGE, "--json"), environment, tmp_path)
    totals = report_of(again)["runs"][0]["totals"]
    assert (totals["inserted"], totals["updated"]) == (0, 0), totals


@pytest.mark.timeout(300)
def test_without_a_mask_the_search_finds_every_place(books, database, environment, tmp_path):
    ssn, tax = secret("SSN"), secret("TAX")
    give_secrets(books, ssn, tax)
    search = Search(database, tmp_path, ssn, tax)
    use_everything(books, environment, search, tmp_path)
    with service(environment, tmp_path) as server:
        deliver(server, books, ssn)
    places = search.found()
    expected = {"raw.qb_employees", "raw.qb_customers", "qbo.rejects", "qbo.webhook_events", "qbo.webhook_rejects"}
    assert expected | {"one.jsonl", "one.jsonl.gz", "archive.jsonl", "files of the server"} <= places


@pytest.mark.timeout(300)
def test_a_mask_that_comes_later_reaches_rows_files_and_archives(books, database, environment, tmp_path):
    ssn, tax = secret("SSN"), secret("TAX")
    give_secrets(books, ssn, tax)
    for name in ("employees", "customers"):
        run(("backfill", name, *RANGE), environment, tmp_path)
    run(("extract", "employees", "customers", *RANGE, "--out", str(tmp_path / "old.jsonl")), environment, tmp_path)
    run(("extract", "employees", *RANGE, "--out", str(tmp_path / "windows")), environment, tmp_path)
    environment |= MASK
    # A backfill reaches the rows of the same version.
    again = run(("backfill", "customers", *RANGE, "--json"), environment, tmp_path)
    totals = report_of(again)["runs"][0]["totals"]
    assert totals["updated"] == totals["rows"] - totals["rejected"], totals
    # A load masks what the file still holds, in a schema of one file and one of many.
    for path, schema in (("old.jsonl", "raw_old"), ("windows", "raw_windows")):
        run(("load", str(tmp_path / path), "--schema", schema), environment, tmp_path)
    # An archive of rows that nobody has read again.
    archive = tmp_path / "archive.jsonl"
    done = run(("db", "archive", "employees", "--before", "2026-01-01", "--out", str(archive)), environment, tmp_path)
    assert done.returncode == 0, done.stderr
    # An extract of one entity keeps the lines of the others, without what is masked now.
    assert ssn in (tmp_path / "old.jsonl").read_text()
    run(("extract", "employees", *RANGE, "--out", str(tmp_path / "old.jsonl")), environment, tmp_path)
    # The files of windows are those of before.
    shutil.rmtree(tmp_path / "windows")
    left = Search(database, tmp_path, ssn, tax).found()
    # What is left are the records that had been set aside, and what the server has not overwritten yet.
    assert left <= {"qbo.rejects", "files of the server"}, left
    marked = database.query("SELECT count(*) FROM raw_old.qb_employees WHERE request_payload ? 'masked'")
    assert marked == database.query("SELECT count(*) FROM raw_old.qb_employees")
    assert marked != [(0,)]
    line = json.loads(archive.read_text().splitlines()[0])
    assert line["request_payload"]["masked"] == {"dropped": ["SSN"]}
    # What was masked when it was written loads as it is: nothing is hashed twice.
    run(("load", str(tmp_path / "old.jsonl"), "--schema", "raw_again"), environment, tmp_path)
    assert database.query(
        "SELECT count(*) FROM raw_again.qb_customers a JOIN raw.qb_customers b USING (id) WHERE a.payload = b.payload"
    ) == database.query("SELECT count(*) FROM raw.qb_customers")


def test_records_in_python_are_masked(books, database):
    ssn, tax = secret("SSN"), secret("TAX")
    give_secrets(books, ssn, tax)
    settings = keywords(books) | database.settings | {"mask": MASK["QBO_MASK"], "mask_key": KEY}
    found = list(qbo_rs.records("customers", **range_of(), **settings))
    # One employee is set aside, which is said at the end.
    with pytest.raises(qbo_rs.IncompleteError):
        found.extend(qbo_rs.records("employees", **range_of(), **settings))
    assert len(found) > 10
    assert ssn not in str(found)
    assert tax not in str(found)
    assert any("hmac:" in str(record) for record in found)
    with pytest.raises(qbo_rs.ConfigError, match="similar: SSN"):
        list(qbo_rs.records("employees", **range_of(), **settings | {"mask": "Employee.Ssn"}))


def range_of() -> dict:
    return {"start": "2024-01-01", "end": "2026-01-01"}


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ("Employe.SSN", "there is no entity 'Employe'\n  similar: Employee"),
        ("Employee.Ssn", "has no property 'Ssn'\n  similar: SSN"),
        ("Customer.Id", "cannot be masked"),
        ("Employee.SSN:hash", "QBO_MASK_KEY: not set"),
    ],
)
@pytest.mark.parametrize("verb", ["backfill", "extract", "sync", "verify", "load", "serve", "archive"])
def test_a_mask_that_cannot_be_followed_stops_every_verb_before_it_reads(
    verb, mask, *, words, books, environment, tmp_path
):
    (tmp_path / "empty.jsonl").write_text("")
    arguments = {
        "backfill": ("employees", *RANGE),
        "extract": ("employees", *RANGE, "--out", str(tmp_path / "out")),
        "sync": (),
        "verify": ("employees", "--start", "2024-01-01", "--end", "2026-01-01"),
        "load": (str(tmp_path / "empty.jsonl"),),
        "serve": ("--port", "0"),
        "archive": ("employees", "--before", "2025-01-01", "--out", str(tmp_path / "a.jsonl")),
    }[verb]
    line = ("db", verb) if verb == "archive" else (verb,)
    ended = run((*line, *arguments), environment | {"QBO_MASK": mask}, tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr
    assert not set(books.stats()["requests"]) & {"query", "cdc", "batch"}
    assert not (tmp_path / "out").exists()
