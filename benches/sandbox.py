"""Measures full pages per second of the simulator on one thread, and the start of a large company."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode, urlsplit

COMMAND = str(Path(sys.executable).parent / "qbo-rs")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mebibytes(pid: int) -> float:
    """Return the peak memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Sandbox:
    """The simulator as a process that serves on one thread."""

    def __init__(self, invoices: int) -> None:
        """Start the process and wait until it listens."""
        begin = time.perf_counter()
        line = [COMMAND, "sandbox", "--port", "0", "--no-limits", "--threads", "1", "--invoices", str(invoices)]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        self.settings = {}
        for text in self.process.stdout:
            if not text.startswith("export "):
                break
            name, value = text.removeprefix("export ").strip().split("=", 1)
            self.settings[name] = value
        self.start_s = time.perf_counter() - begin
        self.host = urlsplit(self.settings["QBO_API_URL"]).netloc

    def token(self) -> str:
        """Return an access token."""
        keys = {"client_id": self.settings["QBO_CLIENT_ID"], "client_secret": self.settings["QBO_CLIENT_SECRET"]}
        form = {"grant_type": "refresh_token", "refresh_token": self.settings["QBO_REFRESH_TOKEN"]} | keys
        connection = http.client.HTTPConnection(self.host)
        connection.request("POST", urlsplit(self.settings["QBO_TOKEN_URL"]).path, urlencode(form))
        return json.load(connection.getresponse())["access_token"]

    def read(self, pages: int, worker: int, total: int, token: str, *, gzip: bool) -> int:
        """Read pages of 1000 invoices at different positions over one connection; return their bytes."""
        connection = http.client.HTTPConnection(self.host)
        path = f"/v3/company/{self.settings['QBO_REALM_ID']}/query?minorversion=75"
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        headers |= {"accept-encoding": "gzip"} if gzip else {}
        buffer, received = bytearray(4 << 20), 0
        for number in range(pages):
            first = (number * 7 + worker * 3) % (total // 1000) * 1000 + 1
            query = f"SELECT * FROM Invoice ORDERBY MetaData.LastUpdatedTime STARTPOSITION {first} MAXRESULTS 1000"
            connection.request("POST", path, query, headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise SystemExit(f"status {answer.status}")
            while size := answer.readinto(buffer):
                received += size
        return received


def main() -> None:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=3000)
    parser.add_argument("--invoices", type=int, default=1_000_000)
    arguments = parser.parse_args()
    sandbox = Sandbox(arguments.invoices)
    pid = sandbox.process.pid
    try:
        print(f"machine: {platform.machine()}, {os.cpu_count()} cores, {platform.platform()}")
        started = f"{sandbox.start_s:.1f} s, {cpu_seconds(pid):.1f} s of processor, {peak_mebibytes(pid):.0f} MiB"
        print(f"company of {arguments.invoices:,} invoices: started in {started}")
        token = sandbox.token()
        for name, gzip, pages in (("plain", False, arguments.pages), ("gzip", True, arguments.pages // 10)):
            sandbox.read(10, 0, arguments.invoices, token, gzip=gzip)
            begin, cpu = time.perf_counter(), cpu_seconds(pid)
            with ThreadPoolExecutor(2) as pool:
                shares = [
                    pool.submit(sandbox.read, pages // 2, worker, arguments.invoices, token, gzip=gzip)
                    for worker in range(2)
                ]
                received = sum(share.result() for share in shares)
            wall, cpu = time.perf_counter() - begin, cpu_seconds(pid) - cpu
            row = received / (pages // 2 * 2) / 1000
            print(
                f"{name}: {pages / wall:,.0f} pages of 1000 rows a second, {pages / cpu:,.0f} per processor second of "
                f"the sandbox; {row:,.0f} bytes a row as sent"
            )
        print(f"peak memory: {peak_mebibytes(pid):.0f} MiB")
    finally:
        sandbox.process.terminate()
        sandbox.process.wait(timeout=10)


if __name__ == "__main__":
    main()
