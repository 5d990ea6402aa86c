"""Progress of calls, in terminals and notebooks, and what a notebook shows of real results."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import types
from functools import partial

import pytest
from conftest import keywords, report_of

import qbo_rs
from qbo_rs import _progress

RANGE = ("2024-01-01", "2026-01-01")


@pytest.fixture
def slow(database):
    """Return the settings of a company whose answers take long enough to be followed."""
    with qbo_rs.sandbox(customers=20, items=60, invoices=10, latency_ms=400, limits=False) as sandbox:
        yield keywords(sandbox) | database.settings


@pytest.fixture
def shown(monkeypatch):
    """Return the states that are shown, instead of showing them."""
    states = []

    class Place:
        def show(self, progress):
            states.append(json.loads(json.dumps(progress.state)))

        def end(self, progress):
            states.append({"ended": progress.is_ok, **progress.state})

    monkeypatch.setattr(_progress, "_Line", Place)
    return states


def test_a_call_is_followed_to_its_end(slow, shown):
    report = qbo_rs.backfill(["customers", "items"], *RANGE, "quarter", page_size=10, progress=True, **slow)
    assert report.ok
    assert shown[-1]["ended"] is True
    assert [(run["entity"], run["done"], run["windows"], run["rows"], run["ended"]) for run in shown[-1]["runs"]] == [
        ("customers", 8, 8, 20, True),
        ("items", 8, 8, 60, True),
    ]
    assert shown[-1]["requests"] == sum(run.totals.requests for run in report.runs)
    counts = [state["requests"] for state in shown]
    assert counts == sorted(counts)
    # It was shown while it ran, and not more often than people can read.
    assert len({state["requests"] for state in shown[:-1]}) > 1
    assert len(shown) <= 2 + sum(run.totals.duration_ms for run in report.runs) / 200


def test_a_comparison_is_followed_although_nothing_differs(slow, shown):
    qbo_rs.backfill(["customers", "items"], *RANGE, "year", **slow)
    assert qbo_rs.verify(["customers", "items"], *RANGE, "day", progress=True, **slow).ok
    assert [(run["entity"], run["done"], run["windows"], run["rows"], run["ended"]) for run in shown[-1]["runs"]] == [
        ("customers", 731, 731, 20, True),
        ("items", 731, 731, 60, True),
    ]
    # The first of them was counted before the second one was asked for.
    assert any(run["done"] == 731 for state in shown[:-1] for run in state["runs"][:1])


def test_an_awaitable_is_followed_too(slow, shown):
    report = asyncio.run(qbo_rs.backfill_async("items", *RANGE, "quarter", page_size=10, progress=True, **slow))
    assert report.rows == 60
    assert (shown[-1]["ended"], shown[-1]["runs"][0]["rows"]) == (True, 60)
    assert len(shown) > 2


def test_whatever_fails_in_showing_does_not_break_the_run(slow, monkeypatch):
    calls = []

    class Place:
        def show(self, progress):
            calls.append(progress)
            raise OSError("no such terminal")

        end = show

    monkeypatch.setattr(_progress, "_Line", Place)
    assert qbo_rs.backfill("items", *RANGE, "quarter", page_size=10, progress=True, **slow).rows == 60
    # It is not tried again.
    assert len(calls) == 1


def no_shell():
    raise AttributeError("IPython is imported by another thread right now")


def test_a_run_goes_on_where_there_is_no_place_to_show_it(slow, monkeypatch):
    read = partial(qbo_rs.backfill, "items", *RANGE, "year", progress=True, **slow)
    # As in pythonw and in some services.
    monkeypatch.setattr(sys, "stderr", None)
    assert read().rows == 60
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=no_shell))
    assert read().rows == 60
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace())
    assert asyncio.run(qbo_rs.backfill_async("items", *RANGE, "year", **slow)).rows == 60


def test_an_interrupt_while_progress_is_shown_stops_the_run_and_says_how_to_go_on(slow, monkeypatch):
    class Place:
        def show(self, _progress):
            raise KeyboardInterrupt

        def end(self, _progress):
            raise OSError

    monkeypatch.setattr(_progress, "_Line", Place)
    with pytest.raises(KeyboardInterrupt, match="resume=True continues"):
        qbo_rs.backfill("items", *RANGE, "quarter", page_size=10, progress=True, **slow)


def _backfill(slow, answers):
    report = qbo_rs.backfill("items", *RANGE, "quarter", page_size=10, progress=True, **slow)
    answers.put(report.rows)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_shows_its_progress(slow, capfd):
    assert qbo_rs.backfill("customers", *RANGE, "quarter", progress=True, **slow).rows == 20
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_backfill, args=(slow, answers))
    child.start()
    assert answers.get(timeout=60) == 60
    child.join(60)
    assert child.exitcode == 0
    assert "1 of 1 entity · 60 rows" in capfd.readouterr().err


def test_progress_is_a_line_on_stderr_where_it_is_asked_for(slow, capfd):
    assert qbo_rs.backfill("items", *RANGE, "quarter", page_size=10, **slow).rows == 60
    assert capfd.readouterr().err == ""
    qbo_rs.backfill("items", *RANGE, "quarter", page_size=10, progress=True, **slow)
    out, err = capfd.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("1 of 1 entity · 60 rows · ")
    # Without a terminal there is no line to write again.
    assert "\r" not in err
    assert "\x1b" not in err


def test_ipython_turns_it_on_and_false_turns_it_off(monkeypatch):
    assert _progress.progress_of(None) is None
    notebook = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    assert _progress.progress_of(None) is not None
    assert _progress.progress_of(wanted=False) is None
    # A module that was imported does not make this process a notebook.
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert _progress.progress_of(None) is None


def test_the_status_has_the_facts_of_the_command(run, settings, database):
    report = qbo_rs.backfill(["customers", "items"], "2024-01-01", "2025-01-01", "month", **settings)
    assert report.ok
    process = run("status", "--json", "--validate", "--start", "2024-01-01", "--end", "2026-01-01")
    status = qbo_rs.status(start="2024-01-01", end="2026-01-01", validate=True, **settings)
    ours, theirs = status.to_dict(), report_of(process)
    for account in (*ours["accounts"], *theirs["accounts"]):
        # It counts the last minute, which goes on.
        account["requests_last_minute"] = 0
    assert ours == theirs
    assert qbo_rs.StatusReport.from_dict(theirs).entities == status.entities
    [customers, items] = status.entities
    assert (customers.entity, customers.rows) == ("customers", report.runs[0].totals.rows)
    [gap] = items.gaps
    assert (str(gap), items.ok, status.ok) == ("[2025-01-01T00:00:00Z, 2026-01-01T00:00:00Z)", False, False)
    assert all(check.wrong == 0 for check in items.checks)
    assert len(items.checks) > 5
    assert status.accounts[0].state == "active"
    assert "missing 365 days in 1 gap" in repr(items)
    database.execute("UPDATE qbo.windows SET status = 'failed', error = 'broken' WHERE entity = 'items'")
    [items] = qbo_rs.status("items", **settings).entities
    assert {window.status for window in items.unfinished} == {"failed"}
    with pytest.raises(qbo_rs.ConfigError, match="end: not given"):
        qbo_rs.status(start="2024-01-01", **settings)
    assert asyncio.run(qbo_rs.status_async("items", **settings)).entities[0] == items


def test_unknown_keywords_get_a_guess():
    for given, guess in [
        ("chunks", "chunk"),
        ("relam_id", "realm_id"),
        ("pagesize", "page_size"),
        ("PG_HOSTS", "pg_host"),
    ]:
        with pytest.raises(qbo_rs.ConfigError) as caught:
            qbo_rs.backfill("items", *RANGE, **{given: "1"})
        assert str(caught.value) == f"{given}: no such setting; did you mean {guess}=?"
    with pytest.raises(qbo_rs.ConfigError, match="^qwerty: no such setting$"):
        qbo_rs.records("items", *RANGE, qwerty=1)
    with pytest.raises(qbo_rs.ConfigError, match="did you mean with_deleted=?"):
        qbo_rs.table("items", with_delete=True)
    with pytest.raises(qbo_rs.ConfigError, match="did you mean entity=?"):
        asyncio.run(qbo_rs.sync_async(entitys="items"))


NOTEBOOK = """
import qbo_rs, os, time
settings = {settings!r}
settings |= {{"page_size": 10}}
---
report = qbo_rs.backfill("items", "2024-01-01", "2026-01-01", "quarter", **settings)
---
report
---
for chunk in "month", "fortnight":
    qbo_rs.chunk_range("2024-01-01", "2026-01-01", chunk)
