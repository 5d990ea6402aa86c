"""Tests of the HTTP API, over HTTP against a real server."""

from __future__ import annotations

import base64
import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import COMMAND, ROOT
from prometheus_client.parser import text_string_to_metric_families

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what the test is about
SCHEMATHESIS = ROOT / ".venv" / "clients" / "schemathesis" / "bin" / "st"


def test_a_sync_is_queued_watched_and_its_records_are_read(serve, qbo):
    server = serve()
    assert server.call("GET", "/healthz") == (200, {"status": "ok"})
    assert server.call("GET", "/readyz") == (200, {"status": "ready"})
    asked = {"entities": ["customers", "items"]}
    status, job = server.call("POST", "/api/qbo/sync/", asked, Idempotency_Key="monday")
    assert status == 202
    # The same key returns the same job.
    assert server.call("POST", "/api/qbo/sync/", asked, Idempotency_Key="monday")[1]["job_id"] == job["job_id"]
    job = server.ended(job["job_id"])
    assert (job["status"], job["error"], job["attempts"]) == ("done", None, 1)
    assert sum(entity["inserted"] for entity in job["report"]["accounts"][0]["entities"]) == 100
    states = server.call("GET", "/api/qbo/sync/status/")[1]["entities"]
    assert {state["entity"]: state["status"] for state in states} == {"customers": "success", "items": "success"}
    [account] = server.call("GET", "/api/qbo/accounts/")[1]["accounts"]
    realm = qbo.environment["QBO_REALM_ID"]
    assert (account["realm_id"], account["state"]) == (realm, "active")

    seen, after = {}, ""
    # More pages than there are customers would be pages without end.
    for _ in range(40):
        _, page = server.call("GET", f"/api/qbo/customers/?realm_id={realm}&limit=25&after={after}")
        seen |= {record["id"]: record["payload"] for record in page["records"]}
        if page["next"] is None:
            break
        after = page["next"]
    assert page["next"] is None
    truth = qbo.truth("Customer", "2024-01-01", "2026-01-01")
    assert seen == {key: json.loads(payload) for key, payload in truth.items()}
    assert server.call("GET", f"/api/qbo/invoices/?realm_id={realm}")[1] == {"records": [], "next": None}
    assert server.call("GET", f"/api/qbo/nonsense/?realm_id={realm}")[0] == 404
    assert server.call("GET", "/api/qbo/customers/?realm_id=1")[0] == 404
    assert server.call("GET", "/api/qbo/customers/?realm_id=x")[0] == 400
    assert server.call("POST", "/api/qbo/sync/", {"entities": ["nonsense"]})[0] == 400
    assert server.call("POST", "/api/qbo/sync/", {"what": 1})[0] == 400
    assert server.call("POST", "/api/qbo/sync/", [])[0] == 400
    too_many = server.call("GET", f"/api/qbo/customers/?realm_id={realm}&limit=100000")
    assert (too_many[0], "limit" in too_many[1]["error"]) == (400, True)
    assert server.call("GET", "/api/qbo/jobs/none")[0] == 404
    assert server.call("DELETE", "/api/qbo/accounts/")[0] == 405
    assert server.call("GET", "/api/qbo/sync/status")[1]["entities"] == states
    # SIGTERM stops the server.
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0


def test_rows_of_others_with_impossible_times_are_shown(serve, qbo, database):
    server = serve("items")
    job = server.call("POST", "/api/qbo/sync/")[1]
    assert server.ended(job["job_id"])["status"] == "done"
    for column in ("payload", "ingested_at_utc"):
        database.execute(f"ALTER TABLE raw.qb_items ALTER {column} DROP NOT NULL")
    values = "'-infinity', '-infinity', 1, 1, '{}'"
    database.execute(
        f"INSERT INTO raw.qb_items VALUES ('odd1', '{{}}', 'infinity', {values}, NULL), "
        f"('odd2', NULL, NULL, {values}, 'infinity'), ('odd3', '{{}}', '0044-03-15 BC', {values}, '-infinity')"
    )
    realm = qbo.environment["QBO_REALM_ID"]
    status, page = server.call("GET", f"/api/qbo/items/?realm_id={realm}&limit=1000&deleted=true&after=odd")
    assert status == 200, page
    odd = {record["id"]: (record["payload"], record["ingested_at"]) for record in page["records"]}
    assert odd == {
        "odd1": ({}, "9999-12-31T00:00:00Z"),
        "odd2": (None, None),
        "odd3": ({}, "0001-01-01T00:00:00Z"),
    }


