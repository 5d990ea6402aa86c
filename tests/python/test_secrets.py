"""Tests that no secret appears in output, logs, files, tables or exceptions, whatever fails."""

import base64
import hmac
import json
import subprocess
import traceback
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest
from conftest import COMMAND, keywords
from test_tokens import consent, environment_of, finish, redirect_of, run, start

import qbo_rs

KEY = base64.b64encode(b"a key of thirty-two bytes, really"[:32]).decode()
NEW_KEY = base64.b64encode(b"another key of thirty-two bytes!"[:32]).decode()
SERVICE_KEY = "the key of all callers"
VERIFIER = "the verifier token of webhooks"
MASK_KEY = "the key of all the masked values of the books"
#: Services of messages that nobody answers: an error may name them, and not what stands in their addresses.
SLACK, HOOK, MAIL = "T0HIDDEN/B0HIDDEN/slackhidden", "hook-hidden-word", "mail-hidden-word"
ALERTS = {
    "QBO_ALERT_SLACK_URL": f"http://127.0.0.1:9/services/{SLACK}",
    "QBO_ALERT_WEBHOOK_URL": f"http://127.0.0.1:9/in?key={HOOK}",
    "QBO_ALERT_SMTP_URL": f"smtp://alerts:{MAIL}@127.0.0.1:9",
    "QBO_ALERT_MAIL_FROM": "books@example.com",
    "QBO_ALERT_MAIL_TO": "people@example.com",
}
PROTECTION = {
    "QBO_API_KEY": SERVICE_KEY,
    "QBO_WEBHOOK_VERIFIER_TOKEN": VERIFIER,
    "QBO_MASK": "Item.Description:hash",
    "QBO_MASK_KEY": MASK_KEY,
}
FAULTS = [
    "throttle",
    "error",
    "bad-gateway",
    "unauthorized",
    "forbidden",
    "fault-in-success",
    "garbage",
    "invalid-grant",
    "invalid-client",
    "reset",
    "lost-answer",
    "truncate",
]


def secrets_of(qbo, database):
    client = qbo.environment
    pair = f"{client['QBO_CLIENT_ID']}:{client['QBO_CLIENT_SECRET']}"
    return {
        "client secret": client["QBO_CLIENT_SECRET"],
        "basic authorization": base64.b64encode(pair.encode()).decode(),
        # Prefixes of the simulator's tokens and codes.
        "refresh token": "RT1-",
        "access token": "eyJlbmMi",
        "authorization code": "XAB00",
        "database password": database.settings["pg_password"],
        "token key": KEY,
        "next token key": NEW_KEY,
        "key of the service": SERVICE_KEY,
        "verifier token": VERIFIER,
        "mask key": MASK_KEY,
        "address of Slack": SLACK,
        "address of the webhook of alerts": HOOK,
        "password of the mail server": MAIL,
    }


def tables(database):
    with psycopg.connect(database.url) as connection:
        found = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('raw', 'qbo')"
        ).fetchall()
        assert len(found) > 5
        return "\n".join(str(connection.execute(f"SELECT * FROM {name}").fetchall()) for (name,) in found)


def echo(settings, arguments, cwd):
    """Return a run whose access tokens have expired on arrival, which makes the gateway echo them."""
    with qbo_rs.sandbox(customers=1, items=1, invoices=1, others=0, limits=False, access_token_s=0) as qbo:
        line = ("backfill", "items", "--schema", "raw_echo", *arguments)
        echoed = run(line, environment_of(qbo, settings), cwd)
    assert "Token expired: ***" in echoed.stderr
    return echoed


def answer(login):
    """Return the ended login, after the consent was given to it."""
    login.stdin.write(redirect_of(consent(login)) + "\n")
    login.stdin.flush()
    return finish(login)


def twice_rekeyed(environment, log, cwd):
    """Return what two runs say, which put the stored tokens under another key and back under their own."""
    key = environment.get("QBO_TOKEN_KEY")
    own = {"QBO_NEW_TOKEN_KEY": key} if key else {"QBO_NEW_CLIENT_SECRET": environment["QBO_CLIENT_SECRET"]}
    for keys in ({"QBO_NEW_TOKEN_KEY": NEW_KEY}, {"QBO_TOKEN_KEY": NEW_KEY} | own):
        ended = run(("auth", "rekey", *log), environment | keys, cwd)
        assert ended.returncode == 0, ended.stderr
        yield ended.stdout + ended.stderr


def verbs(window, directory):
    landing = str(directory / "landing")
    return [
        ("extract", "items", *window, "--out", landing),
        ("load", landing),
        ("verify", "items", *window),
        ("auth", "status"),
        ("auth", "status", "--json"),
        ("auth", "import"),
        ("backfill", "items", *window, "--json"),
        ("db", "ddl"),
        ("db", "views"),
        ("sync", "items"),
        ("status",),
        ("rejects",),
        ("show", "items"),
        ("check",),
        ("check", "--json"),
        ("reports", "TrialBalance", "--start", "2025-01-01", "--end", "2025-01-31"),
        ("verify", "--books", "--end", "2025-12-31"),
        ("db", "ledger"),
        ("db", "archive", "items", "--before", "2025-01-01", "--out", str(directory / "old.jsonl")),
    ]


