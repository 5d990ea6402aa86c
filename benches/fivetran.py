"""Compares the general ledger of the dbt package fivetran/dbt_quickbooks with ``books``, by account and month.

The package is not part of this project. ``--dbt`` names the command of an environment that has dbt-postgres::

    python -m venv /tmp/dbt && /tmp/dbt/bin/pip install dbt-postgres==1.10.2
    python benches/fivetran.py --dbt /tmp/dbt/bin/dbt

``dbt deps`` then fetches the package, unless ``--packages`` names a directory that has it with what it needs, as
``dbt_packages``. The companies are those of the simulator with double-entry books, and small ones that were written by
hand. Both ledgers are made from the same records in a throw-away Postgres; ``--here`` compares what is in the database
of the ``PG_*`` settings instead, in a schema that ``qbo-rs sync`` has filled.

The exit code is 1 if anything differs that no cause foretells.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "python"), str(ROOT / "benches")]

from fivetran_causes import CAUSES  # noqa: E402
from fivetran_company import RECORDS, TRAPS, TWINS  # noqa: E402
from with_postgres import throw_away_postgres, url  # noqa: E402

import qbo_rs  # noqa: E402

COMMAND = str(Path(sys.executable).parent / "qbo-rs")
UNLIMITED = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
VERSION = "1.9.0"
PROJECT = """
name: compared
version: "1.0"
config-version: 2
profile: compared
"""
PACKAGES = f"packages:\n  - package: fivetran/quickbooks\n    version: {VERSION}\n"
PROFILES = """
compared:
  target: here
  outputs:
    here:
      type: postgres
      host: "{{ env_var('PG_HOST') }}"
      port: "{{ env_var('PG_PORT') | int }}"
      user: "{{ env_var('PG_USER') }}"
      password: "{{ env_var('PG_PASSWORD') }}"
      dbname: "{{ env_var('PG_DB') }}"
      schema: compared
      threads: 2
"""
# What the package calls and fivetran_utils before 2026 lacks, for the one schema that is read here.
MACROS = {
    "union_connections": "(connection_dictionary, single_source_name, single_table_name) -%}\n"
    "SELECT * FROM {{ source(single_source_name, single_table_name) }}",
    "apply_source_relation": "(package_name) -%}\n, '{{ target.dbname }}' AS source_relation",
    "partition_by_source_relation": "(package_name, has_other_partitions='yes', alias=None) -%}",
}
FORETOLD = """
CREATE SCHEMA IF NOT EXISTS compared;
DROP TABLE IF EXISTS compared.foretold, compared.amounts;
CREATE TABLE compared.foretold (cause int, entity text, id text, day date, account_id text, amount numeric);
"""
# Each account of a transaction in both ledgers, with what the causes foretell of the difference. The package's amounts
# in other currencies have all digits of the rate, and ours are cents: half a cent an entry, and the last one of a
# transaction takes what is left over of all.
AMOUNTS = """
CREATE TABLE compared.amounts AS
WITH ours AS (
    SELECT lower(replace(entity, ' ', '')) AS entity, id, txn_date AS day, account_id,
        sum(debit - credit) AS amount
    FROM books.gl_entries GROUP BY 1, 2, 3, 4
), lines AS (
    SELECT regexp_replace(replace(transaction_source, 'invoice discount', 'invoice'), '[ _]', '', 'g') AS entity,
        transaction_id AS id, transaction_date AS day, account_id,
        adjusted_converted_amount * CASE account_transaction_type WHEN 'debit' THEN 1 ELSE -1 END AS amount
    FROM compared_quickbooks.quickbooks__general_ledger WHERE account_id IS NOT NULL
), package AS (
    SELECT entity, id, day, account_id, sum(amount) AS amount FROM lines GROUP BY 1, 2, 3, 4
), other AS (
    SELECT lower(replace(entity, ' ', '')) AS entity, id, 0.005 * count(*) AS bound FROM books.gl_entries
    GROUP BY 1, 2 HAVING bool_or(foreign_debit <> debit OR foreign_credit <> credit)
), foretold AS (
    SELECT lower(replace(entity, ' ', '')) AS entity, id, day, account_id, sum(amount) AS amount,
        array_agg(DISTINCT cause) AS causes
    FROM compared.foretold GROUP BY 1, 2, 3, 4
)
SELECT entity, id, day, account_id, coalesce(ours.amount, 0) AS ours, coalesce(package.amount, 0) AS package,
    coalesce(foretold.amount, 0) AS foretold, causes,
    coalesce(bound, 0) AS bound
