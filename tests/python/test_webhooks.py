"""Tests of webhooks: signatures, storage, and the syncs of the entities that they name."""

from __future__ import annotations

import base64
import hmac
import json
import os
import socket
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING

import pytest
from service_attack import signed_webhook
from waiting import until

if TYPE_CHECKING:
    from service import Server

TOKEN = "the verifier token of the app"  # noqa: S105 - of these tests


def signature(body: bytes) -> str:
    return base64.b64encode(hmac.new(TOKEN.encode(), body, "sha256").digest()).decode()


def test_webhooks_sync_the_entities_they_name_despite_duplicates_and_disorder(serve, qbo, database):
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
    # Events of a company that is not connected create no job.
    assert database.query("SELECT count(*) FROM qbo.webhook_events WHERE realm_id = '1'")[0][0] > 0
    assert database.query("SELECT count(*) FROM qbo.jobs WHERE request -> 'accounts' ? '1'") == [(0,)]
    # The retired format is accepted, too, and a repeated event is stored once.
    event = {"name": "Item", "id": "7", "operation": "Update", "lastUpdated": "2026-01-01T00:00:00Z"}
    body = {
        "eventNotifications": [{"realmId": qbo.environment["QBO_REALM_ID"], "dataChangeEvent": {"entities": [event]}}]
    }
    signed = signature(json.dumps(body).encode())
    assert server.call("POST", "/webhooks/qbo", body, intuit_signature=signed) == (200, {"events": 1, "new": 1})
    assert server.call("POST", "/webhooks/qbo", body, intuit_signature=signed) == (200, {"events": 1, "new": 0})


def test_an_unsigned_webhook_is_counted_and_not_stored(serve, database):
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
    assert server.call("POST", "/webhooks/qbo", large, intuit_signature=good)[0] == 401
    # A storm of deliveries: accepted ones are answered in milliseconds, the others are refused and repeated.
    times, turned_away = [], 0
    for number in range(300):
        one = [event | {"id": f"storm {number}"}]
        signed = signature(json.dumps(one).encode())
        begin = time.monotonic()
        while (status := server.call("POST", "/webhooks/qbo", one, intuit_signature=signed)[0]) == 429:
            turned_away += 1
            assert turned_away < 3000, "turned away for a minute"
            time.sleep(0.02)
            begin = time.monotonic()
        assert status == 200
        times.append(time.monotonic() - begin)
    print(f"median {sorted(times)[150] * 1000:.1f} ms, slowest {max(times) * 1000:.1f} ms, {turned_away} turned away")
    assert sorted(times)[150] < 0.5
    assert database.query("SELECT count(*) FROM qbo.webhook_events") == [(301,)]
    # All at once: only their last byte is missing until all have come.
    host, port = server.url.removeprefix("http://").split(":")
    waiting = [socket.create_connection((host, int(port)), 30) for _ in range(400)]
    for number, connection in enumerate(waiting):
        connection.sendall(signed_webhook(TOKEN, number, "9")[:-1])
    for connection in waiting:
        connection.sendall(b"]")
    statuses = []
    for connection in waiting:
        with connection:
            statuses.append(connection.recv(65536).split()[1])
    assert set(statuses) == {b"200", b"429"}
    stored = statuses.count(b"200")
    assert database.query("SELECT count(*) FROM qbo.webhook_events") == [(301 + stored,)]


