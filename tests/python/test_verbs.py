"""The functions of the Python package."""

import asyncio
import functools
import json
import logging
import pickle
import threading
import time
from datetime import date, datetime, timedelta, timezone

import pytest
from conftest import keywords
from service import hold_after, is_held
from waiting import until

import qbo_rs
from qbo_rs import buckets, lineage

RANGE = ("2024-01-01", "2026-01-01")


def stored(database, table):
    return {
        key: json.dumps(payload, sort_keys=True) for key, payload in database.query(f"SELECT id, payload FROM {table}")
    }


def truth(qbo, entity):
    payloads = qbo.truth(entity, *RANGE)
    return {key: json.dumps(json.loads(payload), sort_keys=True) for key, payload in payloads.items()}


def test_chunk_range_clamps_month_ends():
    windows = qbo_rs.chunk_range("2025-01-31", "2025-04-01", "month")
    assert [str(window)[1:11] for window in windows] == ["2025-01-31", "2025-02-28", "2025-03-31"]
    assert windows[-1].end == datetime(2025, 4, 1, tzinfo=timezone.utc)


def test_bounds_may_be_dates_datetimes_or_text():
    expected = qbo_rs.chunk_range("2025-01-01", "2025-01-03")
    assert qbo_rs.chunk_range(date(2025, 1, 1), date(2025, 1, 3)) == expected
    assert qbo_rs.chunk_range(datetime(2025, 1, 1), datetime(2025, 1, 3)) == expected  # noqa: DTZ001
    guayaquil = timezone(timedelta(hours=-5))
    start, end = datetime(2024, 12, 31, 19, tzinfo=guayaquil), datetime(2025, 1, 2, 19, tzinfo=guayaquil)
    assert qbo_rs.chunk_range(start, end) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("2025-02-01", "2025-01-01"), "end: '2025-01-01' is not after start '2025-02-01'"),
        (("soon", "2025-01-01"), "start: cannot read 'soon'"),
        (("2025-01-01", "2025-02-01", "fortnight"), "chunk: unknown chunk 'fortnight'"),
    ],
)
def test_bad_ranges_are_config_errors(arguments, words):
    with pytest.raises(qbo_rs.ConfigError, match=words.replace("(", r"\(")) as raised:
        qbo_rs.chunk_range(*arguments)
    assert isinstance(raised.value, ValueError)
    assert raised.value.recovery == "abort"


@pytest.mark.parametrize(
    "far",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ],
)
def test_a_datetime_beyond_the_years_of_utc_is_a_config_error(far):
    for arguments in [(far, "2025-01-01"), ("2025-01-01", far)]:
        with pytest.raises(qbo_rs.ConfigError, match="is not in the years 1 to 9999"):
            qbo_rs.chunk_range(*arguments)


def test_backfill_copies_every_record(qbo, database, settings):
    report = qbo_rs.backfill(["customers", "items"], *RANGE, "quarter", **settings)
    assert report.ok
    report.raise_for_failures()
    assert [run.entity for run in report.runs] == ["customers", "items"]
    assert report.rows == 100
    assert stored(database, "raw.qb_customers") == truth(qbo, "Customer")
    assert stored(database, "raw.qb_items") == truth(qbo, "Item")
    assert qbo_rs.Report.from_dict(report.to_dict()) == report
    assert qbo_rs.backfill("items", *RANGE, "year", **settings).runs[0].totals.unchanged == 40


def test_extract_and_upsert_equal_a_backfill_and_a_repetition_changes_nothing(qbo, database, settings, tmp_path):
    windows = qbo_rs.chunk_range(*RANGE, "month")
    landing = qbo_rs.extract("invoices", windows, out=tmp_path, page_size=7, **settings)
    assert landing.ok
    assert landing.rows == 300
    assert len(landing.paths) == 24
    # A landing passes between processes as a pickle or as JSON.
    for copied in (pickle.loads(pickle.dumps(landing)), json.loads(json.dumps(landing.to_dict()))):  # noqa: S301
        report = qbo_rs.upsert(copied, **settings)
        assert report.ok
    totals = report.runs[0].totals
    assert (totals.inserted, totals.updated, totals.unchanged) == (0, 0, 300)
    assert stored(database, "raw.qb_invoices") == truth(qbo, "Invoice")


