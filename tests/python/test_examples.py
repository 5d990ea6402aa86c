"""The examples run as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def run(line, environment, folder):
    process = subprocess.run(
        line, env=os.environ | environment, cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_python_example_backfills_and_a_second_run_changes_nothing(database, tmp_path):
    output = run([sys.executable, str(EXAMPLES / "backfill.py")], database.environment, tmp_path)
    assert "second run, invoices: 0 inserted, 5000 unchanged" in output
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(5000,)]


def test_the_notebook_runs(tmp_path):
    pytest.importorskip("pandas")
    notebook = json.loads((EXAMPLES / "tour.ipynb").read_text())
    assert (notebook["nbformat"], {cell["cell_type"] for cell in notebook["cells"]}) == (4, {"markdown", "code"})
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    (tmp_path / "tour.py").write_text("\n\n".join(cells))
    run([sys.executable, "tour.py"], {}, tmp_path)
