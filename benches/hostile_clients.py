"""Attacks ``qbo-rs serve`` with idle, slow and hostile clients, beside signed webhooks and a health probe.

An eighth each of the clients connect and send nothing, send a head byte by byte, send the body of a call or of a
falsely signed webhook byte by byte, stall after 32 KB or 1 MB of one, send one of 16 MiB, and ask without reading.
Others post falsely signed webhooks as fast as they are answered. All come from one address. Meanwhile 30 signed
webhooks, and 2 probes each of `/healthz` and `/readyz`, a second must be answered with 200 within a second each, and
the service must stay below 200 MB. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from backfill import COMMAND, machine
from service_attack import Answer, measure, mixture
from with_postgres import throw_away_postgres

import qbo_rs

TOKEN = "verifier token of the benchmark"  # noqa: S105 - of no app
MAX_SECONDS = 1.0
MAX_MB = 200.0


def row(name: str, answers: list[Answer]) -> bool:
    """Print a line of the table; return whether all answers came in time."""
    times = sorted(answer.seconds for answer in answers)
    good = sum(answer.status == 200 for answer in answers)  # noqa: PLR2004 - OK
    median, last = times[len(times) // 2], times[-1]
    print(f"| {name} | {len(answers)} | {good} | {median * 1000:.0f} ms | {last * 1000:.0f} ms |")
    return good == len(answers) and last < MAX_SECONDS


def main() -> int:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000, help="hostile clients (default 1000)")
    parser.add_argument("--flooders", type=int, default=4, help="clients that post without pause (default 4)")
    parser.add_argument("--seconds", type=float, default=60, help="duration (default 60)")
    parser.add_argument("--command", default=COMMAND, help="the qbo-rs to measure")
    arguments = parser.parse_args()
    with throw_away_postgres() as postgres, qbo_rs.sandbox(customers=10, items=10, invoices=10) as qbo:
        secrets = {"QBO_API_KEY": "key of the benchmark", "QBO_WEBHOOK_VERIFIER_TOKEN": TOKEN}
        environment = os.environ | qbo.environment | postgres | secrets | {"QBO_TOKEN_STORE": "postgres"}
        line = [arguments.command, "serve", "--port", "0", "--log-level", "error"]
        service = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            address = service.stdout.readline().split()[-1] if service.stdout else ""
            attack = mixture(arguments.clients, arguments.flooders)
            found = measure(address, service.pid, TOKEN, attack, arguments.seconds)
        finally:
            service.terminate()
            service.wait(timeout=60)
    print(f"{machine()}; {arguments.clients} hostile clients, {arguments.flooders} floods, {arguments.seconds:.0f} s\n")
    print("| | sent | answered 200 | median | slowest |\n| --- | --: | --: | --: | --: |")
    # All lines are printed.
    is_good = [row(f"`{path}`", answers) for path, answers in found.answers.items()]
    print(f"\nmost memory of the service: {found.peak_mb:.0f} MB")
    return 0 if all(is_good) and found.peak_mb < MAX_MB else 1


if __name__ == "__main__":
    sys.exit(main())
