"""The commands of docs/mage.md, run in their order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from conftest import PIPELINES, RANGE
from host import ROOT

import qbo_rs

BLOCK = re.compile(r"^```(sh|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def qbo():
    """A company whose first token stays valid, so that it can be imported."""
    with qbo_rs.sandbox(customers=60, items=40, invoices=600, limits=False) as sandbox:
        yield sandbox


@pytest.mark.timeout(600)
def test_the_commands_of_the_runbook_work(mage, qbo, secrets, database, tmp_path):
    for pipeline in PIPELINES:
        done = mage.run(pipeline, **RANGE, chunk="month")
        assert done.returncode == 0, done.stderr[-3000:]
    (tmp_path / "token.txt").write_text(qbo.environment["QBO_REFRESH_TOKEN"])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = mage.environment | secrets | {"QBO_TOKEN_STORE": "postgres", "PATH": path}
    blocks = BLOCK.findall((ROOT / "docs" / "mage.md").read_text())
    assert len(blocks) > 12
    try:
        for language, text in blocks:
            if language == "sh":
                line = ["bash", "-euo", "pipefail", "-c", text]
                done = subprocess.run(
                    line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
                )
                assert done.returncode == 0, text + done.stdout[-1500:] + done.stderr[-1500:]
            else:
                with psycopg.connect(database.url) as connection:
                    connection.execute(text)
    finally:
        with psycopg.connect(database.url) as connection:
            for role in ("qbo_mage", "qbo_reader"):
                connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