@pytest.mark.parametrize("name", ["one.jsonl", "one.jsonl.zst"])
def test_one_file_holds_all_windows(database, settings, tmp_path, name):
    windows = [{"start": "2024-01-01", "end": "2025-01-01"}, ("2025-01-01", "2026-01-01")]
    landing = qbo_rs.extract("customers", windows, out=tmp_path / name, **settings)
    assert set(landing.paths) == {str(tmp_path / name)}
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert qbo_rs.upsert(landing, **settings).rows == 60
    assert qbo_rs.upsert(tmp_path / name, **settings).runs[0].totals.unchanged == 60
    assert database.query("SELECT count(*) FROM raw.qb_customers") == [(60,)]


@pytest.mark.parametrize("name", ["directory", "one.jsonl"])
def test_a_landing_without_records_is_loaded_as_done(database, settings, tmp_path, name):
    landing = qbo_rs.extract("customers", [("2010-01-01", "2011-01-01")], out=tmp_path / name, **settings)
    assert landing.rows == 0
    assert qbo_rs.upsert(landing, **settings).ok
    assert database.query("SELECT rows FROM qbo.windows") == [(0,)]


def test_async_twins_run_concurrently_with_the_same_result(database, settings, tmp_path):
    async def both():
        landing, report = await asyncio.gather(
            qbo_rs.extract_async("items", qbo_rs.chunk_range(*RANGE, "year"), out=tmp_path, **settings),
            qbo_rs.backfill_async("customers", *RANGE, "year", **settings),
        )
        return report, await qbo_rs.upsert_async(landing, **settings)

    backfilled, upserted = asyncio.run(both())
    assert (backfilled.rows, upserted.rows) == (60, 40)
    assert database.query("SELECT (SELECT count(*) FROM raw.qb_customers) + (SELECT count(*) FROM raw.qb_items)") == [
        (100,)
    ]


def test_a_cancelled_twin_stops_and_keeps_committed_windows(database):
    with qbo_rs.sandbox(customers=10, items=10, invoices=300, limits=False) as slow:
        hold_after(slow, 5)

        async def cancel_in_mid_run():
            task = asyncio.create_task(
                qbo_rs.backfill_async(
                    "invoices", *RANGE, "month", strict_windows=True, **keywords(slow), **database.settings
                )
            )
            await asyncio.to_thread(until, lambda: is_held(database))
            task.cancel()
            # The answers that it waits for never come.
            done, _ = await asyncio.wait([task], timeout=60)
            assert done == {task}
            assert task.cancelled()

        asyncio.run(cancel_in_mid_run())
        (committed,) = database.query("SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL")[0]
        (rows,) = database.query("SELECT coalesce(sum(rows), 0) FROM qbo.windows")[0]
        assert 0 < committed < 24
        assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(rows,)]


def test_other_threads_run_while_a_call_waits(database):
    with qbo_rs.sandbox(customers=1, items=1, invoices=1, latency_ms=500) as slow:
        counted, done = 0, threading.Event()

        def count():
            nonlocal counted
            while not done.is_set():
                counted += 1
                time.sleep(0.001)

        thread = threading.Thread(target=count)
        thread.start()
        qbo_rs.backfill("items", *RANGE, "year", **keywords(slow), **database.settings)
        done.set()
        thread.join(timeout=10)
        assert counted > 100


def test_failed_windows_are_in_the_report_and_raise_on_request(database, settings):
    report = qbo_rs.backfill("items", *RANGE, "year", **settings | {"realm_id": "123"})
    assert not report.ok
    assert report.runs[0].status == "failed"
    with pytest.raises(qbo_rs.IncompleteError, match="sandbox keys used against the production host") as raised:
        report.raise_for_failures()
    assert raised.value.report is report.runs[0]
    # The wrong company stays the wrong company, however often the call is repeated.
    assert raised.value.recovery == "abort"
    assert database.query("SELECT count(*) FROM raw.qb_items") == [(0,)]