FROM ours FULL JOIN package USING (entity, id, day, account_id) FULL JOIN foretold USING (entity, id, day, account_id)
    LEFT JOIN other USING (entity, id)
"""
REST = "package - ours - foretold"
MONTHS = f"""
SELECT count(*), count(*) FILTER (WHERE abs(package - ours) < 0.005),
    count(*) FILTER (WHERE abs(package - ours) >= 0.005 AND NOT is_foretold),
    count(*) FILTER (WHERE abs(package - ours) >= 0.005 AND is_foretold),
    coalesce(max(abs({REST})), 0)
FROM (
    SELECT account_id, date_trunc('month', day), sum(ours) AS ours, sum(package) AS package, sum(foretold) AS foretold,
        bool_or(foretold <> 0) AS is_foretold
    FROM compared.amounts GROUP BY 1, 2) AS months
"""
BY_CAUSE = """
SELECT cause, count(DISTINCT (entity, id)), count(DISTINCT account_id),
    greatest(sum(amount) FILTER (WHERE amount > 0), -sum(amount) FILTER (WHERE amount < 0))
FROM compared.foretold WHERE amount <> 0 GROUP BY 1 ORDER BY 1
"""
UNEXPLAINED = f"""
SELECT entity, id, day, account_id, ours, package, foretold FROM compared.amounts
WHERE abs({REST}) > bound ORDER BY abs({REST}) DESC
"""
BY_ACCOUNT = f"""
SELECT account_id, (SELECT payload ->> 'FullyQualifiedName' FROM raw.qb_accounts a WHERE a.id = account_id),
    sum(ours), round(sum(package), 2), round(sum(package) - sum(ours), 2), round(sum({REST}), 2)
FROM compared.amounts GROUP BY 1 ORDER BY lpad(account_id, 20, '0')
"""
# What a statement says of an account and month that its own ledger does not: nothing, if they agree.
STATEMENTS = {
    "profit and loss": """
        WITH ledger AS (
            SELECT account_id, period_first_day AS month, sum(adjusted_converted_amount) AS amount
            FROM compared_quickbooks.quickbooks__general_ledger
            WHERE financial_statement_helper = 'income_statement' GROUP BY 1, 2
        ), statement AS (
            SELECT account_id, period_first_day AS month, sum(converted_amount) AS amount
            FROM compared_quickbooks.quickbooks__profit_and_loss GROUP BY 1, 2
        )
        SELECT count(statement.amount), count(*) FILTER (
            WHERE coalesce(statement.amount, 0) <> coalesce(ledger.amount, 0))
        FROM ledger FULL JOIN statement USING (account_id, month)""",
    "balance sheet": """
        WITH statement AS (
            SELECT account_id, period_last_day AS day, sum(converted_amount) AS amount
            FROM compared_quickbooks.quickbooks__balance_sheet WHERE account_id <> '9999' GROUP BY 1, 2
        )
        SELECT count(*), count(*) FILTER (WHERE coalesce(amount, 0) <> coalesce((
            SELECT sum(adjusted_converted_amount) FROM compared_quickbooks.quickbooks__general_ledger AS ledger
            WHERE ledger.account_id = statement.account_id AND transaction_date <= day), 0))
        FROM statement""",
}
# Assets less liabilities and equity at the end, where the package has its own account for what was earned.
BALANCE = """
SELECT round(coalesce(sum(converted_amount * CASE account_class WHEN 'Asset' THEN 1 ELSE -1 END), 0), 2),
    (SELECT round(coalesce(sum(amount), 0), 2) FROM compared.foretold)
