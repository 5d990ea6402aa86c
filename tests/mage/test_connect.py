"""A company is connected, and what is missing is named, by pipelines alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from conftest import RANGE

pytestmark = pytest.mark.timeout(600)


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def consent(page: str) -> str:
    """Agree at the consent page; return the address at which the browser ends."""
    try:
        urllib.request.build_opener(Stay).open(page, timeout=20)
    except urllib.error.HTTPError as answer:
        return answer.headers["location"]
    raise AssertionError("no redirect")


def messages(done) -> list[dict]:
    """Return the lines of the blocks."""
    lines = [line[line.index("{") :] for line in done.stdout.splitlines() if '"event"' in line]
    return [json.loads(line) for line in lines]


def text_of(done) -> str:
    return " ".join((done.stdout + done.stderr).split())


def asked_page(done) -> str:
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    steps = [line["message"] for line in messages(done) if line["event"] == "consent_asked"]
    assert [step[:2] for step in steps] == ["1.", "2.", "3."]
    return steps[0].split()[-1]


def test_a_company_is_connected_without_a_shell(bare_mage, qbo, database):
    bare_mage.environment |= {name: qbo.environment[name] for name in ("QBO_AUTHORIZE_URL", "QBO_REVOKE_URL")}
    app = {"qb_client_id": qbo.environment["QBO_CLIENT_ID"], "qb_client_secret": qbo.environment["QBO_CLIENT_SECRET"]}
    bare_mage.create_secrets(app | database.environment)
    checked = bare_mage.run("qb_check")
    assert checked.returncode == 1
    assert "1 of" in text_of(checked)
    assert "✖ connection: no company is connected -> run the pipeline qb_connect" in text_of(checked)
    refused = bare_mage.run("qb_connect", direccion="https://example.test/cb?code=a&state=b&realmId=1")
    assert refused.returncode == 1
    assert "no login waits for an address" in text_of(refused)

    page = asked_page(bare_mage.run("qb_connect", redirect_uri="https://example.test/cb"))
    assert "redirect_uri=https%3A%2F%2Fexample.test%2Fcb" in page
    address = consent(page)
    assert qbo.stats()["requests"].get("token", {}) == {}
    other = bare_mage.run("qb_connect", direccion=address.replace("state=", "state=0"))
    assert other.returncode == 1
    assert "incomplete or of another login" in text_of(other)
    assert "es de otra conexión" in text_of(other)
    done = bare_mage.run("qb_connect", direccion=address)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    company = qbo.environment["QBO_REALM_ID"]
    [connected] = [line for line in messages(done) if line["event"] == "company_connected"]
    assert connected["message"].startswith(f"company {company} is connected")
    assert qbo.stats()["requests"]["token"] == {"200": 1}
    code = address.split("code=")[1].split("&")[0]
    assert not any(secret in text_of(done) for secret in (code, app["qb_client_secret"]))
    again = bare_mage.run("qb_connect", direccion=address)
    assert again.returncode == 1
    assert "no login waits" in text_of(again)

    # The pipelines find the connection without a setting for it.
    assert bare_mage.run("qb_items_backfill", **RANGE, chunk="year").returncode == 0
    assert database.query("SELECT count(*) FROM raw.qb_items") == [(40,)]
    checked = bare_mage.run("qb_check")
    assert checked.returncode == 0, checked.stdout[-3000:] + checked.stderr[-3000:]
    found = {
        line["check"]: (line["status"], line["message"]) for line in messages(checked) if line["event"] == "checked"
    }
    keys = "✔ keys of the Intuit app: from Mage Secrets | claves de la aplicación de Intuit: de Mage Secrets"
    assert found["keys of the Intuit app"] == ("ok", keys)
    assert found["connection"][1].startswith("✔ connection: works; ends after 100 days without use")
    assert found["QuickBooks"][0] == "ok"
    assert company in found["QuickBooks"][1]
    assert found["tables"] == ("ok", "✔ tables: items 40")


def test_everything_that_is_missing_is_named_at_once(bare_mage, qbo):
    bare_mage.create_secrets({"qb_client_id": "an-app", "pg_host": "127.0.0.1"})
    checked = bare_mage.run("qb_check")
    assert checked.returncode == 1
    assert "QBO_CLIENT_SECRET: not set -> Edit pipeline, Secrets: add QBO_CLIENT_SECRET" in text_of(checked)
    assert "PG_DB PG_USER: not set -> Edit pipeline, Secrets: add PG_DB PG_USER" in text_of(checked)
    missing = bare_mage.run("qb_connect")
    assert missing.returncode == 1
    assert "QBO_CLIENT_SECRET" in text_of(missing)
    assert "query" not in str(qbo.stats()["requests"])
