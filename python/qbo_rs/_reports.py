"""Results of :func:`qbo_rs.reports`: QuickBooks reports as they were landed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from qbo_rs.exceptions import IncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ReportBasis = Literal["accrual", "cash"]
"""When income and costs count: when they are earned, or when they are paid."""

ReportStatus = Literal["landed", "skipped", "unavailable", "failed"]
"""The outcome of a QuickBooks report; ``skipped``: nothing has changed since it was landed."""

AnswerOutcome = Literal["new", "changed", "unchanged"]
"""The difference of an answer from the answer before about its days."""

_MAX_ROWS = 200


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


@dataclass(frozen=True)
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

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join(self._html_row(row) for row in self.rows[:_MAX_ROWS])
        left = len(self.rows) - _MAX_ROWS
        note = f"<p>{left} more rows</p>" if left > 0 else ""
        error = f"<p>{escape(self.error)}</p>" if self.error else ""
        caption = f"<caption>{escape(self.title)}: {self.status}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}{error}"

    def _html_row(self, row: ReportRow) -> str:
        tag = "td" if row.kind == "data" else "th"
        indent = max(len(row.path) - (row.kind != "data"), 0)
        cells = []
        for place, column in enumerate(self.columns):
            style = f' style="padding-left: {indent + 1}em"' if place == 0 else ""
            cells.append(f"<{tag}{style}>{escape(row.cells.get(column, ''))}</{tag}>")
        return f"<tr>{''.join(cells)}</tr>"


@dataclass(frozen=True)
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

    def _repr_html_(self) -> str:
        return "".join(found._repr_html_() for found in self.reports)
