"""The result of a tie-out as one line of text and as tables for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qbo_rs._html import Html, block, count, details, headline, one_line, paragraph, plain, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qbo_rs._books import BooksReport, BooksVerdict, CauseAmount, CompanyBooks
    from qbo_rs._status import TieOut

_MARKS: dict[BooksVerdict, str] = {"fine": "ok", "unverified": "care", "explained": "care", "different": "wrong"}
_WORST_FIRST = ("different", "explained", "unverified", "the reports agree", "ok")


def judged(books: CompanyBooks | TieOut) -> BooksVerdict:
    """Return the verdict of the core on books.

    A report of an earlier version has none: it gets the worst one that its outcome allows.
    """
    if books.verdict is not None:
        return books.verdict
    if books.status == "different":
        return "different"
    return "explained" if books.transactions else "fine"


def word_of(books: CompanyBooks | TieOut) -> str:
    """Return the verdict on books in a word or two, as ``qbo-rs status`` says it."""
    verdict = judged(books)
    return plain(books.status if verdict == "fine" else verdict).replace("reports_agree", "the reports agree")


def mark_of(books: CompanyBooks | TieOut) -> str:
    """Return the kind of mark for the verdict on books."""
    return _MARKS.get(judged(books), "care")


def is_fine(books: CompanyBooks | TieOut) -> bool:
    """Return true if books need nobody."""
    return judged(books) == "fine"


def _rank(word: str) -> int:
    """Return the place of a verdict, the worst first; one of a newer version is taken for the worst."""
    return _WORST_FIRST.index(word) if word in _WORST_FIRST else 0


def report_line(report: BooksReport) -> str:
    """Return a tie-out as one line: the worst verdict, and how many companies have each."""
    words = [word_of(books) for books in report.books]
    said = sorted(set(words), key=_rank)
    counts = [f"{words.count(word)} {word}" for word in said if word != "ok"]
    return one_line(f"BooksReport {(said or ['ok'])[0]}:", count(len(words), "company", "companies"), *counts)


def company_line(books: CompanyBooks) -> str:
    """Return the tie-out of a company as one line."""
    name = f"CompanyBooks {plain(books.realm_id)} {plain(books.basis)} as of {books.as_of}: {word_of(books)};"
    return one_line(name, *_counts(books))


def _counts(books: CompanyBooks) -> list[str]:
    parts = [count(len(books.accounts), "account"), f"{count(len(books.transactions), 'transaction')} differ"]
    return parts + ([f"{len(books.unverified):,} unverified"] if books.unverified else [])


def report_html(report: BooksReport) -> str:
    """Return the tie-out of each company, of the first in full."""
    listed = sorted(report.books, key=lambda books: _rank(word_of(books)))
    shown = [company_html(books) for books in listed[:1]]
    rest = [[books.realm_id, books.basis, books.as_of, word_of(books), len(books.different)] for books in listed[1:]]
    columns = ("company", "basis", "as of", "verdict", "accounts that differ")
    return block(*shown, table(columns, rest, "companies") if rest else "")


def company_html(books: CompanyBooks) -> str:
    """Return the accounts that differ, and in parts to be opened what explains them."""
    facts = [f"company {books.realm_id}", books.basis, f"as of {books.as_of}", word_of(books)]
    facts += [books.currency, *_counts(books)] if books.currency else _counts(books)
    columns = ("account", "report", "records", "difference", "causes", "unexplained")
    accounts = [
        [f"{a.account_id} {a.name}", a.report, a.records, a.difference, _causes(a.causes), a.unexplained]
        for a in books.different
    ]
    parts: list[str] = [headline(mark_of(books), facts)]
    if accounts:
        parts.append(table(columns, accounts, "accounts"))
    elif not books.accounts:
        parts.append(paragraph("No account was compared."))
    else:
        parts.append(paragraph("Every account agrees."))
        parts.append(details(count(len(books.accounts), "account"), _balances(books)))
    if books.transactions:
        parts.append(details(f"{count(len(books.transactions), 'transaction')} differ", _transactions(books)))
    if books.parties:
        rows = [[p.kind, f"{p.id} {p.name}", p.report, p.records, p.difference, p.unexplained] for p in books.parties]
        head = ("kind", "name", "report", "records", "difference", "unexplained")
        parts.append(details(f"{count(len(rows), 'open balance')} differ", table(head, rows, "names")))
    if books.unverified:
        rows = [[reason] for reason in books.unverified]
        parts.append(details(f"{len(rows):,} unverified", table(("not compared",), rows, "reasons"), is_open=True))
    return block(*parts)


def _balances(books: CompanyBooks) -> Html:
    rows = [[f"{account.account_id} {account.name}", account.report, account.records] for account in books.accounts]
    return table(("account", "report", "records"), rows, "accounts")


def _transactions(books: CompanyBooks) -> Html:
    rows = [
        [
            f"{each.entity} {each.id}",
            each.date,
            each.cause,
            ", ".join(f"{x.account_id}: {x.amount:f}" for x in each.lines),
        ]
        for each in books.transactions
    ]
    return table(("transaction", "date", "cause", "report less records, by account"), rows, "transactions")


def _causes(causes: Iterable[CauseAmount]) -> str:
    return ", ".join(f"{cause.cause} {cause.amount:f}" for cause in causes)
