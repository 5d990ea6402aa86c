"""The last lines of a command that ends with exit code 1, and ``qbo-rs rejects``, which lists the rest."""

import json

import jsonschema
import pytest
from conftest import ROOT, report_of

RANGE = ("--start", "2024-01-01", "--end", "2026-01-01")
MONTHS = (*RANGE, "--chunk", "month")
REST = "qbo-rs rejects"


@pytest.fixture
def many_rejects(qbo):
    """Corrupt twelve customers, in different months, and return their ids."""
    ids = [str(number) for number in range(2, 60, 5)]
    for id_ in ids:
        qbo.corrupt("Customer", id_, "nul")
    return ids


def last_lines(process) -> list[str]:
    """Return the errors and, indented below them, the last line, which says what helps."""
    lines = process.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    return errors + [line for line in lines[-1:] if line.startswith("  ")]


def fail_months(qbo, months):
    """Let the queries of these months fail for good."""
    for month in months:
        qbo.fault("throttle", status=400, format="empty", contains=f"Time >= '{month}-01", times=0)


def test_a_complete_run_has_no_last_lines(run):
    process = run("backfill", "customers", *MONTHS)
    assert (process.returncode, last_lines(process)) == (0, [])
    rejects = run("rejects")
    assert (rejects.returncode, rejects.stdout) == (0, "no record is set aside\n")
    assert report_of(run("rejects", "--json")) == {"rejects": []}


def test_records_that_are_set_aside_are_named_up_to_ten_and_listed_by_a_command(run, many_rejects):
    process = run("backfill", "customers", "items", *MONTHS)
    assert process.returncode == 1
    *records, more, rest = last_lines(process)
    named = [line.split("record ")[1].split(" ")[0] for line in records]
    assert len(named) == 10
    assert set(named) < set(many_rejects)
    assert "2 more records" in more
    assert REST in rest
    assert process.stderr.endswith(rest + "\n")
    rejects = report_of(run("rejects", "--json"))["rejects"]
    assert {reject["id"] for reject in rejects} == set(many_rejects)
    first = rejects[0]
    assert (first["entity"], first["schema"]) == ("customers", "raw")
    assert first["window_start"] <= first["changed_at"] < first["window_end"]
    assert first["error"]
    assert {"intuit_tid", "rejected_at", "run_id", "realm_id"} <= set(first)
    count, *listed = run("rejects", "clientes").stdout.splitlines()
    assert count == "12 records are set aside"
    assert {line.split(":")[0] for line in listed[:24:2]} == {f"customers {id_}" for id_ in many_rejects}
    assert all(line.startswith("  ") for line in listed[1:24:2])
    start, end = (min(r["window_start"] for r in rejects), max(r["window_end"] for r in rejects))
    assert listed[24:] == [
        "Once the cause is mended, read their windows again:",
        f"  qbo-rs backfill customers --start {start} --end {end} --schema raw --realm-id {first['realm_id']}",
    ]
    assert run("rejects", "items").stdout == "no record is set aside\n"
    assert run("rejects", "--schema", "raw_other").stdout == "no record is set aside\n"
    half = report_of(run("rejects", "--json", "--start", "2024-01-01", "--end", first["window_end"]))["rejects"]
    assert 0 < len(half) < 12
    for wrong in (["--start", "2024-01-01"], ["customerz"], ["--start", "soon", "--end", "2025-01-01"]):
        assert run("rejects", *wrong).returncode == 2


def test_failed_windows_are_named_up_to_ten_and_counted(run, qbo):
    months = [f"2024-{month:02d}" for month in range(1, 13)]
    fail_months(qbo, months)
    process = run("backfill", "customers", *MONTHS, "--strict-windows", "--json")
    assert process.returncode == 1
    assert report_of(process)
    *windows, more, rest = last_lines(process)
    assert [f"[{month}-01T00:00:00Z" in line for month, line in zip(months, windows, strict=False)] == [True] * 10
    assert "HTTP 400" in windows[0]
    assert all(line.endswith(": failed, for the same reason") for line in windows[1:]), windows
    assert "2 more failures" in more
    # Nothing is set aside.
    assert (REST in rest, "qbo-rs status" in rest) == (False, True), rest


def test_a_window_that_fails_because_of_its_records_names_them(run, many_rejects):
    process = run("backfill", "customers", *RANGE, "--chunk", "9999d", "--json")
    assert process.returncode == 1
    [run_report] = report_of(process)["runs"]
    assert (run_report["status"], run_report["totals"]["rejected"]) == ("failed", len(many_rejects))
    window, *records, more, rest = last_lines(process)
    assert "12 records" in window
    named = [line.split("record ")[1].split(" ")[0] for line in records]
    assert len(named) == 10
    assert set(named) < set(many_rejects)
    assert "2 more records" in more
    assert REST in rest


