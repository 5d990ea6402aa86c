"""The log lines of the command: their schema, whose they are, and how many there are."""

import json
import logging
import re

import jsonschema
import pytest
from conftest import ROOT

import qbo_rs

RANGE = ("--start", "2024-01-01", "--end", "2025-01-01")
SCHEMA = json.loads((ROOT / "docs/logs.schema.json").read_text())
EVENT = re.compile(r'event = "([a-z_]+)",')


def events_of(process) -> list[dict]:
    return [json.loads(line) for line in process.stderr.splitlines()]


def test_every_line_follows_the_documented_schema(run, qbo):
    qbo.fault("error", on="query", nth=1)
    process = run("backfill", "items", *RANGE, "--log-format", "json", "--log-level", "debug")
    events = events_of(process)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for event in events:
        validator.validate(event)
    assert {"token_refreshed", "request_retried", "window_done", "window_read", "run_finished"} <= {
        event.get("event") for event in events
    }


def test_the_page_names_exactly_the_events_of_the_code():
    page = (ROOT / "docs/logs.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_]+)` \| (?:error|warn|info|debug)", page, re.MULTILINE))
    code = "".join(path.read_text() for path in (ROOT / "src").rglob("*.rs") if path.name != "event.rs")
    written = set(EVENT.findall(code))
    assert len(written) > 30, "this test has gone blind"
    assert documented == written


def test_every_line_names_the_company_and_the_entity(run, qbo):
    qbo.fault("throttle", on="query", nth=1, retry_after=0)
    process = run("backfill", "items", *RANGE, "--log-format", "json", "--log-level", "debug")
    company = qbo.environment["QBO_REALM_ID"]
    events = [event for event in events_of(process) if "event" in event]
    assert any(event["event"] == "request_retried" for event in events)
    for event in events:
        assert event["realm_id"] == company, event
        assert event["message"].startswith(company), event
        assert event["phase"] == "auth" or event["entity"] == "items", event


def test_a_second_backfill_prints_a_first_and_a_last_line_per_entity(run):
    run("backfill", "customers", "items", *RANGE, "--chunk", "day")
    process = run("backfill", "customers", "items", *RANGE, "--chunk", "day")
    # A line of progress comes every ten seconds, however many windows there are.
    lines = [line for line in process.stderr.splitlines() if "access token" not in line and " so far, " not in line]
    assert len(lines) == 4, process.stderr
    assert all("366 windows" in line for line in lines)


def test_a_record_that_is_set_aside_is_one_line(run, qbo):
    qbo.corrupt("Invoice", "7", "processing")
    process = run("backfill", "invoices", "--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "year")
    warnings = [line for line in process.stderr.splitlines() if " WARN " in line]
    assert len(warnings) == 1, process.stderr
    assert "is set aside" in warnings[0]


def test_python_logging_gets_the_fields(settings, caplog):
    with caplog.at_level(logging.DEBUG, logger="qbo_rs"):
        qbo_rs.backfill("items", "2024-01-01", "2026-01-01", "year", **settings)
    done = [record for record in caplog.records if getattr(record, "event", None) == "window_done"]
    assert {record.entity for record in done} == {"items"}
    assert {record.realm_id for record in done} == {settings["realm_id"]}
    assert sum(int(record.rows) for record in done) == 40


def test_an_id_of_two_lines_is_one_line_of_every_log(run, qbo, settings, caplog):
    record = {
        "Id": "7\nCRITICAL forged",
        "SyncToken": "0",
        "DocNumber": "\x00",
        "MetaData": {"CreateTime": "2024-03-02T00:00:00Z", "LastUpdatedTime": "2024-03-02T00:00:00Z"},
    }
    qbo.put("Invoice", record)
    year = ("invoices", "2024-01-01", "2025-01-01", "year")
    with caplog.at_level(logging.INFO, logger="qbo_rs"):
        report = qbo_rs.backfill(*year, **settings)
    assert report.runs[0].totals.rejected == 1
    assert any("CRITICAL forged" in record.getMessage() for record in caplog.records)
    assert not [record for record in caplog.records if "\n" in record.getMessage()]
    shown = run("rejects").stdout
    assert "CRITICAL forged" in shown
    assert not [line for line in shown.splitlines() if line.startswith("CRITICAL")]


@pytest.mark.parametrize("chunk", ["day", "month"])
def test_a_first_backfill_tells_of_windows_with_records_only(run, chunk):
    process = run("backfill", "items", *RANGE, "--chunk", chunk, "--log-format", "json")
    done = [event for event in events_of(process) if event.get("event") == "window_done"]
    assert done
    assert all(event["inserted"] for event in done)