def served(environment, log, cwd):
    """Return what a service says, while callers with right and wrong keys use it, and what it answers."""
    said = cwd / "served.txt"
    with said.open("w") as file:
        line = [COMMAND, "serve", "--port", "0", *log, "items"]
        process = subprocess.Popen(line, env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=file, text=True)
        url = process.stdout.readline().split()[-1]
        answers = []

        def call(path, body=None, **headers):
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            request = urllib.request.Request(url + path, body, headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    answers.append(f"{answer.status} {answer.headers} {answer.read().decode()}")
            except urllib.error.HTTPError as error:
                with error:
                    answers.append(f"{error.code} {error.headers} {error.read().decode()}")

        key = {"Authorization": f"Bearer {SERVICE_KEY}"}
        for headers in (key, {"Authorization": f"Bearer {SERVICE_KEY[:-1]}"}, {}):
            for path in ("/", "/api/qbo/status", "/api/qbo/jobs", "/metrics", "/openapi.json", "/readyz"):
                call(path, **headers)
            call("/api/qbo/sync/", b'{"entities": ["items"]}', **headers)
        body = b"[]"
        signature = base64.b64encode(hmac.new(VERIFIER.encode(), body, "sha256").digest()).decode()
        call("/webhooks/qbo", body, intuit_signature=signature)
        call("/webhooks/qbo", body, intuit_signature=VERIFIER)
        assert {answer[:3] for answer in answers} >= {"200", "202", "401"}
        process.terminate()
        process.communicate(timeout=30)
    return [*answers, said.read_text()]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("home", ["file", "postgres", "default"])
def test_no_secret_is_written_anywhere(home, database, tmp_path):
    stores = {
        "file": {"QBO_TOKEN_STORE": str(tmp_path / "tokens.json"), "QBO_TOKEN_KEY": KEY},
        "postgres": {"QBO_TOKEN_STORE": "postgres"},
        "default": {},
    }
    store = stores[home]
    quick = {"QBO_THROTTLE_WAIT_S": "0.1", "QBO_RETRY_FOR_S": "3", "QBO_TIMEOUT_S": "2"}
    written = []

    def told(process):
        written.extend([process.stdout, process.stderr])

    def renew():
        environment["QBO_REFRESH_TOKEN"] = qbo.control("refresh-token")["refresh_token"]

    with qbo_rs.sandbox(customers=5, items=9, invoices=5, others=0, limits=False, rotate_after_s=0) as qbo:
        environment = environment_of(qbo, store, database.environment, quick, PROTECTION, ALERTS)
        secrets = secrets_of(qbo, database)
        window = ("--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "quarter")
        logs = [("--log-level", "trace", "--log-format", form) for form in ("json", "human")]
        for number, fault in enumerate(FAULTS):
            # Once at the token endpoint, then at the data endpoint.
            for on in ("token", "query"):
                qbo.clear_faults()
                qbo.control("expire-tokens")
                renew()
                qbo.fault(fault, on=on, times=1 + number % 2)
                told(run(("backfill", "items", *window, *logs[number % 2]), environment, tmp_path))
        qbo.clear_faults()
        for arguments in verbs(window, tmp_path):
            renew()
            told(run((*arguments, *logs[0]), environment, tmp_path))
        for log in logs:
            renew()
            written.extend(served(environment, log, tmp_path))
        login = start(("auth", "login", "--paste", *logs[1]), environment, tmp_path)
        told(answer(login))
        written.extend(twice_rekeyed(environment, logs[0], tmp_path))
        told(run(("backfill", "items", *window), environment | {"QBO_CLIENT_SECRET": "wrong"}, tmp_path))
        told(run(("backfill", "items", *window), environment | {"PG_PASSWORD": "wrong"}, tmp_path))
        renew()
        settings = keywords(qbo) | database.settings | {"refresh_token": environment["QBO_REFRESH_TOKEN"]}
        report = qbo_rs.backfill("items", "2024-01-01", "2026-01-01", "year", **settings)
        written += [repr(report), json.dumps(report.to_dict())]
        for command in ("disconnect", "expire-tokens"):
            qbo.control(command)
        try:
            # The stored access token is taken for valid until the first request is refused.
            dead = qbo_rs.backfill("items", "2024-01-01", "2026-01-01", "year", **settings)
            written.append(json.dumps(dead.to_dict()))
            dead.raise_for_failures()
        except (qbo_rs.AuthError, qbo_rs.IncompleteError) as error:
            written += [repr(error), str(vars(error)), "".join(traceback.format_exception(error))]
        else:
            raise AssertionError("a dead token was taken")
    told(echo(store | database.environment | quick, (*window, *logs[0]), tmp_path))
    assert "phase" in "".join(written)
    written.append(tables(database))
    written += [path.read_bytes().decode("latin-1") for path in Path(tmp_path).rglob("*") if path.is_file()]
    everything = "\n".join(written)
    assert "trying again" in everything
    assert "invalid_grant" in everything
    found = {name for name, secret in secrets.items() if secret in everything}
    assert found == set()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://etl:{}@127.0.0.1:1/books",
        "postgresql+psycopg2://etl:{}@[::1]:1/books?password={}",
        "postgresql://127.0.0.1:1/books?user=etl&password={}",
        "host=127.0.0.1 port=1 user=etl dbname=books password={}",
        "etl:{}@127.0.0.1/books",
        "postgresql://etl:{}",
    ],
)
def test_no_part_of_a_password_that_was_not_escaped_is_shown(qbo, tmp_path, url):
    parts = ("Hidden", "Word", "Mine", "One")
    url = url.replace("{}", "Hidden@Word/Of?Mine#One%2")
    ended = run(("status",), environment_of(qbo, {"DATABASE_URL": url}), tmp_path)
    assert ended.returncode == 2, ended.stderr
    with pytest.raises(qbo_rs.ConfigError) as caught:
        qbo_rs.backfill("items", "2024-01-01", "2025-01-01", **keywords(qbo), database_url=url)
    raised = "".join(traceback.format_exception(caught.value, chain=True))
    # A traceback quotes the lines of this file, which hold no part of the password.
    for shown in (ended.stderr, ended.stdout, str(caught.value), repr(caught.value), raised.split("ConfigError")[-1]):
        assert not [part for part in parts if part in shown], shown
