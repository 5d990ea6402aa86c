"""Text files with many windows, `status`, migration of tables made by hand, and the archive."""

import gzip
import json
import re
import signal
import subprocess
import time

import psycopg
import pytest
from conftest import ROOT, report_of
from test_tokens import environment_of, finish, start

import qbo_rs

YEARS = ("--start", "2024-01-01", "--end", "2026-01-01")


def lines(path):
    if path.suffix == ".zst":
        text = subprocess.run(["zstd", "-dc", str(path)], capture_output=True, text=True, check=True).stdout  # noqa: S607
    elif path.suffix == ".gz":
        text = gzip.decompress(path.read_bytes()).decode()
    else:
        text = path.read_text()
    return [json.loads(line) for line in text.splitlines()]


def without_time(found):
    return [{name: value for name, value in line.items() if name not in ("ingested_at_utc", "crc32")} for line in found]


@pytest.mark.parametrize("ending", [".txt", ".txt.gz", ".jsonl"])
def test_a_text_file_holds_each_window_once_after_repeated_extracts(qbo, run, database, tmp_path, ending):
    path = tmp_path / "data" / f"customers{ending}"
    line = ("extract", "customers", "--out", str(path), "--strict-windows")
    assert run(*line, *YEARS, "--chunk", "month").returncode == 0
    whole = lines(path)
    assert len(whole) == 60
    first = whole[0]
    assert {"id", "payload", "ingested_at_utc", "extract_window_start_utc", "extract_window_end_utc"} <= set(first)
    assert {"page_number", "page_size", "request_payload"} <= set(first)
    # A window in the middle is read again: only its lines are replaced, in their place.
    qbo.edit("Customer", "7", at="2024-03-10T00:00:00Z")
    assert run(*line, "--start", "2024-03-01", "--end", "2024-04-01", "--chunk", "month").returncode == 0
    march = lines(path)
    of_march = [line for line in march if line["extract_window_start_utc"] == "2024-03-01T00:00:00Z"]
    assert "7" in {line["id"] for line in of_march}
    others = [line for line in march if line["extract_window_start_utc"] != "2024-03-01T00:00:00Z"]
    assert others == [line for line in whole if line["extract_window_start_utc"] != "2024-03-01T00:00:00Z"]
    starts = [line["extract_window_start_utc"] for line in march]
    assert starts == sorted(starts)
    # The whole range is read again in larger windows, which replace the small ones.
    assert run(*line, *YEARS, "--chunk", "year").returncode == 0
    years = lines(path)
    assert len(years) == 60
    assert {line["extract_window_start_utc"] for line in years} <= {"2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"}
    again = run(*line, *YEARS, "--chunk", "year")
    assert (again.returncode, without_time(lines(path))) == (0, without_time(years))
    loaded = run("load", str(path), "--json")
    assert report_of(loaded)["runs"][0]["totals"]["inserted"] == 60
    truth = qbo.truth("Customer", "2024-01-01", "2026-01-01")
    assert {id for (id,) in database.query("SELECT id FROM raw.qb_customers")} == set(truth)  # noqa: A001


def test_spanish_closing_lines(run, tmp_path):
    line = ("extract", "customers", "items", "--out", str(tmp_path / "c.txt"), "--lang", "es")
    ended = run(*line, *YEARS, "--chunk", "year")
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[0].startswith("Rango 2024-01-01 a 2025-01-01 -> ")
    assert ended.stdout.splitlines()[0].endswith(" filas")
    assert "Total customers descargadas: 60\n" in ended.stdout
    assert ended.stdout.endswith("Total items descargadas: 40\n")


