"""The result of a tie-out: what QuickBooks's reports say, what the landed records say, and why they differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from qbo_rs import _books_shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BooksStatus = Literal["ok", "different", "reports_agree"]
"""The outcome of a tie-out; ``reports_agree`` on cash basis, of which only the reports are compared."""

BooksVerdict = Literal["fine", "unverified", "explained", "different"]
"""The verdict on books, the best first. ``fine``: all agrees, or differs for causes that need nobody. ``unverified``:
something could not be compared, and nothing is unexplained or needs somebody. ``explained``: transactions differ for
known causes that need somebody. ``different``: something is unexplained."""


def _plain(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    texts = {name: str(value) if isinstance(value, (date, Decimal)) else value for name, value in items}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in texts.items()}


def _known(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a newer core may add."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in given.items() if name in names}


@dataclass(frozen=True)
class CauseAmount:
    """A part of a difference that is explained."""

    cause: str
    """Name of the cause, such as ``not_landed``; docs/books.md lists all."""
    amount: Decimal
    """In the home currency; a debit is positive."""


def _causes(given: Iterable[Mapping[str, Any]]) -> tuple[CauseAmount, ...]:
    return tuple(CauseAmount(cause["cause"], Decimal(cause["amount"])) for cause in given)


@dataclass(frozen=True)
class AccountBooks:
    """An account: its balance in the trial balance and in the records. A debit is positive."""

    account_id: str
    """Id of the account."""
    name: str
    """Its full name; empty if no record of it has landed."""
    report: Decimal
    """Balance that QuickBooks's trial balance shows."""
    records: Decimal
    """Balance of the postings of the landed records."""
    difference: Decimal
    """``report`` less ``records``."""
    causes: tuple[CauseAmount, ...]
    """The parts of the difference that are explained."""
    unexplained: Decimal
    """The part that is not."""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> AccountBooks:
        """Make an account from JSON-able data."""
        return cls(**_known(cls, _amounts(given)))


@dataclass(frozen=True)
class PartyBooks:
    """A customer or vendor whose open amount in the ageing report differs from that of the records."""

    kind: str
    """``customer`` or ``vendor``."""
    id: str
    """Its id."""
    name: str
    """Its name in the report."""
    report: Decimal
    """Open amount of the ageing report."""
    records: Decimal
    """Open amount of the records."""
    difference: Decimal
    """``report`` less ``records``."""
    causes: tuple[CauseAmount, ...]
    """The parts of the difference that are explained."""
    unexplained: Decimal
    """The part that is not."""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> PartyBooks:
        """Make a customer or vendor from JSON-able data."""
        return cls(**_known(cls, _amounts(given)))


@dataclass(frozen=True)
class MonthBooks:
    """An account whose movement in a month differs, although later months may make up for it."""

    month: str
    """Year and month, such as ``2025-12``."""
    account_id: str
    """Id of the account."""
    difference: Decimal
    """Movement in the reports less movement in the records."""
    causes: tuple[CauseAmount, ...]
    """The parts of the difference that are explained."""
    unexplained: Decimal
    """The part that is not."""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> MonthBooks:
        """Make a month from JSON-able data."""
        return cls(**_known(cls, _amounts(given)))


@dataclass(frozen=True)
class TransactionLine:
    """The difference of a transaction on an account."""

    account_id: str
    """Id of the account."""
    date: date
    """The day on which one side has it."""
    amount: Decimal
    """Report less records; a debit is positive."""


@dataclass(frozen=True)
class TransactionBooks:
    """A transaction that differs."""

    entity: str
    """Intuit's name of the entity, or the report's word if no entity has such transactions."""
    id: str
    """Id of the transaction."""
    date: date
    """Its date in the reports, else in the records."""
    cause: str
    """Name of the cause; ``unexplained`` if nothing fits."""
    lines: tuple[TransactionLine, ...]
    """Its differences, by account and day."""
    file: str | None = None
    """The file of the archive that has the record, on the machine that wrote it."""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> TransactionBooks:
        """Make a transaction from JSON-able data."""
        lines = tuple(
            TransactionLine(line["account_id"], date.fromisoformat(line["date"]), Decimal(line["amount"]))
            for line in given["lines"]
        )
        return cls(**_known(cls, given) | {"date": date.fromisoformat(given["date"]), "lines": lines})


