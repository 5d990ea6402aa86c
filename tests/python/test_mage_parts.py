"""The parts of ``qbo_rs.mage`` that work without Mage; tests/mage runs the whole in Mage."""

from __future__ import annotations

import asyncio
import datetime as dt
import traceback

import pytest

import qbo_rs
from qbo_rs import mage
from qbo_rs.mage import _tables
from qbo_rs.mage._guard import Attempts, raise_redacted

RANGE = {"fecha_inicio": "2025-01-01", "fecha_fin": "2025-02-01"}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({}, {"chunk": "day", "page_size": 200, "resume": False, "schema": "raw"}),
        ({"chunk": 7, "page_size": "0250"}, {"chunk": "7d", "page_size": 250}),
        ({"chunk": " Month ", "page_size": " 1000 "}, {"chunk": "month", "page_size": 1000}),
        ({"chunk": "None", "page_size": None, "resume": "", "schema": "None"}, {"chunk": "day", "schema": "raw"}),
        ({"resume": True}, {"resume": True}),
        ({"resume": "sí"}, {"resume": True}),
        ({"resume": 0}, {"resume": False}),
        ({"schema": "raw_acme"}, {"schema": "raw_acme"}),
        ({"fecha_inicio": dt.date(2025, 1, 1)}, {"start": "2025-01-01"}),
        (
            {"fecha_inicio": dt.datetime(2024, 12, 31, 19, tzinfo=dt.timezone(-dt.timedelta(hours=5)))},
            {"start": "2025-01-01T00:00:00Z"},
        ),
    ],
)
def test_variables_are_read_in_every_form_that_mage_passes(given, read):
    variables = mage.read_variables(RANGE | given)
    assert {name: getattr(variables, name) for name in read} == read
    assert variables.windows()[0].to_dict()["start"] == "2025-01-01T00:00:00Z"


def test_all_wrong_variables_are_reported_in_one_error():
    given = {"fecha_inicio": "soon", "page_size": True, "resume": "perhaps"}
    with pytest.raises(qbo_rs.ConfigError) as raised:
        mage.read_variables(RANGE | given)
    assert str(raised.value) == (
        "runtime variables: fecha_inicio: cannot read 'soon' as a date; write 2025-01-31 or 2025-01-31T00:00:00Z; "
        "page_size: 'True' is not between 1 and 1000; resume: 'perhaps' is neither true nor false"
    )
    with pytest.raises(qbo_rs.ConfigError, match=r"fecha_inicio: missing.*; fecha_fin: missing"):
        mage.read_variables({})
    for value in (0, 1001, -5, 2.5, "1e2", [200]):
        with pytest.raises(qbo_rs.ConfigError, match="page_size"):
            mage.read_variables(RANGE | {"page_size": value})


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_errors_that_mage_does_not_catch_become_exceptions(error):
    @mage.guarded
    def block(*_args, **_kwargs):
        raise error

    with pytest.raises(qbo_rs.InternalError, match=type(error).__name__):
        block(1, a=2)


def test_errors_that_mage_stores_hold_no_secret():
    secrets = ("hush-hush", "hush-hush-2", "no")

    def fail(error: Exception) -> str:
        error.__context__ = ValueError("caused by hush-hush")
        with pytest.raises(qbo_rs.QboError) as raised:
            raise_redacted(error, secrets)
        return "".join(traceback.format_exception(raised.value))

    plain = fail(OSError("no route for hush-hush-2"))
    assert "InternalError: OSError: no route for ***" in plain
    ours = fail(qbo_rs.AuthError("refused: hush-hush"))
    assert "AuthError: refused: ***" in ours
    assert "hush" not in plain + ours


def test_a_killed_block_is_repeated_up_to_max_attempts_and_a_retry_counts_from_zero(tmp_path):
    directory = tmp_path / "run"

    def start_and_be_killed() -> None:
        Attempts(directory, "extract", 2).__enter__()

    start_and_be_killed()
    start_and_be_killed()
    with pytest.raises(qbo_rs.StuckError, match="ended 2 times"):
        start_and_be_killed()
    # After a retry by a user, attempts that end with an exception are not counted.
    for _ in range(5):
        with pytest.raises(ValueError, match="bad"), Attempts(directory, "extract", 2):
            raise ValueError("bad")
    assert not list(directory.iterdir())
    for _ in range(9):
        Attempts(directory, "load", 0).__enter__()
        Attempts(None, "load", 1).__enter__()


def test_tables_pass_windows_from_block_to_block_as_text():
    january, february, march = qbo_rs.chunk_range("2025-01-01", "2025-04-01", "month")
    plan = _tables.plan_table([january, february, march], [january, march])
    assert plan["status"].tolist() == ["to read", "committed", "to read"]
    to_read = _tables.windows_to_read(plan)
    assert [window["start"] for window in to_read] == ["2025-01-01T00:00:00Z", "2025-03-01T00:00:00Z"]
    counts = {"pages": 1, "rows": 2, "rejected": 0, "requests": 1, "retries": 0, "duration_ms": 5}
    counts |= {"inserted": 0, "updated": 0, "unchanged": 0}
    windows = [
        january.to_dict() | counts | {"status": "done", "error": None, "path": "1.jsonl.zst"},
        march.to_dict() | counts | {"status": "skipped", "error": None},
    ]
    run = {"entity": "items", "realm_id": "9341", "run_id": "r1", "status": "ok", "windows": windows}
    landing = qbo_rs.Landing.from_dict(run | {"totals": {"windows": 2, **counts}})
    table = _tables.landing_table(landing, plan)
    assert table["start"].tolist() == ["2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z"]
    assert table["path"].tolist() == ["1.jsonl.zst", "", ""]
    to_load = _tables.landing_to_load(table)
    assert to_load.files() == landing.files()
    assert _tables.load_table([to_load.run])["end"].tolist() == ["2025-02-01T00:00:00Z"]


def test_the_table_of_a_sync_has_its_checkpoints_as_text():
    counts = dict.fromkeys(("rows", "inserted", "updated", "unchanged", "rejected", "deleted"), 0)
    entity = {"entity": "items", "status": "ok", "error": None, "via": "query", **counts}
    entity |= {"reconciled": False}
    entities = [entity | {"checkpoint": "2025-01-01T00:00:00Z"}, entity | {"checkpoint": "2025-01-02T00:00:00Z"}]
    account = {"realm_id": "9341", "schema": "raw", "status": "ok", "error": None, "requests": 1, "duration_ms": 5}
    report = qbo_rs.SyncReport.from_dict({"accounts": [account | {"entities": entities}]})
    table = _tables.sync_table(report)
    assert table["checkpoint"].tolist() == ["2025-01-01T00:00:00Z", "2025-01-02T00:00:00Z"]
    assert table["realm_id"].tolist() == ["9341", "9341"]