"""


def test_jupyter_shows_progress_in_one_display_results_as_tables_and_errors_as_a_line(slow):
    import nbclient
    import nbformat

    cells = NOTEBOOK.format(settings=slow).strip().split("\n---\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3", allow_errors=True).execute()
    _, progress, result, error = [cell.outputs for cell in notebook.cells]
    # However often it was updated, there is one display, which says in the end what was done.
    [display] = [output for output in progress if output.output_type == "display_data"]
    assert "1 of 1 entity · 60 rows" in display.data["text/html"]
    [shown] = result
    assert shown.data["text/plain"] == "<Report ok: 1 entity, 60 rows, 60 inserted>"
    assert "<svg" in shown.data["text/html"]
    [raised] = error
    assert len(raised.traceback) == 1
    assert "ConfigError\x1b[0m (line 2 of the cell): chunk: unknown chunk 'fortnight'" in raised.traceback[0]


def test_a_plain_interpreter_shows_the_whole_traceback():
    code = "import qbo_rs; qbo_rs.chunk_range('2025-01-01', '2025-02-01', 'fortnight')"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ), timeout=60
    )
    assert process.stderr.startswith("Traceback (most recent call last)") or "Traceback" in process.stderr
    assert "qbo_rs.exceptions.ConfigError: chunk: unknown chunk 'fortnight'" in process.stderr
