"""Companies in buckets: mistakes are errors, and no company is left out by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from companies import connect, forget

import qbo_rs
from qbo_rs import _scheduled, buckets, mage
from qbo_rs.mage import _host


@pytest.fixture
def three(database, monkeypatch, tmp_path):
    with qbo_rs.sandbox(customers=5, items=5, invoices=5, others=1, companies=3, limits=False) as qbo:
        connect(qbo, database, monkeypatch, tmp_path)
        yield list(qbo.companies)


def command(*arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in (os.environ | environment).items() if value is not None}
    line = [sys.executable, "-m", "qbo_rs.buckets", *arguments]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=60, env=given)


def flat(each: list[list[str]]) -> list[str]:
    return sorted(realm_id for bucket in each for realm_id in bucket)


def test_every_company_is_in_one_share_and_one_bucket(three):
    shares = [buckets.share(number, 4) for number in range(4)]
    assert flat(shares) == three
    for count in (1, 2, 3, 8, None):
        assert flat(buckets.plan(count)) == three
    assert flat(buckets.plan(2, accounts=three[1:])) == three[1:]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: buckets.share(8, 8), "number: 8 is not below of, which is 8; buckets are counted from 0"),
        (lambda: buckets.share(-1, 3), "number: -1 is too small; the smallest is 0"),
        (lambda: buckets.share(0, 0), "of: 0 is too small; the smallest is 1"),
        (lambda: buckets.share("1", 3), "number: '1' is no whole number; int"),
        (lambda: buckets.share(1, "3"), "of: '3' is no whole number; int"),
        (lambda: buckets.share(number=True, of=3), "number: True is no whole number"),
        (lambda: buckets.plan(-1), "count: -1 is too small; the smallest is 1"),
        (lambda: buckets.plan(0), "count: 0 is too small; the smallest is 1"),
        (lambda: buckets.plan("2"), "count: '2' is no whole number"),
        (lambda: buckets.plan(2, accounts=["123"]), "holds no company 123; it holds"),
        (lambda: buckets.plan(2, entity="custs"), "unknown entity 'custs'"),
        (lambda: buckets.plan(2, entities=["customers"]), "entities: no such setting; did you mean entity="),
    ],
)
def test_a_mistake_is_told_and_leaves_no_company_out(call, reason):
    with pytest.raises(qbo_rs.ConfigError, match=reason):
        call()


def test_a_company_that_was_forgotten_after_the_plan_fails_and_the_others_are_synced(three):
    [accounts] = buckets.plan(1)
    gone, *others = three
    forget(gone)
    with pytest.raises(qbo_rs.ConfigError, match=f"holds no company {gone}; it holds"):
        qbo_rs.sync("terms", accounts=accounts)
    for report in (
        qbo_rs.sync("terms", accounts=accounts, planned=True),
        _scheduled.run_sync(["terms"], accounts, settings={}),
    ):
        assert {each.realm_id: each.status for each in report.accounts} == {gone: "failed"} | dict.fromkeys(
            others, "ok"
        )
        assert not report.ok
    # Nobody is left of a bucket: that is not every company.
    [alone] = _scheduled.run_sync(["terms"], [gone], settings={}).accounts
    assert (alone.realm_id, alone.status, alone.requests) == (gone, "failed", 0)
    assert f"holds no company {gone}" in alone.error
    assert alone.failure == "unknown_company"
    with pytest.raises(qbo_rs.IncompleteError) as not_in_step:
        qbo_rs.sync("terms", accounts=accounts, planned=True).raise_for_failures()
    # The next try would not find it either.
    assert not_in_step.value.recovery == "abort"


def test_a_share_syncs_its_other_companies_if_one_is_forgotten_meanwhile(three, monkeypatch, capsys):
    gone, *others = three
    monkeypatch.setattr(buckets, "share", lambda *_: forget(gone) or three)
    assert buckets.main(["0", "1", "terms"]) == 1
    told = {each["realm_id"]: each["status"] for each in json.loads(capsys.readouterr().out)["accounts"]}
    assert told == {gone: "failed"} | dict.fromkeys(others, "ok")


def test_the_block_of_mage_syncs_the_other_companies_if_one_is_forgotten(three, monkeypatch, tmp_path):
    monkeypatch.setattr(_host, "secret_lookup", lambda: os.environ.get)
    monkeypatch.setattr(_host, "data_directory", lambda: str(tmp_path))
    gone, *others = three
    forget(gone)
    with pytest.raises(qbo_rs.RetriableError, match=f"^1 not in step: {gone}: .* holds no company"):
        mage.sync_qbo()(entities="terms", accounts=",".join(three))
    left = {each.realm_id: each.entities[0].inserted for each in qbo_rs.sync("terms").accounts}
    assert left == dict.fromkeys(others, 0)


def test_settings_name_the_database(three, monkeypatch):
    url = os.environ["DATABASE_URL"]
    monkeypatch.delenv("DATABASE_URL")
    for call in (lambda: buckets.plan(2), lambda: buckets.share(0, 2)):
        with pytest.raises(qbo_rs.ConfigError, match="PG_HOST: not set, nor is DATABASE_URL: no database"):
            call()
    assert flat(buckets.plan(2, database_url=url)) == three


def test_the_command_ends_with_2_and_a_line_for_what_is_wrong_with_arguments_and_settings(three):
    shown = command("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("usage: python -m qbo_rs.buckets NUMBER OF [ENTITY ...]")
    for arguments, environment, reason in (
        (("8", "8"), {}, "usage: "),
        (("a", "8"), {}, "usage: "),
        (("0", "1", "custs"), {}, "unknown entity 'custs'"),
        (("0", "1"), {"DATABASE_URL": None}, "PG_HOST: not set, nor is DATABASE_URL: no database"),
    ):
        ended = command(*arguments, **environment)
        assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
        assert reason in ended.stderr
        assert "Traceback" not in ended.stderr
    done = command("0", "1", "terms")
    assert done.returncode == 0, done.stderr
    assert [account["realm_id"] for account in json.loads(done.stdout)["accounts"]] == three
