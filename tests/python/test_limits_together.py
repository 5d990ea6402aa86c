"""The limits of a company that many processes read at once: QuickBooks refuses no request."""

import datetime as dt
import os

import pytest
from test_tokens import environment_of, finish, start

import qbo_rs

PROCESSES = int(os.environ.get("PROCESSES", "20"))
OWN_LIMITS = {"QBO_REQUESTS_PER_MINUTE": None, "QBO_REQUESTS_PER_SECOND": None, "QBO_MAX_IN_FLIGHT": None}


@pytest.mark.parametrize("store", ["postgres", "tokens.json"])
def test_processes_that_start_together_are_never_throttled(store, database, tmp_path):
    with qbo_rs.sandbox(customers=5, items=5, invoices=400, others=0) as qbo:
        where = store if store == "postgres" else str(tmp_path / store)
        settings = OWN_LIMITS | {"QBO_TOKEN_STORE": where, "XDG_STATE_HOME": str(tmp_path)}
        environment = environment_of(qbo, database.environment, settings)
        first, length = dt.date(2024, 1, 1), dt.timedelta(days=730 // PROCESSES + 1)
        ranges = [(first + length * number, first + length * (number + 1)) for number in range(PROCESSES)]
        processes = [
            start(
                ("backfill", "invoices", "--start", str(begin), "--end", str(end), "--chunk", "100d"),
                environment,
                tmp_path,
            )
            for begin, end in ranges
        ]
        ended = [finish(process, timeout=120) for process in processes]
        assert [process.stderr for process in ended if process.returncode] == []
        stats = qbo.stats()
        print(f"{store}: {stats}")
        assert stats["throttled"] == 0
        assert stats["data_requests"] == PROCESSES
        # One process has obtained the token, for all.
        assert stats["refreshes"] == 1
        assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(400,)]
