"""Pipelines run by ``mage run``, without a server."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from companies import keywords
from conftest import PIPELINES, RANGE

import qbo_rs

pytestmark = pytest.mark.timeout(600)
# All columns except the time of the load.
COLUMNS = (
    "id, payload::text, extract_window_start_utc, extract_window_end_utc, page_number, page_size, request_payload::text"
)


def rows(database, table: str) -> list[tuple]:
    return database.query(f"SELECT {COLUMNS} FROM {table} ORDER BY id")


def test_each_pipeline_loads_the_same_rows_as_the_command(mage, qbo, database):
    for pipeline in PIPELINES:
        done = mage.run(pipeline, **RANGE, chunk="month", page_size=200)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        print(done.stdout[-5000:])
    connection = database.settings | keywords(qbo)
    entities = [pipeline.split("_")[1] for pipeline in PIPELINES]
    report = qbo_rs.backfill(
        entities, *RANGE.values(), "month", 200, schema="raw_cli", token_store="postgres", **connection
    )
    report.raise_for_failures()
    for entity in entities:
        assert rows(database, f"raw.qb_{entity}") == rows(database, f"raw_cli.qb_{entity}")
        assert len(rows(database, f"raw.qb_{entity}")) == report_rows(report, entity)
    assert report.rows == 700


def report_rows(report, entity: str) -> int:
    return next(run.totals.rows for run in report.runs if run.entity == entity)


def text_of(done) -> str:
    """Return the output without the line breaks that Mage's command inserts."""
    return " ".join((done.stdout + done.stderr).split())


def closing_line(done) -> str:
    """Return the text of the line with which a pipeline ends."""
    [line] = [line for line in done.stdout.splitlines() if "pipeline_finished" in line]
    return json.loads(line[line.index("{") :])["message"]


def test_a_missing_secret_is_named(bare_mage, secrets):
    # Mage's templates turn a missing secret into the text 'None'.
    bare_mage.create_secrets({**secrets, "QBO_REALM_ID": "None"} | {"QBO_CLIENT_ID": " "})
    done = bare_mage.run(PIPELINES[0], **RANGE)
    assert done.returncode == 1
    expected = "QBO_CLIENT_ID, QBO_REALM_ID: not set, neither as a Mage Secret nor in the environment"
    assert expected in text_of(done)


def test_secrets_may_have_lower_case_names_and_override_the_environment(bare_mage, secrets, database):
    old = {"QBO_CLIENT_ID": "qb_client_id", "QBO_CLIENT_SECRET": "qb_client_secret", "QBO_REALM_ID": "qb_realm_id"}
    old |= {"QBO_REFRESH_TOKEN": "qbo_refresh_token", "PG_HOST": "pg_host", "PG_PASSWORD": "pg_password"}
    bare_mage.create_secrets({old.get(name, name): value for name, value in secrets.items()})
    bare_mage.environment |= {"QBO_CLIENT_ID": "another", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    done = bare_mage.run(PIPELINES[2], **RANGE, chunk="year")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert database.query("SELECT count(*) FROM raw.qb_items") == [(40,)]
    # The first token expired with its first use; the next run takes the new one from the database.
    done = bare_mage.run(PIPELINES[2], **RANGE, chunk="year")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "0 inserted, 0 updated, 40 unchanged" in done.stdout
    assert not any(
        value in done.stdout + done.stderr for value in (secrets["QBO_CLIENT_SECRET"], secrets["PG_PASSWORD"])
    )


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"fecha_inicio": "31/01/2024"}, "fecha_inicio: cannot read '31/01/2024' as a date"),
        (
            {"fecha_inicio": "31/01/2024"},
            "fecha_inicio: no se puede leer '31/01/2024' como fecha; ¿quiso decir 2024-01-31?",
        ),
        ({"fecha_fin": "None"}, "fecha_fin: missing"),
        ({"zona": "Quito"}, "zona: unknown time zone 'Quito'"),
        ({"fecha_fin": "2024-01-01"}, "fecha_fin: '2024-01-01' is not after fecha_inicio '2024-01-01T00:00:00Z'"),
        ({"chunk": "fortnight", "page_size": 5000}, "chunk: unknown chunk 'fortnight'"),
        ({"chunk": "fortnight", "page_size": 5000}, "page_size: '5000' is not between 1 and 1000"),
        ({"page_size": "many", "resume": "perhaps"}, "page_size: 'many' is not between"),
        ({"page_size": "many", "resume": "perhaps"}, "resume: 'perhaps' is neither true nor false"),
    ],
)
def test_unusable_variables_are_named(mage, qbo, variables, message):
    done = mage.run(PIPELINES[1], **RANGE | variables)
    assert done.returncode == 1
    assert message in text_of(done)
    assert "query" not in str(qbo.stats()["requests"])


def test_resume_skips_committed_windows(mage, database):
    assert mage.run(PIPELINES[1], fecha_inicio="2024-01-01", fecha_fin="2025-01-01", chunk="month").returncode == 0
    first = database.query("SELECT count(*) FROM raw.qb_invoices")[0][0]
    done = mage.run(PIPELINES[1], **RANGE, chunk="quarter", resume="true")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "8 windows of quarter, 4 to read" in done.stdout
    closing = closing_line(done)
    assert closing.startswith(f"{600 - first} rows · {600 - first} inserted, 0 updated, 0 unchanged, 0 rejected · ")
    assert "4 windows, 4 pages" in closing
    done = mage.run(PIPELINES[1], **RANGE, chunk="day", resume=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "731 windows of day, 0 to read" in done.stdout
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(600,)]


