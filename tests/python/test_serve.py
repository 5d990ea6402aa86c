"""The HTTP API: a real server, real HTTP, jobs that outlive their process."""

from __future__ import annotations

import base64
import hmac
import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import COMMAND, ROOT

import qbo_rs

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what the test is about
SCHEMATHESIS = ROOT / ".venv" / "clients" / "schemathesis" / "bin" / "st"


class Server:
    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        line = [COMMAND, "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        assert said.startswith("listening on "), said
        self.url = said.split()[-1]
        self.key: str | None = None

    def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict]:
        data = None if body is None else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read().decode()
                is_json = answer.headers["content-type"] == "application/json"
                return answer.status, json.loads(text) if is_json else {"text": text}
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def ended(self, job_id: str, limit: float = 60) -> dict:
        end = time.monotonic() + limit
        while True:
            _, job = self.call("GET", f"/api/qbo/jobs/{job_id}")
            if job["status"] not in ("queued", "running"):
                return job
            assert time.monotonic() < end, job
            time.sleep(0.1)


@pytest.fixture
def serve(environment):
    servers = []

    def serve(*arguments: str, **more: str) -> Server:
        servers.append(Server(environment | more, *arguments))
        return servers[-1]

    yield serve
    for server in servers:
        server.process.kill()
        server.process.communicate(timeout=10)


def test_a_sync_is_asked_for_watched_and_its_records_are_read(serve, qbo):
    server = serve()
    assert server.call("GET", "/healthz") == (200, {"status": "ok"})
    assert server.call("GET", "/readyz") == (200, {"status": "ready"})
    asked = {"entities": ["customers", "items"]}
    status, job = server.call("POST", "/api/qbo/sync/", asked, Idempotency_Key="monday")
    assert status == 202
    # The same key names the same job.
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
    while True:
        _, page = server.call("GET", f"/api/qbo/customers/?realm_id={realm}&limit=25&after={after}")
        seen |= {record["id"]: record["payload"] for record in page["records"]}
        if page["next"] is None:
            break
        after = page["next"]
    truth = qbo.truth("Customer", "2024-01-01", "2026-01-01")
    assert seen == {key: json.loads(payload) for key, payload in truth.items()}
    assert server.call("GET", f"/api/qbo/invoices/?realm_id={realm}")[1] == {"records": [], "next": None}
    assert server.call("GET", f"/api/qbo/nonsense/?realm_id={realm}")[0] == 404
    assert server.call("GET", "/api/qbo/customers/?realm_id=1")[0] == 404
    assert server.call("GET", "/api/qbo/customers/?realm_id=x")[0] == 400
    assert server.call("POST", "/api/qbo/sync/", {"entities": ["nonsense"]})[0] == 400
    assert server.call("POST", "/api/qbo/sync/", {"what": 1})[0] == 400
    assert server.call("GET", "/api/qbo/jobs/none")[0] == 404
    assert server.call("DELETE", "/api/qbo/accounts/")[0] == 405
    metrics = server.call("GET", "/metrics")[1]["text"]
    assert 'qbo_sync_rows_total{outcome="inserted"} 100' in metrics
    assert f'qbo_checkpoint_age_seconds{{realm_id="{realm}",entity="customers"}}' in metrics
    assert 'qbo_jobs{status="done"} 1' in metrics
    assert f'qbo_breaker_open{{realm_id="{realm}"}} 0' in metrics
    # Asked to stop, it does.
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0


REDIRECT = "http://127.0.0.1:1/callback"


def consent(qbo) -> dict[str, str]:
    """Consent as a user does; return what the browser is sent back with."""
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


def test_a_company_is_connected_by_the_code_of_its_consent(serve, qbo):
    server = serve(QBO_REFRESH_TOKEN="", QBO_REALM_ID="")
    answer = consent(qbo)
    body = {"code": answer["code"], "realm_id": answer["realmId"], "redirect_uri": REDIRECT}
    status, connected = server.call("POST", "/api/qbo/authorize/", body)
    assert (status, connected["realm_id"]) == (200, answer["realmId"])
    # A code is good once.
    status, refused = server.call("POST", "/api/qbo/authorize/", body)
    assert (status, "invalid_grant" in refused["error"]) == (409, True)
    job = server.ended(server.call("POST", "/api/qbo/sync/", {"entities": ["items"]})[1]["job_id"])
    assert (job["status"], job["error"]) == ("done", None)


