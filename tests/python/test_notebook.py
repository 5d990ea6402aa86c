"""Results in notebooks: one line of text, a screen of HTML, and no text of a stranger that acts."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from test_types import ACCOUNT, CONNECTION, COUNTS, ENTITY, NAMES, REJECT, VERIFICATION, WINDOW

import qbo_rs
from qbo_rs import _calendar, _html

# What drives a terminal, ends a line or turns the direction of a text.
CONTROLS = "\x1b\n\x85\u061c\u200e\u200f\u2028\u2029\u202e\u2066"
HOSTILE = f'<script>alert(1)</script><img src=x onerror=1>"{CONTROLS}[31m' + "x" * 5000
MAX_LINE, MAX_HTML = 300, 60_000


def windows(days: int, status: str = "done", **more: object) -> list[dict]:
    begin = datetime(2024, 1, 1, tzinfo=timezone.utc)
    bounds = [(begin + timedelta(days=day), begin + timedelta(days=day + 1)) for day in range(days)]
    texts = [[bound.strftime("%Y-%m-%dT00:00:00Z") for bound in pair] for pair in bounds]
    return [WINDOW | {"start": start, "end": end, "status": status} | more for start, end in texts]


def run(days: int, **more: object) -> dict:
    totals = {"windows": days, **COUNTS}
    return {**NAMES, "run_id": "r1", "status": "ok", "windows": windows(days), "totals": totals} | more


def failed(days: int) -> dict:
    reasons = [window | {"error": f"{number} {HOSTILE}"} for number, window in enumerate(windows(days, "failed"))]
    return run(days) | {"status": "failed", "windows": reasons}


def books(accounts: int) -> dict:
    account = {"account_id": "1", "name": HOSTILE, "report": "1234567890123456.70", "records": "1E+3"}
    account |= {"difference": "0.10", "causes": [{"cause": HOSTILE, "amount": "0.10"}], "unexplained": "0"}
    line = {"account_id": "1", "date": "2025-01-02", "amount": "0.10"}
    transaction = {"entity": "Invoice", "id": "7", "date": "2025-01-02", "cause": HOSTILE, "lines": [line]}
    party = {"kind": "customer", "id": "1", **{name: account[name] for name in account if name != "account_id"}}
    return {
        "realm_id": "9",
        "basis": "accrual",
        "as_of": "2025-12-31",
        "from": "2025-12-01",
        "currency": "USD",
        "accounts": [account] * accounts,
        "parties": [party] * accounts,
        "months": [],
        "transactions": [transaction] * accounts,
        "unverified": [HOSTILE] * accounts,
        "requests": 3,
        "status": "different",
    }


def quickbooks_report(rows: int) -> dict:
    row = {"path": [HOSTILE], "kind": "data", "group": None, "account_id": None, "txn_type": None, "txn_id": None}
    row |= {"party_id": None, "cells": {"account": HOSTILE, "amount": "1234567890123456.70"}}
    report = {"report": "TrialBalance", "basis": None, "start": None, "end": None, "status": "failed"}
    report |= {"error": HOSTILE, "requests": 1, "currency": None, "columns": ["account", "amount"], "answers": []}
    return report | {"rows": [row] * rows}


def status(entities: int) -> dict:
    window = {"start": "2024-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}
    unfinished = window | {"status": "stuck", "attempts": 5, "error": HOSTILE, "is_committed": False}
    last_run = {"run_id": "r", "status": "failed", "started_at": window["start"], "finished_at": None, "error": HOSTILE}
    entity = NAMES | {"rows": 12, "committed": [window] * 50, "gaps": [window] * 50, "unfinished": [unfinished] * 50}
    entity |= {"empty_days": [window] * 50, "rejects": 3, "last_run": last_run}
    entity |= {"checks": [{"name": HOSTILE, "wrong": 2}] * 50}
    tie_out = {"realm_id": "9", "basis": "cash", "as_of": "2025-12-31", "checked": window["end"], "status": "different"}
    tie_out |= {"accounts": 3, "transactions": 4, "unexplained": "1234567890123456.70", "unverified": 1}
    drift = NAMES | {"path": HOSTILE, "kind": "unknown", "found": "text", "expected": None, "records": 1}
    drift |= {"example_id": HOSTILE, "first_seen": window["start"], "last_seen": window["end"]}
    account = {"realm_id": "9", "state": "needs_reauth", "needs_reauth": HOSTILE, "access_token_expires_at": None}
    account |= {"refresh_token_expires_at": None, "connection_expires_at": window["end"], "days_left": 3}
    account |= {"breaker": "closed", "monthly_reads": 1, "in_flight": 0, "paused_until": None}
    account |= {"requests_last_minute": 0}
    return {
        "schema": "raw",
        "entities": [entity] * entities,
        "unavailable": [NAMES | {"reason": HOSTILE, "looked_at": None}] * entities,
        "schema_drift": [drift] * entities,
        "books": [tie_out] * entities,
        "accounts": [account] * entities,
    }


DIFFERENCE = {"start": WINDOW["start"], "end": WINDOW["end"], "source": 2, "table": 1, "stale": [], "extra": []}
DIFFERENT = VERIFICATION | {"different": [DIFFERENCE | {"missing": [HOSTILE] * 50}] * 50}
DIFFERENT |= {"rejects": [REJECT | {"error": HOSTILE}] * 50, "unavailable": HOSTILE}
SYNCED = ACCOUNT | {"entities": [ENTITY | {"error": HOSTILE, "status": "failed"}] * 39, "error": HOSTILE}
REPORT = qbo_rs.Report.from_dict(
    {"runs": [run(731), failed(731)] * 25, "connection": CONNECTION | {"warning": HOSTILE}}
)
STATUS = qbo_rs.StatusReport.from_dict(status(39))
BOOKS = qbo_rs.BooksReport.from_dict({"books": [books(300)] * 40})
LANDED = {"realm_id": "9", "schema": "raw", "reports": [quickbooks_report(1000)] * 40}
CHECK = qbo_rs.CheckReport.from_dict(
    {
        "check": [{"name": HOSTILE, "status": "failed", "text": HOSTILE, "fix": HOSTILE}] * 5,
        "status": "failed",
    }
)
LARGE = [
    qbo_rs.chunk_range("2000-01-01", "2026-01-01"),
    REPORT,
    REPORT.connection,
    REPORT.runs[0],
    REPORT.runs[1],
    REPORT.runs[1].windows,
    qbo_rs.Report.from_dict({"runs": [failed(3)]}),
    qbo_rs.Report.from_dict({"runs": []}),
    qbo_rs.Landing.from_dict(run(731, windows=windows(731, path=HOSTILE))),
    qbo_rs.VerificationReport.from_dict({"runs": [DIFFERENT] * 39}),
    qbo_rs.VerificationReport.from_dict({"runs": [DIFFERENT]}).runs[0],
    qbo_rs.SyncReport.from_dict({"accounts": [SYNCED] * 40}),
    qbo_rs.SyncReport.from_dict({"accounts": [SYNCED]}).accounts[0],
    STATUS,
    STATUS.entities[0],
    qbo_rs.StatusReport.from_dict(status(0)),
    BOOKS,
    BOOKS.books[0],
    qbo_rs.ReportsReport.from_dict(LANDED),
    qbo_rs.ReportsReport.from_dict(LANDED).reports[0],
    CHECK,
]


def hostile(given: object, key: str = "") -> object:
    """Put a hostile text into every place of a report that has a text: names, ids and states, too."""
    if isinstance(given, dict):
        return {name: hostile(value, name) for name, value in given.items()}
    if isinstance(given, list):
        return [hostile(value, key) for value in given]
    is_number = isinstance(given, str) and _html.is_amount(given) and not key.endswith("id")
    is_text = isinstance(given, str) and not is_number and not re.match(r"\d{4}-\d\d-\d\d", given)
    return HOSTILE if is_text else given


MADE_OF = [
    (qbo_rs.Report, {"runs": [run(3, unavailable="x"), failed(3)], "connection": CONNECTION | {"warning": "x"}}),
    (qbo_rs.Landing, run(3, windows=windows(3, path="x"))),
    (qbo_rs.VerificationReport, {"runs": [DIFFERENT]}),
    (qbo_rs.SyncReport, {"accounts": [SYNCED] * 5}),
    (qbo_rs.StatusReport, status(3) | {"company": "x"}),
    (qbo_rs.BooksReport, {"books": [books(3)] * 3}),
    (qbo_rs.ReportsReport, LANDED | {"reports": [quickbooks_report(3)] * 3}),
]
PARTS = ("runs", "accounts", "entities", "books", "reports")


def made(kind: type, given: dict) -> list:
    """Return a result, and the first of each of its parts that are results, too."""
    whole = kind.from_dict(given)
    parts = [getattr(whole, name)[0] for name in PARTS if getattr(whole, name, None)]
    parts += [windows for part in (whole, *parts) if (windows := getattr(part, "windows", None))]
    return [each for each in (whole, *parts) if hasattr(each, "_repr_html_")]


OF_STRANGERS = [each for kind, given in MADE_OF for each in made(kind, hostile(given))]


class Page(HTMLParser):
    """The elements of a page, and the rows of each of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.rows: list[int] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "table":
            self.rows.append(0)
        if tag == "tr":
            self.rows[-1] += 1