FROM compared_quickbooks.quickbooks__balance_sheet
WHERE period_first_day = (SELECT max(period_first_day) FROM compared_quickbooks.quickbooks__balance_sheet)
"""


def run(line: list[str], environment: dict[str, str], directory: Path | None = None, accepted: int = 0) -> str:
    """Run a command; return what it printed."""
    process = subprocess.run(
        line, env=os.environ | environment, cwd=directory, capture_output=True, text=True, check=False
    )
    if process.returncode not in (0, accepted):
        sys.exit(f"{' '.join(line[:4])}: exit code {process.returncode}\n{(process.stdout + process.stderr)[-3000:]}")
    return process.stdout


def packages(dbt: str, named: Path | None, project: Path, environment: dict[str, str]) -> None:
    """Put the package and what it needs below the project."""
    into = project / "dbt_packages"
    if named is None:
        (project / "packages.yml").write_text(PACKAGES)
        run([dbt, "deps", "--profiles-dir", str(project)], environment, project)
    else:
        shutil.copytree(named, into)
    macros = into / "fivetran_utils" / "macros"
    there = "".join(path.read_text() for path in macros.rglob("*.sql"))
    missing = [name for name in MACROS if f"macro {name}(" not in there]
    if missing:
        texts = [f"{{%- macro {name}{MACROS[name]}\n{{%- endmacro %}}\n" for name in missing]
        (macros / "of_one_schema.sql").write_text("".join(texts))
        print(f"this fivetran_utils lacks {', '.join(missing)}; written for one schema")


def run_package(arguments: argparse.Namespace, environment: dict[str, str]) -> None:
    """Make the views that the package reads, and run its models over them."""
    views = json.loads(run([arguments.command, "db", "views", "--style", "fivetran", "--json"], environment))
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory)
        (project / "dbt_project.yml").write_text(PROJECT)
        (project / "profiles.yml").write_text(PROFILES)
        packages(arguments.dbt, arguments.packages, project, environment)
        quiet = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        line = [arguments.dbt, "run", "--profiles-dir", str(project), "--vars", json.dumps(views["dbt_variables"])]
        output = run(line, environment | quiet, project)
    print("dbt run:", output[output.rindex("Done.") :].split("\x1b")[0].strip())


def compare(connection: psycopg.Connection[Any]) -> int:
    """Print how the ledgers differ; return the number of amounts that no cause foretells."""
    connection.execute(FORETOLD)
    for number, cause in enumerate(CAUSES):
        connection.execute(f"INSERT INTO compared.foretold SELECT {number}, * FROM ({cause.query}) AS found")
    connection.execute(AMOUNTS)
    for name, ledger in (("books", "books.gl_entries"), ("package", "compared_quickbooks.quickbooks__general_ledger")):
        print(f"{name}: {one(connection, f'SELECT count(*) FROM {ledger}')[0]} entries")
    months, equal, rounded, foretold, most = one(connection, MONTHS)
    print(
        f"{months} accounts and months: {equal} equal to the cent, {foretold} differ as foretold, {rounded} by rounding"
    )
    print(f"largest rest of an account and month: {most:.4f}\n")
    print(f"{'whose':20}{'transactions':>13}{'accounts':>10}{'amount':>15}  cause")
    for cause, transactions, accounts, amount in connection.execute(BY_CAUSE):
        print(f"{CAUSES[cause].whose:20}{transactions:>13}{accounts:>10}{amount:>15.2f}  {CAUSES[cause].name}")
    print(f"\n{'account':44}{'books':>14}{'package':>14}{'difference':>14}{'rest':>8}")
    for number, name, *amounts in connection.execute(BY_ACCOUNT):
        ours, package, difference, rest = amounts
        print(f"{f'{number} {name}'[:43]:44}{ours:>14.2f}{package:>14.2f}{difference:>14.2f}{rest:>8.2f}")
    for name, query in STATEMENTS.items():
        cells, different = one(connection, query)
        print(f"{name}: {cells} accounts and months, {different} differ from the package's own ledger")
    balance, known = one(connection, BALANCE)
    print(f"balance sheet: assets less liabilities and equity are {balance:.2f}, foretold {known:.2f}")
    unexplained = connection.execute(UNEXPLAINED).fetchall()
    for entity, number, day, account, ours, package, known in unexplained[:20]:
        amounts = f"{ours} here, {package} there, {known} foretold"
        print(f"unexplained: {entity} {number} of {day}, account {account}: {amounts}")
    print(f"{len(unexplained)} amounts are unexplained")
    return len(unexplained)


def one(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    """Return the only row."""
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101 - a query without FROM or with an aggregate has one
    return row


def write_by_hand(connection: psycopg.Connection[Any], records: dict[str, list[dict[str, Any]]]) -> None:
    """Put records into the raw tables, as a load does."""
    for entity, some in records.items():
        for record in some:
            connection.execute(
                f"INSERT INTO raw.qb_{entity} VALUES (%s, %s::jsonb, now(), now(), now(), 1, 1, '{{}}')",
                (record["Id"], json.dumps(record)),
            )


def together(*companies: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the records of several lists."""
    entities = {entity for company in companies for entity in company}
    return {entity: [record for company in companies for record in company.get(entity, [])] for entity in entities}


