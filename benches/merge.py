"""Times the same backfill into a new table and into one that was emptied and analysed, as autovacuum does by itself.

Statistics that call a table empty must not make a merge slower, whatever the number of rows and of windows at once. The
last column must stay near 1 for every size. ``--command`` measures another build of qbo-rs.
"""

from __future__ import annotations

import argparse

import backfill
import psycopg
from with_postgres import throw_away_postgres, url  # found through backfill, which adds its directory

#: Units of a window, by the number of windows in the two years of the sandbox.
UNITS = {1: "900d", 4: "200d", 16: "46d"}


def main() -> None:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 20_000, 40_000], help="numbers of invoices")
    parser.add_argument("--command", default=backfill.COMMAND, help="the qbo-rs to measure")
    arguments = parser.parse_args()
    backfill.COMMAND = arguments.command
    print(f"{backfill.machine()}; {arguments.command}")
    print(f"{'invoices':>10}{'windows':>10}{'new table, s':>16}{'emptied, s':>16}{'ratio':>10}")
    for rows in arguments.rows:
        sandbox, environment = backfill.start_sandbox(rows)
        try:
            for windows, unit in UNITS.items():
                new, emptied = measure(environment, unit)
                print(f"{rows:>10}{windows:>10}{new:>16.2f}{emptied:>16.2f}{emptied / new:>10.2f}", flush=True)
        finally:
            sandbox.terminate()
            sandbox.wait(timeout=10)


def measure(environment: dict[str, str], unit: str) -> tuple[float, float]:
    """Return the seconds of a backfill into a new table, and again after it was emptied and analysed."""
    with throw_away_postgres() as postgres:
        settings = environment | postgres
        new = backfill.backfill("new table", settings, unit)
        with psycopg.connect(url(postgres), autocommit=True) as connection:
            connection.execute("TRUNCATE raw.qb_invoices")
            connection.execute("VACUUM ANALYZE raw.qb_invoices")
        emptied = backfill.backfill("emptied table", settings, unit)
    return new.seconds, emptied.seconds


if __name__ == "__main__":
    main()
