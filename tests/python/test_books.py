"""The books against reports: the command, its exit codes and its JSON, and the verb of Python."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from conftest import keywords
from test_tokens import environment_of, run

import qbo_rs

AS_OF = "2025-12-31"


@pytest.fixture(scope="module")
def books():
    with qbo_rs.sandbox(books=150, limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def settings(books, database):
    return keywords(books) | database.settings | {"token_store": "postgres"}


def environment(books, database) -> dict[str, str]:
    return environment_of(books, database.environment, {"QBO_TOKEN_STORE": "postgres"})


def verify(books, database, directory, *arguments: str):
    asked = ("verify", "--books", "--end", AS_OF, *arguments)
    return run(asked, environment(books, database), directory)


def test_a_company_whose_books_agree(books, database, settings, tmp_path):
    qbo_rs.sync(**settings)
    report = qbo_rs.verify_books(AS_OF, **settings)
    assert report.ok
    [company] = report.books
    assert (company.as_of, company.basis) == (date(2025, 12, 31), "accrual")
    # What only reports show is older than the month, so all was compared; the next time it is known.
    assert company.from_ < date(2025, 12, 1)
    [again] = qbo_rs.verify_books(AS_OF, **settings).books
    assert (again.from_, again.status, again.accounts) == (date(2025, 12, 1), "ok", company.accounts)
    assert again.requests < company.requests
    assert company.unverified == ()
    assert len(company.accounts) > 20
    assert all(account.unexplained == Decimal(0) for account in company.accounts)
    assert all(account.difference == sum(c.amount for c in account.causes) for account in company.accounts)
    assert qbo_rs.BooksReport.from_dict(report.to_dict()) == report
    assert "<table>" in report._repr_html_()

    done = verify(books, database, tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    [told] = answer["books"]
    assert told["status"] == "ok"
    names = {"account_id", "name", "report", "records", "difference", "causes", "unexplained"}
    assert all(set(account) == names for account in told["accounts"])
    assert {account["account_id"] for account in told["accounts"]} == {it.account_id for it in company.accounts}
    balance = sum((Decimal(account["report"]) for account in told["accounts"]), Decimal(0))
    assert balance == 0, "debits equal credits"

    entries = database.query("SELECT source, sum(debit), sum(credit) FROM books.gl_entries GROUP BY 1 ORDER BY 1")
    assert [source for source, _, _ in entries] == ["record", "report"]
    assert all(debit == credit for _, debit, credit in entries)
    [(status, unexplained)] = database.query("SELECT DISTINCT status, unexplained FROM qbo.tie_outs")
    assert (status, unexplained) == ("ok", 0)
    shown = run(("status",), environment(books, database), tmp_path)
    assert f"books as of {AS_OF}, accrual basis: ok, 0.00 unexplained" in shown.stdout


def test_a_difference_is_named_and_what_is_cut_is_not_verified(database, tmp_path):
    with qbo_rs.sandbox(books=150, limits=False) as books:
        planted = books.control("plant", kind="lost", entity="Invoice")
        settings = keywords(books) | database.settings | {"token_store": "postgres"}
        qbo_rs.sync(**settings)
        done = verify(books, database, tmp_path, "--start", "2020-01-01")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"Invoice {planted['id']} of {planted['date']}: not_landed" in done.stdout
        assert "each for a known cause" in done.stdout
        assert "\n  not_landed: qbo-rs sync\n" in done.stdout
        assert "\nthen compare again: qbo-rs verify --books" in done.stdout

        books.control("fault", fault="report-cut", path="TrialBalance", times=0)
        done = verify(books, database, tmp_path, "--json")
        assert done.returncode == 1
        [told] = json.loads(done.stdout)["books"]
        assert told["status"] == "different"
        assert any("TrialBalance" in reason for reason in told["unverified"])
        # The last lines say why it ends so, and what shows the rest.
        last = done.stderr.splitlines()[-1 - len(told["unverified"]) :]
        assert "not compared: TrialBalance" in "\n".join(last[:-1])
        assert "--json prints all accounts and transactions" in last[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("invoices",), "leave out the entities"),
        (("--repair",), "leave out --repair"),
        (("--start", "2026-01-01"), "is after end"),
        (("--basis", "lifo"), "accrual"),
        (("--start", "soon"), "cannot read 'soon' as a day"),
    ],
)
def test_wrong_arguments_are_named(books, database, tmp_path, arguments, words):
    done = verify(books, database, tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("2025-13-31", "cannot read '2025-13-31' as a day; a year has the months 01 to 12"),
        ("31/12/2025", "cannot read '31/12/2025' as a day; did you mean 2025-12-31?"),
        ("nonsense", "cannot read 'nonsense' as a day; write "),
    ],
)
def test_a_day_that_cannot_be_read_is_named(day, words):
    for argument, call in (
        ("end", lambda: qbo_rs.verify_books(day)),
        ("start", lambda: qbo_rs.verify_books("2025-12-31", day)),
        ("end", lambda: qbo_rs.reports("TrialBalance", end=day)),
        ("start", lambda: qbo_rs.reports("TrialBalance", day, "2025-12-31")),
    ):
        with pytest.raises(qbo_rs.ConfigError) as raised:
            call()
        assert str(raised.value).startswith(f"{argument}: {words}")
