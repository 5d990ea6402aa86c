"""What two broken companies cost eighteen others.

``qbo-rs sync --every 1s`` keeps companies in step, so short an interval that the machine is busy; how many syncs of the
eighteen end in a while is counted, first with the two others in order, then with one of them disconnected and the other
answering 500 to everything. Sandbox, Postgres and command share this machine.
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
    """Put the tokens of all companies into the store; return the environment of a service."""
    environment = environment | {"QBO_TOKEN_STORE": "postgres", "QBO_LAG_S": "0"}
    for realm_id, token in qbo.companies.items():
        line = [COMMAND, "auth", "import", "-"]
        subprocess.run(
            line, env=environment | {"QBO_REALM_ID": realm_id}, input=token, text=True, check=True, stdout=-3
        )
    return environment | {"QBO_REALM_ID": "", "QBO_REFRESH_TOKEN": ""}


def count(environment: dict[str, str], healthy: set[str], seconds: float) -> int:
    """Count syncs of healthy companies that end well in a while."""
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
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="of each count (default 30)")
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
    print(f"  with two broken {with_broken / without:.3f} of without")


if __name__ == "__main__":
    main()