def test_errors_are_classes_with_attributes(settings):
    with pytest.raises(qbo_rs.AuthError, match="invalid_client") as refused:
        qbo_rs.backfill("items", *RANGE, **settings | {"client_secret": "wrong"})
    assert refused.value.recovery == "reauthorise"
    assert refused.value.intuit_tid
    with pytest.raises(qbo_rs.ConfigError, match="page_size: 0 is not between 1 and 1000"):
        qbo_rs.backfill("items", *RANGE, page_size=0, **settings)
    with pytest.raises(qbo_rs.ConfigError, match="page_size: 'many' is not between"):
        qbo_rs.backfill("items", *RANGE, page_size="many", **settings)
    with pytest.raises(qbo_rs.ConfigError, match="realmid: no such setting"):
        qbo_rs.backfill("items", *RANGE, realmid="1", **settings)
    with pytest.raises(qbo_rs.ConfigError, match=r"^PG_HOST: cannot connect"):
        qbo_rs.backfill("items", *RANGE, **settings | {"pg_port": 1})
    with pytest.raises(qbo_rs.TransportError, match="cannot connect to 127.0.0.1:1"):
        # The retries end before the time-out of the test.
        qbo_rs.backfill("items", *RANGE, **settings | {"token_url": "http://127.0.0.1:1/"})


def test_missing_settings_are_named(monkeypatch, database):
    for name, _ in qbo_rs._core.settings():
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(qbo_rs.ConfigError, match="^QBO_CLIENT_ID, QBO_CLIENT_SECRET, QBO_REALM_ID: not set$"):
        qbo_rs.backfill("items", *RANGE, **database.settings)


def test_log_records_reach_python_logging_without_secrets(settings, caplog):
    with caplog.at_level(logging.INFO):
        qbo_rs.backfill("items", *RANGE, "year", **settings)
    assert any("items: 2 windows, 40 rows" in record.message for record in caplog.records)
    assert all(record.name.startswith("qbo_rs") for record in caplog.records)
    for secret in (settings["client_secret"], settings["refresh_token"], settings["pg_password"], "eyJ"):
        assert secret not in caplog.text


def test_a_rotated_token_is_kept_in_the_store(database, tmp_path):
    store = tmp_path / "tokens.json"
    with qbo_rs.sandbox(customers=1, items=5, invoices=1, rotate_after_s=0) as qbo:
        arguments = keywords(qbo) | database.settings | {"token_store": str(store)}
        for _ in range(3):
            assert qbo_rs.backfill("items", *RANGE, "year", **arguments).ok
        # The default store, which is the database, knows only the first token.
        with pytest.raises(qbo_rs.AuthError, match="connect the company again"):
            qbo_rs.backfill("items", *RANGE, "year", **keywords(qbo), **database.settings)
    # The begin of every refresh token; three letters alone also occur in what is encrypted.
    assert "RT1-" not in store.read_text()
    assert store.stat().st_mode & 0o777 == 0o600


def test_verify_finds_what_is_missing_and_repairs_it(settings, database):
    assert qbo_rs.backfill("items", *RANGE, "month", **settings).ok
    assert qbo_rs.verify("items", *RANGE, "month", **settings).ok
    database.execute("DELETE FROM raw.qb_items WHERE id IN ('3', '4')")
    report = qbo_rs.verify("items", *RANGE, "month", **settings)
    assert not report.ok
    assert sorted(id_ for window in report.runs[0].different for id_ in window.missing) == ["3", "4"]
    assert qbo_rs.verify("items", *RANGE, "month", repair=True, **settings).ok
    assert asyncio.run(qbo_rs.verify_async("items", *RANGE, "month", deep=True, **settings)).ok
    assert qbo_rs.VerificationReport.from_dict(report.to_dict()) == report


@pytest.mark.parametrize("accounts", [[], (), "", " ", ["", " "]])
def test_an_empty_list_of_companies_is_refused_and_does_not_mean_every_company(accounts):
    # Airflow, Dagster and Prefect hand their lists to a verb that `lineage.run` runs.
    for call in (qbo_rs.sync, buckets.plan, functools.partial(lineage.run, qbo_rs.sync, "items")):
        with pytest.raises(qbo_rs.ConfigError, match="accounts: the list is empty"):
            call(accounts=accounts)
    with pytest.raises(qbo_rs.ConfigError, match="accounts: the list is empty"):
        asyncio.run(qbo_rs.sync_async(accounts=accounts))
