"""The parts of ``qbo_rs.mage`` that work without Mage; tests/mage runs the whole in Mage."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import os
import re
import socket
import sys
import time
import traceback
from contextlib import suppress
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from companies import UNLIMITED
from conftest import keywords

import qbo_rs
from qbo_rs import _progress, _verbs, mage
from qbo_rs._types import parse_instant
from qbo_rs.lineage import _run
from qbo_rs.mage import _command, _connect, _coverage, _execution, _host, _lines, _ranges, _tables, _zones
from qbo_rs.mage._check import Finding
from qbo_rs.mage._guard import Attempts, as_exception

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
    given = {"fecha_inicio": "soon", "chunk": "quincena", "page_size": True, "resume": "perhaps"}
    with pytest.raises(qbo_rs.ConfigError) as raised:
        mage.read_variables(RANGE | given)
    assert str(raised.value) == (
        "runtime variables: fecha_inicio: cannot read 'soon' as a date; write 2025-01-31, 2025-01-31T00:00:00Z, "
        "2025-01, 2025-Q1, today or -30d; "
        "chunk: unknown chunk 'quincena'; use hour, day, week, month, quarter, year, Nd (50d) or Nh (6h); "
        "page_size: 'True' is not between 1 and 1000; resume: 'perhaps' is neither true nor false"
        " | variables: fecha_inicio: no se puede leer 'soon' como fecha; escriba 2025-01-31, 2025-01-31T00:00:00Z, "
        "2025-01, 2025-Q1, hoy o -30d; "
        "chunk: 'quincena' no es un tamaño de tramo; escriba hora, día, semana, mes, trimestre, año, o días: 50d; "
        "page_size: 'True' no está entre 1 y 1000; resume: 'perhaps' no es true ni false"
    )
    with pytest.raises(qbo_rs.ConfigError, match=r"fecha_inicio: missing.*; fecha_fin: missing"):
        mage.read_variables({})
    for value in (0, 1001, -5, 2.5, "1e2", [200]):
        with pytest.raises(qbo_rs.ConfigError, match="page_size"):
            mage.read_variables(RANGE | {"page_size": value})


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ({"zona": "America/Guayaquil"}, "2025-01-01T05:00:00Z", "2025-02-01T05:00:00Z"),
        (
            {"zona": " UTC ", "fecha_fin": dt.date(2025, 1, 2)},
            "2025-01-01T00:00:00Z",
            "2025-01-02T00:00:00Z",
        ),
        ({"zona": "UTC"}, "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"),
        ({"zona": ""}, "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"),
        # A zone with summer time.
        ({"zona": "Europe/Madrid", "fecha_fin": "2025-07-01"}, "2024-12-31T23:00:00Z", "2025-06-30T22:00:00Z"),
        # A time of that zone, and one with an offset of its own.
        (
            {"zona": "America/Guayaquil", "fecha_inicio": "2025-01-01 07:30"},
            "2025-01-01T12:30:00Z",
            "2025-02-01T05:00:00Z",
        ),
        (
            {"zona": "America/Guayaquil", "fecha_fin": "2025-01-31T00:00:00Z"},
            "2025-01-01T05:00:00Z",
            "2025-01-31T00:00:00Z",
        ),
        (
            {"zona": "America/Guayaquil", "fecha_inicio": dt.datetime(2025, 1, 1, 1)},  # noqa: DTZ001 - local time
            "2025-01-01T06:00:00Z",
            "2025-02-01T05:00:00Z",
        ),
    ],
)
def test_dates_are_those_of_the_zone(given, first, last):
    windows = mage.read_variables(RANGE | given | {"chunk": "year"}).windows()
    assert (windows[0].to_dict()["start"], windows[-1].to_dict()["end"]) == (first, last)


def test_every_date_that_is_read_without_a_zone_is_read_with_one():
    given = {"fecha_inicio": "2024-12", "fecha_fin": "2025-Q2", "zona": "America/Guayaquil", "chunk": "year"}
    variables = mage.read_variables(given)
    assert (variables.start, variables.end) == ("2024-12-01T05:00:00Z", "2025-04-01T05:00:00Z")
    [window] = mage.read_variables(given | {"fecha_inicio": "-2d", "fecha_fin": "today"}).windows()
    assert window.end - window.start == dt.timedelta(days=2)
    assert window.end.hour == 5


@pytest.mark.parametrize(("chunk", "zona"), [("month", "America/New_York"), ("day", "Europe/Madrid")])
def test_windows_begin_at_midnight_of_the_zone_after_a_change_of_the_clocks(chunk, zona):
    given = {"fecha_inicio": "2025-03-01", "fecha_fin": "2025-12-01", "zona": zona, "chunk": chunk}
    windows = mage.read_variables(given).windows()
    assert windows == qbo_rs.chunk_range("2025-03-01", "2025-12-01", chunk, tz=zona)
    assert {window.start.astimezone(ZoneInfo(zona)).hour for window in windows} == {0}


def test_the_blocks_of_a_backfill_cut_at_midnight_of_the_zone(without_mage, database):
    with qbo_rs.sandbox(customers=5, items=5, invoices=40, others=0, limits=False) as sandbox:
        for name, value in (sandbox.environment | database.environment).items():
            without_mage.setenv(name, value)
        given = {"fecha_inicio": "2025-03-01", "fecha_fin": "2025-05-01", "zona": "America/New_York", "chunk": "month"}
        plan = mage.chunk_fecha("invoices")(**given)
    assert plan["start"].tolist() == ["2025-03-01T05:00:00Z", "2025-04-01T04:00:00Z"]
    assert plan["end"].tolist() == ["2025-04-01T04:00:00Z", "2025-05-01T04:00:00Z"]


@pytest.mark.parametrize(
    ("given", "english", "spanish"),
    [
        (
            {"fecha_fin": "31/01/2025"},
            "fecha_fin: cannot read '31/01/2025' as a date; did you mean 2025-01-31?",
            "fecha_fin: no se puede leer '31/01/2025' como fecha; ¿quiso decir 2025-01-31?",
        ),
        ({"fecha_fin": "soon", "zona": "UTC"}, "cannot read 'soon'", "no se puede leer 'soon' como fecha"),
        (
            {"fecha_fin": "2025-01-01", "zona": "America/Guayaquil"},
            "'2025-01-01' is not after fecha_inicio",
            "fecha_fin: '2025-01-01' no es posterior a fecha_inicio '2025-01-01'",
        ),
        ({"fecha_inicio": ""}, "fecha_inicio: missing", "fecha_inicio: falta"),
        ({"fecha_fin": "2024-01-01"}, "is not after fecha_inicio", "no es posterior a fecha_inicio '2025-01-01'"),
        ({"zona": "Guayaquil"}, "unknown time zone 'Guayaquil'", "no existe la zona horaria 'Guayaquil'"),
        ({"zona": "../../etc/passwd"}, "unknown time zone '../../etc/passwd'", "no existe la zona horaria"),
    ],
)
def test_wrong_dates_are_named_in_english_and_spanish(given, english, spanish):
    with pytest.raises(qbo_rs.ConfigError) as raised:
        mage.read_variables(RANGE | given)
    before, _, after = str(raised.value).partition(" | ")
    assert english in before
    assert spanish in after


def test_a_chunk_that_is_wrong_says_nothing_about_dates():
    with pytest.raises(qbo_rs.ConfigError) as raised:
        mage.read_variables(RANGE | {"chunk": "fortnight"})
    assert "fecha" not in str(raised.value)
    assert "chunk: 'fortnight' no es un tamaño de tramo" in str(raised.value)


@pytest.mark.parametrize(
    ("first", "last", "zona", "label"),
    [
        ("2024-10-01T00:00:00Z", "2024-11-01T00:00:00Z", "", "2024-10"),
        ("2024-10-01T00:00:00Z", "2025-01-01T00:00:00Z", "", "2024-Q4"),
        ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "", "2024"),
        ("2024-12-01T00:00:00Z", "2025-01-01T00:00:00Z", "", "2024-12"),
        ("2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z", "", "2024-02-29"),
        ("2024-11-01T00:00:00Z", "2025-02-01T00:00:00Z", "", "[2024-11-01, 2025-02-01)"),
        ("2024-07-01T00:00:00Z", "2025-07-01T00:00:00Z", "", "[2024-07-01, 2025-07-01)"),
        ("2024-01-01T00:00:00Z", "2024-02-20T00:00:00Z", "", "[2024-01-01, 2024-02-20)"),
        ("2024-10-01T05:00:00Z", "2024-11-01T05:00:00Z", "", "[2024-10-01 05:00, 2024-11-01 05:00)"),
        ("2024-10-01T05:00:00Z", "2024-11-01T05:00:00Z", "America/Guayaquil", "2024-10"),
    ],
)
def test_a_window_has_a_short_name_in_the_zone_of_its_range(first, last, zona, label):
    assert _zones.Clock.of(zona).label(*map(parse_instant, (first, last))) == label


def test_lines_begin_with_their_counts_and_show_both_times():
    counts = {"rows": 1230, "inserted": 1200, "updated": 30, "unchanged": 0, "requests": 2, "windows": 3}
    window = {"window_start": "2024-10-01T00:00:00Z", "window_end": "2024-11-01T00:00:00Z", "entity": "invoices"}
    done = {"event": "window_done", "phase": "extract", "duration_ms": 5} | counts | window
    clock = _zones.Clock.of("")
    line, fields = _lines.rewritten("9341 invoices [a, b): landed: 1230 rows", done, clock)
    assert line == (
        "1,230 rows · invoices 2024-10 · 2024-10-01 00:00 to 2024-11-01 00:00 UTC"
        " = 2024-09-30 19:00 to 2024-10-31 19:00 Guayaquil"
    )
    assert fields == done | {
        "window_start_local": "2024-09-30 19:00 America/Guayaquil",
        "window_end_local": "2024-10-31 19:00 America/Guayaquil",
    }
    line, _ = _lines.rewritten("", done | {"phase": "load"}, clock)
    assert line.startswith("1,230 rows · invoices 2024-10 · 1,200 inserted, 30 updated, 0 unchanged · ")
    failed = {"event": "window_failed", "phase": "extract"} | window
    line, _ = _lines.rewritten("9341 invoices [a, b): failed: the API answered 500", failed, clock)
    assert line.startswith("FAILED · invoices 2024-10 · the API answered 500 · ")
    line, _ = _lines.rewritten(
        "9341 invoices [a, b): failed: stopped before it was done; committed windows stay", failed, clock
    )
    assert line.startswith("FAILED · invoices 2024-10 · stopped before it was done; ")
    assert line.endswith(" Guayaquil | se detuvo antes de terminar; los tramos confirmados se conservan")
    line, _ = _lines.rewritten("9341 invoices: 3 windows", done | {"event": "run_finished", "phase": "load"}, clock)
    assert line == "1,230 rows · invoices · 1,200 inserted, 30 updated, 0 unchanged · 3 windows, 2 requests, 5 ms"
    one = done | {"event": "run_finished", "rows": 1, "windows": 1, "requests": 1}
    assert _lines.rewritten("", one, clock)[0] == "1 row · invoices · 1 window, 1 request, 5 ms"
    other = {"event": "request_retried", "attempts": 2}
    assert _lines.rewritten("trying again", other, clock) == ("trying again", other)


def test_a_clock_in_utc_shows_each_time_once():
    clock = _zones.Clock.of("UTC")
    instant = dt.datetime(2024, 10, 1, tzinfo=dt.timezone.utc)
    assert clock.both(instant) == "2024-10-01 00:00 UTC"
    assert clock.span(instant, instant) == "2024-10-01 00:00 to 2024-10-01 00:00 UTC"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_errors_that_mage_does_not_catch_become_exceptions(error):
    @mage.guarded
    def block(*_args, **_kwargs):
        raise error

    with pytest.raises(qbo_rs.InternalError, match=type(error).__name__):
        block(1, a=2)


def test_blocks_say_both_languages_and_custom_ones_that_of_the_command(monkeypatch):
    monkeypatch.setenv("QBO_LANG", "es")
    monkeypatch.setattr(_execution, "read_settings", lambda: SimpleNamespace(secrets=(), max_attempts=5))
    backwards = {"fecha_inicio": "2025-02-01", "fecha_fin": "2025-01-01"}
    both = r"fecha_fin: '2025-01-01' is not after .* \| .*fecha_fin: '2025-01-01' no es posterior a fecha_inicio"
    # Before the first block and after it.
    for _ in range(2):
        with pytest.raises(qbo_rs.ConfigError, match=both):
            mage.read_variables(backwards)
        with pytest.raises(qbo_rs.ConfigError, match=both):
            _execution.as_block("broken", lambda _: mage.read_variables(backwards))()

        @mage.guarded
        def block():
            qbo_rs.chunk_range("31/12/2024", "2025-02-01", "month")

        with pytest.raises(qbo_rs.ConfigError, match="^start: no se puede leer '31/12/2024' como fecha"):
            block()


def test_errors_of_custom_blocks_hold_no_secret(monkeypatch):
    monkeypatch.setenv("QBO_CLIENT_SECRET", "hush-hush")

    @mage.guarded
    def block():
        raise OSError("no route for hush-hush")

    with pytest.raises(qbo_rs.InternalError, match=r"OSError: no route for \*\*\*$"):
        block()


def test_errors_that_mage_stores_hold_no_secret():
    secrets = ("hush-hush", "hush-hush-2", "no", "postgresql://ana:horse%40battery@host/books")

    def fail(error: Exception) -> str:
        error.__context__ = ValueError("caused by hush-hush")
        with pytest.raises(qbo_rs.QboError) as raised:
            raise as_exception(error, secrets) from None
        return "".join(traceback.format_exception(raised.value))

    plain = fail(OSError("no route for hush-hush-2"))
    assert "InternalError: OSError: no route for ***" in plain
    ours = fail(qbo_rs.AuthError("refused: hush-hush"))
    assert "AuthError: refused: ***" in ours
    assert "hush" not in plain + ours
    # A library that connects decodes the password of a URL, or shows it as it stands there.
    assert fail(OSError("no login with horse@battery or horse%40battery")).endswith("no login with *** or ***\n")


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


def test_a_login_waits_for_its_own_answer_for_an_hour(tmp_path, monkeypatch):
    login = _connect.WaitingLogin(tmp_path / "new" / "login.json")
    with pytest.raises(qbo_rs.ConfigError, match=r"no login waits.*ninguna conexión espera"):
        login.redirect_uri("s1")
    login.begin("s1", "https://example.test/cb")
    assert (tmp_path / "new" / "login.json").stat().st_mode & 0o777 == 0o600
    for state in ("", "s2", "s11", "ñ"):
        with pytest.raises(qbo_rs.ConfigError, match="of another login"):
            login.redirect_uri(state)
    assert login.redirect_uri("s1") == "https://example.test/cb"
    login.begin("s2", "https://example.test/other")
    assert login.redirect_uri("s2") == "https://example.test/other"
    now = time.time()
    monkeypatch.setattr(_connect.time, "time", lambda: now + 3601)
    with pytest.raises(qbo_rs.ConfigError, match="no login waits"):
        login.redirect_uri("s2")


def test_blocks_show_no_progress_in_the_editor(without_mage, tmp_path, database):
    """Mage's editor runs blocks in a kernel of IPython, and adds an output for every change of a display."""
    displays = []

    class Place:
        def __init__(self):
            displays.append(traceback.extract_stack())

    shell = SimpleNamespace(kernel=object())
    without_mage.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    without_mage.setattr(_progress, "_Notebook", Place)
    with qbo_rs.sandbox(customers=5, items=5, invoices=5, others=0, limits=False) as sandbox:
        for name, value in (sandbox.environment | database.environment).items():
            without_mage.setenv(name, value)
        kwargs = RANGE | {"chunk": "month", "repo_path": tmp_path}
        landed = mage.extract_qbo("items")(mage.chunk_fecha("items")(**kwargs), **kwargs)
        mage.load_postgres("items")(landed, **kwargs)
        mage.write_txt("items")(mage.chunk_fecha_txt("items")(**kwargs), **kwargs)
        mage.sync_qbo()(entities="items")
        # What the reports say of so small a company does not matter here.
        for block in (mage.read_reports(), mage.tie_out_books()):
            with suppress(qbo_rs.QboError):
                block()
        mage.show_coverage()()
        assert displays == []
        qbo_rs.extract("items", [RANGE.values()], out=tmp_path / "other", **keywords(sandbox))
        assert displays != []


