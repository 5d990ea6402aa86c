"""The reports: instants are datetimes, and their JSON is that of the core."""

from __future__ import annotations

import ast
import copy
import json
import pickle
from datetime import datetime, timedelta, timezone
from typing import get_args, get_type_hints

import pytest
from conftest import ROOT

import qbo_rs
from qbo_rs import _sandbox, _types, exceptions

COUNTS = {"pages": 1, "rows": 12, "inserted": 12, "updated": 0, "unchanged": 0, "rejected": 0, "requests": 1}
COUNTS |= {"retries": 0, "duration_ms": 83}
NAMES = {"entity": "customers", "realm_id": "9341"}
START, END = "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"
WINDOW = {"start": START, "end": END, "status": "done", **COUNTS, "error": None}
READ_UNTIL = {"read_until": "2025-01-31T23:59:30Z", "path": "landing/1.jsonl.zst"}
RUN = {**NAMES, "run_id": "r1", "status": "ok", "windows": [WINDOW | READ_UNTIL], "totals": {"windows": 1, **COUNTS}}
CONNECTION = {
    "realm_id": "9341",
    "refresh_token_expires_at": "2025-05-12T10:00:00.250Z",
    "connection_expires_at": None,
    "days_left": 100,
    "monthly_reads": 3,
}
DIFFERENCE = {"start": START, "end": END, "source": 2, "table": 1, "missing": ["7"], "stale": [], "extra": []}
REJECT = {"id": None, "changed_at": "2025-01-02T03:04:05Z", "error": "4002", "intuit_tid": "1-a"}
VERIFICATION = {**NAMES, "status": "different", "windows": 1, "source": 2, "table": 1, "different": [DIFFERENCE]}
VERIFICATION |= {"rejects": [REJECT], "repaired": 0, "requests": 3}
VERIFICATION |= {"read_until": "2025-01-31T23:59:30Z"}
ENTITY = {"entity": "items", "status": "ok", "error": None, "via": "changes", "reconciled": True}
ENTITY |= {"checkpoint": END, "deleted": 1}
ENTITY |= {name: COUNTS[name] for name in ("rows", "inserted", "updated", "unchanged", "rejected")}
ABSENT = ENTITY | {"status": "unavailable", "unavailable": "Feature Not Supported", "checkpoint": None}
ACCOUNT = {"realm_id": "9341", "schema": "raw", "status": "ok", "error": None, "requests": 2, "duration_ms": 5}

REPORTS = [
    (qbo_rs.Report, {"runs": [RUN], "connection": CONNECTION}),
    (qbo_rs.Landing, RUN),
    (qbo_rs.VerificationReport, {"runs": [VERIFICATION, VERIFICATION | {"renamed_references": 2, "changed_later": 1}]}),
    (qbo_rs.SyncReport, {"accounts": [ACCOUNT | {"entities": [ENTITY, ABSENT]}]}),
    (qbo_rs.Report, {"runs": [RUN], "connection": CONNECTION | {"warning": "connect it again"}}),
]


@pytest.mark.parametrize(("kind", "given"), REPORTS)
def test_a_report_returns_the_json_that_it_was_made_of(kind, given):
    report = kind.from_dict(given)
    assert json.loads(json.dumps(report.to_dict())) == given
    assert kind.from_dict(report.to_dict()) == report


@pytest.mark.parametrize(("kind", "given"), REPORTS)
def test_a_report_is_equal_to_its_copies(kind, given):
    report = kind.from_dict(given)
    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301
    assert copy.deepcopy(report) == report
    assert repr(copy.copy(report)) == repr(report)


def test_instants_of_reports_are_datetimes_in_utc():
    january, february = (datetime(2025, month, 1, tzinfo=timezone.utc) for month in (1, 2))
    before_february = february - timedelta(seconds=30)
    report = qbo_rs.Report.from_dict(REPORTS[0][1])
    [window] = report.runs[0].windows
    assert (window.start, window.end, window.read_until) == (january, february, before_february)
    assert window.window == qbo_rs.Window(january, february)
    assert report.connection.refresh_token_expires_at == datetime(2025, 5, 12, 10, 0, 0, 250_000, tzinfo=timezone.utc)
    assert report.connection.connection_expires_at is None
    [verification, _] = qbo_rs.VerificationReport.from_dict(REPORTS[2][1]).runs
    assert verification.read_until == before_february
    assert verification.different[0].window == window.window
    assert verification.rejects[0].changed_at == datetime(2025, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    [account] = qbo_rs.SyncReport.from_dict(REPORTS[3][1]).accounts
    assert [entity.checkpoint for entity in account.entities] == [february, None]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        ("2025-01-01T00:00:00.250Z", "2025-01-01T00:00:00.250Z"),
        ("2025-01-01T00:00:00.250001Z", "2025-01-01T00:00:00.250001Z"),
        ("2025-01-01T00:00:00.250001999Z", "2025-01-01T00:00:00.250001Z"),
        ("2024-12-31T19:00:00-05:00", "2025-01-01T00:00:00Z"),
    ],
)
def test_instants_are_written_as_the_core_writes_them_up_to_microseconds(text, written):
    assert _types.format_instant(_types.parse_instant(text)) == written


