"""Every command of the documents runs as it stands.

Those of docs/mage.md run in tests/mage, those of docs/service.md in test_serve.py.
"""

from __future__ import annotations

import os
import re
import shutil

import duckdb
import pytest
from conftest import ROOT, VARIABLES
from document_shell import NOT_RUN, Shell, blocks, runnable

import qbo_rs

RUN_ELSEWHERE = {"docs/mage.md", "docs/service.md"}
# The roles of this page are tried by the Rust test `a_role_with_the_documented_rights_can_load_and_no_more`.
RUN_IN_RUST = {"docs/loading.md"}
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for pattern in ("*.md", "docs/*.md") for path in ROOT.glob(pattern))
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
    "QBO_REALM_ID=1234 qbo-rs auth forget": (
        "token=$(qbo-rs sandbox control refresh-token | grep -o 'RT1[^\"]*')\n"
        "QBO_REFRESH_TOKEN=$token QBO_REALM_ID=1234 qbo-rs extract items --start 2025-01-01 --end 2025-01-02 || true"
    ),
}
# Roles that the SQL of a page takes for granted; a server has them once, for all databases.
ROLES = {"docs/views.md": "analyst"}


@pytest.fixture
def company(request):
    """The company of a page: with double-entry books where the page compares them, else the usual one."""
    has_books = getattr(request, "param", "") in WITH_BOOKS
    size = {"books": 150} if has_books else {"customers": 60, "items": 40, "invoices": 300}
    with qbo_rs.sandbox(limits=False, **size) as sandbox:
        yield sandbox


@pytest.fixture
def shell(company, database, tmp_path):
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    unlimited = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
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