def test_metrics_tell_what_the_table_of_fields_does_not_know(serve, qbo, database):
    server = serve("customers", "departments", "estimates")
    job = server.call("POST", "/api/qbo/sync/")[1]["job_id"]
    assert server.ended(job)["status"] == "done"

    def drift() -> dict[tuple[str, str, str], float]:
        families = text_string_to_metric_families(server.call("GET", "/metrics")[1]["text"])
        samples = [sample for family in families for sample in family.samples if "schema_drift" in sample.name]
        assert {sample.labels["realm_id"] for sample in samples} <= {qbo.environment["QBO_REALM_ID"]}
        return {(s.name, s.labels["entity"], s.labels["kind"]): s.value for s in samples}

    # The simulator has made up one property of departments and two of estimates.
    departments, estimates = (
        database.query(f"SELECT sum(records)::float FROM qbo.schema_drift WHERE entity = '{entity}'")[0][0]
        for entity in ("departments", "estimates")
    )
    assert departments == database.query("SELECT count(*) FROM raw.qb_departments")[0][0] > 0
    assert drift() == {
        ("qbo_schema_drift", "departments", "unknown"): 1,
        ("qbo_schema_drift", "estimates", "unknown"): 2,
        ("qbo_schema_drift_records", "departments", "unknown"): departments,
        ("qbo_schema_drift_records", "estimates", "unknown"): estimates,
    }
    # Rows that somebody has settled are gone from it.
    database.execute("DELETE FROM qbo.schema_drift")
    assert drift() == {}


def test_metrics_match_the_requests_that_quickbooks_saw(serve, qbo):
    server = serve("items", "customers")
    qbo.fault("throttle", on="batch", times=1, retry_after=1)
    asked = [server.call("POST", "/api/qbo/sync/")[1]["job_id"], server.call("POST", "/api/qbo/sync/")[1]["job_id"]]
    assert [server.ended(job_id)["status"] for job_id in asked] == ["done", "done"]
    # Parsed by Prometheus' own parser.
    families = text_string_to_metric_families(server.call("GET", "/metrics")[1]["text"])
    values = {}
    for sample in (sample for family in families for sample in family.samples):
        values[(sample.name, *sorted(sample.labels.values()))] = sample.value
    realm = qbo.environment["QBO_REALM_ID"]
    assert values["qbo_sync_rows_total", "inserted"] == 100
    assert values["qbo_checkpoint_age_seconds", realm, "customers"] < 600
    assert values["qbo_token_days_left", realm] > 90
    assert values["qbo_jobs", "done"] == 2
    assert values["qbo_breaker_open", realm] == values["qbo_needs_reauth", realm] == 0
    assert values["qbo_sync_seconds_count",] == 2
    # The metrics equal the counts of the simulator.
    seen = qbo.stats()["requests"]
    token = seen.pop("token")
    total = {status: sum(answers.get(status, 0) for answers in seen.values()) for status in ("200", "429")}
    assert total["429"] == 1
    assert values["qbo_requests_total", "429", "data"] == total["429"]
    assert values["qbo_requests_total", "200", "data"] == total["200"] == values["qbo_monthly_reads", realm]
    assert values["qbo_requests_total", "200", "token"] == token["200"] == 1
    assert values["qbo_request_seconds_count", "data"] == sum(total.values())
    assert values["qbo_requests_last_minute", realm] >= sum(total.values()) - 1


def test_an_idempotency_key_belongs_to_one_request_and_an_unknown_company_leaves_no_rows(serve, database):
    server = serve("items")
    first = server.call("POST", "/api/qbo/sync/", {"entities": ["items"]}, Idempotency_Key="a")[1]["job_id"]
    status, refused = server.call("POST", "/api/qbo/sync/", {"entities": ["customers"]}, Idempotency_Key="a")
    assert (status, "used before" in refused["error"]) == (409, True)
    unknown = server.call("POST", "/api/qbo/sync/", {"accounts": ["12"]})
    assert unknown == (404, {"error": "accounts: company 12 is not connected"})
    assert server.ended(first)["status"] == "done"
    assert database.query("SELECT schema_name FROM qbo.schema_realms") == [("raw",)]
    assert database.query("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'raw%'") == [(1,)]


def test_without_an_api_key_only_loopback_host_names_are_accepted(serve):
    server = serve("--workers", "0")
    port = server.url.rsplit(":", 1)[1]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "LOCALHOST"):
        assert server.call("GET", "/api/qbo/sync/status/", Host=host)[0] == 200
    # A foreign domain that resolves to this machine (DNS rebinding).
    for host in (f"elsewhere.example:{port}", f"127.0.0.1.elsewhere.example:{port}", "localhost.example", ""):
        assert server.call("GET", "/api/qbo/sync/status/", Host=host)[0] == 403
    behind_a_proxy = serve("--workers", "0", QBO_API_KEY="key")
    behind_a_proxy.key = "key"
    assert behind_a_proxy.call("GET", "/api/qbo/sync/status/", Host="qbo.example")[0] == 200


