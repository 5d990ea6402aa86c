"""Alerts: told once to a real HTTP server and a real mail server, and told again when they are over."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from waiting import until

PATH = "/services/T000/B000/a-secret-part"


class Receiver:
    """A server that takes posts, and refuses the first ones if it is told so."""

    def __init__(self) -> None:
        self.bodies: list[dict] = []
        self.asked = 0
        self.refuse = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.asked += 1
                is_refused = receiver.asked <= receiver.refuse
                if not is_refused:
                    receiver.bodies.append({"path": self.path, **body})
                self.send_response(500 if is_refused else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{PATH}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def company(run, database):
    """Return the id of a company that was synced."""
    assert run("sync", "items", QBO_TOKEN_STORE="postgres").returncode == 0
    [(realm_id,)] = database.query("SELECT realm_id FROM qbo.accounts")
    return realm_id


def make_stale(database, hours: int) -> None:
    statement = f"UPDATE qbo.sync_state SET checkpoint_utc = now() - interval '{hours} hours'"
    database.execute(statement)


def told(database, place: str) -> dict[str, bool]:
    rows = database.query(f"SELECT kind, told_utc IS NOT NULL FROM qbo.alerts WHERE place LIKE '{place}:%'")
    return dict(rows)


@pytest.mark.timeout(120)
def test_an_alert_is_told_once_and_when_it_is_over(serve, database, receiver, company):
    make_stale(database, 3)
    places = {"QBO_ALERT_WEBHOOK_URL": receiver.url, "QBO_ALERT_SLACK_URL": receiver.url}
    # Two processes look at the same companies.
    servers = [serve("items", **places) for _ in range(2)]
    until(lambda: told(database, "webhook") == told(database, "slack") == {"stale": True})
    [plain] = [body for body in receiver.bodies if "alerts" in body]
    [slack] = [body for body in receiver.bodies if "text" in body]
    [alert] = plain["alerts"]
    assert (plain["source"], plain["path"]) == ("qbo_rs", PATH)
    assert (alert["status"], alert["kind"], alert["realm_id"]) == ("raised", "stale", company)
    assert f"items of company {company} is stale, copied up to" in alert["text"]
    assert slack["text"] == f"qbo_rs: {alert['text']}"
    # The page says it, too.
    assert alert["text"] in servers[0].call("GET", "/")[1]["text"]
    # It is over when no process has seen it for 40 seconds.
    make_stale(database, 0)
    database.execute("UPDATE qbo.alerts SET seen_utc = now() - interval '40 seconds'")
    until(lambda: told(database, "webhook") == told(database, "slack") == {})
    assert len(receiver.bodies) == 4
    [over] = [body["alerts"] for body in receiver.bodies[2:] if "alerts" in body]
    assert [(each["status"], each["kind"]) for each in over] == [("resolved", "stale")]
    assert all(server.process.poll() is None for server in servers)


@pytest.mark.timeout(120)
def test_a_place_that_fails_is_tried_again_and_its_url_is_not_logged(
    environment, database, receiver, company, tmp_path
):
    from service import Server

    make_stale(database, 3)
    receiver.refuse = 1
    with (tmp_path / "log").open("w") as log:
        server = Server(environment | {"QBO_ALERT_SLACK_URL": receiver.url}, "items", errors=log)
        try:
            until(lambda: receiver.asked == 1)
            [(attempts, is_later)] = database.query("SELECT attempts, next_try_utc > now() FROM qbo.alerts")
            assert (attempts, is_later) == (1, True)
            assert told(database, "slack") == {"stale": False}
            assert server.call("GET", "/healthz") == (200, {"status": "ok"})
            database.execute("UPDATE qbo.alerts SET next_try_utc = now()")
            until(lambda: told(database, "slack") == {"stale": True})
        finally:
            server.stop()
    assert len(receiver.bodies) == 1
    text = (tmp_path / "log").read_text()
    assert "slack did not take 1 alert: " in text
    assert "a-secret-part" not in text
    assert company in receiver.bodies[0]["text"]


@pytest.mark.timeout(120)
def test_alerts_come_by_mail(serve, database, company):
    from aiosmtpd import controller

    received = []

    class Handler:
        async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd calls it
            await asyncio.sleep(0)
            received.append(envelope)
            return "250 OK"

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mail = controller.Controller(Handler(), hostname="127.0.0.1", port=port)
    mail.start()
    try:
        make_stale(database, 3)
        serve(
            "items",
            QBO_ALERT_SMTP_URL=f"smtp://127.0.0.1:{port}",
            QBO_ALERT_MAIL_FROM="qbo_rs <alerts@example.com>",
            QBO_ALERT_MAIL_TO="ana@example.com, luis@example.com",
        )
        until(lambda: told(database, "mail") == {"stale": True})
    finally:
        mail.stop()
    [envelope] = received
    assert envelope.rcpt_tos == ["ana@example.com", "luis@example.com"]
    message = message_from_bytes(envelope.content)
    assert message["subject"] == "[qbo_rs] 1 needs somebody"
    assert f"items of company {company} is stale" in message.get_payload(decode=True).decode()


def test_books_and_comparisons_that_differ_are_alerts(serve, run, database, receiver, company):
    schema = database.query("SELECT schema_name FROM qbo.schema_realms")[0][0]
    database.execute(f"DELETE FROM {schema}.qb_items WHERE id = '3'")
    verify = ["verify", "items", "--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "year", "--schema", schema]
    assert run(*verify, QBO_TOKEN_STORE="postgres").returncode == 1
    database.execute(
        "INSERT INTO qbo.tie_outs (realm_id, schema_name, basis, as_of, compared_from, status, accounts, transactions, "
        f"unexplained, unverified, requests) VALUES ('{company}', 'raw', 'cash', '2025-12-31', '2025-12-01', "
        "'different', 1, 1, 0.1, '{}', 1)"
    )
    serve("items", QBO_ALERT_WEBHOOK_URL=receiver.url)
    until(lambda: told(database, "webhook") == {"books": True, "verify": True})
    texts = {alert["kind"]: alert["text"] for body in receiver.bodies for alert in body["alerts"]}
    assert "as of 2025-12-31 (cash) do not agree" in texts["books"]
    assert "`qbo-rs verify` of items" in texts["verify"]
    # A comparison that finds nothing any more ends it.
    assert run(*verify, "--repair", QBO_TOKEN_STORE="postgres").returncode == 0
    assert database.query("SELECT status FROM qbo.verifications") == [("ok",)]


def test_deep_health_is_503_while_something_is_wrong_and_tells_reasons_to_the_key_alone(serve, database, company):
    server = serve("items", QBO_API_KEY="k" * 40)
    assert server.call("GET", "/healthz?deep") == (200, {"status": "ok"})
    make_stale(database, 3)
    assert server.call("GET", "/healthz") == (200, {"status": "ok"})
    # An answer is used again for ten seconds.
    until(lambda: server.call("GET", "/healthz?deep")[0] == 503)
    status, said = server.call("GET", "/healthz?deep")
    assert status == 503
    assert company not in json.dumps(said)
    server.key = "k" * 40
    status, said = server.call("GET", "/healthz?deep")
    assert status == 503
    assert f"items of company {company} is stale" in json.dumps(said)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("QBO_ALERT_SLACK_URL", "hooks/secret-part", "QBO_ALERT_SLACK_URL: is not an http or https URL"),
        ("QBO_ALERT_WEBHOOK_URL", "ftp://h/secret-part", "QBO_ALERT_WEBHOOK_URL: is not an http or https URL"),
        ("QBO_ALERT_SMTP_URL", "smtp://u:secret-part@h", "QBO_ALERT_MAIL_FROM, QBO_ALERT_MAIL_TO: not set"),
        ("QBO_ALERT_STALE_S", "soon", "QBO_ALERT_STALE_S: 'soon' is not a number of seconds"),
    ],
)
def test_a_wrong_setting_ends_the_service_at_its_start_without_showing_a_secret(run, setting, value, words):
    process = run("serve", "--port", "0", QBO_TOKEN_STORE="postgres", **{setting: value})
    assert process.returncode == 2
    assert words in process.stderr
    assert "secret-part" not in process.stderr
