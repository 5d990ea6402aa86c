"""Events of runs at a real HTTP receiver, checked field by field with the classes of OpenLineage's own client."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attr
import pytest
from companies import END, START
from openlineage.client import event_v2, facet_v2

import qbo_rs
import qbo_rs.lineage


class Receiver(ThreadingHTTPServer):
    """Takes events as OpenLineage's servers do."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.events: list[dict] = []
        self.status = 201
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.events.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(one_company, monkeypatch):
    assert not any(name.startswith("OPENLINEAGE") for name in one_company)
    with Receiver() as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        yield server
        server.shutdown()


def checked(event: dict) -> dict:
    """Build an event with the client's classes, which refuse members that the specification does not have."""
    given = dict(event)
    assert given.pop("schemaURL").endswith("#/$defs/RunEvent")
    event_v2.RunEvent(
        **given
        | {
            "eventType": event_v2.RunState[given["eventType"]],
            "run": event_v2.Run(given["run"]["runId"], facets(given["run"]["facets"])),
            "job": event_v2.Job(given["job"]["namespace"], given["job"]["name"], facets(given["job"]["facets"])),
            "inputs": [dataset(event_v2.InputDataset, each) for each in given["inputs"]],
            "outputs": [dataset(event_v2.OutputDataset, each) for each in given["outputs"]],
        }
    )
    return event


def dataset(kind: type, given: dict) -> object:
    groups = {name: facets(value) for name, value in given.items() if name.lower().endswith("facets")}
    return kind(**given | groups)


def facets(given: dict) -> dict:
    return {name: facet(value) for name, value in given.items()}


def facet(given: dict) -> object:
    """Build a facet with the class that its address names."""
    address = re.fullmatch(r"https://openlineage\.io/spec/facets/[\d-]+/(\w+)\.json#/\$defs/(\w+)", given["_schemaURL"])
    # The client adds its version as a tag.
    assert address[2] == "TagsRunFacet" or given["_producer"] == "https://github.com/qbo-rs/qbo_rs"
    modules = [getattr(facet_v2, name) for name in dir(facet_v2)]
    [kind] = {getattr(module, address[2]) for module in modules if hasattr(module, address[2])}
    known = {each.name for each in attr.fields(kind)}
    members = {name: value for name, value in given.items() if not name.startswith("_")}
    assert members.keys() <= known, given
    return kind(**members)


def rows(event: dict) -> dict[str, int]:
    return {each["name"]: each["outputFacets"]["outputStatistics"]["rowCount"] for each in event["outputs"]}


def test_a_backfill_tells_its_start_and_its_end_with_rows_and_columns(receiver, database):
    report = qbo_rs.lineage.run(qbo_rs.backfill, ["customers", "invoices"], START, END, "year")
    start, end = map(checked, receiver.events)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert (start["job"]["namespace"], start["job"]["name"]) == ("qbo_rs", "backfill")
    assert start["inputs"] == start["outputs"] == []
    name = database.url.rpartition("/")[2]
    assert rows(end) == {f"{name}.raw.qb_customers": 40, f"{name}.raw.qb_invoices": 150}
    [realm_id] = {run.realm_id for run in report.runs}
    assert [(each["namespace"], each["name"]) for each in end["inputs"]] == [
        (f"quickbooks://{realm_id}", "Customer"),
        (f"quickbooks://{realm_id}", "Invoice"),
    ]
    port = re.search(r":(\d+)/", database.url)[1]
    assert {each["namespace"] for each in end["outputs"]} == {f"postgres://127.0.0.1:{port}"}
    columns = {each["name"]: each for each in end["outputs"][1]["facets"]["schema"]["fields"]}
    assert columns["total_amt"]["type"] == "decimal128(38, 10)"
    assert columns["txn_date"]["description"]
    # A second one writes nothing.
    qbo_rs.lineage.run(qbo_rs.backfill, "invoices", START, END, "year")
    again = checked(receiver.events[-1])
    assert again["job"]["name"] == "backfill.invoices"
    assert rows(again) == {f"{name}.raw.qb_invoices": 0}
    assert again["run"]["runId"] != end["run"]["runId"]
    # Windows that are skipped were written by others.
    qbo_rs.lineage.run(qbo_rs.backfill, "invoices", START, END, "year", resume=True)
    assert rows(checked(receiver.events[-1])) == {f"{name}.raw.qb_invoices": 0}


def test_a_sync_tells_the_tables_of_every_company(receiver, qbo, monkeypatch):
    for realm_id, token in qbo.companies.items():
        qbo_rs.sync("company_info", accounts=[realm_id], realm_id=realm_id, refresh_token=token)
    monkeypatch.delenv("QBO_REALM_ID")
    monkeypatch.delenv("QBO_REFRESH_TOKEN")
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", "nightly/books.sync/01890f1c-6b3f-7a4c-9d21-000000000001")
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "warehouse")
    qbo_rs.lineage.run(qbo_rs.sync, "customers")
    start, end = map(checked, receiver.events)
    assert end["eventType"] == "COMPLETE"
    assert end["job"] | {"facets": None} == {"namespace": "warehouse", "name": "sync.customers", "facets": None}
    assert {each["namespace"] for each in end["inputs"]} == {f"quickbooks://{realm_id}" for realm_id in qbo.companies}
    assert sorted(rows(end).values()) == [40, 40, 40]
    assert len(rows(end)) == 3
    for event in (start, end):
        parent = event["run"]["facets"]["parent"]["job"]
        assert (parent["namespace"], parent["name"]) == ("nightly", "books.sync")