def test_no_other_user_can_read_what_blocks_keep(without_mage, tmp_path, database):
    landing = tmp_path / "made" / "landing"
    without_mage.setenv("QBO_LANDING_DIR", str(landing))
    before = os.umask(0o022)
    try:
        with qbo_rs.sandbox(customers=5, items=5, invoices=5, others=0, limits=False) as sandbox:
            for name, value in (sandbox.environment | database.environment).items():
                without_mage.setenv(name, value)
            kwargs = {"fecha_inicio": "2024-01-01", "fecha_fin": "2026-01-01", "chunk": "year", "repo_path": tmp_path}
            kwargs |= {"pipeline_uuid": "qb_items", "execution_partition": "1/20260101T000000"}
            landed = mage.extract_qbo("items")(mage.chunk_fecha("items")(**kwargs), **kwargs)
            mage.load_postgres("items")(landed, **kwargs)
            mage.write_txt("items")(mage.chunk_fecha_txt("items")(**kwargs), **kwargs)
        attempts = Attempts(tmp_path / "made" / "attempts" / "run", "extract", 2)
        attempts.__enter__()
        _connect.WaitingLogin(tmp_path / "made" / "connect" / "login.json").begin("s1", "https://example.test/cb")
    finally:
        os.umask(before)
    kept = [path for folder in ("made", "data") for path in (tmp_path / folder, *(tmp_path / folder).rglob("*"))]
    names = {path.name for path in kept if path.is_file()}
    assert names == {"loaded.json", "items.txt", ".items.txt.ranges.json", ".attempts-extract", "login.json"}
    assert {path.stat().st_mode & 0o777 for path in kept if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in kept if path.is_dir()} == {0o700}