def post(server: Server, body: bytes, signed: str) -> tuple[int, dict]:
    """Post bytes until they are not turned away for their number, as Intuit does."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        request = urllib.request.Request(f"{server.url}/webhooks/qbo", body, {"intuit-signature": signed})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 429:
                    return error.code, json.load(error)
        time.sleep(0.02)
    raise AssertionError("turned away for 30 seconds")


def test_a_signed_delivery_is_never_refused_and_keeps_its_good_events(serve, database):
    server = serve("--workers", "0", QBO_WEBHOOK_VERIFIER_TOKEN=TOKEN)
    number = iter(range(1000))

    def good() -> dict:
        return event(next(number), "7", "item")

    without_record = good()
    del without_record["intuitentityid"]
    lonely = json.dumps(good() | {"intuitentityid": "\ud800"}).encode()
    of_retired_shape = {
        "eventNotifications": [
            {"realmId": "7", "dataChangeEvent": {"entities": [{"name": "Item", "id": 5, "operation": "Update"}, {}]}}
        ]
    }
    kept = 0
    for body, events, set_aside in (
        (json.dumps([good(), without_record, good()]).encode(), 2, 1),
        (json.dumps([good() | {"intuitentityid": 17, "time": None}, good() | {"type": "new.thing"}]).encode(), 2, 0),
        (json.dumps(of_retired_shape).encode(), 1, 1),
        (json.dumps(good()).encode(), 1, 0),
        (json.dumps([good() | {"data": {"a\0": "\0"}}, good() | {"time": {"now": [1]}}]).encode(), 2, 0),
        (b"[" + json.dumps(good()).encode() + b"," + lonely + b"]", 1, 1),
        (b"[" + json.dumps(good()).encode() + b",{", 1, 1),
        (b"[]", 0, 0),
        (b'{"a": 1}', 0, 1),
        (b"", 0, 1),
        (b"\xff\xfe\x00", 0, 1),
        (b"\0" * 100, 0, 1),
        (b"[" * 100_000, 0, 1),
        (json.dumps(["x" * 3_000_000, good()]).encode(), 1, 1),
        (json.dumps([good() | {"data": {"n": "x" * 60_000}} for _ in range(90)] + ["odd"]).encode(), 90, 1),
        (b"[" + json.dumps(good()).encode() + b',"' + b"y" * 9_000_000, 1, 1),
        (json.dumps([good() | {"id": "9" * 5000}]).encode(), 0, 1),
    ):
        before = database.query("SELECT count(*) FROM qbo.webhook_rejects")[0][0]
        assert post(server, body, signature(body)) == (200, {"events": events, "new": events}), body[:200]
        kept += events
        assert database.query("SELECT count(*) FROM qbo.webhook_events") == [(kept,)], body[:200]
        assert database.query("SELECT count(*) FROM qbo.webhook_rejects")[0][0] - before == set_aside, body[:200]
        # The same again brings nothing new.
        assert post(server, body, signature(body)) == (200, {"events": events, "new": 0}), body[:200]
        assert post(server, body, signature(body + b" "))[0] == 401
    again = "SELECT count(*), min(deliveries), max(deliveries), max(length(text)) FROM qbo.webhook_rejects"
    assert database.query(again) == [(13, 2, 2, 16 * 1024)]
    metrics = server.call("GET", "/metrics")[1]["text"]
    assert "qbo_webhook_parts_set_aside_total 26" in metrics
    assert "qbo_webhooks_unsigned_total 17" in metrics
    database.execute("UPDATE qbo.webhook_rejects SET received_at_utc = now() - interval '31 days'")
    serve("--workers", "1")
    until(lambda: database.query("SELECT count(*) FROM qbo.webhook_rejects") == [(0,)])


def any_json(chance: Random, depth: int = 0) -> object:
    """Return JSON of any shape, with the names that matter."""
    names = ("id", "type", "time", "intuitentityid", "intuitaccountid", "eventNotifications", "realmId")
    names += ("dataChangeEvent", "entities", "name", "operation", "lastUpdated", "\0", "\ud800", "é")
    texts = ("qbo.item.updated.v1", "", "\0", "\ud800", "7", "x" * 5000, "2026-01-01T00:00:00Z", "\U0001f642")
    kind = chance.randrange(8 if depth < 5 else 5)
    if kind < 5:
        numbers = (chance.randrange(-(10**30), 10**30), chance.random() * 1e308, 0, -0.0)
        return chance.choice((None, True, *texts, *numbers))
    if kind == 5:
        return [any_json(chance, depth + 1) for _ in range(chance.randrange(5))]
    return {chance.choice(names): any_json(chance, depth + 1) for _ in range(chance.randrange(9))}


def test_any_signed_bytes_are_answered_with_success_and_never_cost_a_good_event(serve, database):
    server = serve("--workers", "0", QBO_WEBHOOK_VERIFIER_TOKEN=TOKEN)
    seed = int(os.environ.get("SEED", "20261127"))
    chance = Random(seed)
    for number in range(int(os.environ.get("ROUNDS", "150"))):
        good = json.dumps(event(number, "7", "item")).encode()
        odd = json.dumps(any_json(chance)).encode()
        delivery = b",".join([good, odd] if chance.random() < 0.5 else [odd, good])
        bodies = [odd, b"[" + delivery + b"]", chance.randbytes(chance.randrange(300))]
        damaged = bytearray(bodies[1])
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        for body in (*bodies, bytes(damaged), bodies[1][: chance.randrange(len(bodies[1]))]):
            status, answer = post(server, body, signature(body))
            assert status == 200, (seed, number, body, answer)
            assert set(answer) == {"events", "new"}
        kept = database.query(f"SELECT count(*) FROM qbo.webhook_events WHERE event_id = 'event {number}'")
        assert kept == [(1,)], (seed, number, bodies[1])
    assert server.process.poll() is None


def deliver(server: Server, *events: dict) -> tuple[int, dict]:
    """Deliver until accepted, as Intuit does."""
    signed = signature(json.dumps(events).encode())

    def accepted() -> tuple[int, dict] | None:
        answer = server.call("POST", "/webhooks/qbo", events, intuit_signature=signed)
        return None if answer[0] == 429 else answer

    return until(accepted, "turned away", every=0.02)


def event(number: int, realm_id: str, entity: str) -> dict:
    kind = f"qbo.{entity}.updated.v1"
    return {"id": f"event {number}", "type": kind, "intuitentityid": "1", "intuitaccountid": realm_id}


def test_events_are_replayed_on_request(serve, qbo, database):
    server = serve("customers", QBO_WEBHOOK_VERIFIER_TOKEN=TOKEN, QBO_LAG_S="0")
    realm = qbo.environment["QBO_REALM_ID"]
    assert deliver(server, event(1, realm, "customer"), event(2, realm, "invoice"), event(3, "9", "customer"))[0] == 200
    done = "SELECT count(*) FROM qbo.jobs WHERE status = 'done'"
    until(lambda: database.query(done) == [(1,)])
    # Events of entities that the service does not sync create no job.
    assert database.query("SELECT request FROM qbo.jobs") == [({"accounts": [realm], "entities": ["customers"]},)]
    an_hour_ago = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    replay = "/api/qbo/webhooks/replay/"
    assert server.call("POST", replay, {"since": an_hour_ago, "accounts": ["12"]}) == (202, {"events": 0})
    assert server.call("POST", replay, {"since": an_hour_ago, "accounts": [realm]}) == (202, {"events": 2})
    until(lambda: database.query(done) == [(2,)])
    assert server.call("POST", replay, {"since": "2999-01-01T00:00:00Z"}) == (202, {"events": 0})
    for wrong in (
        {},
        {"since": "yesterday"},
        {"since": an_hour_ago, "accounts": ["x"]},
        {"since": an_hour_ago, "x": 1},
    ):
        assert server.call("POST", replay, wrong)[0] == 400
    # Expired rows are deleted when a service starts, and once an hour.
    database.execute("UPDATE qbo.jobs SET finished_at_utc = now() - interval '31 days'")
    database.execute("UPDATE qbo.webhook_events SET processed_at_utc = now() - interval '31 days'")
    serve("--workers", "1")
    until(lambda: database.query("SELECT count(*) FROM qbo.webhook_events") == [(0,)])
    assert database.query("SELECT count(*) FROM qbo.jobs") == [(0,)]


def test_events_wait_while_their_entity_fails_or_their_company_is_not_connected(serve, qbo, database):
    server = serve("customers", "items", QBO_WEBHOOK_VERIFIER_TOKEN=TOKEN, QBO_LAG_S="0")
    realm = qbo.environment["QBO_REALM_ID"]
    server.ended(server.call("POST", "/api/qbo/sync/")[1]["job_id"])

    def answered() -> dict[str, bool]:
        return dict(database.query("SELECT entity, processed_at_utc IS NOT NULL FROM qbo.webhook_events ORDER BY 1"))

    database.execute("UPDATE qbo.sync_state SET consecutive_failures = 3 WHERE entity = 'customers'")
    deliver(server, event(1, realm, "customer"), event(2, realm, "item"))
    until(lambda: answered() == {"customers": False, "items": True})
    jobs = "SELECT request -> 'entities' FROM qbo.jobs WHERE status = 'done' AND request -> 'accounts' <> '[]'"
    until(lambda: database.query(jobs) == [(["items"],)])
    assert not answered()["customers"]
    database.execute("UPDATE qbo.sync_state SET last_attempt_at_utc = now() - interval '3 min'")
    until(lambda: sorted(database.query(jobs)) == [(["customers"],), (["items"],)])

    dead = "UPDATE qbo.accounts SET state = 'needs_reauth', reason = 'gone'"
    database.execute(dead)
    deliver(server, event(3, realm, "item"), event(4, "9", "customer"))
    taken = "SELECT event_id FROM qbo.webhook_events WHERE processed_at_utc IS NULL"
    until(lambda: database.query(taken) == [("event 3",)])
    database.execute("UPDATE qbo.accounts SET state = 'active', reason = NULL")
    until(lambda: database.query(taken) == [])


ENDED = "SELECT status FROM qbo.jobs WHERE request -> 'accounts' <> '[]' ORDER BY created_at_utc"
WAITING = "SELECT count(*) FROM qbo.webhook_events WHERE processed_at_utc IS NULL"


@pytest.mark.parametrize("entities", [["customers"], ["customers", "items"]])
def test_a_change_arrives_whose_job_failed_because_quickbooks_was_down(entities, serve, qbo, database):
    """No schedule, and no second event."""
    settings = {"QBO_WEBHOOK_VERIFIER_TOKEN": TOKEN, "QBO_LAG_S": "0", "QBO_RETRY_FOR_S": "1"}
    server = serve("customers", "items", **settings)
    server.ended(server.call("POST", "/api/qbo/sync/")[1]["job_id"])
    # Of the second case only one entity fails; the event of the other one is done with.
    if len(entities) == 1:
        qbo.fault("unavailable", times=0)
    else:
        qbo.fault("cdc-fault", entity="Customer", times=0)
        qbo.fault("unavailable", contains="FROM Customer", times=0)
    hooks = {"url": f"{server.url}/webhooks/qbo", "verifier_token": TOKEN, "gather_ms": 500, "retry_s": []}
    qbo.control("webhooks", **hooks)
    qbo.edit("Customer", "oldest")
    if len(entities) > 1:
        qbo.edit("Item", "oldest")
    until(lambda: database.query(ENDED) == [("failed",)])
    assert [delivery["attempts"] for delivery in qbo.control("deliveries")] == [[200]]
    assert database.query(WAITING) == [(1,)]
    waiting = "SELECT entity FROM qbo.webhook_events WHERE processed_at_utc IS NULL"
    assert database.query(waiting) == [("customers",)]
    # Another event is looked at, and the failed one is left waiting meanwhile.
    assert deliver(server, event(7, "9", "item"))[0] == 200
    until(lambda: database.query(WAITING) == [(1,)])
    assert database.query(ENDED) == [("failed",)]
    qbo.clear_faults()
    database.execute("UPDATE qbo.sync_state SET last_attempt_at_utc = last_attempt_at_utc - interval '1 hour'")
    database.execute(
        "UPDATE qbo.jobs SET finished_at_utc = finished_at_utc - interval '1 hour' WHERE status = 'failed'"
    )
    until(lambda: database.query(ENDED) == [("failed",), ("done",)])
    truth = {key: json.loads(payload) for key, payload in qbo.truth("Customer", "2024-01-01", "2100-01-01").items()}
    assert dict(database.query("SELECT id, payload FROM raw.qb_customers")) == truth
    assert database.query(WAITING) == [(0,)]


def test_jobs_that_fail_before_their_sync_begins_follow_each_other_less_and_less_often(serve, qbo, database):
    server = serve("customers", QBO_WEBHOOK_VERIFIER_TOKEN=TOKEN, QBO_LAG_S="0")
    server.ended(server.call("POST", "/api/qbo/sync/")[1]["job_id"])
    realm = qbo.environment["QBO_REALM_ID"]
    database.execute("ALTER TABLE raw.qb_customers RENAME COLUMN payload TO something_else")
    assert deliver(server, event(1, realm, "customer"))[0] == 200
    for failures, rest in ((1, 60), (2, 120), (3, 240)):
        until(lambda failures=failures: database.query(ENDED) == [("failed",)] * failures)
        assert database.query("SELECT sum(consecutive_failures) FROM qbo.sync_state") == [(0,)]
        # A second before its time the event waits, although another one, of no company, is done with.
        database.execute(
            f"UPDATE qbo.jobs SET finished_at_utc = now() - interval '{rest - 10} s' WHERE status = 'failed'"
        )
        assert deliver(server, event(10 + failures, "9", "customer"))[0] == 200
        until(lambda: database.query(WAITING) == [(1,)])
        assert database.query(ENDED) == [("failed",)] * failures
        if failures == 3:
            database.execute("ALTER TABLE raw.qb_customers RENAME COLUMN something_else TO payload")
        database.execute(f"UPDATE qbo.jobs SET finished_at_utc = now() - interval '{rest} s' WHERE status = 'failed'")
    until(lambda: database.query(ENDED) == [("failed",)] * 3 + [("done",)])
    assert database.query(WAITING) == [(0,)]