def _amounts(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("report", "records", "difference", "unexplained")
    amounts = {name: Decimal(given[name]) for name in names if name in given}
    return {**given, **amounts, "causes": _causes(given["causes"])}


@dataclass(frozen=True, repr=False)
class CompanyBooks:
    """The books of a company: its records against its reports."""

    realm_id: str
    """Company id."""
    basis: str
    """``accrual`` or ``cash``."""
    as_of: date
    """The day of the balances."""
    from_: date
    """The first day whose transactions were compared one by one; ``from`` in JSON."""
    currency: str | None
    """Home currency of all amounts."""
    accounts: tuple[AccountBooks, ...]
    """Every account with a balance, a difference or a cause."""
    parties: tuple[PartyBooks, ...]
    """The customers and vendors whose open amounts differ."""
    months: tuple[MonthBooks, ...]
    """Accounts whose movement in a month differs."""
    transactions: tuple[TransactionBooks, ...]
    """The transactions that differ, each with its cause."""
    unverified: tuple[str, ...]
    """The things that could not be compared, and why. Nothing of it counts as agreed."""
    requests: int
    """HTTP requests for reports."""
    status: BooksStatus
    """``ok``: every account agrees, or every difference has a named cause. ``reports_agree``: on cash basis, no report
    contradicts another, and nothing of the records was compared."""
    verdict: BooksVerdict | None = None
    """The verdict, as ``status``, the status page and alerts show it; None in a report of an earlier version."""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> CompanyBooks:
        """Make a company from JSON-able data."""
        lists: dict[str, Any] = {
            "accounts": tuple(AccountBooks.from_dict(account) for account in given["accounts"]),
            "parties": tuple(PartyBooks.from_dict(party) for party in given["parties"]),
            "months": tuple(MonthBooks.from_dict(month) for month in given["months"]),
            "transactions": tuple(TransactionBooks.from_dict(transaction) for transaction in given["transactions"]),
            "unverified": tuple(given["unverified"]),
            "as_of": date.fromisoformat(given["as_of"]),
            "from_": date.fromisoformat(given["from"]),
        }
        return cls(**_known(cls, given) | lists)

    @property
    def different(self) -> tuple[AccountBooks, ...]:
        """The accounts that differ, explained or not."""
        return tuple(account for account in self.accounts if account.difference or account.causes)

    @property
    def disagrees(self) -> bool:
        """True if something that was compared disagrees without a cause. What could not be compared does not."""
        return _books_shown.judged(self) == "different"

    @property
    def agrees(self) -> bool:
        """True if all was compared and nothing differs, not even for a known cause."""
        return self.status == "ok" and not (self.different or self.transactions or self.parties)

    def __repr__(self) -> str:
        """Return the outcome in one line."""
        return _books_shown.company_line(self)

    def _repr_html_(self) -> str:
        """Return a table of the accounts that differ, for a notebook."""
        return _books_shown.company_html(self)


@dataclass(frozen=True, repr=False)
class BooksReport:
    """The result of :func:`qbo_rs.verify_books`: one comparison for each company.

    Example:
        ::

            report = qbo_rs.verify_books("2025-12-31")
            [(account.name, account.unexplained) for books in report.books for account in books.different]

    """

    books: tuple[CompanyBooks, ...]
    """Comparisons."""

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> BooksReport:
        """Make a report from JSON-able data, such as the output of ``qbo-rs verify --books --json``."""
        return cls(tuple(CompanyBooks.from_dict(books) for books in report["books"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able data."""
        report = asdict(self, dict_factory=_plain)
        for books in report["books"]:
            books["from"] = books.pop("from_")
        return report

    @property
    def ok(self) -> bool:
        """True if every account agrees, or every difference has a named cause."""
        return all(books.status == "ok" for books in self.books)

    def __repr__(self) -> str:
        """Return the outcome in one line."""
        return _books_shown.report_line(self)

    def _repr_html_(self) -> str:
        """Return the tables of all companies, for a notebook."""
        return _books_shown.report_html(self)
