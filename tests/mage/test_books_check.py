"""The pipeline that compares the landed records with QuickBooks's own reports."""

from __future__ import annotations

import pytest

import qbo_rs

pytestmark = pytest.mark.timeout(600)
DAYS = {"fecha_inicio": "2020-01-01", "fecha_fin": "2025-12-31"}


@pytest.fixture
def qbo():
    with qbo_rs.sandbox(books=80, limits=False, rotate_after_s=0) as sandbox:
        yield sandbox


def text_of(done) -> str:
    return done.stdout + done.stderr


def test_books_that_agree_pass_and_others_fail_the_run(mage, qbo, database):
    assert mage.run("qb_incremental_sync", entities="").returncode == 0
    done = mage.run("qb_books_check", **DAYS)
    assert done.returncode == 0, text_of(done)[-3000:]
    assert database.query("SELECT status, unexplained FROM qbo.tie_outs") == [("ok", 0)]
    landed = {report for (report,) in database.query("SELECT DISTINCT report FROM raw.qb_reports")}
    assert landed == {"TrialBalance", "ProfitAndLoss", "BalanceSheet", "GeneralLedger"}
    assert database.query("SELECT count(*) > 100, sum(debit) = sum(credit) FROM books.gl_entries") == [(True, True)]

    qbo.control("fault", fault="report-cut", path="BalanceSheet", times=0)
    done = mage.run("qb_books_check", fecha_inicio="2025-12-01", fecha_fin="2025-12-31")
    assert done.returncode == 1
    assert "BalanceSheet" in text_of(done)
