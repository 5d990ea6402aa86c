"""The notebook on Sail runs as it is, without Java."""

from __future__ import annotations

import pytest
from companies import VARIABLES
from conftest import ROOT


def test_the_notebook_runs_without_java(database, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("DATABASE_URL", database.url)
    # No program of this machine is found, Java neither.
    monkeypatch.setenv("PATH", str(tmp_path))
    notebook = nbformat.read(ROOT / "examples" / "sail.ipynb", 4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3", resources=resources).execute()
    shown = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output
    )
    assert "|customers|  500|" in shown
    assert "1 of 5 companies are not in step" in shown
    assert database.query("SELECT count(*) FROM qbo.schema_realms") == [(5,)]