def test_blocks_tell_openlineage_of_what_they_copy(without_mage, tmp_path, database):
    told = []

    class Told:
        def __init__(self, verb, entities, *_):
            self._job = (verb, *entities)

        def start(self):
            told.append(("START", *self._job))

        def end(self, outcome):
            told.append(("END", *self._job, sum(written.rows for written in outcome.written)))

    without_mage.setattr(_run, "Teller", Told)
    without_mage.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    with qbo_rs.sandbox(customers=5, items=5, invoices=5, others=0, limits=False) as sandbox:
        for name, value in (sandbox.environment | database.environment).items():
            without_mage.setenv(name, value)
        kwargs = {"fecha_inicio": "2024-01-01", "fecha_fin": "2026-01-01", "chunk": "year", "repo_path": tmp_path}
        landed = mage.extract_qbo("items")(mage.chunk_fecha("items")(**kwargs), **kwargs)
        mage.load_postgres("items")(landed, **kwargs)
        mage.write_txt("items")(mage.chunk_fecha_txt("items")(**kwargs), **kwargs)
        mage.sync_qbo()(entities="customers")
    assert told == [
        ("START", "extract", "items"),
        ("END", "extract", "items", 5),
        ("START", "upsert"),
        ("END", "upsert", 5),
        ("START", "extract", "items"),
        ("END", "extract", "items", 5),
        ("START", "sync", "customers"),
        ("END", "sync", "customers", 5),
    ]


