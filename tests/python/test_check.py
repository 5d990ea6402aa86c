"""``qbo_rs.check()`` in Python, and the same command."""

from __future__ import annotations

import asyncio
import json

from conftest import report_of

import qbo_rs
from qbo_rs import CheckReport

REPORT = {
    "check": [
        {"name": "token", "status": "ok", "text": "works", "fix": None},
        {"name": "token_store", "status": "warning", "text": "a <b> & c", "fix": "chmod 600 <x>"},
    ],
    "status": "warning",
}


def test_a_check_is_a_table_in_a_notebook_and_lines_elsewhere():
    report = CheckReport.from_dict(REPORT)
    assert json.loads(json.dumps(report.to_dict())) == REPORT
    assert repr(report) == "<CheckReport warning: token_store>"
    assert str(report).splitlines() == [
        "✔ token        works",
        "! token store  a <b> & c",
        "    -> chmod 600 <x>",
    ]
    html = report._repr_html_()
    assert "a &lt;b&gt; &amp; c" in html
    assert "<code>chmod 600 &lt;x&gt;</code>" in html
    assert "<b>" not in html


def test_python_and_the_command_find_the_same(settings, run):
    report = qbo_rs.check(**settings)
    assert report.is_ok, str(report)
    process = run("check", "--json")
    assert process.returncode == 0
    assert [line["name"] for line in report_of(process)["check"]] == [line.name for line in report.lines]
    assert {line.name for line in report.lines} >= {"keys", "token", "company", "database", "rights"}
    # The database of the fixture is made for the user who asks.
    wrong = qbo_rs.check(**settings | {"client_secret": "wrong"})
    assert [line.name for line in wrong.lines if line.status == "failed"] == ["token"]
    assert "wrong" not in str(wrong)


def test_the_twin_for_await_finds_the_same(settings):
    assert asyncio.run(qbo_rs.check_async(offline=True, **settings)).is_ok
