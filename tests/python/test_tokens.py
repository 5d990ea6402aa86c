"""Tokens shared by processes: one refresh for all, no lost token, and a clear error when a person is needed."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from companies import UNLIMITED
from conftest import COMMAND, VARIABLES, keywords, report_of
from service import hold_after
from waiting import until

import qbo_rs

PROCESSES = int(os.environ.get("PROCESSES", "50"))
KILLS = int(os.environ.get("KILLS", "25"))
EXTRACT = ("extract", "items", "--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "900d", "--json")


@pytest.fixture
def qbo():
    # Each refresh replaces the refresh token, and the old one expires at once: the strictest reading of Intuit's rules.
    with qbo_rs.sandbox(customers=1, items=30, invoices=1, others=0, limits=False, rotate_after_s=0) as sandbox:
        yield sandbox


@pytest.fixture(params=["file", "postgres"])
def store(request, tmp_path, database):
    """Return the settings of each kind of token store."""
    if request.param == "file":
        return {"QBO_TOKEN_STORE": str(tmp_path / "tokens.json")}
    return {"QBO_TOKEN_STORE": "postgres"} | database.environment


def environment_of(qbo, *others):
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    merged = inherited | qbo.environment | UNLIMITED
    for other in others:
        merged |= other
    return {name: value for name, value in merged.items() if value is not None}


def start(arguments, environment, cwd):
    line = [COMMAND, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, env=environment, cwd=cwd, text=True, **pipes)


def finish(process, timeout=60):
    stdout, stderr = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def run(arguments, environment, cwd, timeout=60):
    return finish(start(arguments, environment, cwd), timeout)


def account(environment, cwd):
    status = run(("auth", "status", "--json"), environment, cwd)
    (account,) = report_of(status)["accounts"]
    return account


ONE_RANGE = ("--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "900d")
RECORDS = """
import qbo_rs
assert len(list(qbo_rs.records("items", "2024-01-01", "2026-01-01"))) == 30
"""


def verbs(out, is_database_there):
    """Return the verbs that work with or without a database; the first one is the one that seeds the store."""
    alone = [
        (COMMAND, "extract", "items", *ONE_RANGE, "--out", out),
        (sys.executable, "-c", RECORDS),
        (COMMAND, "auth", "status"),
    ]
    loading = [
        (COMMAND, "backfill", "items", *ONE_RANGE),
        (COMMAND, "verify", "items", *ONE_RANGE),
        (COMMAND, "sync", "items"),
        (COMMAND, "status"),
    ]
    return alone + loading if is_database_there else alone


@pytest.mark.parametrize("is_database_there", [True, False])
def test_every_verb_keeps_a_rotated_token(is_database_there, qbo, tmp_path, database, state_home):
    # Each refresh ends the token before it, and the environment has the first one until the end. A verb that kept
    # its tokens elsewhere, or nowhere, would be refused at its turn or make the next one be refused.
    environment = environment_of(qbo, database.environment if is_database_there else {})
    for line in verbs(str(tmp_path / "landing"), is_database_there) * 2:
        qbo.control("expire-tokens")
        ended = subprocess.run(
            line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, (line, ended.stderr)
    assert set(qbo.stats()["requests"]["token"]) == {"200"}
    file = state_home / "qbo_rs" / "tokens.json"
    if is_database_there:
        assert database.query("SELECT state FROM qbo.accounts") == [("active",)]
        assert not file.exists()
    else:
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert "RT1" not in file.read_text()


def test_a_login_serves_every_verb_without_a_setting_for_tokens(qbo, tmp_path, database):
    for settings in ({}, database.environment):
        environment = environment_of(qbo, settings, {"QBO_REFRESH_TOKEN": None})
        assert run(("auth", "status"), environment, tmp_path).returncode == 1
        login = start(("auth", "login", "--paste", "--redirect-uri", "https://example.test/cb"), environment, tmp_path)
        login.stdin.write(redirect_of(consent(login)) + "\n")
        login.stdin.flush()
        assert finish(login).returncode == 0
        assert run(("auth", "status"), environment, tmp_path).returncode == 0
        for line in verbs(str(tmp_path / "landing"), bool(settings)):
            assert subprocess.run(line, env=environment, cwd=tmp_path, timeout=60, check=False).returncode == 0, line


def test_auth_status_needs_a_person_for_any_company(qbo, store, tmp_path):
    environment = environment_of(qbo, store)
    other = {"QBO_REALM_ID": "9999", "QBO_REFRESH_TOKEN": None}
    assert run((*EXTRACT, "--out", str(tmp_path / "landing")), environment, tmp_path).returncode == 0
    assert run(("auth", "status"), environment, tmp_path).returncode == 0
    # A company that is named and was never connected.
    ended = run(("auth", "status"), environment | other | {"QBO_REFRESH_TOKEN": ""}, tmp_path)
    assert (ended.returncode, "auth login" in ended.stdout) == (1, True)
    # A dead company counts, although another one is named.
    qbo.control("disconnect")
    qbo.control("expire-tokens")
    assert run((*EXTRACT, "--out", str(tmp_path / "landing")), environment, tmp_path).returncode != 0
    ended = run(("auth", "status"), environment | {"QBO_REALM_ID": "9999"}, tmp_path)
    assert ended.returncode == 1


def test_a_command_without_a_company_takes_the_only_one_of_the_store(qbo, store, tmp_path):
    real = qbo.environment["QBO_REALM_ID"]
    environment = environment_of(qbo, store)
    unnamed = environment | {"QBO_REALM_ID": "", "QBO_REFRESH_TOKEN": ""}
    arguments = (*EXTRACT, "--out", str(tmp_path / "landing"))
    empty = run(arguments, unnamed, tmp_path)
    assert (empty.returncode, "QBO_REALM_ID: not set, and" in empty.stderr) == (2, True)
    assert run(("auth", "import"), environment, tmp_path).returncode == 0
    ended = run(arguments, unnamed, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert report_of(ended)["runs"][0]["realm_id"] == real
    # A second company in the store: no guess, and no request.
    other = run(("auth", "import"), environment | {"QBO_REALM_ID": "777", **new_token(qbo)}, tmp_path)
    assert (other.returncode, "company 777 does not answer" in other.stdout) == (2, True), other.stdout
    checked = run(("check", "--offline"), unnamed, tmp_path)
    assert "-> export QBO_REALM_ID=777" in checked.stdout, checked.stdout
    requests = qbo.stats()["data_requests"]
    refused = run(arguments, unnamed, tmp_path)
    assert (refused.returncode, f"set it to one of 777, {real}" in refused.stderr) == (2, True), refused.stderr
    assert qbo.stats()["data_requests"] == requests


def new_token(qbo):
    """Return the refresh token that works now."""
    return {"QBO_REFRESH_TOKEN": qbo.control("refresh-token")["refresh_token"]}


def test_every_loading_verb_takes_the_only_company_of_the_store(qbo, tmp_path, database):
    environment = environment_of(qbo, database.environment)
    assert run(("auth", "import"), environment, tmp_path).returncode == 0
    unnamed = environment | {"QBO_REALM_ID": "", "QBO_REFRESH_TOKEN": ""}
    for verb in ("backfill", "verify"):
        ended = run((verb, "items", *ONE_RANGE), unnamed, tmp_path)
        assert ended.returncode == 0, (verb, ended.stderr)
    assert database.query("SELECT count(*) FROM raw.qb_items") == [(30,)]


def test_a_login_before_the_database_was_set_is_named_by_later_commands(qbo, tmp_path, database, state_home):
    file = str(state_home / "qbo_rs" / "tokens.json")
    connected = run(("auth", "import"), environment_of(qbo), tmp_path)
    assert f"its tokens are in {file}" in connected.stdout
    assert "after DATABASE_URL is set" in connected.stdout
    with_database = environment_of(qbo, database.environment, {"QBO_REFRESH_TOKEN": None})
    backfill = ("backfill", "items", *ONE_RANGE)
    for realm in (qbo.environment["QBO_REALM_ID"], ""):
        ended = run(backfill, with_database | {"QBO_REALM_ID": realm}, tmp_path)
        assert (ended.returncode, f"set QBO_TOKEN_STORE={file}" in ended.stderr) == (2, True), ended.stderr
    synced = run(("sync", "items"), with_database | {"QBO_REALM_ID": ""}, tmp_path)
    assert (synced.returncode, f"set QBO_TOKEN_STORE={file}" in synced.stderr) == (2, True), synced.stderr
    # Not of a company of which the file knows nothing.
    ended = run(backfill, with_database | {"QBO_REALM_ID": "777"}, tmp_path)
    assert (ended.returncode, file in ended.stderr) == (2, False), ended.stderr
    ended = run(backfill, with_database | {"QBO_TOKEN_STORE": file, "QBO_REALM_ID": ""}, tmp_path)
    assert ended.returncode == 0, ended.stderr
    connected = run(("auth", "import"), environment_of(qbo, database.environment, new_token(qbo)), tmp_path)
    assert "its tokens are in the table qbo.accounts\n" in connected.stdout
    assert "QBO_TOKEN_STORE" not in connected.stdout
    assert run(backfill, with_database, tmp_path).returncode == 0


def test_a_wrong_company_can_be_forgotten_and_its_shared_token_is_not_revoked(store, tmp_path):
    with qbo_rs.sandbox(customers=1, items=5, invoices=1, others=0, limits=False) as qbo:
        real = qbo.environment["QBO_REALM_ID"]
        environment = environment_of(qbo, store)
        wrong = environment | {"QBO_REALM_ID": "777"}
        arguments = (*EXTRACT, "--out", str(tmp_path / "landing"))
        assert run(arguments, wrong, tmp_path).returncode == 1

        def realms():
            report = report_of(run(("auth", "status", "--json"), environment, tmp_path))
            return {account["realm_id"] for account in report["accounts"]}

        # The token may have been replaced, and this is its only place.
        refused = run(("auth", "forget"), wrong, tmp_path)
        assert (refused.returncode, "the only one that still works" in refused.stderr) == (2, True), refused.stderr
        assert run(arguments, environment, tmp_path).returncode == 0
        assert realms() == {"777", real}
        refused = run(("auth", "revoke"), wrong, tmp_path)
        assert (refused.returncode, "qbo-rs auth forget" in refused.stderr) == (2, True), refused.stderr
        assert realms() == {"777", real}
        if "PG_HOST" in store:
            synced = run(("sync", "items"), environment, tmp_path)
            assert (synced.returncode, "QBO_REALM_ID=777 qbo-rs auth forget" in synced.stderr) == (1, True)
        forgotten = run(("auth", "forget", "--json"), wrong, tmp_path)
        assert (forgotten.returncode, report_of(forgotten)) == (0, {"realm_id": "777", "state": "forgotten"})
        assert realms() == {real}
        again = run(("auth", "forget"), wrong, tmp_path)
        assert (again.returncode, "no connection of company 777" in again.stderr) == (2, True)
        if "PG_HOST" in store:
            assert run(("sync", "items"), environment, tmp_path).returncode == 0
        # The connection at Intuit goes on.
        qbo.control("expire-tokens")
        assert run(arguments, environment, tmp_path).returncode == 0
        assert run(("auth", "forget", "--force"), environment, tmp_path).returncode == 0
        assert realms() == set()


def test_many_processes_at_once_share_one_refresh(qbo, store, tmp_path):
    environment = environment_of(qbo, store)
    # The first run has only the first refresh token, the second an access token that the server has revoked.
    for refreshes in (1, 2):
        processes = []
        for number in range(PROCESSES):
            place = str(tmp_path / f"landing-{number}")
            processes.append(start((*EXTRACT, "--out", place), environment, tmp_path))
        ended = [finish(process, timeout=110) for process in processes]
        assert [process.stderr for process in ended if process.returncode] == []
        assert {report_of(process)["runs"][0]["totals"]["rows"] for process in ended} == {30}
        assert qbo.stats()["requests"]["token"] == {"200": refreshes}
        qbo.control("expire-tokens")


def test_no_limit_of_whole_transactions_gives_the_lease_of_a_refresh_to_others(qbo, database, tmp_path):
    environment = environment_of(qbo, database.environment | {"QBO_TOKEN_STORE": "postgres"})
    database.execute(f"ALTER DATABASE {database.environment['PG_DB']} SET transaction_timeout = '1s'")
    qbo.fault("slow", on="token", ms=3000, times=1)
    lines = [(*EXTRACT, "--out", str(tmp_path / f"landing-{number}")) for number in range(3)]
    ended = [finish(process, timeout=110) for process in [start(line, environment, tmp_path) for line in lines]]
    assert [process.stderr for process in ended if process.returncode] == []
    assert qbo.stats()["requests"]["token"] == {"200": 1}


def test_a_process_killed_in_a_refresh_leaves_a_connection_or_a_clear_error(qbo, store, tmp_path):
    seed = int(os.environ.get("SEED", str(random.randrange(10**6))))
    print(f"SEED={seed}")
    random.seed(seed)
    environment = environment_of(qbo, store)
    arguments = (*EXTRACT, "--out", str(tmp_path / "landing"))
    assert run(arguments, environment, tmp_path).returncode == 0
    # The token endpoint is slow: during most of a run the token is rotated but its response has not arrived.
    qbo.fault("trickle", on="token", bytes_per_s=4000, times=0)
    begin = time.monotonic()
    qbo.control("expire-tokens")
    assert run(arguments, environment, tmp_path).returncode == 0
    whole = time.monotonic() - begin
    lost, kept = 0, 0
    for _ in range(KILLS):
        qbo.control("expire-tokens")
        refreshes, before = qbo.stats()["refreshes"], account(environment, tmp_path)
        process = start(arguments, environment, tmp_path)
        time.sleep(random.uniform(0, whole))
        process.send_signal(signal.SIGKILL)
        finish(process)
        after = account(environment, tmp_path)
        # Intuit rotated the token, and the process was killed before it stored the response.
        is_lost = qbo.stats()["refreshes"] > refreshes and (
            after["access_token_expires_at"] == before["access_token_expires_at"]
        )
        ended = run(arguments, environment, tmp_path)
        if not is_lost:
            assert ended.returncode == 0, ended.stderr
            kept += 1
            continue
        lost += 1
        # The stored access token looked valid, so the failure appears at the first request.
        assert ended.returncode == 1, ended.stderr
        assert "was cut off before its answer could be stored" in ended.stderr
        assert "qbo-rs auth login" in ended.stderr
        assert account(environment, tmp_path)["state"] == "needs_reauth"
        # A person connects again and sets the new token; nothing else is necessary.
        environment["QBO_REFRESH_TOKEN"] = qbo.control("refresh-token")["refresh_token"]
        ended = run(arguments, environment, tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert account(environment, tmp_path)["state"] == "active"
    print(f"{KILLS} kills: {kept} connections kept, {lost} lost with the answer")


def begun(qbo, refreshes, process):
    """Waits until QuickBooks has replaced the token for a process."""

    def is_replaced():
        if qbo.stats()["refreshes"] != refreshes:
            return True
        assert process.poll() is None
        return False

    until(is_replaced, every=0.005)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_stop_in_a_refresh_stores_the_new_token_first(end, qbo, store, tmp_path):
    environment = environment_of(qbo, store)
    arguments = (*EXTRACT, "--out", str(tmp_path / "landing"))
    assert run(arguments, environment, tmp_path).returncode == 0
    for _ in range(3):
        # The token is replaced at once, and the answer takes a second or two.
        qbo.fault("trickle", on="token", bytes_per_s=600)
        qbo.control("expire-tokens")
        refreshes = qbo.stats()["refreshes"]
        process = start(arguments, environment, tmp_path)
        begun(qbo, refreshes, process)
        process.send_signal(end)
        assert finish(process).returncode == 128 + end
        assert run(arguments, environment, tmp_path).returncode == 0
    assert qbo.stats()["requests"]["token"].keys() == {"200"}


def test_with_grace_no_kill_loses_the_connection(tmp_path):
    with qbo_rs.sandbox(
        customers=1, items=5, invoices=1, others=0, limits=False, rotate_after_s=0, grace_s=86400
    ) as qbo:
        environment = environment_of(qbo, {"QBO_TOKEN_STORE": str(tmp_path / "tokens.json")})
        arguments = (*EXTRACT, "--out", str(tmp_path / "landing"))
        assert run(arguments, environment, tmp_path).returncode == 0
        for _ in range(3):
            qbo.control("expire-tokens")
            # The token is replaced at once, and the process is killed before the answer has arrived.
            qbo.fault("trickle", on="token", bytes_per_s=200)
            refreshes = qbo.stats()["refreshes"]
            process = start(arguments, environment, tmp_path)
            begun(qbo, refreshes, process)
            process.kill()
            finish(process)
            assert run(arguments, environment, tmp_path).returncode == 0
            qbo.control("expire-tokens")
            # The answer never arrives, and the process lives on.
            qbo.fault("hang", on="token")
            qbo.fault("lost-answer", on="token", nth=2)
            process = start(arguments, environment | {"QBO_TIMEOUT_S": "1"}, tmp_path)
            assert finish(process).returncode == 0


def test_a_dead_token_is_reported_once_and_a_new_one_is_used(qbo, store, tmp_path):
    environment = environment_of(qbo, store)
    arguments = (*EXTRACT, "--out", str(tmp_path / "landing"))
    assert run(arguments, environment, tmp_path).returncode == 0
    qbo.control("disconnect")
    ended = run(arguments, environment, tmp_path)
    assert ended.returncode == 1
    assert "expired, revoked or was replaced" in ended.stderr
    assert "set QBO_REFRESH_TOKEN to a new token of company " + qbo.environment["QBO_REALM_ID"] in ended.stderr
    assert account(environment, tmp_path)["state"] == "needs_reauth"
    # From now on the failure is known before any data request.
    requests = qbo.stats()["data_requests"]
    assert run(arguments, environment, tmp_path).returncode == 2
    assert qbo.stats()["data_requests"] == requests
    assert qbo.stats()["refreshes"] == 1
    status = run(("auth", "status"), environment, tmp_path)
    assert status.returncode == 1
    page = "https://appcenter.intuit.com/app/connect/oauth2/request?appId=QBO_APP_ID&realmId="
    assert f"{page}{qbo.environment['QBO_REALM_ID']}&mode=reconnect" in status.stdout
    assert page in ended.stderr


def consent(process):
    """Return the URL of the consent page, which the command prints."""
    for line in process.stderr:
        if line.strip().startswith("http"):
            return line.strip()
    raise AssertionError(process.communicate())


def follow(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def redirect_of(url):
    try:
        urllib.request.build_opener(Stay).open(url, timeout=20)
    except urllib.error.HTTPError as answer:
        return answer.headers["location"]
    raise AssertionError("no redirect")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_login_by_callback_then_a_run_without_any_token_in_the_environment(qbo, store, tmp_path):
    environment = environment_of(qbo, store, {"QBO_REFRESH_TOKEN": None})
    arguments = (*EXTRACT, "--out", str(tmp_path / "landing"))
    missing = run(arguments, environment, tmp_path)
    assert missing.returncode == 2
    assert "run `qbo-rs auth login`" in missing.stderr
    redirect = f"http://localhost:{free_port()}/callback"
    login = start(("auth", "login", "--no-browser", "--redirect-uri", redirect, "--json"), environment, tmp_path)
    url = consent(login)
    assert "com.intuit.quickbooks.accounting" in urllib.parse.unquote(url)
    # A callback of another login has no effect, nor has a request for another page.
    assert "not the answer" in follow(f"{redirect}?code=stolen&state=guess&realmId=9")
    with pytest.raises(urllib.error.HTTPError):
        follow(redirect.replace("callback", "favicon.ico"))
    assert "is being connected" in follow(url)
    ended = finish(login)
    assert ended.returncode == 0, ended.stderr
    assert report_of(ended)["realm_id"] == qbo.environment["QBO_REALM_ID"]
    assert run(arguments, environment, tmp_path).returncode == 0
    assert qbo.stats()["requests"]["token"] == {"200": 1}, "the access token of the login was used"


def test_login_by_paste_refuses_an_unusable_callback(qbo, tmp_path):
    store = {"QBO_TOKEN_STORE": str(tmp_path / "tokens.json"), "QBO_REFRESH_TOKEN": None}
    environment = environment_of(qbo, store)

    def login(change=lambda address: address, **others):
        redirect = "https://example.test/cb"
        line = ("auth", "login", "--paste", "--redirect-uri", redirect)
        process = start(line, environment | others, tmp_path)
        process.stdin.write(change(redirect_of(consent(process))) + "\n")
        process.stdin.flush()
        return finish(process)

    for change, words in [
        (lambda address: address.replace("state=", "state=0"), "does not have the state of this login"),
        (lambda address: address.split("&realmId")[0], "paste the complete address"),
        (lambda address: address.replace("code=", "error=access_denied&code="), "access_denied"),
        (lambda _: "", "nothing was pasted"),
    ]:
        ended = login(change)
        assert ended.returncode == 2
        assert words in ended.stderr
        assert "XAB" not in ended.stderr.rpartition("error:")[2]
    ended = login(QBO_REALM_ID="777")
    assert (ended.returncode, "but QBO_REALM_ID is 777" in ended.stderr) == (2, True)
    assert qbo.stats()["token_requests"] == 0
    ended = login()
    assert ended.returncode == 0, ended.stderr
    assert "is connected" in ended.stdout


def test_login_without_a_home_for_tokens_is_refused_before_the_consent(qbo, tmp_path):
    homeless = {"HOME": None, "XDG_STATE_HOME": None}
    ended = run(("auth", "login"), environment_of(qbo, homeless), tmp_path)
    assert (ended.returncode, "QBO_TOKEN_STORE: not set" in ended.stderr, "http" in ended.stderr) == (2, True, False)


def test_login_checks_the_store_before_the_consent(qbo, tmp_path):
    (tmp_path / "notes.txt").write_text("my notes")
    ended = run(("auth", "login", "--paste"), environment_of(qbo, {"QBO_TOKEN_STORE": "notes.txt"}), tmp_path)
    assert (ended.returncode, "is not a token store" in ended.stderr, "http" in ended.stderr) == (2, True, False)


def test_import_verifies_the_token_first(qbo, store, tmp_path):
    environment = environment_of(qbo, store, {"QBO_REFRESH_TOKEN": None})
    file = tmp_path / "token.txt"
    file.write_text("RT1-not-a-living-token-0123456789\n")
    refused = run(("auth", "import", str(file)), environment, tmp_path)
    assert (refused.returncode, "what is stored is unchanged" in refused.stderr) == (2, True)
    file.write_text(qbo.environment["QBO_REFRESH_TOKEN"] + "\n")
    assert run(("auth", "import", str(file)), environment, tmp_path).returncode == 0
    assert run((*EXTRACT, "--out", str(tmp_path / "l")), environment, tmp_path).returncode == 0
    file.write_text("two words")
    assert "must hold one refresh token" in run(("auth", "import", str(file)), environment, tmp_path).stderr


def test_revoke_ends_the_connection_at_intuit_and_here(qbo, store, tmp_path):
    environment = environment_of(qbo, store)
    arguments = (*EXTRACT, "--out", str(tmp_path / "landing"))
    assert run(arguments, environment, tmp_path).returncode == 0
    revoked = run(("auth", "revoke"), environment, tmp_path)
    assert revoked.returncode == 0, revoked.stderr
    assert report_of(run(("auth", "status", "--json"), environment, tmp_path))["accounts"] == []
    assert qbo.control("refresh-token")["refresh_token"] is None
    assert run(arguments, environment, tmp_path).returncode == 2


def test_the_key_can_be_changed_and_an_unknown_key_does_no_harm(qbo, store, tmp_path):
    environment = environment_of(qbo, store)
    arguments = (*EXTRACT, "--out", str(tmp_path / "landing"))
    assert run(arguments, environment, tmp_path).returncode == 0
    key = {"QBO_TOKEN_KEY": "A" * 43 + "="}
    # Another key cannot decrypt the store, so the environment's expired token is used. The store is unchanged.
    ended = run(arguments, environment | key, tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.count("were encrypted with another key") == 1
    ended = run(("auth", "rekey"), environment | {"QBO_NEW_TOKEN_KEY": key["QBO_TOKEN_KEY"]}, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert run(arguments, environment | key, tmp_path).returncode == 0
    ended = run(("auth", "rekey"), environment | {"QBO_NEW_CLIENT_SECRET": "renewed"}, tmp_path)
    assert (ended.returncode, "stay as they are" in ended.stderr) == (1, True)
    assert run(("auth", "rekey"), environment | key, tmp_path).returncode == 2


def test_the_ends_of_a_connection_are_shown_with_a_warning(tmp_path):
    day = 86400
    with qbo_rs.sandbox(
        customers=1, items=1, invoices=1, others=0, refresh_token_s=100 * day, connection_s=5 * day + 60
    ) as qbo:
        environment = environment_of(qbo, {"QBO_TOKEN_STORE": str(tmp_path / "tokens.json")})
        ended = run((*EXTRACT, "--out", str(tmp_path / "l")), environment, tmp_path)
        assert "urgent: the connection ends in 5 days" in ended.stderr
        connection = report_of(ended)["connection"]
        assert "mode=reconnect" in connection["warning"]
        assert (connection["days_left"], connection["monthly_reads"]) == (5, 1)
        status = account(environment, tmp_path)
        assert (status["state"], status["days_left"]) == ("expires_soon", 5)
        assert run(("auth", "status"), environment, tmp_path).returncode == 1


@pytest.mark.parametrize(("days", "is_shown"), [(29, True), (31, False)])
def test_the_warning_begins_30_days_before_the_end(days, is_shown, tmp_path):
    day = 86400
    with qbo_rs.sandbox(
        customers=1, items=1, invoices=1, others=0, refresh_token_s=100 * day, connection_s=days * day + 60
    ) as qbo:
        environment = environment_of(qbo, {"QBO_APP_ID": "app-7"})
        ended = run((*EXTRACT[:-1], "--out", str(tmp_path / "l")), environment, tmp_path)
        status = run(("auth", "status"), environment, tmp_path)
        page = f"appId=app-7&realmId={qbo.environment['QBO_REALM_ID']}&mode=reconnect"
        for text in (ended.stdout, ended.stderr, status.stdout):
            assert (f"ends in {days} days" in text, page in text, "urgent" in text) == (is_shown, is_shown, False)
        assert status.returncode == int(is_shown)


def test_the_monthly_quota_causes_a_warning_and_max_requests_stops_the_run(qbo, store, tmp_path):
    environment = environment_of(qbo, store, {"QBO_MONTHLY_QUOTA": "10"})
    line = ("extract", "items", "--start", "2024-01-01", "--end", "2024-02-01", "--strict-windows", "--json")
    ended = run((*line, "--max-requests", "7", "--out", str(tmp_path / "l")), environment, tmp_path)
    assert ended.returncode == 1
    (report,) = report_of(ended)["runs"]
    assert (report["status"], report["totals"]["requests"]) == ("partial", 7)
    assert sum("stopped at the maximum of requests, 7" in (window["error"] or "") for window in report["windows"]) == 24
    assert "monthly" not in ended.stderr.lower()
    ended = run((*line, "--max-requests", "9", "--out", str(tmp_path / "m")), environment, tmp_path)
    assert "of this month's 10 reads are used" in ended.stderr
    assert account(environment, tmp_path)["monthly_reads"] == 16


def test_processes_share_the_rate_limits_and_use_them_fully(store, tmp_path):
    """Four processes share one company's limits: no 429 response, and almost the whole allowance is used."""
    seconds = float(os.environ.get("LIMIT_SECONDS", "12"))
    with qbo_rs.sandbox(customers=1, items=1, invoices=1, others=0, limits=True) as qbo:
        environment = environment_of(qbo, store, dict.fromkeys(UNLIMITED))
        line = ("extract", "items", "--start", "2000-01-01", "--end", "2026-01-01", "--strict-windows")
        processes = [start((*line, "--out", str(tmp_path / f"{number}")), environment, tmp_path) for number in range(4)]
        landed = [tmp_path / f"{number}" for number in range(4)]
        until(lambda: all(any(out.rglob("*.zst")) for out in landed), "a process got no answer", 60)
        begin, earlier = time.monotonic(), qbo.stats()["data_requests"]
        time.sleep(seconds)
        end, stats = time.monotonic(), qbo.stats()
        for process in processes:
            process.kill()
        for process in processes:
            finish(process)
    used = (stats["data_requests"] - earlier) / (end - begin) / (500 / 60)
    print(f"{stats['data_requests']} requests, {used:.1%} of what is allowed")
    assert stats["throttled"] == 0
    assert stats["requests"]["query"].get("429", 0) == 0
    assert used >= (0.95 if seconds >= 60 else 0.9)
    assert stats["most_per_second"] <= 10
    assert stats["most_in_flight"] <= 10