def test_books_that_differ_for_a_known_cause_are_not_said_to_agree(without_mage, database, capsys):
    days = {"fecha_inicio": "2020-01-01", "fecha_fin": "2025-12-31"}
    with qbo_rs.sandbox(books=150, limits=False) as sandbox:
        planted = sandbox.control("plant", kind="lost-link", entity="Payment")
        moved = sandbox.control("plant", kind="moved")
        for name, value in (sandbox.environment | database.environment).items():
            without_mage.setenv(name, value)
        mage.sync_qbo()(entities="")
        capsys.readouterr()
        table = mage.tie_out_books()(**days)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"books_' in line]
    assert [line["event"] for line in lines] == ["books_explained"]
    assert "the books differ, each time for a known cause | los libros difieren" in lines[0]["message"]
    assert lines[0]["transactions"] > 0
    # A payment that does not say what it settles changes no account.
    [unlinked] = table[table["cause"] == "link_missing"].to_dict("records")
    assert unlinked["transaction"] == f"Payment {planted['id']}"
    assert (unlinked["account_id"], unlinked["amount"]) == ("", "")
    # Nor does one that QuickBooks has on another day.
    [other_day] = table[table["cause"] == "period_moved"].to_dict("records")
    assert other_day["transaction"] == f"{moved['entity']} {moved['id']}"
    assert "agrees" not in set(table["cause"])