def test_who_has_no_key_stays_out(serve, environment):
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
    # What a browser would send of itself is good for the page alone.
    server.key = None
    basic = "Basic " + base64.b64encode(b"any:a long and secret key").decode()
    assert server.call("POST", "/api/qbo/sync/", {}, Authorization=basic)[0] == 401
    server.key = "a long and secret key"
    assert server.call("GET", "/api/qbo/accounts/")[0] == 200
    assert server.call("POST", "/api/qbo/sync/", {}, Origin="https://elsewhere.example")[0] == 403


@pytest.fixture
def slow_qbo():
    with qbo_rs.sandbox(customers=20, items=20, invoices=3000, others=0, latency_ms=400, limits=False) as sandbox:
        yield sandbox


def test_a_job_whose_process_is_killed_is_finished_by_another_once(serve, slow_qbo, database):
    first = serve(**slow_qbo.environment)
    _, job = first.call("POST", "/api/qbo/sync/", {"entities": ["invoices"]})
    job_id = job["job_id"]
    end = time.monotonic() + 30
    while slow_qbo.stats()["requests"].get("query", {}).get("200", 0) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    first.process.kill()
    # Two others: one of them takes it over when it has been silent long enough.
    others = [serve(**slow_qbo.environment), serve(**slow_qbo.environment)]
    job = others[0].ended(job_id)
    assert (job["status"], job["attempts"]) == ("done", 2)
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(3000,)]
    assert database.query("SELECT count(*) FROM qbo.jobs") == [(1,)]


def test_a_job_that_is_cancelled_ends_and_leaves_what_is_committed(serve, slow_qbo, database):
    slow_qbo.fault("slow", on="query", ms=8000, times=0)
    server = serve("--workers", "1", **slow_qbo.environment)
    first = server.call("POST", "/api/qbo/sync/", {"entities": ["invoices"]})[1]["job_id"]
    waiting = server.call("POST", "/api/qbo/sync/", {"entities": ["items"]})[1]["job_id"]
    assert server.call("POST", f"/api/qbo/jobs/{waiting}/cancel/")[1]["status"] == "cancelled"
    end = time.monotonic() + 30
    while server.call("GET", f"/api/qbo/jobs/{first}")[1]["status"] == "queued":
        assert time.monotonic() < end
        time.sleep(0.05)
    assert server.call("POST", f"/api/qbo/jobs/{first}/cancel/")[0] == 202
    assert server.ended(first)["status"] == "cancelled"
    assert database.query("SELECT status, count(*) FROM qbo.jobs GROUP BY 1") == [("cancelled", 2)]


TOKEN = "the verifier token of the app"  # noqa: S105 - of these tests


def signature(body: bytes) -> str:
    return base64.b64encode(hmac.new(TOKEN.encode(), body, "sha256").digest()).decode()


def test_webhooks_ask_for_what_they_name_and_doubles_and_disorder_change_nothing(serve, qbo, database):
    server = serve(QBO_WEBHOOK_VERIFIER_TOKEN=TOKEN, QBO_LAG_S="0")
    assert server.ended(server.call("POST", "/api/qbo/sync/", {"entities": ["customers", "invoices"]})[1]["job_id"])
    hooks = {"url": f"{server.url}/webhooks/qbo", "verifier_token": TOKEN, "gather_ms": 50, "retry_s": [0.2, 0.5, 1]}
    qbo.control("webhooks", **hooks, duplicate_every=2, shuffle=True, wrong_signature_every=3, mix_realm="1")
    edited = [qbo.edit("Customer", "oldest"), qbo.edit("Customer", "newest"), qbo.edit("Customer", "oldest")]
    deleted = qbo.delete("Invoice", "oldest")
    end = time.monotonic() + 30
    while database.query("SELECT count(*) FROM raw.qb_invoices WHERE deleted_at_utc IS NOT NULL") != [(1,)]:
        assert time.monotonic() < end, qbo.control("deliveries")
        time.sleep(0.1)
    assert database.query("SELECT id FROM raw.qb_invoices WHERE deleted_at_utc IS NOT NULL") == [(deleted,)]
    truth = {key: json.loads(payload) for key, payload in qbo.truth("Customer", "2024-01-01", "2100-01-01").items()}
    while dict(database.query("SELECT id, payload FROM raw.qb_customers")) != truth:
        assert time.monotonic() < end, edited
        time.sleep(0.1)
    # A company that is not connected here asks for nothing.
    assert database.query("SELECT count(*) FROM qbo.webhook_events WHERE realm_id = '1'")[0][0] > 0
    assert database.query("SELECT count(*) FROM qbo.jobs WHERE request -> 'accounts' ? '1'") == [(0,)]
    # The retired shape, too, and as often as one likes: an event is kept once.
    event = {"name": "Item", "id": "7", "operation": "Update", "lastUpdated": "2026-01-01T00:00:00Z"}
    body = {
        "eventNotifications": [{"realmId": qbo.environment["QBO_REALM_ID"], "dataChangeEvent": {"entities": [event]}}]
    }
    signed = signature(json.dumps(body).encode())
    assert server.call("POST", "/webhooks/qbo", body, intuit_signature=signed) == (200, {"events": 1, "new": 1})
    assert server.call("POST", "/webhooks/qbo", body, intuit_signature=signed) == (200, {"events": 1, "new": 0})


