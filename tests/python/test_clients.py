"""Unmodified clients of other projects read the right records from the sandbox.

`make test-python` makes a virtual environment for each of them.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT, VARIABLES

if TYPE_CHECKING:
    import qbo_rs

CLIENTS = ROOT / "tests" / "clients"
ALL = ("2024-01-01", "2027-01-01")


@pytest.fixture
def client(qbo):
    """Run a script with a client's own Python."""

    def run(name: str, script: str, *arguments: str, **environment: str) -> str:
        python = ROOT / ".venv" / "clients" / name / "bin" / "python"
        if not python.exists():
            pytest.exit(f"{python} is missing: run make test-python", returncode=2)
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        # The sandbox speaks plain HTTP on the loopback address.
        merged = inherited | qbo.environment | {"OAUTHLIB_INSECURE_TRANSPORT": "1"} | environment
        line = [str(python), str(CLIENTS / script), *arguments]
        process = subprocess.run(line, env=merged, capture_output=True, text=True, timeout=100, check=False)
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run


def truth(qbo: qbo_rs.Sandbox, entity: str) -> dict:
    return {id_: json.loads(payload) for id_, payload in qbo.truth(entity, *ALL).items()}


def test_python_quickbooks_reads_the_right_records(client, qbo):
    now = datetime.now(timezone.utc)
    since = (now - timedelta(days=29)).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    edited = qbo.edit("Estimate", "5")
    deleted = qbo.delete("Invoice", "7")
    voided = qbo.void("Invoice", "8")
    answer = json.loads(client("python-quickbooks", "read_with_python_quickbooks.py", CHANGED_SINCE=since))
    customers, invoices, items = (truth(qbo, entity) for entity in ("Customer", "Invoice", "Item"))
    assert answer["customers"] == {id_: customer["DisplayName"] for id_, customer in customers.items()}
    assert (answer["active"], answer["counted"]) == (sum(c["Active"] for c in customers.values()), len(customers))
    found = {id_: [i["TotalAmt"], i["CustomerRef"]["value"], len(i["Line"])] for id_, i in invoices.items()}
    assert answer["invoices"] == found
    assert answer["items"] == {id_: item.get("Sku") for id_, item in items.items() if item["Active"]}
    assert answer["one"] == customers["3"]["DisplayName"]
    assert sorted(answer["cards"]) == sorted(truth(qbo, "CreditCardPayment"))
    assert answer["changed"] == {"Estimate": [edited], "Invoice": [voided, deleted]}
    assert (answer["deleted"], answer["vendors_changed"]) == ([deleted], False)
    assert answer["batch"] == {"c": 5, "bad": "4001", "n": sum(item["Active"] for item in items.values())}
    assert answer["writes"] == ["500"]
    assert answer["refused"] == [4001, "QueryValidationError: property 'Notes' is not queryable"]
    assert answer["hard_expiry"] > 0
    assert answer["revoked"] is True


def test_tap_quickbooks_reads_the_right_records(client, qbo, tmp_path):
    settings = qbo.environment
    config = {
        "start_date": "2024-01-01T00:00:00Z",
        "user_agent": "test",
        "realm_id": settings["QBO_REALM_ID"],
        "client_id": settings["QBO_CLIENT_ID"],
        "client_secret": settings["QBO_CLIENT_SECRET"],
        "refresh_token": settings["QBO_REFRESH_TOKEN"],
        # The invoices need more than two batches.
        "max_results": "150",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    arguments = ("--config", str(tmp_path / "config.json"))
    catalog = json.loads(client("tap-quickbooks", "run_tap_quickbooks.py", *arguments, "--discover"))
    streams = {"customers": "Customer", "invoices": "Invoice", "items": "Item"}
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in streams
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    output = client("tap-quickbooks", "run_tap_quickbooks.py", *arguments, "--catalog", str(tmp_path / "catalog.json"))
    messages = [json.loads(line) for line in output.splitlines()]
    for stream, entity in streams.items():
        records = [m["record"] for m in messages if m["type"] == "RECORD" and m["stream"] == stream]
        expected = truth(qbo, entity)
        assert len(records) == len(expected), stream
        assert {record["Id"] for record in records} == set(expected)
        names = {"customers": "DisplayName", "invoices": "DocNumber", "items": "Name"}
        assert all(record[names[stream]] == expected[record["Id"]][names[stream]] for record in records)
    kinds = qbo.stats()["requests"]
    assert kinds["batch"]["200"] >= 3
    assert set(kinds) == {"token", "batch", "read"}