def test_a_run_with_a_failed_entity_fails_and_says_what_was_written(receiver, qbo):
    qbo.fault("refused", contains="FROM Invoice", times=0)
    report = qbo_rs.lineage.run(qbo_rs.backfill, ["customers", "invoices"], START, END, "year")
    assert not report.ok
    end = checked(receiver.events[-1])
    assert end["eventType"] == "FAIL"
    assert next(iter(rows(end).values())) == 40
    message = end["run"]["facets"]["errorMessage"]["message"]
    assert message.startswith("invoices: 2 of 2 windows failed, first [2024-01-01T00:00:00Z, ")


def test_a_secret_that_begins_another_one_leaves_nothing_of_it(receiver):
    secret = uuid.uuid4().hex
    longer = f"{secret}-rest"
    with pytest.raises(qbo_rs.ConfigError, match=longer):
        # No entity has this name.
        qbo_rs.lineage.run(qbo_rs.backfill, longer, START, END, client_secret=secret, refresh_token=longer)
    sent = json.dumps(receiver.events)
    assert secret not in sent
    assert "-rest" not in sent


def test_an_exception_is_told_without_secrets_and_raised(receiver):
    secret = uuid.uuid4().hex
    with pytest.raises(qbo_rs.ConfigError, match=secret):
        # The name of an entity is repeated in the message.
        qbo_rs.lineage.run(qbo_rs.backfill, secret, START, END, client_secret=secret)
    end = checked(receiver.events[-1])
    assert end["eventType"] == "FAIL"
    assert "unknown entity '***'" in end["run"]["facets"]["errorMessage"]["message"]
    sent = json.dumps(receiver.events)
    assert secret not in sent
    assert all(os.environ[name] not in sent for name in qbo_rs._core.secret_settings() if name in os.environ)


def test_landing_files_are_told_as_files(receiver, tmp_path):
    windows = qbo_rs.chunk_range(START, END, "year")
    landing = qbo_rs.lineage.run(qbo_rs.extract, "customers", windows, out=tmp_path / "landing")
    end = checked(receiver.events[-1])
    [output] = end["outputs"]
    assert output["namespace"] == "file"
    assert output["name"].startswith(str(tmp_path / "landing"))
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == landing.rows == 40
    qbo_rs.lineage.run(qbo_rs.upsert, landing)
    assert list(rows(checked(receiver.events[-1])).values()) == [40]
    # A repeated extract writes no file, and no table either.
    qbo_rs.lineage.run(qbo_rs.extract, "customers", windows, out=tmp_path / "landing", resume=True)
    [again] = checked(receiver.events[-1])["outputs"]
    assert (again["namespace"], again["name"]) == ("file", output["name"])
    assert again["outputFacets"]["outputStatistics"]["rowCount"] == 0


def test_an_extract_that_has_written_nothing_has_no_output(receiver, qbo, tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    qbo.fault("refused", contains="FROM Customer", times=0)
    windows = qbo_rs.chunk_range(START, END, "year")
    landing = qbo_rs.lineage.run(qbo_rs.extract, "customers", windows, out=tmp_path / "landing")
    assert not landing.ok
    end = checked(receiver.events[-1])
    assert end["eventType"] == "FAIL"
    assert [each["name"] for each in end["inputs"]] == ["Customer"]
    assert end["outputs"] == []
    line = ("extract", "customers", "--start", START, "--end", END, "--out", str(tmp_path / "landing"))
    assert command(*line).returncode == 1
    assert checked(receiver.events[-1])["outputs"] == []


def test_nothing_is_sent_unless_a_place_is_configured(receiver, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert not qbo_rs.lineage.is_configured()
    qbo_rs.lineage.run(qbo_rs.backfill, "customers", START, END, "year").raise_for_failures()
    monkeypatch.delenv("OPENLINEAGE_DISABLED")
    monkeypatch.delenv("OPENLINEAGE_URL")
    assert not qbo_rs.lineage.is_configured()
    qbo_rs.lineage.run(qbo_rs.backfill, "customers", START, END, "year").raise_for_failures()
    assert receiver.events == []
    code = "import sys, qbo_rs, qbo_rs.lineage; print('openlineage.client' in sys.modules, 'pyarrow' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("status", [400, 503])
def test_a_receiver_that_refuses_events_fails_no_run(receiver, status, caplog, monkeypatch):
    receiver.status = status
    monkeypatch.setenv(
        "OPENLINEAGE__TRANSPORT", json.dumps({"type": "http", "url": receiver.url, "retry": {"total": 0}})
    )
    qbo_rs.lineage.run(qbo_rs.backfill, "customers", START, END, "year").raise_for_failures()
    warned = [record.message for record in caplog.records if record.name == "qbo_rs.lineage"]
    assert [text.partition(":")[0] for text in warned] == [
        "OpenLineage did not take the event START of backfill.customers",
        "OpenLineage did not take the event COMPLETE of backfill.customers",
    ]


@pytest.mark.usefixtures("one_company")
def test_events_can_go_to_a_file(tmp_path, monkeypatch):
    events = tmp_path / "events.jsonl"
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(transport))
    qbo_rs.lineage.run(qbo_rs.backfill, "customers", START, END, "year")
    assert [checked(json.loads(line))["eventType"] for line in events.read_text().splitlines()] == ["START", "COMPLETE"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "qbo_rs.lineage", *arguments]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)


