"""Pipelines without a server: ``mage run``."""

from __future__ import annotations

import pytest
from conftest import PIPELINES, RANGE, keywords

import qbo_rs

pytestmark = pytest.mark.timeout(300)
# All but the time of arrival.
COLUMNS = (
    "id, payload::text, extract_window_start_utc, extract_window_end_utc, page_number, page_size, request_payload::text"
)


def rows(database, table: str) -> list[tuple]:
    return database.query(f"SELECT {COLUMNS} FROM {table} ORDER BY id")


def test_each_pipeline_loads_what_the_command_loads(mage, qbo, database):
    for pipeline in PIPELINES:
        done = mage.run(pipeline, **RANGE, chunk="month", page_size=200)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        print(done.stdout[-5000:])
    connection = {name.lower(): value for name, value in database.settings().items()} | keywords(qbo)
    entities = [pipeline.split("_")[1] for pipeline in PIPELINES]
    report = qbo_rs.backfill(entities, *RANGE.values(), "month", 200, schema="raw_cli", token_store="postgres", **connection)
    report.raise_for_failures()
    for entity in entities:
        assert rows(database, f"raw.qb_{entity}") == rows(database, f"raw_cli.qb_{entity}")
        assert len(rows(database, f"raw.qb_{entity}")) == report_rows(report, entity)
    assert report.rows == 700


def report_rows(report, entity: str) -> int:
    return next(run.totals.rows for run in report.runs if run.entity == entity)