def test_a_run_that_ends_early_is_explained_in_few_lines(run, qbo):
    qbo.fault("forbidden", on="query", times=0)
    process = run("backfill", "customers", *RANGE, "--chunk", "day", "--strict-windows")
    assert process.returncode == 1
    lines = last_lines(process)
    assert len(lines) <= 12
    # The reason is told once, and the summary has the number of windows.
    assert sum("3100" in line for line in lines) == 1, lines
    assert "3100" not in process.stdout
    assert "731 of 731 windows failed" in process.stdout, process.stdout


def test_the_last_line_fits_the_cause(run, qbo, database):
    assert run("backfill", "customers", *MONTHS).returncode == 0
    database.execute("DELETE FROM raw.qb_customers WHERE id = '2'")
    rest = last_lines(run("verify", "customers", *MONTHS))[-1]
    assert ("--repair" in rest, "--json" in rest, REST in rest, "qbo-rs status" in rest) == (True, True, False, False)
    assert run("verify", "customers", *MONTHS, "--repair").returncode == 0
    qbo.corrupt("Customer", "7", "nul")
    assert run("backfill", "customers", *MONTHS).returncode == 1
    assert REST in last_lines(run("verify", "customers", *MONTHS))[-1]
    # Nothing of a refused connection is to be found in the database.
    qbo.fault("forbidden", on="query", times=0)
    rest = last_lines(run("backfill", "items", *MONTHS))[-1]
    assert ("--resume" in rest, "qbo-rs auth status" in rest, REST in rest) == (True, True, False), rest


@pytest.mark.parametrize("arguments", [(), ("--log-level", "off")], ids=["default", "off"])
def test_in_json_every_line_is_an_object(run, many_rejects, qbo, arguments):
    fail_months(qbo, ["2024-03"])
    process = run("backfill", "customers", *MONTHS, "--strict-windows", "--json", "--log-format", "json", *arguments)
    assert process.returncode == 1
    assert report_of(process)
    validator = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/logs.schema.json").read_text()))
    events = [json.loads(line) for line in process.stderr.splitlines()]
    for event in events:
        validator.validate(event)
    *_, rest = events
    assert (rest["event"], REST in rest["message"]) == ("rest_shown_by", True)
    [window] = [event for event in events if event["event"] == "failure_named"]
    assert (window["entity"], window["window_start"]) == ("customers", "2024-03-01T00:00:00Z")
    records = [event for event in events if event["event"] == "reject_named"]
    assert len(records) == 10
    assert {record["id"] for record in records} < set(many_rejects)
    assert all(record["realm_id"] == qbo.environment["QBO_REALM_ID"] for record in records)


def test_an_error_before_any_request_is_an_object_too(run):
    process = run("backfill", "customers", *RANGE, "--log-format", "json", QBO_CLIENT_SECRET="wrong")
    assert process.returncode == 2
    *_, last = [json.loads(line) for line in process.stderr.splitlines()]
    assert (last["event"], "invalid_client" in last["message"]) == ("command_failed", True)


def test_extract_and_load_name_their_records(run, qbo, tmp_path):
    qbo.corrupt("Customer", "7", "processing")
    out = str(tmp_path / "landing")
    extracted = run("extract", "customers", *MONTHS, "--out", out, PG_HOST=None)
    assert extracted.returncode == 1
    assert "record of unknown id is set aside" in last_lines(extracted)[0]
    assert "landing files" in last_lines(extracted)[-1]
    spanish = run("extract", "customers", *MONTHS, "--out", out, "--lang", "es", PG_HOST=None)
    assert "registro de id desconocido apartado" in last_lines(spanish)[0]
    loaded = run("load", out)
    assert loaded.returncode == 1
    assert "is set aside" in last_lines(loaded)[0]
    assert REST in last_lines(loaded)[-1]


def test_verify_names_windows_that_differ_and_records(run, qbo, database):
    qbo.corrupt("Customer", "7", "nul")
    assert run("backfill", "customers", *MONTHS).returncode == 1
    database.execute("DELETE FROM raw.qb_customers WHERE id = '9'")
    process = run("verify", "customers", *MONTHS)
    assert process.returncode == 1
    lines = last_lines(process)
    assert any("differs" in line and "missing" in line for line in lines), lines
    assert any("record 7 is set aside" in line for line in lines), lines
    assert REST in lines[-1]


def test_sync_names_entities_and_records(run, qbo):
    qbo.corrupt("Customer", "7", "nul")
    qbo.fault("throttle", status=400, format="empty", contains="FROM Item", times=0)
    process = run("sync", "customers", "items", "invoices", "--json")
    assert process.returncode == 1
    assert report_of(process)
    lines = last_lines(process)
    assert any(" items: failed: " in line for line in lines), lines
    assert any("record 7 is set aside" in line for line in lines), lines
    assert REST in lines[-1]
