"""Measures how two broken companies slow down eighteen others.

``qbo-rs sync --every 1s`` syncs all companies, at an interval so short that the machine is always busy. The benchmark
counts the completed syncs of the eighteen, first while all companies work, then with one company disconnected and one
answering 500 to every request. Simulator, Postgres and command share this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time

from backfill import COMMAND, machine
from with_postgres import throw_away_postgres

import qbo_rs

ENTITIES = ["customers", "invoices", "items"]
COMPANIES = 20


def connect(qbo: qbo_rs.Sandbox, environment: dict[str, str]) -> dict[str, str]:
    """Store the tokens of all companies; return the environment of the command."""
    environment = environment | {"QBO_TOKEN_STORE": "postgres", "QBO_LAG_S": "0"}
    for realm_id, token in qbo.companies.items():
        line = [COMMAND, "auth", "import", "-"]
        subprocess.run(
            line, env=environment | {"QBO_REALM_ID": realm_id}, input=token, text=True, check=True, stdout=-3
        )
    return environment | {"QBO_REALM_ID": "", "QBO_REFRESH_TOKEN": ""}


def count(environment: dict[str, str], healthy: set[str], seconds: float) -> int:
    """Return how many syncs of healthy companies succeed within the given time."""
    line = [COMMAND, "--json", "sync", *ENTITIES, "--every", "1s", "--log-level", "error"]
    process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
    ended, warm = 0, time.monotonic() + 5
    for output in process.stdout:
        now = time.monotonic()
        if now > warm + seconds:
            break
        for account in json.loads(output)["accounts"]:
            ended += now > warm and account["realm_id"] in healthy and account["status"] == "ok"
    process.terminate()
    process.wait(timeout=20)
    return ended


def main() -> None:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="duration of each count (default 30)")
    arguments = parser.parse_args()
    size = {"customers": 50, "items": 30, "invoices": 200, "others": 0}
    with throw_away_postgres() as postgres, qbo_rs.sandbox(companies=COMPANIES, limits=False, **size) as qbo:
        unlimited = {"QBO_REQUESTS_PER_MINUTE": "0", "QBO_REQUESTS_PER_SECOND": "0", "QBO_MAX_IN_FLIGHT": "0"}
        environment = connect(qbo, os.environ | qbo.environment | postgres | unlimited)
        realms = sorted(qbo.companies)
        dead, broken = realms[3], realms[11]
        healthy = set(realms) - {dead, broken}
        counts = []
        for is_broken in (False, True, False, True):
            if is_broken:
                qbo.fault("error", path=broken, times=0)
                qbo.control("disconnect", realm=dead)
                qbo.control("expire-tokens")
            counts.append((is_broken, count(environment, healthy, arguments.seconds)))
            qbo.clear_faults()
    print(f"{COMPANIES} companies; {machine()}")
    for is_broken, ended in counts:
        state = "two broken" if is_broken else "all in order"
        print(f"  {state}: {ended} syncs of the others in {arguments.seconds:.0f} s")
    with_broken = sum(ended for is_broken, ended in counts if is_broken)
    without = sum(ended for is_broken, ended in counts if not is_broken)
    print(f"  ratio with / without two broken companies: {with_broken / without:.3f}")


if __name__ == "__main__":
    main()
