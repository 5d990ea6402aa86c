"""The parts of ``qbo_rs.mage`` that need no Mage; tests/mage runs the whole in it."""

from __future__ import annotations

import asyncio
import datetime as dt
import traceback

import pytest

import qbo_rs
from qbo_rs import mage
from qbo_rs.mage._guard import Attempts, raise_plainly

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
def test_variables_come_as_mage_has_parsed_them(given, read):
    variables = mage.read_variables(RANGE | given)
    assert {name: getattr(variables, name) for name in read} == read
    assert variables.windows()[0].to_dict()["start"] == "2025-01-01T00:00:00Z"


def test_everything_that_is_wrong_is_said_at_once():
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
def test_what_mage_would_not_catch_becomes_an_exception(error):
    @mage.guarded
    def block(*_args, **_kwargs):
        raise error

    with pytest.raises(qbo_rs.InternalError, match=type(error).__name__):
        block(1, a=2)


def test_nothing_that_mage_stores_of_an_error_holds_a_secret():
    secrets = ("hush-hush", "hush-hush-2", "no")

    def fail(error: Exception) -> str:
        error.__context__ = ValueError("caused by hush-hush")
        with pytest.raises(qbo_rs.QboError) as raised:
            raise_plainly(error, secrets)
        return "".join(traceback.format_exception(raised.value))

    plain = fail(OSError("no route for hush-hush-2"))
    assert "InternalError: OSError: no route for ***" in plain
    ours = fail(qbo_rs.AuthError("refused: hush-hush"))
    assert "AuthError: refused: ***" in ours
    assert "hush" not in plain + ours


def test_a_block_that_is_killed_is_tried_so_often_and_a_retry_begins_anew(tmp_path):
    directory = tmp_path / "run"

    def killed() -> None:
        Attempts(directory, "extract", 2).__enter__()

    killed()
    killed()
    with pytest.raises(qbo_rs.StuckError, match="ended 2 times"):
        killed()
    # Somebody has asked for it again: an orderly end, even a bad one, leaves no mark.
    for _ in range(5):
        with pytest.raises(ValueError, match="bad"), Attempts(directory, "extract", 2):
            raise ValueError("bad")
    assert not list(directory.iterdir())
    for _ in range(9):
        Attempts(directory, "load", 0).__enter__()
        Attempts(None, "load", 1).__enter__()
