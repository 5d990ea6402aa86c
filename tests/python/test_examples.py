"""The examples run as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


RAISES = "raises-exception"


def cells_of(notebook):
    """Return the code of the cells; one that shows an error has to raise it."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            code = "".join(cell["source"])
            if RAISES in cell["metadata"].get("tags", []):
                inner = "".join(f"    {line}\n" for line in code.splitlines())
                code = f"try:\n{inner}except qbo_rs.ConfigError:\n    pass\nelse:\n    raise AssertionError"
            yield code


def tour():
    return json.loads((EXAMPLES / "tour.ipynb").read_text())


def test_the_notebook_runs(database, tmp_path):
    notebook = tour()
    assert (notebook["nbformat"], {cell["cell_type"] for cell in notebook["cells"]}) == (4, {"markdown", "code"})
    (tmp_path / "tour.py").write_text("\n\n".join(cells_of(notebook)))
    run([sys.executable, "tour.py"], {"DATABASE_URL": database.url}, tmp_path)
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(5003,)]


def test_the_notebook_shows_tables_calendars_and_progress(database, tmp_path, monkeypatch):
    import nbclient
    import nbformat

    monkeypatch.setenv("DATABASE_URL", database.url)
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", 4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3", resources=resources).execute()
    if "TOUR_OUT" in os.environ:
        nbformat.write(notebook, os.environ["TOUR_OUT"])
    shown = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            shown.setdefault(output.output_type, []).append(output)
    texts = [output.data["text/plain"] for output in shown["execute_result"]]
    for begin in ("<Sandbox ", "<Records invoices ", "<Windows: 24 windows", "<Report ok: ", "<RunReport invoices ok"):
        assert any(text.startswith(begin) for text in texts), (begin, texts)
    for begin in ("<StatusReport raw: 3 entities", "<EntityStatus ", "<VerificationReport different: "):
        assert any(text.startswith(begin) for text in texts), (begin, texts)
    pages = [output.data.get("text/html", "") for output in shown["execute_result"]]
    assert sum("<svg" in page for page in pages) >= 4
    # Those calls that took long enough have left a line.
    assert all("✔" in output.data["text/html"] for output in shown.get("display_data", ()))
    [error] = shown["error"]
    assert error.traceback == [
        "\x1b[31mConfigError\x1b[0m (line 1 of the cell): chunks: no such setting; did you mean chunk=?"
    ]