def test_an_open_circuit_breaker_is_shared_between_processes(store, tmp_path):
    with qbo_rs.sandbox(customers=1, items=1, invoices=1, others=0, limits=False) as qbo:
        environment = environment_of(qbo, store)
        line = ("extract", "items", "--start", "2024-01-01", "--end", "2024-01-11", "--strict-windows")
        assert run((*EXTRACT, "--out", str(tmp_path / "l")), environment, tmp_path).returncode == 0
        # The first answer lets the other windows be read side by side.
        qbo.fault("unavailable", on="query", nth=2, times=0)
        process = start((*line, "--out", str(tmp_path / "m")), environment, tmp_path)
        until(lambda: account(environment, tmp_path)["breaker"]["state"] == "open", limit=60)
        before = qbo.stats()["data_requests"]
        assert "circuit open since" in run(("auth", "status"), environment, tmp_path).stdout
        assert qbo.stats()["data_requests"] - before <= 1
        qbo.clear_faults()
        ended = finish(process)
        assert ended.returncode == 0, ended.stderr
        assert "the API answers again" in ended.stderr
        assert account(environment, tmp_path)["breaker"] == {"state": "closed"}


def test_a_cancelled_task_ends_in_the_middle_of_a_run(database):
    code = """
import asyncio, json, psycopg, sys, time, qbo_rs
COMMITTED = "SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL"
async def main():
    task = asyncio.create_task(qbo_rs.backfill_async(
        "invoices", "2024-01-01", "2026-01-01", "month", strict_windows=True, **json.loads(sys.argv[1])))
    # The answers after the fifth never come.
    committed, deadline = 0, time.monotonic() + 30
    with psycopg.connect(sys.argv[2], autocommit=True) as connection:
        while not committed:
            assert time.monotonic() < deadline, "nothing is committed"
            await asyncio.sleep(0.05)
            if connection.execute("SELECT to_regclass('qbo.windows')").fetchone()[0]:
                committed = connection.execute(COMMITTED).fetchone()[0]
    begin = time.monotonic()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print(f"{time.monotonic() - begin:.2f}")
asyncio.run(main())
"""
    with qbo_rs.sandbox(customers=1, items=1, invoices=300, limits=False) as slow:
        hold_after(slow, 5)
        settings = json.dumps(keywords(slow) | database.settings)
        ended = subprocess.run(
            [sys.executable, "-c", code, settings, database.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert float(ended.stdout) < 3, ended.stderr
    (committed,) = database.query("SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL")[0]
    assert 0 < committed < 24


# A process that calls until its parent says something, and then ends without waiting for the call.
ENDING = """
import asyncio, json, multiprocessing, sys, threading
import qbo_rs

way, verb, arguments, settings = json.loads(sys.argv[1])
wait = sys.stdin.readline

def call():
    return getattr(qbo_rs, verb)(*arguments, **settings)

async def cancel():
    task = asyncio.create_task(getattr(qbo_rs, f"{verb}_async")(*arguments, **settings))
    await asyncio.to_thread(wait)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled", flush=True)

async def forget():
    forgotten.append(asyncio.create_task(getattr(qbo_rs, f"{verb}_async")(*arguments, **settings)))
    await asyncio.to_thread(wait)

def call_again_and_again():
    while True:
        try:
            call()
        except Exception:
            continue

forgotten = []
if way == "cancelled":
    asyncio.run(cancel())
elif way == "forgotten":
    asyncio.new_event_loop().run_until_complete(forget())
elif way == "daemon":
    threading.Thread(target=call_again_and_again, daemon=True).start()
    wait()
else:
    context = multiprocessing.get_context("fork")
    told = context.Event()
    wait = told.wait
    child = context.Process(target=lambda: asyncio.run(cancel()))
    child.start()
    sys.stdin.readline()
    told.set()
    child.join()
"""
CALLS = {
    "extract": ("items", [["2024-01-01", "2026-01-01"]]),
    "backfill": ("items", "2024-01-01", "2026-01-01", "year"),
    "verify": ("items", "2024-01-01", "2026-01-01", "year"),
    "sync": ("items",),
}


@pytest.mark.parametrize(
    ("way", "verb"),
    [*(("cancelled", verb) for verb in CALLS), *((way, "sync") for way in ("forgotten", "daemon", "child"))],
)
def test_a_process_that_ends_in_a_refresh_keeps_the_new_token(way, verb, qbo, tmp_path, database):
    environment = environment_of(qbo, database.environment)
    assert run(("backfill", "items", *ONE_RANGE), environment, tmp_path).returncode == 0
    qbo.control("expire-tokens")
    before = qbo.stats()["requests"]["token"]["200"]
    # The token is replaced, and the answer that says so takes seconds.
    qbo.fault("trickle", on="token", bytes_per_s=256)
    settings = {"out": str(tmp_path / "landing")} if verb == "extract" else {}
    code = [sys.executable, "-c", ENDING, json.dumps([way, verb, CALLS[verb], settings])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(code, env=environment, cwd=tmp_path, text=True, **pipes)
    deadline = time.monotonic() + 30
    while qbo.stats()["requests"]["token"]["200"] == before:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    # The answer is still under way when the process is told to end.
    assert database.query("SELECT refresh_begun_at_utc IS NOT NULL FROM qbo.accounts") == [(True,)]
    ended = finish(process)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    # Neither the old token nor another refresh was needed.
    assert run((*EXTRACT, "--out", str(tmp_path / "after")), environment, tmp_path).returncode == 0
    assert qbo.stats()["requests"]["token"] == {"200": before + 1}
