"""The command line."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from conftest import COMMAND, ROOT, VARIABLES, report_of

import qbo_rs

RANGE = ["--start", "2024-01-01T00:00:00Z", "--end", "2026-01-01T00:00:00Z"]


def test_backfill_prints_the_documented_json(run, database):
    arguments = ["--start", "2024-01-01T00:00:00Z", "--end", "2024-02-01T00:00:00Z", "--json"]
    process = run("backfill", "customers", *arguments)
    assert process.returncode == 0
    (run_report,) = report_of(process)["runs"]
    assert list(run_report) == ["entity", "realm_id", "run_id", "status", "windows", "totals"]
    assert list(run_report["windows"][0]) == (
        [
            "start",
            "end",
            "status",
            "pages",
            "rows",
            "inserted",
            "updated",
            "unchanged",
            "rejected",
            "requests",
            "retries",
            "duration_ms",
            "error",
        ]
    )
    assert (run_report["windows"][0]["start"], run_report["windows"][0]["end"]) == (
        "2024-01-01T00:00:00Z",
        "2024-01-02T00:00:00Z",
    )
    totals = run_report["totals"]
    assert (totals["windows"], totals["inserted"]) == (31, totals["rows"])
    assert database.query("SELECT count(*) FROM raw.qb_customers") == [(totals["rows"],)]


def test_the_default_output_is_a_table_and_log_lines(run):
    process = run("backfill", "customers", "items", *RANGE, "--chunk", "year")
    sentence, header, customers, items, read, requests, following = process.stdout.splitlines()
    assert re.fullmatch(r"Done in [\d.]+ s: 100 rows are in step, 100 of them new\.", sentence)
    assert header.split() == ["entity", "rows", "new"]
    assert customers.split() == ["customers", "60", "60"]
    assert items.split() == ["items", "40", "40"]
    assert read == "Read 2024-01-01 up to, not including, 2026-01-01 (UTC)"
    assert re.fullmatch(r"\d+ requests? · \d+ of 500,000 reads this month", requests)
    assert following.startswith("Next: qbo-rs ")
    assert " customers [2024-01-01T00:00:00Z, 2025-01-01T00:00:00Z): done" in process.stderr


def test_the_spanish_names_of_the_range_are_accepted(run):
    process = run(
        "backfill", "items", "--fecha-inicio", "2024-01-01", "--fecha-fin", "2026-01-01", "--chunk", "year", "--json"
    )
    assert report_of(process)["runs"][0]["totals"]["rows"] == 40


def test_json_logs_are_one_object_per_line(run):
    process = run("backfill", "items", *RANGE, "--chunk", "year", "--log-format", "json", "--json")
    events = [json.loads(line) for line in process.stderr.splitlines()]
    assert {event["phase"] for event in events} == {"auth", "extract", "load"}, events
    done = sorted(
        (event for event in events if event["event"] == "window_done"), key=lambda event: event["window_start"]
    )
    assert [event["window_start"] for event in done] == ["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]
    assert {(event["level"], event["entity"]) for event in done} == {("info", "items")}
    assert sum(event["rows"] for event in done) == 40
    assert report_of(process)


BAD = [
    (["--start", "2025-02-01", "--end", "2025-01-01"], {}, "--end: '2025-01-01' is not after --start '2025-02-01'"),
    (["--start", "01/02/2025", "--end", "2025-03-01"], {}, "start: cannot read '01/02/2025' as a date"),
    ([*RANGE, "--chunk", "fortnight"], {}, "error: unknown chunk 'fortnight'"),
    ([*RANGE, "--page-size", "1001"], {}, "--page-size: 1001 is not between 1 and 1000"),
    ([*RANGE, "--page-size", "ten"], {}, "--page-size: 'ten' is not between 1 and 1000"),
    (["--start", "2025-01-01"], {}, "error: --start has no end"),
    (["--end", "2025-01-01"], {}, "error: the range has no --start"),
    ([], {}, "error: no range is named"),
    (["--month", "2025"], {}, "month: cannot read '2025'"),
    ([*RANGE, "--tz", "America/Guayaqil"], {}, "tz: 'America/Guayaqil' is not a zone"),
    ([*RANGE, "--no-such-flag"], {}, "unexpected argument '--no-such-flag'"),
    ([*RANGE, "--schema", "qbo"], {}, "schema: 'qbo' is taken by the ledger"),
    (RANGE, {"QBO_REALM_ID": None, "QBO_CLIENT_SECRET": ""}, "QBO_CLIENT_SECRET, QBO_REALM_ID: not set"),
    (RANGE, {"QBO_REALM_ID": "../x"}, "QBO_REALM_ID: '../x' is not a company id"),
    (RANGE, {"PG_HOST": None}, "PG_HOST: not set, nor is DATABASE_URL"),
    (RANGE, {"PG_PORT": "1"}, "PG_HOST: cannot connect to Postgres at 127.0.0.1:1"),
    (RANGE, {"PG_PASSWORD": "wrong"}, "PG_PASSWORD: cannot connect"),
    (RANGE, {"PG_DB": "nowhere"}, "PG_DB: cannot connect"),
    (RANGE, {"DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/d"}, "DATABASE_URL: cannot connect"),
    (RANGE, {"QBO_REQUESTS_PER_SECOND": "fast"}, "QBO_REQUESTS_PER_SECOND: 'fast' is not a whole number"),
    (RANGE, {"QBO_API_URL": "quickbooks"}, "QBO_API_URL: 'quickbooks' is not an http or https URL"),
    (RANGE, {"QBO_ENVIRONMENT": "staging"}, "QBO_ENVIRONMENT: 'staging' is neither sandbox nor production"),
]


@pytest.mark.parametrize(("arguments", "environment", "words"), BAD, ids=[words for _, _, words in BAD])
def test_bad_input_is_an_error_in_parts_exit_2_and_no_request(run, qbo, arguments, environment, words):
    process = run("backfill", "customers", *arguments, **environment)
    assert process.returncode == 2
    assert process.stdout == ""
    first, *more = process.stderr.splitlines()
    assert first.startswith("error: ")
    assert words in first
    if "--no-such-flag" in arguments:
        assert "Usage: qbo-rs backfill" in process.stderr
        assert more[-1] == "For more information, try '--help'."
    else:
        assert all(line.startswith("  ") for line in more), more
    for secret in ("hush", "wrong", qbo.environment["QBO_CLIENT_SECRET"]):
        assert secret not in process.stderr
    assert (qbo.stats()["token_requests"], qbo.stats()["data_requests"]) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["sync"], {"QBO_TOKEN_KEY": "short"}, "QBO_TOKEN_KEY: is not 32 bytes in base64"),
        (["status", "--schema", "qbo"], {}, "schema: 'qbo' is taken by the ledger"),
    ],
    ids=["sync", "status"],
)
def test_unusable_settings_of_sync_and_status_are_exit_2_and_no_request(run, qbo, arguments, environment, words):
    process = run(*arguments, **environment)
    assert process.returncode == 2
    assert words in process.stderr
    assert qbo.stats()["token_requests"] == 0


def test_an_unknown_entity_is_answered_by_a_guess(run, qbo):
    process = run("backfill", "custmers", *RANGE)
    known = len(qbo_rs.entities())
    assert process.stderr == (
        f"error: unknown entity 'custmers'\n  did you mean 'customers'? (all {known}: qbo-rs entities)\n"
    )
    assert process.returncode == 2
    assert qbo.stats()["token_requests"] == 0


@pytest.mark.parametrize(
    ("arguments", "expected", "hint"),
    [
        (["backfill", "custmers", *RANGE], ("config", "entity", "unknown entity 'custmers'"), "'customers'"),
        (["backfill", "items", "--last", "90"], ("config", "last", "cannot read '90'"), "write 90d"),
        (["backfil"], ("usage", "backfil", "unrecognized subcommand 'backfil'"), "'backfill'"),
        (["backfill", "items", "--chnk"], ("usage", "--chnk", "unexpected argument '--chnk' found"), "'--chunk'"),
    ],
    ids=["entity", "range", "command", "flag"],
)
def test_with_json_an_error_is_one_object(run, arguments, expected, hint):
    process = run(*arguments, "--json")
    assert process.returncode == 2
    error = report_of(process)["error"]
    assert (error["kind"], error["setting"], error["message"]) == expected
    assert hint in error["hint"]
    assert process.stderr.startswith("error: ")


def test_a_variable_that_is_nearly_a_setting_is_warned_of(run):
    process = run("entities", QBO_CLIENTID="hush", QBO_POSTGRES_BIN="/usr/bin")
    assert "QBO_CLIENTID is no setting, and nothing reads it; did you mean QBO_CLIENT_ID?" in process.stderr
    assert process.stderr.count("\n") == 1
    assert "hush" not in process.stderr


def test_entities_are_understood_in_lists_in_spanish_and_all_at_once(run, qbo):
    line = ["backfill", "artículos,Item", "Facturas", "--month", "2024-01", "--dry-run", "--json"]
    assert [one["entity"] for one in report_of(run(*line))["runs"]] == ["items", "invoices"]
    everything = report_of(run("backfill", "all", "--month", "2024-01", "--dry-run", "--json"))
    entities = {one["entity"] for one in everything["runs"]}
    assert {"items", "tax_classifications"} <= entities < set(qbo_rs.entities())
    assert "change_orders" not in entities
    assert qbo.stats()["token_requests"] == 0


def test_windows_of_a_zone_begin_at_its_midnight(run):
    line = ["backfill", "items", "--dry-run", "--json", "--tz", "America/New_York"]
    [march] = report_of(run(*line, "--month", "2025-03"))["runs"]
    bounds = [(window["start"], window["end"]) for window in march["windows"]]
    assert (len(bounds), bounds[0][0], bounds[-1][1]) == (31, "2025-03-01T05:00:00Z", "2025-04-01T04:00:00Z")
    assert ("2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z") in bounds
    [days] = report_of(run(*line, "--start", "-2d", "--through", "yesterday"))["runs"]
    assert len(days["windows"]) == 2


def test_records_go_to_stdout_and_nothing_else(run, qbo):
    line = ["extract", "items", *RANGE, "--chunk", "year", "--out", "-"]
    process = run(*line, "-q")
    assert (process.returncode, process.stderr) == (0, "")
    records = [json.loads(record) for record in process.stdout.splitlines()]
    assert {record["id"] for record in records} == set(qbo.truth("Item", "2024-01-01", "2026-01-01"))
    refused = run(*line, "--json")
    assert (refused.returncode, report_of(refused)["error"]["setting"]) == (2, "out")
    qbo.fault("forbidden", on="query", times=0)
    failed = run(*line)
    assert (failed.returncode, failed.stdout) == (1, "")


def test_quiet_and_verbose_change_what_is_logged(run):
    line = ["backfill", "items", *RANGE, "--chunk", "year"]
    assert " INFO " in run(*line).stderr
    assert run(*line, "-q").stderr == ""
    assert " DEBUG " in run(*line, "-v").stderr
    assert run(*line, "-q", "-v").returncode == 2


def test_colours_are_for_terminals_and_those_who_ask(run):
    for flags, environment, has_colours in (
        ([], {}, False),
        (["--color", "always"], {}, True),
        ([], {"CLICOLOR_FORCE": "1"}, True),
        ([], {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
        (["--color=never"], {"CLICOLOR_FORCE": "1"}, False),
    ):
        for wrong in (["backfill", "custmers", *RANGE], ["backfil"]):
            process = run(*wrong, *flags, **environment)
            assert ("\x1b[" in process.stderr) == has_colours, (wrong, flags, environment)


def test_a_shell_completes_commands_entities_and_reports(tmp_path):
    script = tmp_path / "qbo-rs.bash"
    made = subprocess.run([COMMAND, "completion", "bash"], capture_output=True, text=True, timeout=30, check=True)
    script.write_text(made.stdout)
    for words, word in (
        ("backfi", "backfill"),
        ("backfill items journal_", "journal_entries"),
        ("reports TrialB", "TrialBalance"),
    ):
        line = f"source {script}; COMP_WORDS=(qbo-rs {words}); COMP_CWORD={words.count(' ') + 1}; "
        line += '_qbo__rs qbo-rs "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"; echo "${COMPREPLY[@]}"'
        shell = subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, timeout=30, check=True)
        assert word in shell.stdout.split(), (words, shell.stdout)


def test_refused_credentials_are_exit_2(run, qbo):
    process = run("backfill", "customers", *RANGE, QBO_CLIENT_SECRET="not-the-secret")
    assert process.returncode == 2
    assert "error: credentials refused: the token endpoint said invalid_client" in process.stderr
    assert "not-the-secret" not in process.stderr
    assert qbo.stats()["data_requests"] == 0


def test_a_rejected_record_is_exit_1_and_its_window_is_done(run, qbo, database):
    qbo.corrupt("Customer", "7", "nul")
    process = run("backfill", "customers", *RANGE, "--chunk", "month", "--json")
    assert process.returncode == 1
    (run_report,) = report_of(process)["runs"]
    assert (run_report["status"], run_report["totals"]["rejected"]) == ("ok", 1)
    assert database.query("SELECT id FROM qbo.rejects") == [("7",)]
    assert database.query("SELECT count(*) FROM raw.qb_customers") == [(59,)]
    table = run("backfill", "customers", *RANGE, "--chunk", "month").stdout
    assert "but 1 record was set aside: 59 rows are in step." in table
    assert table.endswith("Next: qbo-rs rejects customers\n")


def test_a_failed_window_is_exit_1_and_the_others_are_committed(run, qbo, database):
    qbo.fault("throttle", status=400, format="empty", contains="Time >= '2024-03-01", times=0)
    process = run("backfill", "customers", *RANGE, "--chunk", "month", "--strict-windows", "--json")
    assert process.returncode == 1
    (run_report,) = report_of(process)["runs"]
    assert run_report["status"] == "partial"
    failed = [window for window in run_report["windows"] if window["status"] == "failed"]
    assert [window["start"] for window in failed] == ["2024-03-01T00:00:00Z"]
    assert "HTTP 400" in failed[0]["error"]
    assert database.query("SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL") == [(23,)]


def test_verify_reports_differences_by_exit_code_and_id(run, database):
    assert run("backfill", "customers", "items", *RANGE, "--chunk", "month").returncode == 0
    same = run("verify", "customers", "items", *RANGE, "--chunk", "month", "--json")
    assert same.returncode == 0
    first, second = report_of(same)["runs"]
    assert (first["status"], first["source"], first["table"], first["different"]) == ("ok", 60, 60, [])
    assert second["entity"] == "items"
    database.execute("DELETE FROM raw.qb_customers WHERE id = '9'")
    differing = run("verify", "customers", *RANGE, "--chunk", "month")
    assert differing.returncode == 1
    assert "customers: 60 in QuickBooks, 59 in the table, 24 windows" in differing.stdout
    assert "1 is missing: 9" in differing.stdout
    repaired = run("verify", "customers", *RANGE, "--chunk", "month", "--repair")
    assert repaired.returncode == 0
    assert "1 window was read again, and nothing differs any more" in repaired.stdout
    assert run("verify", "customers", "--start", "2024-01-01", "--end", "2023-01-01").returncode == 2


def test_extract_and_load(run, database, tmp_path):
    out = str(tmp_path / "landing")
    assert run("extract", "items", *RANGE, "--chunk", "year", "--out", out, PG_HOST=None).returncode == 0
    loaded = report_of(run("load", out, "--json"))
    assert loaded["runs"][0]["totals"]["inserted"] == 40
    again = report_of(run("load", out, "--json"))
    assert again["runs"][0]["totals"]["unchanged"] == 40
    assert database.query("SELECT count(*) FROM raw.qb_items") == [(40,)]


def test_landing_lines_hold_the_metadata_and_the_untouched_payload(run, qbo, tmp_path):
    out = tmp_path / "items.jsonl"
    assert run("extract", "items", *RANGE, "--chunk", "year", "--out", str(out)).returncode == 0
    truth = qbo.truth("Item", "2024-01-01", "2026-01-01")
    lines = out.read_text().splitlines()
    assert len(lines) == 40
    for line in lines:
        record = json.loads(line)
        assert line.endswith('"payload":' + truth[record["id"]] + ',"crc32":"' + record["crc32"] + '"}')
        assert {
            "ingested_at_utc",
            "extract_window_start_utc",
            "extract_window_end_utc",
            "page_number",
            "page_size",
            "request_payload",
        } <= set(record)


def test_dry_run_shows_the_windows_and_resume_skips_them(run, qbo):
    planned = report_of(run("backfill", "items", *RANGE, "--chunk", "quarter", "--dry-run", "--json"))
    found = {(window["status"], window["skip_reason"]) for window in planned["runs"][0]["windows"]}
    assert found == {("skipped", "planned")}
    assert planned["plan"]["requests"] == planned["runs"][0]["plan"]["requests"] == 1
    assert qbo.stats()["token_requests"] == 0
    assert run("backfill", "items", *RANGE, "--chunk", "quarter").returncode == 0
    before = qbo.stats()["data_requests"]
    resumed = report_of(run("backfill", "items", *RANGE, "--chunk", "month", "--resume", "--json"))
    assert resumed["runs"][0]["totals"]["requests"] == 0
    assert {window["skip_reason"] for window in resumed["runs"][0]["windows"]} == {"committed"}
    told = run("backfill", "items", *RANGE, "--chunk", "month", "--resume").stdout
    assert told == "Everything up to 2026-01-01 is committed already (1 entity).\nNo request was sent.\n"
    assert qbo.stats()["data_requests"] == before


def test_a_dry_run_lists_the_windows_for_people(run, qbo):
    # Neither a company nor keys are needed, and without --resume no database.
    nothing = dict.fromkeys(["QBO_REALM_ID", "QBO_CLIENT_ID", "QBO_CLIENT_SECRET", "QBO_REFRESH_TOKEN", "PG_HOST"])
    planned = run("backfill", "items", "customers", *RANGE, "--chunk", "month", "--dry-run", **nothing)
    assert planned.returncode == 0, planned.stderr
    lines = planned.stdout.splitlines()
    assert lines[0] == "Would read 2 entities into schema raw:"
    assert lines[1].split(maxsplit=1) == ["items", "24 windows to read"]
    assert lines[2].strip() == "2024-01-01 .. 2026-01-01"
    assert lines[-1] == "Nothing was sent."
    assert "skipped" not in planned.stdout
    assert run("backfill", "items", "--start", "2024-01-01", "--end", "2025-11-01", "--chunk", "month").returncode == 0
    left = run("backfill", "items", *RANGE, "--chunk", "month", "--resume", "--dry-run").stdout.splitlines()
    assert left[1].split(maxsplit=1) == ["items", "24 windows, 22 committed, 2 to read"]
    assert left[2].strip() == "2025-11-01 .. 2025-12-01, 2025-12-01 .. 2026-01-01"
    before = qbo.stats()["data_requests"]
    counted = run("backfill", "items", *RANGE, "--chunk", "month", "--dry-run", "--estimate")
    assert "24 windows to read, 40 records" in counted.stdout
    assert qbo.stats()["data_requests"] == before + 1
    assert run("backfill", "items", *RANGE, "--estimate").returncode == 2


def test_a_range_in_the_future_is_nothing_to_read_yet(run):
    told = run("backfill", "items", "--start", "2999-01-01", "--end", "2999-02-01", "--chunk", "month").stdout
    assert re.fullmatch(r"Nothing to read yet: the range begins 2999-01-01, in [\d,]+ days\.\n", told)


def test_a_file_of_an_unknown_format_is_refused_before_any_request(run, qbo, tmp_path):
    refused = run("extract", "items", *RANGE, "--out", str(tmp_path / "items.csv"))
    assert (refused.returncode, ".jsonl, .ndjson, .json or .txt" in refused.stderr) == (2, True), refused.stderr
    assert list(tmp_path.iterdir()) == []
    assert qbo.stats()["token_requests"] == 0


def test_ddl_makes_tables_that_a_backfill_accepts(run, database):
    ddl = run("db", "ddl", "--schema", "raw_acme").stdout
    with psycopg.connect(database.url) as connection:
        connection.execute(ddl)
    process = run("backfill", "items", *RANGE, "--chunk", "year", "--schema", "raw_acme")
    assert process.returncode == 0
    assert database.query("SELECT count(*) FROM raw_acme.qb_items") == [(40,)]


def test_the_sandbox_prints_the_settings_of_a_client(run):
    line = [COMMAND, "sandbox", "--port", "0", "--customers", "20"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        for output in process.stdout:
            lines.append(output)
            if output.startswith("#"):
                break
        environment = dict(re.fullmatch(r"export (\w+)=(.*)\n", output).groups() for output in lines[:-1])
        assert "20 Customer" in lines[-1]
        rows = report_of(run("backfill", "customers", *RANGE, "--chunk", "year", "--json", **environment))
        assert rows["runs"][0]["totals"]["rows"] == 20
    finally:
        process.terminate()
        process.stdout.close()
        assert process.wait(timeout=10) == 0


def test_the_sandbox_serves_given_records(run, tmp_path):
    record = {"Id": "7", "SyncToken": "0", "Active": True, "MetaData": {"LastUpdatedTime": "2024-05-05T00:00:00-07:00"}}
    (tmp_path / "answer.json").write_text(json.dumps({"QueryResponse": {"Customer": [record]}}))
    with qbo_rs.sandbox(records=[tmp_path]) as served:
        report = report_of(run("backfill", "customers", *RANGE, "--chunk", "year", "--json", **served.environment))
    assert report["runs"][0]["totals"]["rows"] == 1
    with pytest.raises(qbo_rs.ConfigError, match="cannot read"):
        qbo_rs.sandbox(records=[tmp_path / "none"])


def test_settings_are_the_same_in_the_core_the_types_and_the_documentation():
    names = dict(qbo_rs._core.settings())
    assert set(names.values()) == set(qbo_rs.Settings.__annotations__)
    page = (ROOT / "docs" / "settings.md").read_text()
    in_table = re.findall(r"^\| `([A-Z_]+)` \|", page, flags=re.MULTILINE)
    assert in_table == list(names)


def test_the_readme_tour_runs(database, tmp_path):
    readme = (ROOT / "README.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len(examples) == 2
    (tmp_path / "tour.py").write_text("\n".join(examples))
    line = [sys.executable, "tour.py"]
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment = inherited | database.environment
    process = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert process.returncode == 0, process.stderr
    assert database.query("SELECT count(*) FROM raw.qb_customers") == [(500,)]


@pytest.mark.parametrize("arguments", [[], ["db"]])
def test_a_command_without_a_subcommand_shows_its_help(arguments):
    process = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert process.returncode == 2
    assert "Usage: qbo-rs" in process.stderr
    assert "Commands:" in process.stderr


def test_help_and_version():
    for flags in (["--help"], ["backfill", "--help"], ["--version"]):
        process = subprocess.run([COMMAND, *flags], capture_output=True, text=True, timeout=30, check=False)
        assert process.returncode == 0
        assert process.stdout
    assert Path(COMMAND).exists()


def test_a_terminal_shows_a_bar_and_no_lines(qbo, database):
    # A pseudo-terminal for stderr: the bar is drawn on terminals only.
    ours, theirs = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment = inherited | qbo.environment | database.environment | {"TERM": "xterm"}
    line = [COMMAND, "backfill", "items", *RANGE, "--chunk", "quarter"]
    process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    output, _ = process.communicate(timeout=60)
    drawn = os.read(ours, 65536).decode(errors="replace")
    os.close(ours)
    assert process.returncode == 0
    assert output.startswith(b"Done in ")
    assert re.search(r"items +done +40 rows", drawn), drawn
    assert "INFO" not in drawn
