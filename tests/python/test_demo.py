"""The demo, from an empty directory to records in a real Postgres."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest
from conftest import COMMAND, report_of


@pytest.fixture
def directory():
    # The directory has a space in its name. It is below /tmp, since a server started by root runs as the user nobody.
    parent = Path(tempfile.mkdtemp(prefix="qbo_rs demo "))
    parent.chmod(0o711)
    yield parent / "data"
    subprocess.run([COMMAND, "demo", "--stop", "--data-dir", str(parent / "data")], timeout=60, check=True)
    shutil.rmtree(parent)


def demo(directory: Path, *flags: str) -> subprocess.CompletedProcess:
    line = [COMMAND, "demo", "--data-dir", str(directory), *flags]
    return subprocess.run(line, capture_output=True, text=True, timeout=110, check=False)


def test_a_second_demo_finds_every_row_unchanged(directory):
    first = demo(directory)
    assert first.returncode == 0, first.stderr
    places = re.search(r"^  address +(postgresql://\S+)\n  password file +'(.*)'$", first.stdout, re.MULTILINE)
    url, passfile = places.groups()
    with psycopg.connect(url, passfile=passfile) as connection:
        counts = [
            connection.execute(
                f"SELECT count(*), count(*) FILTER (WHERE payload->>'Active' = 'false') FROM raw.qb_{name}"
            ).fetchone()
            for name in ("customers", "items", "invoices")
        ]
    assert counts == [(500, 50), (300, 30), (5000, 0)]
    assert f"{COMMAND} demo --stop --data-dir '{directory}'" in first.stdout.replace("'" + COMMAND + "'", COMMAND)
    # It ends with invoices, and with commands that work as they stand.
    assert re.search(r"^id +doc_number +txn_date .* total_amt +balance$", first.stdout, flags=re.MULTILINE)
    assert "5,800 records are in Postgres" in first.stdout
    show, status, *_ = re.findall(r"^  (\S.*)$", first.stdout.partition("Go on with:")[2], flags=re.MULTILINE)
    for line, words in ((show, "customers in the schema raw"), (status, "customers")):
        ended = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr
        assert words in ended.stdout
    assert (directory / "demo.env").stat().st_mode & 0o777 == 0o600
    spanish = demo(directory, "--lang", "es").stdout
    assert "Continúe con:" in spanish
    assert [line for line in spanish.splitlines() if len(line) > 80 and str(directory) not in line] == []
    second = report_of(demo(directory, "--json"))
    for run in second["runs"]:
        assert run["totals"]["unchanged"] == run["totals"]["rows"] > 0
        assert run["totals"]["inserted"] == run["totals"]["updated"] == 0