def name_of(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("result", LARGE, ids=name_of)
def test_text_is_one_line(result):
    line = repr(result)
    assert line.startswith(f"<{name_of(result)}")
    assert line.endswith(">")
    assert len(line) <= MAX_LINE
    assert line.isprintable()


def assert_inert(shown: str) -> Page:
    """Assert that HTML does nothing and goes nowhere, whatever its texts say."""
    page = Page(shown)
    allowed = {"div", "span", "strong", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    assert page.tags <= allowed | {"svg", "path", "title", "text", "g", "br", "code"}
    assert not {name for name in page.attributes if name.startswith("on")} | (
        page.attributes & {"src", "href", "class"}
    )
    assert not set(shown) & set(CONTROLS)
    return page


@pytest.mark.parametrize("result", LARGE, ids=name_of)
def test_html_is_a_screen_of_inert_elements(result):
    shown = result._repr_html_()
    page = assert_inert(shown)
    # The head of a table is a row, too.
    assert max(page.rows, default=0) <= _html.MAX_ROWS + 1
    assert len(shown) < MAX_HTML
    for drawing in re.findall(r"<svg.*?</svg>", shown):
        ET.fromstring(drawing)  # noqa: S314 - it is ours


@pytest.mark.parametrize("result", OF_STRANGERS, ids=name_of)
def test_no_text_of_a_stranger_acts_wherever_it_stands(result):
    shown = result._repr_html_()
    assert_inert(shown)
    assert "&lt;script" in shown
    assert repr(result).isprintable()


@pytest.mark.parametrize("result", LARGE, ids=name_of)
def test_html_leaves_the_colours_of_text_and_paper_to_the_page(result):
    shown = result._repr_html_()
    colours = set(re.findall(r"#[0-9a-fA-F]{3,6}\b", shown))
    assert colours <= {_html.GREEN, _html.RED, _html.AMBER}
    assert not re.search(r"\b(?:white|black)\b", shown)


def test_a_report_says_the_sums_and_what_failed():
    report = qbo_rs.Report.from_dict({"runs": [run(2), failed(3)]})
    assert repr(report) == "<Report not complete: 2 entities, 24 rows, 24 inserted, 3 windows failed>"
    assert repr(report.runs[0]) == "<RunReport customers ok: 12 rows, 12 inserted>"
    assert repr(report.runs[0].windows[0]) == "<WindowReport [2024-01-01, 2024-01-02) done, 12 rows>"
    assert repr(report.runs[0].windows) == "<WindowReports: 2 windows, 24 rows>"
    shown = report._repr_html_()
    assert "customers: 3 windows failed" in shown
    # Nothing was updated, so that nothing says so.
    assert "updated" not in shown


@pytest.mark.parametrize(
    ("hours", "words"),
    [((5, 23), "28 h in 2 gaps"), ((5,), "5 h in 1 gap"), ((24, 24), "2 days in 2 gaps"), ((24 * 31,), "31 days in")],
)
def test_time_that_is_missing_is_summed_before_it_is_rounded(hours, words):
    spans = [(day(number), day(number) + timedelta(hours=each)) for number, each in enumerate(hours)]
    texts = [{"start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "end": f"{end:%Y-%m-%dT%H:%M:%SZ}"} for start, end in spans]
    entity = status(1)["entities"][0] | {"gaps": texts, "committed": texts}
    entity = qbo_rs.StatusReport.from_dict(status(0) | {"entities": [entity]}).entities[0]
    assert f"missing {words}" in repr(entity)
    shown = entity._repr_html_()
    for name in ("committed", "gaps"):
        assert f"{name}: {words.partition(' in')[0]} in {len(hours)} stretch" in shown


def test_a_report_of_windows_that_were_skipped_does_not_show_them_as_missing():
    skipped = windows(3, "skipped", **dict.fromkeys(COUNTS, 0))
    report = qbo_rs.Report.from_dict({"runs": [run(3, windows=skipped)]})
    assert "3 windows skipped" in repr(report)
    assert "not committed" not in report._repr_html_()


def test_amounts_keep_every_digit():
    shown = BOOKS.books[0]._repr_html_()
    assert "<td>1234567890123456.70</td>" in shown
    assert "<td>1000</td>" in shown
    assert "<td>1234567890123456.70</td>" in qbo_rs.ReportsReport.from_dict(LANDED).reports[0]._repr_html_()
    assert "1234567890123456.70" in STATUS._repr_html_()


def day(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=timezone.utc) + timedelta(days=number)


def test_a_calendar_has_a_place_for_each_day():
    levels = [_calendar.MANY, _calendar.EMPTY, _calendar.FAILED, _calendar.GAP]
    pieces = [_calendar.Piece(day(number), day(number + 1), level) for number, level in enumerate(levels)]
    # 2025-01-01 is a Wednesday: the third row of the first column; 2025-01-06, a Monday, begins the second.
    pieces.append(_calendar.Piece(day(5), day(6), _calendar.FEW))
    drawing = ET.fromstring(re.findall(r"<svg.*?</svg>", _calendar.calendar(pieces))[0])  # noqa: S314 - it is ours
    ns = {"svg": "http://www.w3.org/2000/svg"}
    boxes = {box for path in drawing.findall("svg:path", ns) for box in re.findall(r"M(\d+ \d+)h", path.get("d"))}
    assert boxes == {"30 36", "30 47", "30 58", "30 69", "30 80", "41 14"}
    title = drawing.find("svg:title", ns).text
    assert title.startswith("2025-01-01 to 2025-01-06: not committed 2 days")
    assert "failed 1 day" in title


def test_a_calendar_counts_the_years_that_it_does_not_show():
    first, last = (datetime(year, 5, 7, tzinfo=timezone.utc) for year in (2010, 2024))
    drawn = _calendar.calendar([_calendar.Piece(first, last, _calendar.MANY)])
    assert "12 earlier years not shown" in drawn
    # Those who do not see it are told of the same time.
    assert "<title>2022-01-01 to 2024-05-06: many 857 days</title>" in drawn
    years = [_calendar.Piece(first.replace(year=year), last, _calendar.MANY) for year in (2021, 2022)]
    assert "1 earlier year not shown" in _calendar.calendar(years[:1])
    assert "not shown" not in _calendar.calendar(years[1:])


def test_a_strip_shows_a_failure_however_short_it_is():
    pieces = [_calendar.Piece(day(0), day(3650), _calendar.MANY)]
    assert _html.RED not in _calendar.strip(pieces, day(0), day(3650))
    pieces.append(_calendar.Piece(day(100), day(100) + timedelta(seconds=1), _calendar.FAILED))
    assert _html.RED in _calendar.strip(pieces, day(0), day(3650))


def call_of(source: str) -> str:
    """Run the text of a cell, which is in no file; return what IPython would show."""
    with pytest.raises(qbo_rs.QboError) as caught:
        exec(compile(source, "/no/ipykernel_1/2.py", "exec"), {"qbo_rs": qbo_rs, "asyncio": asyncio})  # noqa: S102
    [line] = caught.value._render_traceback_()
    return line


def test_an_error_says_which_line_of_a_cell_it_comes_from():
    loop = "for chunk in 'month', 'fortnight':\n\n    qbo_rs.chunk_range('2025-01-01', '2025-02-01', chunk)"
    assert "(line 3 of the cell): chunk: unknown chunk 'fortnight'" in call_of(loop)
    awaited = (
        "async def main():\n    await qbo_rs.backfill_async('items', '2025', '2026', page_size=0)\nasyncio.run(main())"
    )
    assert "(line 2 of the cell): " in call_of(awaited)


def test_an_error_of_a_user_is_one_line_and_a_defect_is_not():
    with pytest.raises(qbo_rs.ConfigError) as caught:
        qbo_rs.chunk_range("2025-01-01", "2025-02-01", "fortnight")
    [line] = caught.value._render_traceback_()
    # The line of the caller, not one of this package.
    place = caught.traceback[0].lineno + 1
    assert line == f"\x1b[31mConfigError\x1b[0m (line {place} of test_notebook.py): {caught.value}"
    assert "\x1b" not in qbo_rs.ApiError(f"a\x1b[2Jb{HOSTILE}")._render_traceback_()[0][20:]
    assert not hasattr(qbo_rs.InternalError("a defect"), "_render_traceback_")


def test_books_that_were_not_compared_are_not_said_to_disagree_or_to_agree():
    left = books(1)["accounts"][0] | {"unexplained": "0.10"}
    given = books(1) | {"accounts": [left], "verdict": "different"}
    (company,) = qbo_rs.BooksReport.from_dict({"books": [given]}).books
    assert company.disagrees
    assert "as of 2025-12-31: different;" in repr(company)
    given = books(0) | {"unverified": ["cash basis"], "verdict": "unverified"}
    (cash,) = qbo_rs.BooksReport.from_dict({"books": [given]}).books
    assert not cash.disagrees
    assert "as of 2025-12-31: unverified;" in repr(cash)
    assert "No account was compared." in cash._repr_html_()
    alone = books(0) | {"unverified": ["cash basis"], "status": "reports_agree", "verdict": "fine"}
    report = qbo_rs.BooksReport.from_dict({"books": [alone]})
    assert "as of 2025-12-31: the reports agree;" in repr(report.books[0])
    assert not report.books[0].agrees
    assert not report.ok


#: Verdicts, and what a status and a comparison show of them: the word, the mark.
VERDICTS = [
    ({"status": "ok", "verdict": "fine", "causes": {"report_only": 2}}, "ok", "✔"),
    ({"status": "reports_agree", "verdict": "fine", "unverified": 1}, "the reports agree", "✔"),
    ({"status": "different", "verdict": "unverified", "unverified": 1}, "unverified", "!"),
    ({"status": "ok", "verdict": "explained", "causes": {"not_landed": 3}}, "explained", "!"),
    ({"status": "different", "verdict": "explained", "causes": {"not_landed": 3}, "unverified": 1}, "explained", "!"),
    ({"status": "different", "verdict": "different", "causes": {"unexplained": 2}}, "different", "✖"),
]


@pytest.mark.parametrize(("outcome", "word", "sign"), VERDICTS)
def test_a_status_shows_the_verdict_of_the_core_on_the_books(outcome, word, sign):
    given = status(1)
    entity = given["entities"][0] | {"level": "in_step", "findings": [], "gaps": []}
    tie_out = given["books"][0] | {"unexplained": "0.00", "unverified": 0} | outcome
    level = {"✔": "in_step", "!": "attention", "✖": "failed"}[sign]
    report = qbo_rs.StatusReport.from_dict(
        given | {"entities": [entity], "accounts": [], "books": [tie_out], "level": level}
    )
    assert report.books[0].verdict == outcome["verdict"]
    line = next(line for line in report._repr_html_().split("<p") if "books as of" in line)
    assert f">{sign}<" in line
    assert f"cash: {word}, unexplained 0.00" in line
    assert ("in 2 transactions" in line) == (word == "different")
    needs_nobody = sign == "✔"
    assert ("all in order" in repr(report)) == needs_nobody
    assert (f"books of 2025-12-31: {word}" in repr(report)) == (not needs_nobody)


@pytest.mark.parametrize(("outcome", "word", "sign"), VERDICTS)
def test_a_comparison_shows_the_verdict_of_the_core(outcome, word, sign):
    causes = {name: outcome[name] for name in ("status", "verdict")}
    cause = next(iter(outcome.get("causes", {"report_only": 1})))
    found = books(1)["transactions"][0] | {"cause": cause}
    made = books(0) | {"unverified": ["cut"] * outcome.get("unverified", 0), "transactions": [found]} | causes
    report = qbo_rs.BooksReport.from_dict({"books": [made]})
    counted = "" if word == "ok" else f", 1 {word}"
    assert repr(report) == f"<BooksReport {word}: 1 company{counted}>"
    (company,) = report.books
    assert f" as of 2025-12-31: {word};" in repr(company)
    assert company.disagrees == (outcome["verdict"] == "different")
    head = company._repr_html_().split("<table")[0]
    assert f">{sign}<" in head
    assert word in head
    assert qbo_rs.BooksReport.from_dict(report.to_dict()) == report


def test_the_worst_books_come_first():
    made = [books(0) | {"realm_id": str(number)} | outcome for number, (outcome, *_) in enumerate(VERDICTS)]
    for each in made:
        each["unverified"] = []
    report = qbo_rs.BooksReport.from_dict({"books": made})
    assert repr(report).startswith("<BooksReport different: 6 companies, 1 different, 2 explained, 1 unverified")
    assert "company 5" in report._repr_html_().split("<table")[0]


def test_books_with_differences_of_known_causes_do_not_agree():
    named = books(1) | {"status": "ok", "unverified": [], "accounts": [], "parties": []}
    even = named | {"transactions": []}
    # Without a verdict, those of an earlier version.
    for pair in ([named, even], [named | {"verdict": "explained"}, even | {"verdict": "fine"}]):
        (lost, same) = qbo_rs.BooksReport.from_dict({"books": pair}).books
        assert not lost.agrees
        assert "2025-12-31: explained;" in repr(lost)
        assert "explained" in lost._repr_html_()
        assert "✔" not in lost._repr_html_()
        assert same.agrees
        assert "2025-12-31: ok;" in repr(same)
        assert "✔" in same._repr_html_()
