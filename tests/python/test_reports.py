"""QuickBooks reports in Python: what the verb returns, as plain data."""

import copy
import json

import pytest

import qbo_rs

REPORT = {
    "realm_id": "9",
    "schema": "raw",
    "reports": [
        {
            "report": "TrialBalance",
            "basis": "accrual",
            "start": "2025-01-01",
            "end": "2025-12-31",
            "status": "landed",
            "error": None,
            "requests": 1,
            "currency": "USD",
            "columns": ["account", "debt_amt", "credit_amt"],
            "answers": [
                {
                    "id": "a",
                    "start": "2025-01-01",
                    "end": "2025-12-31",
                    "outcome": "new",
                    "rows": 1,
                    "cells": 2,
                },
            ],
            "rows": [
                {
                    "path": [],
                    "kind": "data",
                    "group": None,
                    "account_id": "35",
                    "txn_type": None,
                    "txn_id": None,
                    "party_id": None,
                    "cells": {"account": "Bank <main>", "debt_amt": "12.50"},
                },
            ],
        },
    ],
}


def test_a_result_is_plain_data_and_a_table_in_a_notebook():
    result = qbo_rs.ReportsReport.from_dict(REPORT)
    assert result.ok
    result.raise_for_failures()
    assert json.loads(json.dumps(result.to_dict())) == REPORT
    assert copy.deepcopy(result) == result
    html = result._repr_html_()
    assert "<td>12.50</td>" in html
    assert "Bank &lt;main&gt;" in html
    assert "TrialBalance accrual 2025-01-01 to 2025-12-31: landed" in html


def test_a_report_that_failed_is_named():
    failed = {**REPORT["reports"][0], "status": "failed", "error": "refused: another day", "answers": [], "rows": []}
    result = qbo_rs.ReportsReport.from_dict({**REPORT, "reports": [failed]})
    assert not result.ok
    with pytest.raises(qbo_rs.IncompleteError, match="TrialBalance accrual .*: refused: another day"):
        result.raise_for_failures()
