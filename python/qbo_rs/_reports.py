"""Results of :func:`qbo_rs.reports`: QuickBooks reports as they were landed."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from qbo_rs._html import (
    MAX_ROWS,
    Amount,
    Html,
    block,
    count,
    is_amount,
    markup,
    more,
    one_line,
    paragraph,
    plain,
    table,
)
from qbo_rs.exceptions import IncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ReportBasis = Literal["accrual", "cash"]
"""When income and costs count: when they are earned, or when they are paid."""

ReportStatus = Literal["landed", "skipped", "unavailable", "failed"]
"""The outcome of a QuickBooks report; ``skipped``: nothing has changed since it was landed."""

AnswerOutcome = Literal["new", "changed", "unchanged"]
"""The difference of an answer from the answer before about its days."""

_MAX_REPORTS = 3


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _jsonable(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in fields}


@dataclass(frozen=True)
class ReportRow:
    """One row of a QuickBooks report. Amounts are texts, as QuickBooks writes them, so that no digit is lost."""

    path: tuple[str, ...]
    """Labels of the sections that it stands in, from the outermost one."""
    kind: Literal["header", "data", "summary"]
    """Head of a section, data, or a total. The head of a parent account may hold its own amounts."""
    group: str | None
    """Stable name of the row or its section, such as ``NetIncome``."""
    account_id: str | None
    """Id of its account."""
    txn_type: str | None
    """The report's own word for the type of its transaction."""
    txn_id: str | None
    """Id of its transaction."""
    party_id: str | None
    """Id of its customer, vendor or employee."""
    cells: dict[str, str]
    """Texts by the keys of their columns, without empty ones."""

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> ReportRow:
        """Make a row from the result of ``to_dict``."""
        return cls(**{**row, "path": tuple(row["path"]), "cells": dict(row["cells"])})


@dataclass(frozen=True)
class ReportAnswer:
    """One answer of QuickBooks in Postgres: a long range is asked for in parts."""

    id: str
    """Id in ``qb_reports`` and ``qbo.report_rows``."""
    start: date | None
    """First day; None for a report without one."""
    end: date | None
    """Last day, which belongs to it."""
    outcome: AnswerOutcome
    """``unchanged`` if it says the same as the answer before."""
    rows: int
    """Rows that are not blank."""
    cells: int
    """Cells that were written."""

    @classmethod
    def from_dict(cls, answer: Mapping[str, Any]) -> ReportAnswer:
        """Make an answer from the result of ``to_dict``."""
        return cls(**{**answer, "start": _day(answer["start"]), "end": _day(answer["end"])})


@dataclass(frozen=True, repr=False)
class QuickBooksReport:
    """One QuickBooks report of one range of days. In a notebook, it is shown as a table."""

    report: str
    """Intuit's name, such as ``TrialBalance``."""
    basis: ReportBasis | None
    """None for a report without a basis."""
    start: date | None
    """First day that was asked for."""
    end: date | None
    """Last day that was asked for."""
    status: ReportStatus
    """The outcome."""
    error: str | None
    """Reason of the failure."""
    requests: int
    """HTTP requests, retries included."""
    currency: str | None
    """Home currency of the company."""
    columns: tuple[str, ...]
    """Keys of the columns."""
    answers: tuple[ReportAnswer, ...]
    """The answers, oldest first."""
    rows: tuple[ReportRow, ...]
    """The rows of all answers, if they were asked for."""

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> QuickBooksReport:
        """Make a report from the result of ``to_dict``."""
        given = {
            **report,
            "start": _day(report["start"]),
            "end": _day(report["end"]),
            "columns": tuple(report["columns"]),
            "answers": tuple(ReportAnswer.from_dict(answer) for answer in report["answers"]),
            "rows": tuple(ReportRow.from_dict(row) for row in report["rows"]),
        }
        return cls(**given)

    @property
    def title(self) -> str:
        """Name, basis and days in one line."""
        days = " to ".join(str(day) for day in (self.start, self.end) if day is not None)
        return " ".join(part for part in (self.report, self.basis, days) if part)

    def __repr__(self) -> str:
        """Return name, days and outcome in one line."""
        reason = f": {plain(self.error)}" if self.error else ""
        return f"<QuickBooksReport {plain(self.title)}: {plain(self.status)}, {count(len(self.rows), 'row')}{reason}>"

    def _repr_html_(self) -> str:
        rows = [self._cells(row) for row in self.rows[:MAX_ROWS]]
        left = more(len(self.rows) - MAX_ROWS, "rows")
        error = paragraph(self.error) if self.error else ""
        return block(table(self.columns, rows, caption=f"{self.title}: {self.status}"), left, error)

    def _cells(self, row: ReportRow) -> list[object]:
        """Return the cells of a row; heads and totals are bold, and each section is indented."""
        is_data = row.kind == "data"
        indent = "\u2003" * max(len(row.path) - (not is_data), 0)
        cells: list[object] = []
        for place, column in enumerate(self.columns):
            text = row.cells.get(column, "")
            shown = Html(f"{indent if place == 0 else ''}{markup(text)}")
            cell = shown if is_data else Html(f"<strong>{shown}</strong>")
            cells.append(Amount(cell) if place > 0 and is_amount(text) else cell)
        return cells


@dataclass(frozen=True, repr=False)
class ReportsReport:
    """The result of :func:`qbo_rs.reports`.

    Example:
        ::

            result = qbo_rs.reports("TrialBalance", "2025-01-01", "2025-12-31")
            result.raise_for_failures()
            for row in result.reports[0].rows:
                print(row.account_id, row.cells)

    """

    realm_id: str
    """Id of the company."""
    schema: str
    """Schema of ``qb_reports``."""
    reports: tuple[QuickBooksReport, ...]
    """The reports, in the order in which they were asked for."""

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> ReportsReport:
        """Make a result from JSON-able data, such as the output of ``qbo-rs reports --json``."""
        reports = tuple(QuickBooksReport.from_dict(found) for found in report["reports"])
        return cls(report["realm_id"], report["schema"], reports)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-able data."""
        return asdict(self, dict_factory=_jsonable)

    @property
    def ok(self) -> bool:
        """True if no report has failed."""
        return not any(found.status == "failed" for found in self.reports)

    def raise_for_failures(self) -> None:
        """Raise an :class:`IncompleteError` if a report has failed."""
        failed = [f"{found.title}: {found.error}" for found in self.reports if found.status == "failed"]
        if failed:
            raise IncompleteError("; ".join(failed), report=self)

    def __repr__(self) -> str:
        """Return the number of reports and their outcomes in one line."""
        outcomes = Counter(found.status for found in self.reports)
        parts = [f"{number:,} {plain(status)}" for status, number in outcomes.items()]
        return one_line(f"ReportsReport {'ok' if self.ok else 'not complete'}:", *parts)

    def _repr_html_(self) -> str:
        shown = sorted(self.reports, key=lambda found: found.status != "failed")
        parts = [found._repr_html_() for found in shown[:_MAX_REPORTS]]
        rest = [[found.title, found.status, len(found.rows), found.error] for found in shown[_MAX_REPORTS:]]
        parts += [table(("report", "status", "rows", "error"), rest, "reports")] if rest else []
        return block(*parts)