def test_the_command_tells_its_runs(receiver, database, monkeypatch):
    range_ = ("--start", START, "--end", END, "--chunk", "year")
    done = command("backfill", "customers,items", *range_, "--schema", "books")
    assert done.returncode == 0, done.stderr
    assert [run["totals"]["rows"] for run in json.loads(done.stdout)["runs"]] == [40, 20]
    assert "customers: 2 windows, 40 rows" in done.stderr
    start, end = map(checked, receiver.events)
    assert (start["eventType"], end["eventType"], end["job"]["name"]) == ("START", "COMPLETE", "backfill")
    name = database.url.rpartition("/")[2]
    assert rows(end) == {f"{name}.books.qb_customers": 40, f"{name}.books.qb_items": 20}

    wrong = command("backfill", "customerz", *range_)
    assert wrong.returncode == 2
    assert "unknown entity 'customerz'" in wrong.stderr
    end = checked(receiver.events[-1])
    assert (end["eventType"], end["job"]["name"]) == ("FAIL", "backfill.customerz")
    assert end["run"]["facets"]["errorMessage"]["message"] == "unknown entity 'customerz'"
    before = len(receiver.events)
    for refused in (("status",), ("sync", "--every", "5m"), ("sync", "--env-file", "x")):
        assert command(*refused).returncode == 2
    monkeypatch.setenv("QBO_ENV_FILE", "x")
    done = command("sync")
    assert done.returncode == 2
    assert "error: QBO_ENV_FILE does not go with events" in done.stderr
    assert len(receiver.events) == before


def test_a_command_that_is_stopped_is_told_as_aborted(receiver, qbo):
    qbo.fault("hang", on="query", times=0)
    arguments = ("backfill", "invoices", "--start", START, "--end", END)
    with subprocess.Popen(
        [sys.executable, "-m", "qbo_rs.lineage", *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        for line in running.stderr:
            if "reading" in line:
                break
        running.terminate()
        running.communicate(timeout=60)
    assert running.returncode in (130, 143)
    assert [checked(event)["eventType"] for event in receiver.events] == ["START", "ABORT"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://me:p%40ss@db.example:6543/books?sslmode=require", ("postgres://db.example:6543", "books")),
        ("host=db port=6000 dbname='books' password='it\\'s'", ("postgres://db:6000", "books")),
        ("postgresql:///books?host=/run/postgresql", ("postgres:///run/postgresql:5432", "books")),
        # Postgres takes the name of the user.
        ("postgresql://books:pass@db", ("postgres://db:5432", "books")),
        ("postgresql://db?user=books", ("postgres://db:5432", "books")),
        ("host=db user=books", ("postgres://db:5432", "books")),
        # The core refuses these, so nothing is written anywhere.
        ("postgres://me:p@ss@db/books", ("postgres://", "")),
        ("host=db dbname='books' password='it''s'", ("postgres://", "")),
    ],
)
def test_a_database_is_named_without_user_and_password(address, expected, monkeypatch):
    from qbo_rs.lineage._database import database_of

    monkeypatch.setenv("DATABASE_URL", address)
    found = database_of({})
    assert (found.namespace, found.name) == expected
    parts = database_of({"pg_host": "other", "pg_db": "theirs", "pg_user": "me"})
    assert (parts.namespace, parts.name) == ("postgres://other:5432", "theirs")
    # The core refuses a part beside the whole address of the environment, and writes nowhere.
    assert database_of({"pg_db": "theirs"}).name == ""


@pytest.mark.usefixtures("one_company")
def test_the_command_prints_its_object_without_a_place_for_events():
    for arguments in (("sync", "terms"), ("sync", "terms", "--json")):
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
        assert [account["status"] for account in json.loads(done.stdout)["accounts"]] == ["ok"]
    assert command("status").returncode == 2


@pytest.mark.parametrize("verb", [qbo_rs.verify, qbo_rs.status, qbo_rs.sync_async, qbo_rs.records])
def test_a_verb_without_events_is_refused_before_anything_is_sent(receiver, verb, monkeypatch):
    for _ in range(2):
        with pytest.raises(
            qbo_rs.ConfigError, match="has no events; those with events are backfill, extract, upsert, "
        ):
            qbo_rs.lineage.run(verb, "terms", START, END)
        assert receiver.events == []
        # Nor without a place for events: what runs on one machine runs on all.
        monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