def checked(capsys) -> dict[str, str]:
    """Return the lines that the block of qb_check has written, by the check."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"checked"' in line]
    return {line["check"]: line["message"] for line in lines}


def filled_tables(database) -> set[str]:
    names = database.query("SELECT schemaname, tablename FROM pg_tables WHERE schemaname ~ '^(qbo|raw)'")
    return {f"{at}.{name}" for at, name in names if database.query(f"SELECT 1 FROM {at}.{name} LIMIT 1")}


def test_a_check_says_what_is_missing_and_stores_nothing_but_the_token(without_mage, database, capsys):
    with qbo_rs.sandbox(customers=5, items=5, invoices=5, others=0, limits=False) as sandbox:
        given = sandbox.environment | database.environment
        for name in ("QBO_REALM_ID", "QBO_REFRESH_TOKEN"):
            without_mage.delenv(name, raising=False)
        for name, value in given.items():
            if name not in ("QBO_REALM_ID", "QBO_REFRESH_TOKEN"):
                without_mage.setenv(name, value)
        without_mage.delenv("JWT_SECRET", raising=False)
        without_mage.delenv("QBO_CLIENT_SECRET")
        with pytest.raises(qbo_rs.ConfigError, match=r"^1 of \d+ checks failed: ✖ keys of the Intuit app: "):
            mage.check_qbo()()
        without_mage.setenv("QBO_CLIENT_SECRET", given["QBO_CLIENT_SECRET"])
        with pytest.raises(qbo_rs.ConfigError, match=r"^1 of \d+ checks failed: ✖ connection: no company is connected"):
            mage.check_qbo()()
        lines = checked(capsys)
        assert lines["connection"] == (
            "✖ connection: no company is connected -> run the pipeline qb_connect"
            " | conexión: no hay ninguna empresa conectada -> ejecute la pipeline qb_connect"
        )
        assert lines["tables"].startswith("! tables: nothing is loaded into raw yet")
        assert lines["JWT_SECRET"].startswith("! JWT_SECRET: Mage's own, which everybody knows")
        assert sandbox.stats()["requests"] == {}
        assert database.query("SELECT 1 FROM pg_namespace WHERE nspname IN ('qbo', 'raw')") == []

        without_mage.setenv("QBO_REALM_ID", given["QBO_REALM_ID"])
        without_mage.setenv("QBO_REFRESH_TOKEN", given["QBO_REFRESH_TOKEN"])
        table = mage.check_qbo()()
        assert set(table["status"]) == {"ok", "note"}
        lines = checked(capsys)
        assert lines["connection"].startswith("✔ connection: works; ends after 100 days without use")
        assert " | conexión: funciona; " in lines["connection"]
        assert given["QBO_REALM_ID"] in lines["QuickBooks"]
        assert lines["Postgres"].startswith("✔ Postgres: Postgres ")
        assert sandbox.stats()["requests"] == {"query": {"200": 1}, "token": {"200": 1}}
        # The token, and what limits the requests of a company.
        assert filled_tables(database) == {"qbo.accounts", "qbo.admission", "qbo.migrations"}

        qbo_rs.backfill("items", "2024-01-01", "2026-01-01", "year")
        mage.check_qbo()()
        assert checked(capsys)["tables"] == "✔ tables: items 5"


def test_a_bar_in_a_name_is_no_border_between_two_languages():
    company = Finding("QuickBooks", "ok", "Norte | Sur (9341), EC")
    assert company.line == "✔ QuickBooks: Norte | Sur (9341), EC"
    renamed = Finding("QuickBooks", "ok", "Norte | Sur: not set")
    assert renamed.line == "✔ QuickBooks: Norte | Sur: not set | QuickBooks: Norte | Sur: sin definir"


def test_an_error_that_quotes_a_bar_is_told_in_both_languages_and_keeps_no_secret(without_mage, capsys):
    without_mage.setenv("QBO_CLIENT_SECRET", "hush-hush")

    def told(error: Exception) -> str:
        def body(_call):
            raise error

        with pytest.raises(qbo_rs.QboError):
            _execution.as_block("block", body)()
        [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"block_failed"' in line]
        return line["message"]

    quoted = "a | b: not set"
    line = told(qbo_rs.ConfigError(quoted))
    assert line.startswith(f"FAILED · {quoted}, neither as a Mage Secret nor in the environment | a | b: sin definir, ")
    with pytest.raises(qbo_rs.ConfigError) as raised:
        mage.read_variables({"fecha_inicio": "a | hush-hush", "fecha_fin": "2025-01-01"})
    assert told(raised.value).count(" | variables: ") == 1
    assert str(raised.value).count("a | ***") == 2


def test_what_is_missing_is_told_in_one_language_after_the_other(without_mage):
    for name in ("QBO_CLIENT_ID", "QBO_CLIENT_SECRET", "DATABASE_URL", "PG_HOST", "PG_DB", "PG_USER"):
        without_mage.delenv(name, raising=False)
    with pytest.raises(qbo_rs.ConfigError) as raised:
        mage.check_qbo()()
    english, spanish = str(raised.value).split(" | ")
    for text, words in (
        (english, (" checks failed: ", "✖ keys of the Intuit app: ", "; ✖ database settings: ", "add PG_HOST")),
        (spanish, (" comprobaciones fallaron: ", "✖ claves de la ", "; ✖ ajustes de la base", "agregue PG_HOST")),
    ):
        assert [word for word in words if word not in text] == []


def test_a_chart_says_within_its_limit_why_it_has_no_data(without_mage):
    without_mage.setenv("QBO_CLIENT_SECRET", "hush-hush")
    without_mage.setattr(_coverage, "CHART_LIMIT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        without_mage.setenv("DATABASE_URL", f"postgresql://u:hush-too@127.0.0.1:{mute.getsockname()[1]}/d")
        assert _coverage.coverage_chart() == (["error"], [["qbo-rs status: no answer within 1 s"]])

    def refuse(*_arguments, **_keywords):
        raise OSError("no process with hush-hush")

    without_mage.setattr(_command.subprocess, "Popen", refuse)
    assert _coverage.coverage_chart() == (["error"], [["OSError: no process with ***"]])
    without_mage.setattr(_coverage, "_status", lambda *_: {"entities": [{"rows": "hush-hush"}]})
    assert _coverage.coverage_chart()[1] == [["KeyError: 'committed'"]]


OWNER = _ranges.Owner("9341", "invoices")


def test_a_text_file_that_is_gone_has_no_windows(tmp_path):
    january, february = qbo_rs.chunk_range("2025-01-01", "2025-03-01", "month")
    file = tmp_path / "invoices.txt"
    file.write_text("")
    ranges = _ranges.WrittenRanges(file, OWNER)
    ranges.add({january: 0}, "run-1")
    ranges = _ranges.WrittenRanges(file, OWNER)
    assert (ranges.rows(january), ranges.rows(january, "run-1"), ranges.rows(january, "run-2")) == (0, 0, None)
    assert ranges.rows(february) is None
    file.unlink()
    assert _ranges.WrittenRanges(file, OWNER).rows(january) is None


def test_windows_of_another_chunk_are_read_together_with_those_that_they_cut(tmp_path):
    file = tmp_path / "invoices.txt"
    file.write_text("")
    months = qbo_rs.chunk_range("2025-01-01", "2025-07-01", "month")
    [first, second] = qbo_rs.chunk_range("2025-01-01", "2025-07-01", "quarter")
    ranges = _ranges.WrittenRanges(file, OWNER)
    ranges.add({first: 7}, "r")
    assert ranges.is_cut_by([(month, True) for month in months])
    assert ranges.is_cut_by([(month, True) for month in months[2:]])
    assert not ranges.is_cut_by([(month, False) for month in months])
    assert not ranges.is_cut_by([(month, True) for month in months[3:]])
    assert not ranges.is_cut_by([(first, True), (second, True)])
    # A longer window takes the place of shorter ones.
    ranges.add({months[3]: 2}, "r")
    [half] = qbo_rs.chunk_range("2025-01-01", "2025-07-01", "181d")
    assert not ranges.is_cut_by([(half, True)])
    ranges.add({half: 9}, "r")
    known = _ranges.WrittenRanges(file, OWNER)
    assert [known.rows(window) for window in (half, first, months[3])] == [9, None, None]


def test_two_runs_on_one_text_file_keep_each_others_windows(tmp_path):
    january, february = qbo_rs.chunk_range("2025-01-01", "2025-03-01", "month")
    file = tmp_path / "invoices.txt"
    file.write_text("")
    one, other = (_ranges.WrittenRanges(file, OWNER) for _ in range(2))
    one.add({january: 1}, "one")
    other.add({february: 2}, "other")
    known = _ranges.WrittenRanges(file, OWNER)
    assert (known.rows(january), known.rows(february)) == (1, 2)


def test_a_list_of_windows_that_was_cut_short_is_as_good_as_none(tmp_path):
    [january] = qbo_rs.chunk_range("2025-01-01", "2025-02-01", "month")
    file = tmp_path / "invoices.txt"
    file.write_text("")
    _ranges.WrittenRanges(file, OWNER).add({january: 3}, "r")
    saved = tmp_path / ".invoices.txt.ranges.json"
    whole = saved.read_text()
    for text in (whole[:-20], "", "[]", '{"windows": {"x": {}}}', whole.replace('"rows": 3', '"rows": null')):
        saved.write_text(text)
        with pytest.warns(UserWarning, match=r"\.invoices\.txt\.ranges\.json' cannot be read"):
            assert _ranges.WrittenRanges(file, OWNER).rows(january) is None
    with pytest.warns(UserWarning, match="cannot be read"):
        _ranges.WrittenRanges(file, OWNER).add({january: 4}, "r")
    assert _ranges.WrittenRanges(file, OWNER).rows(january) == 4
    # The list of an earlier version.
    saved.write_text(json.dumps(json.loads(saved.read_text())["windows"]))
    assert _ranges.WrittenRanges(file, OWNER).rows(january) == 4


@pytest.fixture
def without_mage(monkeypatch, tmp_path_factory):
    """Give the blocks the environment alone, without the secrets of a Mage."""
    monkeypatch.setattr(_host, "secret_lookup", lambda: lambda _name: None)
    monkeypatch.setattr(_host, "version", lambda: "0.9.80")
    monkeypatch.setattr(_host, "data_directory", lambda: str(tmp_path_factory.mktemp("mage_data")))
    for name, _ in qbo_rs._core.settings():
        monkeypatch.delenv(name, raising=False)
    for name, value in UNLIMITED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def in_company(without_mage):
    """Return a function that runs the blocks of a text file for a company of a sandbox."""

    def run(sandbox: qbo_rs.Sandbox, directory, entity="invoices", realm="", **variables):
        given = sandbox.environment
        if realm:
            token = sandbox.control("refresh-token", realm=realm)["refresh_token"]
            given = given | {"QBO_REALM_ID": realm, "QBO_REFRESH_TOKEN": token}
        for name, value in given.items():
            without_mage.setenv(name, value)
        kwargs = {"fecha_inicio": "2024-01-01", "fecha_fin": "2025-01-01", "chunk": "month", "archivo": "all.txt"}
        kwargs |= {"repo_path": directory, "resume": True} | variables
        return mage.write_txt(entity)(mage.chunk_fecha_txt(entity)(**kwargs), **kwargs)

    return run


def lines_of(file) -> list[tuple[str, str, str]]:
    lines = map(json.loads, file.read_text().splitlines())
    return [(line["realm_id"], line["entity"], line["id"]) for line in lines]


@pytest.mark.parametrize("resume", [True, False])
def test_a_text_file_takes_one_company_and_one_entity(tmp_path, in_company, resume):
    file = tmp_path / "all.txt"
    with qbo_rs.sandbox(customers=30, items=5, invoices=20, others=0, limits=False, companies=2) as sandbox:
        first, second = sandbox.companies
        in_company(sandbox, tmp_path, "customers", resume=resume)
        before = file.read_bytes()
        assert {line[:2] for line in lines_of(file)} == {(first, "customers")}
        asked = sandbox.stats()["requests"]["query"]
        with pytest.raises(qbo_rs.ConfigError) as raised:
            in_company(sandbox, tmp_path, "customers", second, resume=resume)
        assert f"'{file}' holds customers of company {first}, not customers of company {second}" in str(raised.value)
        assert f"'{file}' contiene customers de la empresa {first}" in str(raised.value)
        with pytest.raises(qbo_rs.ConfigError, match="not invoices of company"):
            in_company(sandbox, tmp_path, "invoices", first, resume=resume)
        # A file without a list beside it, and one without a line.
        (tmp_path / ".all.txt.ranges.json").rename(tmp_path / ".empty.txt.ranges.json")
        (tmp_path / "empty.txt").write_text("")
        for name in ("all.txt", "empty.txt"):
            with pytest.raises(qbo_rs.ConfigError, match=f"{name}' holds customers of company {first}"):
                in_company(sandbox, tmp_path, "customers", second, resume=resume, archivo=name)
        # One that another tool has mixed.
        (tmp_path / "mixed.txt").write_bytes(before + before.replace(first.encode(), second.encode()))
        with pytest.raises(qbo_rs.ConfigError, match=rf"mixed\.txt' holds customers of company {second}"):
            in_company(sandbox, tmp_path, "customers", first, resume=resume, archivo="mixed.txt")
        (tmp_path / "notes.txt").write_text("call Ana\n")
        with pytest.raises(qbo_rs.ConfigError, match=r"notes\.txt' holds other text"):
            in_company(sandbox, tmp_path, "customers", first, resume=resume, archivo="notes.txt")
        assert sandbox.stats()["requests"]["query"] == asked
        assert file.read_bytes() == before


def test_windows_beside_a_failed_one_are_in_the_text_file(tmp_path, in_company, monkeypatch, capsys):
    file = tmp_path / "all.txt"
    monkeypatch.setenv("QBO_RETRY_FOR_S", "0")
    with qbo_rs.sandbox(customers=5, items=5, invoices=400, others=0, limits=False) as sandbox:
        sandbox.fault("error", contains="Time >= '2024-06-01", times=0)
        with pytest.raises(qbo_rs.RetriableError, match="1 of 12 windows failed, first .2024-06-01"):
            in_company(sandbox, tmp_path)
        truth = sandbox.truth("Invoice", "2024-01-01", "2025-01-01")
        june = sandbox.truth("Invoice", "2024-06-01", "2024-07-01")
        assert june
        assert sorted(line[2] for line in lines_of(file)) == sorted(set(truth) - set(june))
        assert sorted(path.name for path in tmp_path.iterdir()) == [".all.txt.ranges.json", "all.txt"]
        shown = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines() if "Rango" in line]
        assert [line[:16] for line in shown] == [f"Rango 2024-{month:02}-01" for month in range(1, 13)]
        assert shown[5].startswith("Rango 2024-06-01 a 2024-07-01 -> error: ")
        sandbox.clear_faults()
        asked = sandbox.stats()["requests"]["query"]["200"]
        table = in_company(sandbox, tmp_path)
        assert table["status"].tolist().count("skipped") == 11
        assert sandbox.stats()["requests"]["query"]["200"] == asked + 1
        assert sorted(line[2] for line in lines_of(file)) == sorted(truth)


def test_a_text_file_of_many_windows_is_copied_a_few_times(tmp_path, in_company, monkeypatch):
    copies = []
    extract = _verbs.extract

    @functools.wraps(extract)
    def counted(entity, windows, **keywords):
        copies.append(len(windows))
        return extract(entity, windows, **keywords)

    monkeypatch.setattr(_verbs, "extract", counted)
    with qbo_rs.sandbox(customers=5, items=5, invoices=300, others=0, limits=False) as sandbox:
        in_company(sandbox, tmp_path, chunk="day", fecha_fin="2024-05-01")
        truth = sandbox.truth("Invoice", "2024-01-01", "2024-05-01")
    assert sorted(line[2] for line in lines_of(tmp_path / "all.txt")) == sorted(truth)
    assert sum(copies) == 121
    # Each is a copy of the file.
    assert len(copies) < 25


COVERED = [
    {
        "entity": "invoices",
        "rows": 12345,
        "committed": [
            {"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"},
            {"start": "2024-02-15T00:00:00Z", "end": "2024-03-01T00:00:00Z"},
            {"start": "2024-04-01T00:00:00Z", "end": "2024-04-01T00:01:00Z"},
        ],
        "gaps": [{"start": "2024-02-01T00:00:00Z", "end": "2024-02-15T00:00:00Z"}],
        "rejects": 2,
        "unfinished": [],
        "last_run": {"status": "ok", "started_at": "2024-05-01T00:00:00Z", "finished_at": "2024-05-01T10:30:00.5Z"},
    },
    {"entity": "<items>", "rows": 0, "committed": [], "gaps": [], "rejects": 0, "unfinished": [], "last_run": None},
]


def test_the_page_of_coverage_has_a_cell_for_each_month():
    now = dt.datetime(2024, 5, 2, tzinfo=dt.timezone.utc)
    page = _coverage.page_of(COVERED, "raw", _zones.Clock.of(""), now)
    cells = re.findall(r"class=(full|part|none) title=\"([^\"]+)\"", page)
    assert cells[:4] == [
        ("full", "invoices 2024-01: 100 %"),
        ("part", "invoices 2024-02: 52 %"),
        ("none", "invoices 2024-03: 0 %"),
        # A minute of a month is not nothing.
        ("part", "invoices 2024-04: 1 %"),
    ]
    assert cells[4:] == [("none", f"&lt;items&gt; 2024-{month}: 0 %") for month in ("01", "02", "03", "04")]
    # The editor cuts off what stands at the right.
    assert "<td>invoices</td><td>12\u202f345</td><td>14 days</td><td class=month>" in page
    assert "<td>2</td><td>ok" in page
    assert "ok 2024-05-01 10:30 UTC = 2024-05-01 05:30 Guayaquil" in page
    assert "<items>" not in page
    assert "<script" not in page
    # Mage puts the page into its own.
    assert all(rule.startswith(".qbo-coverage") for rule in re.findall(r"[^{}<>]+(?={)", page.split("<style>")[1]))
    assert "Nothing is loaded yet" in _coverage.page_of([], "raw", _zones.Clock.of(""), now)


def test_ranges_that_are_missing_are_a_table():
    table = _coverage._gaps(COVERED, _zones.Clock.of(""))
    assert [*table.columns] == ["entity", "from", "to", "missing"]
    assert table.to_numpy().tolist() == [
        [
            "invoices",
            "2024-02-01 00:00 UTC = 2024-01-31 19:00 Guayaquil",
            "2024-02-15 00:00 UTC = 2024-02-14 19:00 Guayaquil",
            "14 days",
        ]
    ]


def test_a_failed_block_says_its_cause_in_a_line_of_its_own_without_secrets(capsys, monkeypatch):
    monkeypatch.setattr(_execution, "read_settings", lambda: SimpleNamespace(secrets=("hush-hush",), max_attempts=5))
    monkeypatch.setattr(_execution.Execution, "directory", None)

    def body(_call):
        raise qbo_rs.ConfigError("refused: hush-hush")

    with pytest.raises(qbo_rs.ConfigError):
        _execution.as_block("fails", body)()
    assert json.loads(capsys.readouterr().out) == {
        "level": "error",
        "event": "block_failed",
        "message": "FAILED · refused: ***",
    }


def test_a_failed_command_says_why():
    ended = _command.Ended(2, "", "2026-01-01 INFO begins\nerror: PG_HOST: not set\n  set it\n")
    with pytest.raises(qbo_rs.ConfigError, match=r"^PG_HOST: not set; set it$"):
        ended.report()
    with pytest.raises(qbo_rs.ConfigError, match=r"^PG_HOST: not set$"):
        _command.Ended(2, '{"error": {"message": "not set"}}\n', "error: PG_HOST: not set\n").report()
    with pytest.raises(qbo_rs.ConfigError, match="qbo-rs ended with 9 and said nothing"):
        _command.Ended(9, "", "").report()
    assert _command.Ended(1, '{"entities": []}\n', "").report() == {"entities": []}


def test_the_command_gets_the_settings_of_mage_and_not_those_of_its_environment(monkeypatch):
    monkeypatch.setenv("PG_HOST", "wrong.invalid")
    ended = _command.run({"pg_host": "", "database_url": ""}, "status", "--json")
    assert "PG_HOST" in ended.reason
    assert ended.code == 2