def test_a_report_that_is_not_complete_is_in_the_error():
    failed = WINDOW | {"status": "failed", "error": "timed out"}
    run = qbo_rs.RunReport.from_dict(RUN | {"status": "failed", "windows": [failed]})
    message = r"customers: 1 of 1 windows failed, first \[2025-01-01T00:00:00Z, 2025-02-01T00:00:00Z\): timed out"
    with pytest.raises(qbo_rs.IncompleteError, match=message) as raised:
        qbo_rs.Report((run,)).raise_for_failures()
    assert raised.value.report is run


def test_the_error_is_that_of_the_entity_that_asks_most_of_a_person():
    def failed(entity, reaction):
        window = WINDOW | {"status": "failed", "error": f"of {entity}"}
        data = RUN | {"entity": entity, "status": "failed", "windows": [window]}
        return qbo_rs.RunReport.from_dict(data | ({"recovery": reaction} if reaction else {}))

    runs = (failed("customers", "retry"), failed("items", None), failed("invoices", "abort"))
    for report, entity in [
        (qbo_rs.Report(runs), "invoices"),
        (qbo_rs.Report((*runs, failed("bills", "reauthorise"))), "bills"),
        (qbo_rs.Report(runs[:2]), "customers"),
    ]:
        with pytest.raises(qbo_rs.IncompleteError, match=entity):
            report.raise_for_failures()


@pytest.mark.parametrize(
    ("reported", "recovery"), [("abort", "abort"), ("reauthorise", "reauthorise"), (None, "retry")]
)
def test_an_incomplete_report_says_which_reaction_helps(reported, recovery):
    failed = WINDOW | {"status": "failed", "error": "the company is closed"}
    data = RUN | {"status": "failed", "windows": [failed]} | ({"recovery": reported} if reported else {})
    run = qbo_rs.RunReport.from_dict(data)
    with pytest.raises(qbo_rs.IncompleteError) as raised:
        run.raise_for_failures()
    assert raised.value.recovery == recovery
    assert run.to_dict().get("recovery") == reported


def words_of(enumeration: str, path: str) -> set[str]:
    """Return the variants of an enumeration of the core, as serde writes them."""
    body = (ROOT / path).read_text().split(f"enum {enumeration} {{")[1].split("\n}")[0]
    names = [line.strip().rstrip(",") for line in body.splitlines() if line.strip() and "//" not in line]
    return {"".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:] for name in names}


@pytest.mark.parametrize(
    ("literal", "enumeration", "path"),
    [
        (_types.WindowStatus, "WindowStatus", "src/domain/report.rs"),
        (_types.RunStatus, "RunStatus", "src/domain/report.rs"),
        (_types.VerificationStatus, "VerificationStatus", "src/domain/verification.rs"),
        (_types.AccountStatus, "CompanyStatus", "src/domain/sync_report.rs"),
        (_types.EntityOutcome, "EntityOutcome", "src/domain/sync_report.rs"),
        (_types.SyncMethod, "SyncMethod", "src/domain/sync_report.rs"),
        (exceptions.Recovery, "Recovery", "src/error/recovery.rs"),
        (_sandbox.Blemish, "Blemish", "sandbox/src/company/defect.rs"),
    ],
)
def test_closed_sets_have_the_words_of_the_core(literal, enumeration, path):
    assert {word.replace("-", "_") for word in get_args(literal)} == words_of(enumeration, path)


@pytest.mark.parametrize("name", get_args(_types.ChunkName))
def test_the_core_takes_every_named_chunk(name):
    assert qbo_rs.chunk_range("2024-01-01", "2026-01-01", name)


def test_every_field_of_a_report_has_a_docstring():
    module = ast.parse((ROOT / "python/qbo_rs/_types.py").read_text())
    undocumented = []
    for node in (node for node in module.body if isinstance(node, ast.ClassDef)):
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and not isinstance(after, ast.Expr):
                undocumented.append(f"{node.name}.{field.target.id}")
    assert undocumented == []


def test_types_and_exceptions_do_not_import_each_other():
    assert "_types" not in (ROOT / "python/qbo_rs/exceptions.py").read_text()
    assert get_type_hints(qbo_rs.RunReport)["windows"]


def test_the_files_of_a_landing_say_how_far_each_window_was_read():
    windows = [WINDOW | READ_UNTIL, WINDOW | {"path": "landing/1.jsonl.zst"}, WINDOW]
    files = qbo_rs.Landing.from_dict(RUN | {"windows": windows}).files()
    assert [file["read_until"] for file in files] == [READ_UNTIL["read_until"], END]
