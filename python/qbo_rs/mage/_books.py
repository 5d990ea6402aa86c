"""The blocks of the pipeline ``qb_books_check``: QuickBooks's reports, and the books compared with them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

from qbo_rs import _verbs
from qbo_rs._html import count
from qbo_rs.exceptions import ConfigError, QboError
from qbo_rs.mage import _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._spanish import InBoth
from qbo_rs.mage._variables import DEFAULT_SCHEMA
from qbo_rs.mage._zones import is_missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qbo_rs._books import CompanyBooks
    from qbo_rs._reports import ReportBasis
    from qbo_rs.mage._execution import Block, Execution

# Problems that are named one by one.
SHOWN = 10
REPORTS = ("TrialBalance", "ProfitAndLoss", "BalanceSheet", "GeneralLedger")


def read_reports() -> Block:
    """Make the block that lands QuickBooks's reports of the days ``fecha_inicio`` to ``fecha_fin``, both included.

    Without ``fecha_fin``, the last day is that of the last month; without ``fecha_inicio``, the first is that of the
    month of ``fecha_fin``.

    Returns:
        A function for ``@data_loader``. It returns a DataFrame with one row per answer.

    Example:
        ::

            read_reports_books = data_loader(read_reports())

    """

    def body(call: Execution) -> Any:
        first, last, basis, schema = _variables(call.kwargs)
        report = _verbs.reports(
            REPORTS, first, last, basis=basis, rows=False, schema=schema, progress=False, **call.settings.keywords
        )
        for landed in report.reports:
            call.log.write(
                "info" if landed.status == "landed" else "warning",
                f"{landed.report}: {landed.status} · {first} to {last}, both days included",
                phase="extract",
                event="report_read",
                report=landed.report,
                status=landed.status,
            )
        report.raise_for_failures()
        return _tables.reports_table(report)

    return as_block("read_reports", body)


def tie_out_books() -> Block:
    """Make the block that compares the landed records, as a general ledger, with QuickBooks's reports.

    Its runtime variables are those of :func:`read_reports`.

    Returns:
        A function for ``@data_exporter``. It returns a DataFrame with one row per account that differs, and cause, and
        one per transaction that changes no account. If an amount is unexplained or could not be compared, it raises
        :class:`~qbo_rs.QboError`, so that the run fails.

    Example:
        ::

            tie_out_books = data_exporter(tie_out_books())

    """

    def body(call: Execution) -> Any:
        first, last, basis, schema = _variables(call.kwargs)
        report = _verbs.verify_books(last, first, basis=basis, schema=schema, progress=False, **call.settings.keywords)
        problems = [problem for books in report.books for problem in _problems(books)]
        for problem in problems[:SHOWN]:
            call.log.write("error", f"not explained | sin explicar: {problem}", phase="load", event="books_differ")
        if not report.ok:
            raise QboError(
                f"{len(problems)} not explained: "
                + "; ".join(problems[:SHOWN])
                + f"; `qbo-rs verify --books --start {first} --end {last}` shows all",
                recovery="abort",
            )
        for books in report.books:
            call.log.write(
                "info",
                _verdict(books),
                phase="load",
                event="books_agree" if books.agrees else "books_explained",
                accounts=len(books.accounts),
                explained=len(books.different),
                transactions=len(books.transactions),
            )
        return _tables.books_table(report)

    return as_block("tie_out_books", body)


def _verdict(books: CompanyBooks) -> str:
    accounts = f"{count(len(books.accounts), 'account')} on {books.as_of}"
    if books.agrees:
        return f"the books agree | los libros cuadran: {accounts}"
    return (
        "the books differ, each time for a known cause | los libros difieren, cada vez por una causa conocida: "
        f"{len(books.different)} of {accounts}, {count(len(books.transactions), 'transaction')}"
    )


def _problems(books: CompanyBooks) -> list[str]:
    """Name what a report that is not ok could not compare or explain."""
    accounts = [f"account {it.account_id}: {it.unexplained}" for it in books.accounts if it.unexplained]
    parties = [f"{it.kind} {it.id}: {it.unexplained}" for it in books.parties if it.unexplained]
    unnamed = [f"{it.entity} {it.id} of {it.date}" for it in books.transactions if it.cause == "unexplained"]
    return [*books.unverified, *accounts, *parties, *unnamed]


def _variables(kwargs: Mapping[str, Any]) -> tuple[date, date, ReportBasis, str]:
    today = datetime.now(timezone.utc).date()
    last = _day("fecha_fin", kwargs) or today.replace(day=1) - timedelta(days=1)
    first = _day("fecha_inicio", kwargs) or last.replace(day=1)
    if first > last:
        raise ConfigError(
            InBoth(
                f"runtime variables: fecha_inicio {first} is after fecha_fin {last}",
                "variables: fecha_inicio es posterior a fecha_fin",
            )
        )
    basis = "accrual" if is_missing(kwargs.get("basis")) else str(kwargs["basis"]).strip().lower()
    if basis not in ("accrual", "cash"):
        raise ConfigError(
            InBoth(
                f"runtime variables: basis: '{basis}' is neither accrual nor cash",
                f"variables: basis: '{basis}' no es accrual ni cash",
            )
        )
    schema = DEFAULT_SCHEMA if is_missing(kwargs.get("schema")) else str(kwargs["schema"]).strip()
    return first, last, cast("ReportBasis", basis), schema


def _day(name: str, kwargs: Mapping[str, Any]) -> date | None:
    value = kwargs.get(name)
    if is_missing(value):
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        wrong = InBoth(
            f"runtime variables: {name}: '{value}' is no day; write 2025-12-31",
            f"variables: {name}: '{value}' no es un día; escriba 2025-12-31",
        )
        raise ConfigError(wrong) from None