def test_a_range_of_a_zone_is_that_of_its_days(mage, qbo, database):
    guayaquil = {"zona": "America/Guayaquil", "fecha_inicio": "2024-01-01", "fecha_fin": "2024-03-01"}
    done = mage.run(PIPELINES[1], **guayaquil, chunk="month")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    bounds = "SELECT window_start_utc::text, window_end_utc::text FROM qbo.windows ORDER BY 1"
    with psycopg.connect(database.url) as connection:
        connection.execute("SET TIME ZONE 'America/Guayaquil'")
        midnights = [f"2024-0{month}-01 00:00:00-05" for month in (1, 2, 3)]
        assert connection.execute(bounds).fetchall() == list(pairwise(midnights))
    truth = qbo.truth("Invoice", "2024-01-01T05:00:00Z", "2024-03-01T05:00:00Z")
    assert {id for (id,) in database.query("SELECT id FROM raw.qb_invoices")} == set(truth)  # noqa: A001
    assert "last day 2024-02-29" in done.stdout
    lines = [json.loads(line[line.index("{") :]) for line in done.stdout.splitlines() if '"window_done"' in line]
    # Two windows load side by side, so either may be done first.
    loaded = sorted((line for line in lines if line["phase"] == "load"), key=lambda line: line["window_start"])
    assert len(loaded) == 2
    for line, month in zip(loaded, ("2024-01", "2024-02"), strict=True):
        assert line["message"].startswith(f"{line['rows']} rows · invoices {month} · {line['rows']} inserted, ")
        assert line["window_start_local"] == f"{month}-01 00:00 America/Guayaquil"
        assert line["window_start"] == f"{month}-01T05:00:00Z"


def test_one_command_makes_a_new_pipeline(mage, qbo, database):
    command = str(Path(sys.executable).parent / "qbo-rs")
    made = mage.python(command, "mage", "new-pipeline", "vendors", "--project", str(mage.project))
    assert made.returncode == 0, made.stderr
    again = mage.python(command, "mage", "new-pipeline", "vendors", "--project", str(mage.project))
    assert again.returncode == 2
    assert "exists" in again.stderr
    done = mage.run("qb_vendors_backfill", **RANGE, chunk="year")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    truth = qbo.truth("Vendor", "2024-01-01", "2026-01-01")
    assert database.query("SELECT count(*) FROM raw.qb_vendors") == [(len(truth),)]
    assert len(truth) > 0


def test_a_range_that_reaches_into_the_future_is_read_up_to_now(mage, qbo, database):
    [edited] = [qbo.edit("Invoice", "oldest")]
    done = mage.run(PIPELINES[1], fecha_inicio="2024-01-01", fecha_fin="2999-01-01", chunk="year")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    # A record that was saved a moment ago is left to the next run, which resumes there.
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(599,)]
    assert database.query(f"SELECT count(*) FROM raw.qb_invoices WHERE id = '{edited}'") == [(0,)]
    [(until,)] = database.query("SELECT max(read_until_utc) FROM qbo.windows")
    assert until is not None


def test_an_unreadable_record_is_logged_as_a_warning_and_the_others_are_loaded(mage, qbo, database):
    qbo.corrupt("Invoice", "oldest", "processing")
    done = mage.run(PIPELINES[1], **RANGE, chunk="year")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(599,)]
    assert database.query("SELECT count(*) FROM qbo.rejects") == [(1,)]
    closing = next(line for line in done.stdout.splitlines() if "pipeline_finished" in line)
    assert '"level": "warning"' in closing
    assert closing_line(done).startswith(
        "600 rows · 599 inserted, 0 updated, 0 unchanged, 1 rejected · see qbo.rejects"
    )


def test_a_wrong_password_is_reported_before_any_read(bare_mage, qbo, secrets):
    bare_mage.create_secrets(secrets | {"PG_PASSWORD": "not-the-password"})
    done = bare_mage.run(PIPELINES[0], **RANGE)
    assert done.returncode == 1
    assert "password authentication failed" in text_of(done)
    assert "not-the-password" not in text_of(done)
    assert "query" not in str(qbo.stats()["requests"])


def test_a_pipeline_keeps_companies_in_step(mage, qbo, database):
    assert mage.run("qb_incremental_sync").returncode == 0
    deleted = qbo.delete("Invoice", "oldest", at=(datetime.now(timezone.utc) - timedelta(minutes=1)).isoformat())
    done = mage.run("qb_incremental_sync")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    closing = next(line for line in done.stdout.splitlines() if "account_synced" in line)
    assert '"status": "ok"' in closing
    assert '"deleted": 1' in closing
    assert database.query("SELECT id FROM raw.qb_invoices WHERE deleted_at_utc IS NOT NULL") == [(deleted,)]
    assert database.query("SELECT count(*) FROM raw.qb_customers") == [(60,)]
    qbo.control("disconnect")
    qbo.control("expire-tokens")
    done = mage.run("qb_incremental_sync", entities="items")
    assert done.returncode == 1
    assert "not in step" in text_of(done)
    assert "connect the company again" in text_of(done)
