"""``qbo-rs serve`` as a process, and a client for it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING

from conftest import COMMAND

if TYPE_CHECKING:
    from own_database import Database

    import qbo_rs


class Server:
    def __init__(self, environment: dict[str, str], *arguments: str, errors: IO[str] | None = None) -> None:
        line = [COMMAND, "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        said = self.process.stdout.readline()
        assert said.startswith("listening on "), said
        self.url = said.split()[-1]
        self.key: str | None = None

    def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict]:
        data = None if body is None else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read().decode()
                is_json = answer.headers["content-type"] == "application/json"
                return answer.status, json.loads(text) if is_json else {"text": text}
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def ended(self, job_id: str, limit: float = 60) -> dict:
        end = time.monotonic() + limit
        while True:
            _, job = self.call("GET", f"/api/qbo/jobs/{job_id}")
            if job["status"] not in ("queued", "running"):
                return job
            assert time.monotonic() < end, job
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=10)


def hold_after(sandbox: qbo_rs.Sandbox, answers: int) -> None:
    """Leave a run in its middle for as long as a test needs: after some answers to queries, there are no more."""
    sandbox.fault("hang", on="query", nth=answers + 1, times=0)


def is_held(database: Database) -> bool:
    """Return true if a run has committed windows, and waits for others."""
    if not database.query("SELECT to_regclass('qbo.windows')")[0][0]:
        return False
    states = dict(database.query("SELECT status, count(*) FROM qbo.windows GROUP BY 1"))
    return states.get("done", 0) > 0 and states.get("running", 0) > 0