def test_idle_connections_are_closed(serve):
    server = serve("--workers", "0")
    host, port = server.url.removeprefix("http://").split(":")
    for beginning in (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(beginning)
            # The server closes the connection before the timeout.
            while connection.recv(1000):
                pass


REDIRECT = "http://127.0.0.1:1/callback"


def consent(qbo) -> dict[str, str]:
    """Consent as a user does; return the query parameters of the redirect."""
    query = {"client_id": qbo.environment["QBO_CLIENT_ID"], "redirect_uri": REDIRECT, "state": "s"}
    query |= {"response_type": "code", "scope": "com.intuit.quickbooks.accounting"}

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args, **_kwargs):
            return None

    opener = urllib.request.build_opener(Stay)
    with pytest.raises(urllib.error.HTTPError) as sent_back:
        opener.open(f"{qbo.environment['QBO_AUTHORIZE_URL']}?{urllib.parse.urlencode(query)}", timeout=10)
    address = urllib.parse.urlsplit(sent_back.value.headers["location"])
    sent_back.value.close()
    return {name: values[0] for name, values in urllib.parse.parse_qs(address.query).items()}


def test_a_company_is_connected_with_an_authorization_code(serve, qbo):
    server = serve(QBO_REFRESH_TOKEN="", QBO_REALM_ID="")
    answer = consent(qbo)
    body = {"code": answer["code"], "realm_id": answer["realmId"], "redirect_uri": REDIRECT}
    status, connected = server.call("POST", "/api/qbo/authorize/", body)
    assert (status, connected["realm_id"]) == (200, answer["realmId"])
    job = server.ended(server.call("POST", "/api/qbo/sync/", {"entities": ["items"]})[1]["job_id"])
    assert (job["status"], job["error"]) == ("done", None)
    # A code can be used once. The second use may revoke the connection (qbo-facts 13).
    status, refused = server.call("POST", "/api/qbo/authorize/", body)
    assert (status, "invalid_grant" in refused["error"]) == (409, True)


def test_callers_without_the_key_are_refused(serve, environment):
    line = [COMMAND, "serve", "--host", EVERYWHERE, "--port", "0"]
    refused = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 2
    assert "QBO_API_KEY: not set" in refused.stderr
    server = serve("--host", EVERYWHERE, QBO_API_KEY="a long and secret key")
    assert server.call("GET", "/healthz")[0] == 200
    for key in (None, "a long and secret ke", "a long and secret key2"):
        server.key = key
        for path in ("/api/qbo/accounts/", "/metrics", "/api/qbo/sync/status/"):
            assert server.call("GET", path)[0] == 401
        assert server.call("POST", "/api/qbo/sync/", {})[0] == 401
    # Basic authentication, which browsers send by themselves, opens the page only.
    server.key = None
    basic = "Basic " + base64.b64encode(b"any:a long and secret key").decode()
    assert server.call("POST", "/api/qbo/sync/", {}, Authorization=basic)[0] == 401
    lower = "bearer a long and secret key"
    assert server.call("GET", "/api/qbo/accounts/", Authorization=lower)[0] == 200
    server.key = "a long and secret key"
    assert server.call("GET", "/api/qbo/accounts/")[0] == 200
    assert server.call("POST", "/api/qbo/sync/", {}, Origin="https://elsewhere.example")[0] == 403


def test_the_api_conforms_to_its_openapi_document(serve, tmp_path):
    if not SCHEMATHESIS.exists():
        pytest.skip("no schemathesis: run make test-python")
    server = serve("--workers", "0", QBO_API_KEY="key")
    line = [SCHEMATHESIS, "run", f"{server.url}/openapi.json", "--checks", "all", "--max-examples", "25"]
    line += ["--header", "Authorization: Bearer key", "--seed", "1"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]


def test_the_commands_in_service_md_work(serve, qbo, environment, tmp_path):
    server = serve(QBO_REFRESH_TOKEN="", QBO_REALM_ID="", QBO_API_KEY="key")
    answer = consent(qbo)
    variables = {"SERVICE": server.url, "QBO_API_KEY": "key", "CODE": answer["code"], "REALM_ID": answer["realmId"]}
    variables |= {"REDIRECT_URI": REDIRECT, "PATH": environment["PATH"]}
    text = (ROOT / "docs" / "service.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        line = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(
            line, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, block + done.stdout + done.stderr
        if "JOB" in block:
            server.key = "key"
            server.ended(json.loads((tmp_path / "job.json").read_text())["job_id"])