def test_a_file_without_landing_lines_is_refused_before_any_request(qbo, run, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    ended = run("extract", "customers", "--out", str(path), *YEARS)
    assert (ended.returncode, "holds no landing lines" in ended.stderr) == (2, True)
    assert path.read_text() == "my notes\n"
    assert qbo.stats()["data_requests"] == 0


def test_a_kill_leaves_the_file_unchanged(database, tmp_path):
    with qbo_rs.sandbox(customers=60, items=1, invoices=1, others=0, limits=False, latency_ms=20) as qbo:
        environment = environment_of(qbo, database.environment)
        path = tmp_path / "customers.txt"
        line = ("extract", "customers", "--out", str(path), *YEARS, "--chunk", "month", "--strict-windows")
        begin = time.monotonic()
        assert finish(start(line, environment, tmp_path)).returncode == 0
        whole, before = time.monotonic() - begin, path.read_bytes()
        for part in (0.3, 0.6, 0.9):
            process = start(line, environment, tmp_path)
            time.sleep(whole * part)
            process.send_signal(signal.SIGKILL)
            finish(process)
            assert without_time(lines(path)) == without_time([json.loads(text) for text in before.splitlines()])


def test_status_shows_coverage_and_gaps_in_local_time(run, database):
    assert run("status").stdout == "nothing has been loaded into the schema raw yet\nNext: qbo-rs sync\n"
    assert run("backfill", "customers", "--start", "2024-01-01", "--end", "2024-02-01").returncode == 0
    assert run("backfill", "customers", "--start", "2024-03-01", "--end", "2024-04-01").returncode == 0
    overview = run("status", "--tz", "America/Guayaquil").stdout
    assert "(UTC-5)" in overview.splitlines()[0]
    assert "2024-01-01 .. 2024-02-01 +1  missing 29 days from 2024-02-01" in overview
    command = "qbo-rs backfill customers --start 2024-02-01 --end 2024-03-01 --resume"
    assert overview.splitlines()[-2:] == ["1 needs somebody:", f"  customers  {command}"]
    ended = run("status", "customers", "--empty-days", "--tz", "America/Guayaquil")
    assert ended.returncode == 0
    gap = "[2024-02-01T00:00:00Z = 2024-01-31 19:00:00 -05, 2024-03-01T00:00:00Z = 2024-02-29 19:00:00 -05)"
    assert f"gaps: 29 days\n    {gap}" in ended.stdout
    assert "days without records" in ended.stdout
    report = report_of(run("status", "--json", "--tz", "America/Guayaquil", "customers"))
    (customers,) = report["entities"]
    assert customers["gaps"][0]["start_local"] == "2024-01-31T19:00:00-05:00"
    assert customers["last_run"]["status"] == "ok"
    days = sum(day["end"] > day["start"] for day in customers["empty_days"])
    assert days > 0
    ended = run("status", "--start", "2023-12-30", "--end", "2024-05-01", "--json")
    assert len(report_of(ended)["entities"][0]["gaps"]) == 3
    assert run("status", "--tz", "Guayaquil").returncode == 2
    assert run("status", "--start", "2023-12-30").returncode == 2
    good = run("status", "-v", "--validate")
    assert (good.returncode, good.stdout.count(" ok\n") >= 10) == (0, True), good.stdout
    good = run("status", "--validate").stdout
    assert re.search(r"\n\d\d checks, none wrong\n$", good), good
    database.execute(
        "UPDATE raw.qb_customers SET request_payload = request_payload, page_number = 1, id = id || 'x' "
        "WHERE id = (SELECT min(id) FROM raw.qb_customers)"
    )
    bad = run("status", "--validate")
    assert bad.returncode == 1
    wrong = r"\d\d checks, 1 wrong: customers.wrong_ids \(1\)  -> qbo-rs status customers --validate"
    assert re.fullmatch(wrong, bad.stdout.splitlines()[-1]), bad.stdout
    assert "wrong_ids               1 WRONG" in run("status", "customers", "--validate").stdout


def test_the_validation_file_runs_in_psql(run, database):
    assert (
        run("backfill", "customers", "--start", "2024-01-01", "--end", "2025-01-01", "--chunk", "month").returncode == 0
    )
    text = (ROOT / "docs" / "validation.sql").read_text()
    values = {":table": "raw.qb_customers", ":'schema'": "'raw'", ":'entity'": "'customers'"}
    for name, value in values.items():
        text = text.replace(name, value)
    with psycopg.connect(database.url) as connection:
        for statement in text.split(";\n"):
            if "SELECT" in statement:
                assert connection.execute(statement).fetchall()


def test_migrate_prints_its_sql_or_runs_it(run, database):
    columns = "id varchar(20) PRIMARY KEY, payload json, ingested_at_utc timestamp"
    database.execute(f"CREATE SCHEMA raw; CREATE TABLE raw.qb_customers ({columns})")
    refused = run("backfill", "customers", *YEARS)
    assert (refused.returncode, "`qbo-rs db migrate` upgrades it" in refused.stderr) == (2, True)
    printed = run("db", "migrate", "--print")
    assert printed.stdout.startswith("BEGIN;\n")
    assert printed.stdout.endswith("COMMIT;\n")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(printed.stdout)
    assert run("db", "migrate").stdout == "every table has the right shape\n"
    assert run("backfill", "customers", *YEARS, "--chunk", "year").returncode == 0


def test_archive_moves_old_records_into_a_file_and_load_restores_them(run, database, tmp_path):
    assert run("backfill", "customers", "items", *YEARS, "--chunk", "month").returncode == 0
    before = database.query("SELECT id, payload, extract_window_start_utc FROM raw.qb_customers ORDER BY id")
    path = tmp_path / "old.jsonl.gz"
    line = ("db", "archive", "customers", "items", "--before", "2025-01-01", "--out", str(path))
    archived = run(*line, "--json")
    assert archived.returncode == 0, archived.stderr
    moved = {entity["entity"]: entity["rows"] for entity in report_of(archived)}
    assert moved["customers"] > 10
    assert len(lines(path)) == sum(moved.values())
    assert database.query("SELECT count(*) FROM raw.qb_customers") == [(len(before) - moved["customers"],)]
    none = tmp_path / "none.jsonl"
    nothing = run("db", "archive", "customers", "--before", "2020-01-01", "--out", str(none))
    told = "No record was last changed before 2020-01-01; no file was written\n"
    assert (nothing.returncode, nothing.stdout, none.exists()) == (0, told, False)
    refused = run(*line)
    assert (refused.returncode, "is not written over" in refused.stderr) == (2, True)
    assert run("load", str(path)).returncode == 0
    after = database.query("SELECT id, payload, extract_window_start_utc FROM raw.qb_customers ORDER BY id")
    assert after == before


def test_resume_reports_the_windows_that_it_skips(run):
    line = ("backfill", "items", "--chunk", "month")
    assert run(*line, "--start", "2024-01-01", "--end", "2024-07-01").returncode == 0
    resumed = run(*line, *YEARS, "--resume")
    assert "items: resume skips 6 windows that are committed: [2024-01-01T00:00:00Z, 2024-07-01T00" in resumed.stderr
    assert "; begins with [2024-07-01T00:00:00Z, 2024-08-01T00:00:00Z)" in resumed.stderr
    assert "nothing is left" in run(*line, *YEARS, "--resume").stderr


def test_a_path_without_an_extension_is_a_directory(run, tmp_path):
    assert run("extract", "items", "--out", str(tmp_path / "out"), *YEARS, "--chunk", "year").returncode == 0
    assert len(list((tmp_path / "out").rglob("*.jsonl.zst"))) == 2
