"""Measures programs that copy QuickBooks into Postgres beside each other: ``python -m peers`` in ``benches``.

Every peer reads the same simulated company, into a Postgres that is thrown away. A peer that is not installed or does
not run stands in the table with its message. The default is a run of some minutes; ``make bench-peers`` measures the
sizes of the documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path

from backfill import machine
from with_postgres import throw_away_postgres

import qbo_rs

from . import table
from .bench import Case, Measure, connect, measure
from .company import invoices, mixed
from .dlt import Dlt
from .peer import Peer, versions
from .plain import Script
from .pyairbyte import PyAirbyte
from .qbo import Backfill
from .singer import Tap

PEERS: list[Peer] = [
    Backfill(),
    Script(100, "executemany"),
    Script(1000, "execute_values"),
    Dlt("insert_values"),
    Dlt("csv"),
    Tap("pipelinewise-target-postgres"),
    Tap("meltanolabs-target-postgres"),
    PyAirbyte(),
]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixed", type=int, default=3000, help="customers, items and invoices together (default 3000)")
    parser.add_argument("--invoices", type=int, default=3000, help="invoices (default 3000); 0: none")
    parser.add_argument("--latency", type=int, nargs="+", default=[0, 50], help="milliseconds a request (default 0 50)")
    parser.add_argument("--edits", type=float, default=20, help="edits a second in the runs with edits (default 20)")
    parser.add_argument("--peers", nargs="+", help="parts of the names of peers to run (default all)")
    parser.add_argument("--limit-s", type=float, default=600, help="seconds after which a peer is ended (default 600)")
    parser.add_argument("--json", type=Path, help="file for the measures, kept up to date while peers run")
    parser.add_argument("--note", default="", help="what else the machine did, for the page")
    return parser.parse_args()


def cases(given: argparse.Namespace) -> list[Case]:
    """Return all cases."""
    companies = [data for data in (mixed(given.mixed), invoices(given.invoices)) if all(data.entities.values())]
    return [
        Case(data, latency_ms, edits)
        for data in companies
        for latency_ms in given.latency
        for edits in dict.fromkeys((0, given.edits))
    ]


def about(given: argparse.Namespace, postgres: dict[str, str], peers: list[Peer]) -> dict[str, object]:
    """Describe the run."""
    with connect(postgres) as connection:
        server = connection.execute("SHOW server_version").fetchone()[0]
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "postgres": server,
        "qbo_rs": qbo_rs.__version__,
        "versions": {peer.name: versions(peer) for peer in peers if peer.needs},
        "mixed": given.mixed,
        "invoices": given.invoices,
        "edits_a_second": given.edits,
        "note": given.note,
    }


def main() -> None:
    """Run all peers in all cases and print the measures as they come."""
    # Ended early, it stops its Postgres and the peer all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended early"))
    given = arguments()
    peers = [peer for peer in PEERS if not given.peers or any(part in peer.name for part in given.peers)]
    measures: list[Measure] = []
    with throw_away_postgres() as postgres:
        described = about(given, postgres, peers)
        for case in cases(given):
            group: list[Measure] = []
            for peer in peers:
                group.append(measure(peer, case, postgres, given.limit_s))
                if len(group) == 1:
                    print(f"\n{table.head(table.title(group[0]))}")
                print(table.row(group[-1]), flush=True)
                described["load_at_end"] = [round(load, 1) for load in os.getloadavg()]
                if given.json:
                    held = [done.json() for done in measures + group]
                    given.json.write_text(json.dumps({"about": described, "measures": held}, indent=1))
            print(f"{table.verdict(group)} ({table.GOAL_TEXT})")
            measures += group


if __name__ == "__main__":
    main()