@contextmanager
def database(postgres: dict[str, str], name: str) -> Iterator[dict[str, str]]:
    """Make a database; yield the settings that name it."""
    with psycopg.connect(url(postgres), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres | {"PG_DB": name}


def companies(arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each company's name and the settings of its database, with records and books."""
    if arguments.here:
        yield "the database of the settings", {}
        return
    with throw_away_postgres() as postgres:
        for name, records in (
            ("small", RECORDS),
            ("traps", together(RECORDS, TRAPS)),
            ("twins", together(RECORDS, TWINS)),
        ):
            with database(postgres, name) as environment:
                run([arguments.command, "db", "migrate"], environment)
                with psycopg.connect(url(environment)) as connection:
                    write_by_hand(connection, records)
                run([arguments.command, "db", "ledger"], environment)
                yield f"written by hand, {name}", environment
        for seed in range(1, arguments.seeds + 1):
            sandbox = qbo_rs.sandbox(books=arguments.books, seed=seed, limits=False)
            with database(postgres, f"seed_{seed}") as environment, sandbox as quickbooks:
                own = environment | quickbooks.environment | UNLIMITED
                run([arguments.command, "sync", "--log-level", "error"], own)
                tied = [arguments.command, "verify", "--books", "--start", "2020-01-01", "--end", "2025-12-31"]
                # It reads 1,000 adjustments of stock at a time, and has exit code 1 until then.
                rest = arguments.books // 10_000
                for left in range(rest, -1, -1):
                    accepted = int(left > 0)
                    print(run([*tied, "--log-level", "error"], own, accepted).splitlines()[-1])
                yield f"of the simulator, seed {seed}, {arguments.books} transactions", environment


def main() -> None:
    """Compare each company, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dbt", required=True, help="the command of an environment with dbt-postgres")
    parser.add_argument("--packages", type=Path, help="a directory dbt_packages, instead of what dbt deps fetches")
    parser.add_argument("--books", type=int, default=5000, help="transactions of a company (default 5000)")
    parser.add_argument("--seeds", type=int, default=3, help="companies of the simulator (default 3)")
    parser.add_argument("--here", action="store_true", help="compare what is in the database of the settings")
    parser.add_argument("--command", default=COMMAND, help="qbo-rs (default: the installed one)")
    arguments = parser.parse_args()
    unexplained = 0
    for name, environment in companies(arguments):
        print(f"\n{name}")
        run_package(arguments, environment)
        with psycopg.connect(url(os.environ | environment)) as connection:
            unexplained += compare(connection)
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
