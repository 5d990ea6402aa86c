"""The simulator, in Python and as a command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import COMMAND, VARIABLES, keywords
from waiting import until

import qbo_rs

NOW = ("2026-01-01", "2100-01-01")


@contextmanager
def sandbox_process(
    *arguments: str, size: tuple[str, ...] = ("--customers", "30", "--invoices", "50", "--others", "5")
):
    """Run ``qbo-rs sandbox``; return the process and the settings that it prints for a client."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    line = [COMMAND, "sandbox", "--port", "0", *size, *arguments]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=inherited)
    try:
        lines = iter(process.stdout.readline, "")
        exports = {}
        for text in lines:
            if not text.startswith("export "):
                break
            name, value = text.removeprefix("export ").strip().split("=", 1)
            exports[name] = value
        yield process, inherited | exports
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)
        process.stdout.close()


def control(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    line = [COMMAND, "sandbox", "control", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_changes_are_applied_and_are_part_of_the_truth(qbo):
    new = qbo.insert("Invoice", 2, at="2026-03-01")
    assert qbo.edit("Invoice", "5", at="2026-03-02T00:00:00Z") == "5"
    oldest = qbo.delete("Invoice", "oldest")
    qbo.deactivate("Customer", "1", at="2026-03-03")
    qbo.merge("Customer", "2", "3", at="2026-03-04")
    qbo.void("Invoice", "6", at="2026-03-05")
    qbo.touch("Item", "4", at="2026-03-06")
    invoices, customers = qbo.truth("Invoice", *NOW), qbo.truth("Customer", *NOW)
    assert set(invoices) == {*new, "5", "6"}
    assert oldest not in qbo.truth("Invoice", "2020-01-01", "2100-01-01")
    assert json.loads(invoices["6"])["TotalAmt"] == 0
    assert json.loads(customers["1"])["DisplayName"].endswith(" (deleted)")
    assert "3" in customers
    assert "2" not in qbo.truth("Customer", "2020-01-01", "2100-01-01")
    assert "4" in qbo.truth("Item", *NOW)


def test_a_record_is_stored_as_it_is_written(qbo):
    meta = '"MetaData":{"LastUpdatedTime":"2026-02-01T00:00:00-08:00"}'
    text = f'{{"Id":"x","Balance":629.10,"Big":12345678901234567890.5,{meta}}}'
    qbo.put("Vendor", text)
    assert qbo.truth("Vendor", *NOW) == {"x": text}


def test_impossible_changes_raise_an_error_with_the_reason(qbo):
    for call, words in [
        (lambda: qbo.edit("Invoice", "none"), "edit: there is no Invoice none"),
        (lambda: qbo.void("Customer", "1"), "this is not possible for Customer"),
        (lambda: qbo.fault("explode"), "there are throttle, "),
        (lambda: qbo.fault("reset", nth=0), "nth counts from 1"),
        (lambda: qbo.corrupt("Invoice", "1", "bad"), "'bad' is not one of processing, "),
        (lambda: qbo.truth("Invoic", *NOW), "there is no entity 'Invoic'"),
        (lambda: qbo.control("nonsense"), "there is no command 'nonsense'; there are stats, "),
        (lambda: qbo_rs.sandbox(assume={"id-order": "x"}), "id-order is one of refused, ignored, "),
        (lambda: qbo_rs.sandbox(faults=["reset,nth"]), "'nth' is not name=value"),
    ]:
        with pytest.raises(qbo_rs.ConfigError, match=words):
            call()


def test_armed_faults_reach_the_client(qbo, settings):
    qbo.fault("unavailable", on="query", nth=2)
    qbo.fault("throttle", on="query", nth=3, format="json", retry_after=0)
    report = qbo_rs.backfill("customers", "2024-01-01", "2026-01-01", "year", page_size=10, **settings)
    assert report.ok
    assert report.runs[0].totals.retries == 2
    assert [fault["struck"] for fault in qbo.control("faults")] == [1, 1]
    requests = qbo.stats()["requests"]["query"]
    assert (requests["503"], requests["429"]) == (1, 1)
    qbo.clear_faults()
    assert qbo.control("faults") == []


def test_the_clock_moves_forward_and_back_only_if_asked():
    with qbo_rs.sandbox(customers=5, items=5, invoices=5, others=1, now="2026-03-01T08:00:00Z") as qbo:
        assert qbo.clock().startswith("2026-03-01T08:0")
        assert qbo.clock(advance="31d").startswith("2026-04-01T08:0")
        edited = qbo.edit("Invoice", "oldest")
        assert edited in qbo.truth("Invoice", "2026-04-01", "2026-04-02")
        assert qbo.clock(set="2026-11-01T09:30:00Z").startswith("2026-11-01T09:3")
        for refused in ({"set": "2026-01-01"}, {"advance": "-1d"}, {"advance": "soon"}, {"backwards": True}):
            with pytest.raises(qbo_rs.ConfigError):
                qbo.clock(**refused)
        assert qbo.clock(set="2026-01-01", backwards=True).startswith("2026-01-01T00:0")
    with pytest.raises(qbo_rs.ConfigError, match="the years 2000 to 2199"):
        qbo_rs.sandbox(now="1999-01-01")


def test_a_company_with_books_has_the_errors_that_were_planted():
    with qbo_rs.sandbox(books=80, seed=3) as qbo:
        planted = qbo.control("plant", kind="lost", entity="Bill")
        assert planted["id"] not in qbo.truth("Bill", "2000-01-01", "2199-01-01")
        assert qbo.control("planted")["planted"] == [planted]
    with pytest.raises(qbo_rs.ConfigError, match="not between 1 and 200000"):
        qbo_rs.sandbox(books=0)


def test_a_company_is_kept_in_a_file_and_restored(tmp_path):
    file, everything = tmp_path / "company.json", ("2000-01-01", "2199-01-01")
    with qbo_rs.sandbox(customers=20, invoices=20, others=2, seed=7, assume={"batch-cap": "none"}) as qbo:
        qbo.delete("Invoice", "oldest")
        qbo.edit("Customer", "3")
        qbo.clock(advance="31d")
        before = os.umask(0o022)
        qbo.snapshot(file)
        os.umask(before)
        # It may be a copy of real answers.
        assert file.stat().st_mode & 0o777 == 0o600
        books = {entity: qbo.truth(entity, *everything) for entity in ("Invoice", "Customer")}
        now = qbo.clock()
        qbo.delete("Invoice", "oldest")
        qbo.restore(file)
        assert books["Invoice"] == qbo.truth("Invoice", *everything)
    with qbo_rs.sandbox(restore=file) as qbo:
        assert books == {entity: qbo.truth(entity, *everything) for entity in books}
        assert qbo.clock()[:15] >= now[:15]
        assert {row["name"]: row["value"] for row in qbo.control("assumptions")}["batch-cap"] == "none"
        file.write_text("{}")
        with pytest.raises(qbo_rs.ConfigError, match="not a snapshot of a company"):
            qbo.restore(file)
        assert books["Invoice"] == qbo.truth("Invoice", *everything)
    with pytest.raises(qbo_rs.ConfigError, match=r"company\.json: this is not a snapshot"):
        qbo_rs.sandbox(restore=file)


def test_each_company_has_its_own_tokens(database):
    with qbo_rs.sandbox(customers=30, items=5, invoices=5, others=0, companies=2, limits=False) as qbo:
        (_, _), (second, token) = qbo.companies.items()
        settings = keywords(qbo) | database.settings | {"realm_id": second, "refresh_token": token}
        report = qbo_rs.backfill("customers", "2024-01-01", "2026-01-01", "year", schema="raw_second", **settings)
        assert report.ok
        rows = database.query("SELECT id, payload->>'DisplayName' FROM raw_second.qb_customers")
        truth = qbo.truth("Customer", "2024-01-01", "2026-01-01", realm=second)
        assert dict(rows) == {id_: json.loads(text)["DisplayName"] for id_, text in truth.items()}
        assert truth != qbo.truth("Customer", "2024-01-01", "2026-01-01")


def test_every_entity_can_be_backfilled_by_its_name(qbo, settings, database):
    entities = qbo_rs.entities()
    assert (entities["vendors"], entities["credit_card_payments"], len(entities)) == ("Vendor", "CreditCardPayment", 43)
    for name in ("vendors", "exchange_rates", "recurring_transactions", "credit_card_payments", "company_info"):
        assert qbo_rs.backfill(name, "2024-01-01", "2026-01-01", "year", **settings).ok
        rows = database.query(f"SELECT id FROM raw.qb_{name}")
        assert {row[0] for row in rows} == set(qbo.truth(entities[name], "2024-01-01", "2026-01-01"))
        assert rows


def test_the_command_serves_and_takes_commands():
    faults = ("--fault", "throttle,on=query,times=0,format=json", "--assume", "id-order=number")
    with sandbox_process(*faults) as (_, environment):
        assert json.loads(control(environment, "faults").stdout)[0]["fault"] == "throttle"
        edited = control(environment, "edit", "entity=Invoice", "id=5", "at=2026-05-01")
        assert json.loads(edited.stdout) == {"id": "5"}
        truth = json.loads(control(environment, "truth", "entity=Invoice", "start=2026-01-01").stdout)
        assert [record["id"] for record in truth["records"]] == ["5"]
        chosen = {a["name"]: a["value"] for a in json.loads(control(environment, "assumptions").stdout)}
        assert (chosen["id-order"], chosen["position-zero"]) == ("number", "error")
        wrong = control(environment, "nonsense")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        unknown = "error: there is no command or fault 'nonsense'\n  `qbo-rs sandbox control` lists all"
        assert wrong.stderr.startswith(unknown)
        listed = json.loads(control(environment, "--json").stdout)["commands"]
        assert "merge" in {command["command"] for command in listed}
        # For people, the names on one screen, and the description of one.
        text = control(environment).stdout
        assert " edit, " in text
        assert len(text.splitlines()) < 25
        assert control(environment, "help", "edit").stdout == "edit entity id [at] [realm]\n  save a record again\n"
        row = json.loads(control(environment, "help", "edit", "--json").stdout)
        assert (row["command"], row["arguments"]) == ("edit", "entity id [at] [realm]")
        row = json.loads(control(environment, "help", "bad-gateway", "--json").stdout)
        assert row == {"fault": "bad-gateway", "what": "502 with an HTML page"}
        assert control(environment, "help", "nonsense", "--json").returncode == 2
        assert control(environment, "help", "edit", "--lang", "es").stdout.endswith("guardar un registro otra vez\n")
        assert "{" not in text
        assert json.loads(control(environment, "stats").stdout)["data_requests"] == 0


def test_a_command_reaches_the_sandbox_that_a_file_of_settings_names(tmp_path):
    with sandbox_process() as (_, environment):
        file = tmp_path / "settings.env"
        file.write_text(f"QBO_API_URL={environment['QBO_API_URL']}\n")
        bare = {name: value for name, value in environment.items() if not name.startswith("QBO_")}
        answered = control(bare, "stats", "--env-file", str(file))
        assert json.loads(answered.stdout)["data_requests"] == 0, answered.stderr
        file.write_text("QBO_API_URL=ftp://x\n")
        refused = control(bare, "stats", "--env-file", str(file))
        assert (refused.returncode, "QBO_API_URL" in refused.stderr) == (2, True)


def test_the_command_keeps_a_company_in_a_file_and_moves_the_clock(tmp_path):
    file = tmp_path / "company.json"
    with sandbox_process("--now", "2026-03-01T08:00:00Z") as (_, environment):
        shown = json.loads(control(environment, "clock", "advance=31d").stdout)
        assert shown["now"].startswith("2026-04-01T08:0")
        back = control(environment, "clock", "set=2026-01-01")
        assert (back.returncode, back.stdout) == (2, "")
        assert "backwards=true moves it back" in back.stderr
        control(environment, "edit", "entity=Invoice", "id=5")
        file.write_text(control(environment, "snapshot").stdout)
        control(environment, "delete", "entity=Invoice", "id=5")
        assert control(environment, "restore", f"snapshot=@{file}").returncode == 0
        truth = json.loads(control(environment, "truth", "entity=Invoice", "start=2026-04-01").stdout)
        missing = control(environment, "restore", "snapshot=@/no/such/file")
        assert missing.returncode == 2
        assert "/no/such/file" in missing.stderr
    process = [COMMAND, "sandbox", "--port", "0", "--restore", str(file), "--seed", "3"]
    refused = subprocess.run(process, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 2
    with sandbox_process("--restore", str(file), size=()) as (_, environment):
        again = json.loads(control(environment, "truth", "entity=Invoice", "start=2026-04-01").stdout)
        assert again["records"] == truth["records"]
        assert [record["id"] for record in again["records"]] == ["5"]
        assert json.loads(control(environment, "clock").stdout)["now"].startswith("2026-04-01T08:")


def test_conform_says_what_a_company_does_and_writes_no_word_of_it(tmp_path):
    file = tmp_path / "conform.json"
    with sandbox_process("--assume", "id-order=ignored") as (_, environment):
        line = [COMMAND, "sandbox", "conform", "--against", environment["QBO_API_URL"], "--out", str(file)]
        table = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert table.returncode == 0, table.stderr
        as_json = subprocess.run(
            [*line, "--json"], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        report = json.loads(as_json.stdout)
        settings = dict(environment)
    found = {finding["name"]: finding for finding in report["assumptions"]}
    assert (found["id-order"]["answer"], found["id-order"]["status"]) == ("ignored", 200)
    assert found["throttle-body"]["answer"] == "unknown"
    rows = {line.split()[0]: line.split() for line in table.stdout.splitlines()}
    assert rows["id-order"][1] == "ignored"
    assert f"with {report['requests']} requests, minor version 75" in table.stdout.splitlines()[-1]
    assert json.loads(file.read_text()) == report
    for name in ("QBO_REALM_ID", "QBO_CLIENT_ID", "QBO_CLIENT_SECRET", "QBO_REFRESH_TOKEN", "QBO_API_URL"):
        assert settings[name] not in file.read_text()


def test_a_command_without_a_sandbox_fails_with_the_reason():
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    process = control(inherited, "stats", "--url", "http://127.0.0.1:1")
    assert process.returncode == 2
    assert process.stderr.startswith("error: no sandbox answers at http://127.0.0.1:1: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fault", "explode"), "there is no fault 'explode'"),
        (("--assume", "id-order"), "'id-order' is not NAME=VALUE"),
        (("--assume", "nonsense=1"), "there is no assumption 'nonsense'\n  there are position-zero, "),
        (("--visibility-delay-s=-1",), "--visibility-delay-s"),
        (("--now", "soon"), "now: cannot read 'soon' as a date"),
        (("--now", "1999-01-01"), "the years 2000 to 2199"),
        (("--restore", "/no/such/file"), "/no/such/file: "),
        (("conform", "--against", "nowhere"), "QBO_"),
        (("conform",), "--against"),
        (("control", "edit", "entity"), "'entity' is not NAME=VALUE"),
    ],
)
def test_bad_flags_are_told_and_exit_2(arguments, words):
    line = [COMMAND, "sandbox", *arguments]
    process = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    assert (process.returncode, process.stdout) == (2, "")
    first, *more = process.stderr.splitlines()
    assert first.startswith("error: ")
    assert words in process.stderr
    # The parts of an error, or what is missing and the usage.
    assert all(line.startswith("  ") for line in more) or more[-1] == "For more information, try '--help'."


def test_a_command_runs_with_the_settings_of_a_simulator_that_ends_with_it(tmp_path):
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}

    def run(*line: str) -> subprocess.CompletedProcess:
        command = [COMMAND, "sandbox", "--customers", "30", "--", *line]
        return subprocess.run(
            command, env=inherited, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    extracted = run(
        COMMAND, "extract", "customers", "--start", "2024-01-01", "--end", "2026-01-01", "--out", "l", "--json"
    )
    assert extracted.returncode == 0, extracted.stderr
    assert json.loads(extracted.stdout)["runs"][0]["totals"]["rows"] == 30
    # Its tokens end with it: nothing is in the store of the user.
    shown = run("sh", "-c", "echo $QBO_TOKEN_STORE $QBO_API_URL")
    store, url = shown.stdout.split()
    assert not Path(store).parent.exists()
    stopped = subprocess.run(
        [COMMAND, "sandbox", "control", "--url", url], env=inherited, capture_output=True, check=False
    )
    assert stopped.returncode == 2
    assert run("sh", "-c", "exit 7").returncode == 7
    assert run("sh", "-c", "kill -9 $$").returncode == 137
    missing = run("no-such-program")
    assert (missing.returncode, "cannot run 'no-such-program'" in missing.stderr) == (2, True)


def test_a_sandbox_in_the_background_is_stopped_by_a_command():
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    line = [COMMAND, "sandbox", "--customers", "30", "--port", "0", "--detach"]
    detached = subprocess.run(line, env=inherited, capture_output=True, text=True, timeout=30, check=True)
    *exports, comment = detached.stdout.splitlines()
    settings = dict(text.removeprefix("export ").split("=", 1) for text in exports)
    environment = inherited | settings
    try:
        assert json.loads(control(environment, "stats").stdout)["data_requests"] == 0
        # The port is taken: the reason comes from the process in the background.
        port = settings["QBO_API_URL"].rpartition(":")[2]
        again = [COMMAND, "sandbox", "--port", port, "--detach"]
        refused = subprocess.run(again, env=inherited, capture_output=True, text=True, timeout=30, check=False)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith("error: sandbox: cannot listen on ")
    finally:
        stopped = subprocess.run([COMMAND, "sandbox", "--stop"], env=environment, timeout=30, check=False)
    assert stopped.returncode == 0
    assert settings["QBO_API_URL"] in comment
    until(lambda: control(environment, "stats").returncode == 2)


def test_a_sandbox_within_a_program_is_not_stopped_by_a_command(qbo):
    ended = control(dict(os.environ) | qbo.environment, "stop")
    assert (ended.returncode, "ends with the program" in ended.stderr) == (2, True)
    assert qbo.stats()["data_requests"] == 0