def test_a_webhook_without_a_good_signature_leaves_a_count_and_no_other_trace(serve, database):
    server = serve("--workers", "0", QBO_WEBHOOK_VERIFIER_TOKEN=TOKEN)
    event = {"id": "1", "type": "qbo.customer.updated.v1", "intuitentityid": "1", "intuitaccountid": "9"}
    body = json.dumps([event]).encode()
    good = signature(body)
    for wrong in (None, "", "????", signature(body + b" "), good[:-2] + "==", good.lower()):
        headers = {} if wrong is None else {"intuit_signature": wrong}
        assert server.call("POST", "/webhooks/qbo", [event], **headers)[0] == 401
    assert database.query("SELECT count(*) FROM qbo.webhook_events") == [(0,)]
    assert "qbo_webhooks_unsigned_total 6" in server.call("GET", "/metrics")[1]["text"]
    assert server.call("POST", "/webhooks/qbo", [event], intuit_signature=good)[0] == 200
    assert database.query("SELECT entity, operation FROM qbo.webhook_events") == [("customers", "updated")]
    large = "x" * 3_000_000
    assert server.call("POST", "/webhooks/qbo", large, intuit_signature=signature(json.dumps(large).encode()))[0] == 413
    # A storm of deliveries, each answered in milliseconds.
    times = []
    for number in range(200):
        one = [event | {"id": f"storm {number}"}]
        begin = time.monotonic()
        assert server.call("POST", "/webhooks/qbo", one, intuit_signature=signature(json.dumps(one).encode()))[0] == 200
        times.append(time.monotonic() - begin)
    print(f"median {sorted(times)[100] * 1000:.1f} ms, slowest {max(times) * 1000:.1f} ms")
    assert sorted(times)[100] < 0.5
    assert database.query("SELECT count(*) FROM qbo.webhook_events") == [(201,)]


def test_the_api_keeps_to_its_document(serve, tmp_path):
    if not SCHEMATHESIS.exists():
        pytest.skip("no schemathesis: run make test-python")
    server = serve("--workers", "0", QBO_API_KEY="key")
    line = [SCHEMATHESIS, "run", f"{server.url}/openapi.json", "--checks", "all", "--max-examples", "25"]
    line += ["--header", "Authorization: Bearer key", "--seed", "1"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]


def test_the_calls_of_the_document_work(serve, qbo, environment, tmp_path):
    server = serve(QBO_REFRESH_TOKEN="", QBO_REALM_ID="", QBO_API_KEY="key")
    answer = consent(qbo)
    variables = {"SERVICE": server.url, "QBO_API_KEY": "key", "CODE": answer["code"], "REALM_ID": answer["realmId"]}
    variables |= {"REDIRECT_URI": REDIRECT, "PATH": environment["PATH"]}
    text = (ROOT / "docs" / "service.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        line = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(
            line, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, block + done.stdout + done.stderr
        if "JOB" in block:
            server.key = "key"
            server.ended(json.loads((tmp_path / "job.json").read_text())["job_id"])
