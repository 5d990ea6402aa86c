"""Measures everything of docs/benchmarks.md in one run: ``python -m report --json FILE``.

Simulator, Postgres and client share the cores of this machine. ``python -m report.page FILE`` writes the page.
"""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import backfill
import psycopg
from with_postgres import throw_away_postgres, url  # found through backfill, which adds its directory

import qbo_rs

from . import measures


def main() -> None:
    """Run all measures, print each, and write them into a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--rows", type=int, default=100_000, help="invoices (default 100000)")
    parser.add_argument("--memory", type=int, nargs="+", default=[100_000, 1_000_000], help="invoices of the companies")
    arguments = parser.parse_args()
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": backfill.machine(),
        "qbo_rs": qbo_rs.__version__,
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    with throw_away_postgres() as postgres, psycopg.connect(url(postgres)) as connection:
        about["postgres"] = connection.execute("SHOW server_version").fetchone()[0]
    figures = []
    for figure in chain(
        measures.start(),
        measures.requests(),
        measures.loading(arguments.rows),
        measures.plan(),
        measures.memory(arguments.memory),
        measures.instructions(),
    ):
        figures.append(figure._asdict())
        print(f"{figure.group}: {figure.name}: {figure.value:,.2f} {figure.unit} {figure.verdict}", flush=True)
    about["load_at_end"] = [round(load, 1) for load in os.getloadavg()]
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"about": about, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
