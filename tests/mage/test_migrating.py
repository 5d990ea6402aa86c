"""The commands of docs/migrating.md, run on tables of an earlier stack."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from companies import UNLIMITED
from conftest import RANGE
from host import ROOT

import qbo_rs

BLOCK = re.compile(r"^```(sh|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Text windows, times without zone, neither page_size nor request_payload.
OLD = """
CREATE SCHEMA raw;
CREATE TABLE raw.qb_{entity} (
    id text PRIMARY KEY, payload jsonb NOT NULL, ingested_at_utc timestamp NOT NULL DEFAULT now(),
    extract_window_start_utc text, extract_window_end_utc text, page_number int
)
"""


def run(environment: dict[str, str], directory: Path, text: str) -> subprocess.CompletedProcess:
    line = ["bash", "-euo", "pipefail", "-c", text]
    return subprocess.run(
        line, env=environment, cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def environment(qbo, database):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    names = {"PATH": path, "QBO_TOKEN_STORE": "postgres", "DATABASE_URL": database.url}
    return dict(os.environ) | qbo.environment | names | UNLIMITED


@pytest.mark.timeout(300)
def test_the_commands_of_the_migration_work(qbo, database, environment, tmp_path):
    truth = qbo.truth("Invoice", *RANGE.values())
    earlier = dict(list(truth.items())[:100])
    insert = "INSERT INTO raw.qb_invoices VALUES (%s, %s, now(), '2024-01-01', '2024-02-20', 1)"
    with psycopg.connect(database.url) as connection:
        connection.execute(OLD.format(entity="invoices"))
        for record in earlier.items():
            connection.execute(insert, record)
    refused = run(environment, tmp_path, "qbo-rs backfill invoices --start 2024-01-01 --end 2026-01-01")
    assert refused.returncode == 2
    assert "db migrate" in refused.stderr
    assert qbo.stats()["data_requests"] == 0

    outputs = []
    for language, text in BLOCK.findall((ROOT / "docs" / "migrating.md").read_text()):
        if language == "sql":
            with psycopg.connect(database.url) as connection:
                connection.execute(text)
        else:
            done = run(environment, tmp_path, text)
            assert done.returncode == 0, text + done.stdout[-1500:] + done.stderr[-1500:]
            outputs.append(done.stdout)
    assert len(outputs) == 2
    # The rows that were right before kept what the migration gave them, and the others came from QuickBooks.
    requests = "SELECT count(*), count(*) FILTER (WHERE request_payload = '{}') FROM raw.qb_invoices"
    assert database.query(requests) == [(len(truth), len(earlier))]
    done = run(
        environment, tmp_path, f"qbo-rs backfill invoices --start {RANGE['fecha_inicio']} --end 2026-01-01 --json"
    )
    [again] = json.loads(done.stdout)["runs"]
    assert (again["totals"]["inserted"], again["totals"]["unchanged"]) == (0, len(truth))


@pytest.mark.timeout(120)
def test_a_text_file_of_the_text_layer_is_loaded_by_the_command(database, environment, tmp_path):
    names = dict(qbo_rs._core.settings())
    settings = {names[name]: value for name, value in environment.items() if name in names}
    windows = qbo_rs.chunk_range(*RANGE.values(), "50d")
    qbo_rs.extract("invoices", windows, out=tmp_path / "invoices.txt", **settings).raise_for_failures()
    done = run(environment, tmp_path, "qbo-rs load invoices.txt")
    assert done.returncode == 0, done.stderr
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(600,)]
