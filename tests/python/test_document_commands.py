"""Every command of the documents runs as it stands.

Those of docs/mage.md run in tests/mage, those of docs/service.md in test_serve.py. What docs/lineage.md starts needs
OpenLineage's client, and is tried by tests/engines/test_lineage.py.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys

import duckdb
import pytest
from companies import UNLIMITED
from conftest import COMMAND, ROOT, VARIABLES
from document_shell import NOT_RUN, Shell, blocks, runnable

import qbo_rs

RUN_ELSEWHERE = {"docs/lineage.md", "docs/mage.md", "docs/service.md"}
# The roles of this page are tried by the Rust test `a_role_with_the_documented_rights_can_load_and_no_more`.
RUN_IN_RUST = {"docs/loading.md"}
# Documents in Spanish have the same commands, says test_spanish.
DOCUMENTS = sorted(
    {str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))} - {"README.es.md"}
)
WITH_COMMANDS = [page for page in DOCUMENTS if blocks(page, "sh") and page not in RUN_ELSEWHERE]

needs_psql = pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")

ALL_TIME = "--start 2020-01-01 --end 2027-01-01 --chunk year"
OF_BOOKS = "$(qbo-rs entities | awk '{print $1}' | grep -vE 'change_orders|inventory_adjustments')"
# What a page takes for granted: commands that were run before it.
BEFORE = {
    "docs/alerts.md": "qbo-rs sync customers items invoices",
    "docs/arrow.md": "qbo-rs backfill invoices --start 2024-01-01 --end 2026-01-01 --chunk year",
    "docs/fivetran.md": "qbo-rs db migrate --schema raw_acme",
    "docs/ledger.md": f"qbo-rs sync; qbo-rs backfill {OF_BOOKS} --schema raw_acme {ALL_TIME}",
    "docs/masking.md": "qbo-rs sync",
    "docs/verify.md": "qbo-rs sync",
    "docs/operate.md": "qbo-rs sync",
    "docs/views.md": "qbo-rs sync; qbo-rs db migrate --schema raw_acme",
}

WITH_BOOKS = {
    "docs/books.md",
    "docs/guide.md",
    "docs/ledger.md",
    "docs/reports.md",
    "docs/sandbox.md",
    "docs/verify.md",
}
# The same for a block, by its beginning: here, the mistake that it mends.
BEFORE_BLOCK = {
    "qbo-rs auth forget --realm-id 1234": (
        "token=$(qbo-rs sandbox control refresh-token | grep -o 'RT1[^\"]*')\n"
        "QBO_REFRESH_TOKEN=$token QBO_REALM_ID=1234 qbo-rs extract items --start 2025-01-01 --end 2025-01-02 || true"
    ),
}
# Roles that the SQL of a page takes for granted; a server has them once, for all databases.
ROLES = {"docs/views.md": "analyst"}


# Pages whose commands start simulators of their own, which have Intuit's limits.
OWN_SIMULATORS = {"docs/sandbox.md"}


@pytest.fixture
def company(request):
    """The company of a page: with double-entry books where the page compares them, else the usual one."""
    has_books = getattr(request, "param", "") in WITH_BOOKS
    size = {"books": 150} if has_books else {"customers": 60, "items": 40, "invoices": 300}
    with qbo_rs.sandbox(limits=False, **size) as sandbox:
        yield sandbox


@pytest.fixture
def shell(request, company, database, tmp_path):
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    unlimited = UNLIMITED
    callspec = getattr(request.node, "callspec", None)
    if callspec and callspec.params.get("page") in OWN_SIMULATORS:
        unlimited = {}
    environment = inherited | company.environment | unlimited | {"DATABASE_URL": database.url, "QBO_LAG_S": "0"}
    return Shell(tmp_path, environment)


def adapted(text, company):
    """Return a block with the addresses of this test in the place of those that a reader has."""
    text = text.replace("https://sandbox-quickbooks.api.intuit.com", company.url)
    return text.replace("http://127.0.0.1:8911", company.url)


@needs_psql
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("company", "page"),
    [(page, page) for page in WITH_COMMANDS if page not in RUN_IN_RUST | {"docs/first-rows.md", "docs/connect.md"}],
    indirect=["company"],
)
def test_the_commands_of_a_document_run_as_they_stand(page, shell, company, database):
    role = ROLES.get(page)
    if role:
        database.execute(f"CREATE ROLE {role}")
    try:
        shell.run(BEFORE.get(page, "true"))
        for language, text in blocks(page, "sh", "sql"):
            if language == "sh":
                for beginning, mistake in BEFORE_BLOCK.items():
                    if text.startswith(beginning):
                        shell.run(mistake)
                shell.run(adapted(runnable(text), company))
            elif "DuckDB" in text:
                duckdb.connect().execute(f"SET file_search_path = '{shell.folder}'; {text}")
            else:
                database.execute(text)
    finally:
        if role:
            database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


# A worker of pyarrow that still lets go of a grouping of pandas aborts a Python that ends (`arrow::py::NumPyBuffer`
# waits for the GIL in its destructor; 5 of 400 runs of pandas and pyarrow alone). A notebook does not end there either.
END_AT_ONCE = "\nimport os\nos._exit(0)\n"


@pytest.mark.parametrize(("company", "page"), [("docs/arrow.md",) * 2, ("docs/reports.md",) * 2], indirect=["company"])
def test_the_python_of_a_document_runs(page, shell):
    shell.run(BEFORE.get(page, "true"))
    code = "\n".join(text for _, text in blocks(page, "python"))
    (shell.folder / "page.py").write_text(f"import polars as pl\nimport qbo_rs\n\n{code}{END_AT_ONCE}")
    shell.run(f"{sys.executable} page.py")


def test_commands_that_are_not_run_name_recipes_and_files_that_exist():
    recipes = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in WITH_COMMANDS:
        for _, text in blocks(page, "sh"):
            for line in filter(NOT_RUN.match, text.splitlines()):
                words = line.partition("#")[0].split()
                if words[0] == "make":
                    assert words[1] in recipes, line
                for word in words:
                    if word.startswith(("docker/", "tests/", "benches/")):
                        assert (ROOT / word).exists(), line


def test_commands_within_the_text_of_a_document_can_be_parsed():
    placeholders = {"COMMAND": "sync", "ENTITY": "items", "DATE": "2025-01-01", "ID": "1", "N": "2", "…": "2025-01-01"}
    refused = {}
    for page in DOCUMENTS:
        for found in re.findall(r"`(?:\w+=\S+ )*qbo-rs\s+([^`|]+)`", (ROOT / page).read_text()):
            arguments = [placeholders.get(word, word) for word in found.split() if word != "..."]
            if "--" in arguments:
                continue
            run = subprocess.run([COMMAND, *arguments, "--help"], capture_output=True, text=True, check=False)
            # A flag may be named without its value.
            if run.returncode != 0 and "a value is required" not in run.stderr:
                refused[f"{page}: qbo-rs {found}"] = run.stderr
    assert refused == {}


def test_alerts_name_metrics_that_the_service_has():
    metrics = (ROOT / "src/server/metrics.rs").read_text()
    names = set(re.findall(r"\bqbo_[a-z_]+", (ROOT / "docs/alerts.md").read_text())) - {"qbo_rs"}
    assert len(names) > 8
    assert {name for name in names if name.removesuffix("_total") not in metrics} == set()


def test_the_alert_of_old_data_knows_which_entities_are_read_once_a_day():
    source = (ROOT / "src/domain/entity.rs").read_text()
    daily = set(re.findall(r"read_whole\(\w+\(\s*\"(\w+)\"", source))
    assert daily < set(qbo_rs.entities())
    rule = r"expr: qbo_checkpoint_age_seconds(?:\{entity(!~|=~)\"(.*)\"\})? > (\d+)$"
    rules = re.findall(rule, (ROOT / "docs/alerts.md").read_text(), re.MULTILINE)
    limits = {
        entity: [int(limit) for match, names, limit in rules if (entity in names.split("|")) == (match == "=~")]
        for entity in qbo_rs.entities()
    }
    # A day and the hour of the others: what the alert of the service allows, see `stale_alert`.
    assert limits == {entity: [25 * 3600 if entity in daily else 3600] for entity in limits}


# The same page in one shell, since its blocks build on each other.
def one_shell(page):
    return "\n".join(runnable(text) for _, text in blocks(page, "sh"))


@needs_psql
def test_the_first_rows_arrive_change_and_are_verified(shell, database):
    script, waits = re.subn(r"^sleep 32 .*$", "sleep 1", one_shell("docs/first-rows.md"), flags=re.MULTILINE)
    assert waits == 1
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        shell.environment |= {"DOCUMENT_PORT": str(probe.getsockname()[1]), "DOCUMENT_BACKGROUND": "1"}
    done = shell.run(script)
    assert "(1 row)" in done.stdout, "the deleted invoice is shown"
    assert database.query("SELECT count(*) FROM raw.qb_invoices WHERE deleted_at_utc IS NOT NULL") == [(1,)]
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(5000,)]


# Endpoints of the simulator; a reader has none of these.
ENDPOINTS = ("QBO_API_URL", "QBO_TOKEN_URL", "QBO_AUTHORIZE_URL", "QBO_REVOKE_URL")


@pytest.fixture
def newcomer(shell, company, database):
    """The shell of somebody who has a file of settings, and no company connected."""
    for name in ("QBO_CLIENT_ID", "QBO_CLIENT_SECRET", "QBO_REALM_ID", "QBO_REFRESH_TOKEN", "DATABASE_URL"):
        del shell.environment[name]
    assert set(ENDPOINTS) <= set(shell.environment)
    [template] = re.findall(r"^```ini\n(.*?)^```$", (ROOT / "docs/connect.md").read_text(), re.MULTILINE | re.DOTALL)
    values = {name: company.environment[name] for name in ("QBO_CLIENT_ID", "QBO_CLIENT_SECRET")}
    values |= {"DATABASE_URL": database.url}
    lines = [
        re.sub(r"^(\w+)=.*", lambda match: f"{match[1]}={values.get(match[1], match[0].partition('=')[2])}", line)
        for line in template.splitlines()
    ]
    assert {line.partition("=")[0] for line in lines if "=" in line} == {*values, "QBO_ENVIRONMENT"}
    (shell.folder / "company.env").write_text("\n".join(lines) + "\n")
    return shell


def test_a_company_is_connected_checked_and_read_by_the_steps_of_the_page(newcomer, database):
    done = newcomer.run(one_shell("docs/connect.md"))
    assert "is connected" in done.stdout
    assert "✖" not in done.stdout
    assert database.query("SELECT state FROM qbo.accounts") == [("active",)]
    assert database.query("SELECT count(*) FROM raw.qb_invoices") == [(300,)]
    assert (newcomer.folder / "company.env").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def taken_port():
    """Return a port at which another program listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_the_messages_of_the_page_are_those_that_one_sees(newcomer, taken_port):
    page = (ROOT / "docs/connect.md").read_text().partition("## What can go wrong")[2]
    shown = [
        cell for cell in re.findall(r"^\| (.*?) \|", page, re.MULTILINE) if "`" in cell and "Intuit's page" not in cell
    ]
    login = "qbo-rs auth login --paste --redirect-uri https://books.example.com/callback"
    settings = "chmod 600 company.env; export QBO_ENV_FILE=$PWD/company.env\n"
    taken = f"qbo-rs auth login --redirect-uri http://localhost:{taken_port}/callback"
    newest = "$(qbo-rs sandbox control refresh-token | grep -o 'RT1[^\"]*')"
    january = "--start 2025-01-01 --end 2025-02-01"
    load_items = f"qbo-rs backfill items {january}"
    wrong = {
        "QBO_CLIENT_SECRET: not set": "unset QBO_ENV_FILE QBO_CLIENT_ID QBO_CLIENT_SECRET; qbo-rs auth status",
        "invalid_client": f"QBO_CLIENT_SECRET=wrong {login}",
        "access_denied": f"DOCUMENT_ADDRESS='?error=access_denied&state=STATE' {login}",
        "does not have the state": f"DOCUMENT_ADDRESS='?code=1&realmId=1&state=other' {login}",
        "invalid_grant of the code": f"DOCUMENT_ADDRESS='?code=XAB0&realmId=9341450000000001&state=STATE' {login}",
        "is not http on this machine": "qbo-rs auth login --redirect-uri https://books.example.com/callback",
        "cannot listen at": taken,
        "cannot connect to Postgres": "DATABASE_URL=postgresql://qbo:x@localhost:1/books qbo-rs sync",
        "holds company": f"{login} && {load_items} && QBO_REALM_ID=77 QBO_REFRESH_TOKEN=x {load_items}",
        "encrypted with another key": f"{login} && QBO_CLIENT_SECRET=renewed qbo-rs sync items",
        # Last, since it leaves a wrong company in the store.
        "code 3100": f"{login} && QBO_REALM_ID=77 QBO_REFRESH_TOKEN={newest} qbo-rs extract items {january}",
    }
    for words, commands in wrong.items():
        [cell] = [cell for cell in shown if words in cell]
        # The page has the port that a reader has.
        said = " ".join(newcomer.attempt(settings + commands).split()).replace(f":{taken_port}", ":8484")
        for message in re.findall(r"`([^`]*)`", cell):
            for part in message.split("..."):
                assert part.strip(" ,") in said, f"{message}\n{commands}\n{said[-2000:]}"
        shown.remove(cell)
    assert shown == []
