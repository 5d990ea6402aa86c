"""A real Mage on a copy of the project, with its own data directory and database."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
MAGE = Path(os.environ.get("MAGE_VENV", ROOT / ".venv" / "mage")) / "bin"
# Mage's pages send this key for every user.
API_KEY = "zkWlN0PkIKSN0C11CfUHUj84OT5XOJ6tDZ6bDRO2"
OWNER = {"email": "admin@admin.com", "password": "admin"}
START_LIMIT = 90
RUN_LIMIT = 240
# Seconds after which a trigger that has not fired is shown to Mage again.
FIRING_LIMIT = 40
ENDED = {"completed", "failed", "cancelled"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(what: str, look, limit: float = RUN_LIMIT, explain=lambda: ""):
    """Call ``look`` until it returns a true value, and return that.

    After ``limit`` seconds it fails with ``what`` and the text that ``explain`` returns.
    """
    end = time.monotonic() + limit
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"{what}: not within {limit} s\n{explain()}"
        time.sleep(0.25)


class Mage:
    def __init__(self, directory: Path, mage_database: str, environment: dict[str, str]) -> None:
        self.project = directory / "mage_project"
        self.data = directory / "data"
        shutil.copytree(ROOT / "mage_project", self.project)
        self.log = directory / "server.log"
        self.environment = environment | {
            "HOME": str(directory),
            "MAGE_DATA_DIR": str(self.data),
            # SQLAlchemy 2.1 uses psycopg 3 unless the URL names a driver.
            "MAGE_DATABASE_CONNECTION_URL": mage_database.replace("postgresql://", "postgresql+psycopg2://"),
            "SCHEDULER_TRIGGER_INTERVAL": "2.5",
            "DISABLE_AUTO_BROWSER_OPEN": "True",
            "DISABLE_AUTORELOAD": "True",
            "JWT_SECRET": "for tests only",
        }
        self.server: subprocess.Popen | None = None
        self.port = 0
        self.token = ""

    def python(self, *arguments: str, text: str = "", limit: float = RUN_LIMIT) -> subprocess.CompletedProcess:
        return subprocess.run(
            arguments,
            input=text,
            env=self.environment,
            cwd=self.project.parent,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def create_secrets(self, secrets: dict[str, str]) -> None:
        script = str(Path(__file__).parent / "create_secrets.py")
        done = self.python(str(MAGE / "python"), script, str(self.project), text=json.dumps(secrets))
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def run(self, pipeline: str, **variables: object) -> subprocess.CompletedProcess:
        """Run a pipeline with ``mage run``, without a server."""
        line = [str(MAGE / "mage"), "run", str(self.project), pipeline, "--runtime-vars", json.dumps(variables)]
        return self.python(*line)

    def start(
        self, command: tuple[str, ...] = ("mage", "start", "mage_project"), owner: dict[str, str] = OWNER
    ) -> None:
        """Start the server in the directory that holds the project, and log in."""
        self.port = free_port()
        line = [str(MAGE / command[0]), *command[1:], "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(
                line, env=self.environment, cwd=self.project.parent, stdout=log, stderr=log, start_new_session=True
            )
        eventually("Mage answers", self._answers, START_LIMIT)
        self.token = ""
        session = self.call("POST", "sessions", {"session": owner})["session"]
        payload = session["token"].split(".")[1]
        self.token = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["token"]

    def kill(self) -> None:
        """Kill every process of Mage at once, like a machine that stops."""
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait(10)
            self.server = None

    def _answers(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None, self.log.read_text()[-3000:]
        try:
            self.call("GET", "statuses")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        headers = {"X-API-KEY": API_KEY, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/api/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            parsed = json.load(answer)
        assert "error" not in parsed, parsed
        return parsed

    def triggers_file(self, pipeline: str) -> Path:
        return self.project / "pipelines" / pipeline / "triggers.yaml"

    def triggers(self, pipeline: str) -> list[dict]:
        return yaml.safe_load(self.triggers_file(pipeline).read_text())["triggers"]

    def activate(self, pipeline: str, *, interval: str | None = None, **variables: object) -> None:
        """Make the pipeline's trigger active in its file, like a user does, with another interval if one is given."""
        [trigger] = self.triggers(pipeline)
        trigger |= {"status": "active", "variables": trigger["variables"] | variables}
        trigger["schedule_interval"] = interval or trigger["schedule_interval"]
        # Mage may read the file at any time, so it is replaced at once.
        file = self.triggers_file(pipeline)
        new = file.with_suffix(".new")
        new.write_text(yaml.safe_dump({"triggers": [trigger]}, sort_keys=False))
        new.replace(file)

    def add_once_pipeline(self, name: str, code: str) -> None:
        """Add a pipeline of one block, the function ``name`` of the code, with an active one-time trigger."""
        directory = self.project / "pipelines" / name
        directory.mkdir()
        (self.project / "data_loaders" / f"{name}.py").write_text(code)
        block = {"uuid": name, "name": name, "type": "data_loader", "language": "python"}
        block |= {"executor_type": "local_python", "upstream_blocks": [], "downstream_blocks": []}
        pipeline = {"name": name, "uuid": name, "type": "python", "blocks": [block]}
        (directory / "metadata.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
        trigger = {"name": f"{name}_trigger", "pipeline_uuid": name, "schedule_type": "time", "status": "active"}
        trigger |= {"schedule_interval": "@once", "start_time": datetime(2025, 1, 1)}  # noqa: DTZ001 - as Mage has it
        self.triggers_file(name).write_text(yaml.safe_dump({"triggers": [trigger]}, sort_keys=False))

    def schedule(self, pipeline: str) -> dict:
        """Return the pipeline's first trigger in Mage's database."""
        schedules = self.call("GET", f"pipelines/{pipeline}/pipeline_schedules")["pipeline_schedules"]
        return min(schedules, key=lambda schedule: schedule["id"]) if schedules else {}

    def runs(self, pipeline: str) -> list[dict]:
        return self.call("GET", f"pipeline_runs?pipeline_uuid={pipeline}&_limit=50")["pipeline_runs"]

    def ended_run(self, pipeline: str, limit: float = RUN_LIMIT) -> dict:
        """Wait for the end of the pipeline's only run, and return it.

        Mage's scheduler reads a trigger's file once after each change. A run did not end in time on a busy machine,
        perhaps because Mage had missed the change; so the file of a trigger that does not fire is touched.
        """
        touch_at = time.monotonic() + FIRING_LIMIT

        def look() -> dict | None:
            nonlocal touch_at
            runs = self.runs(pipeline)
            assert len(runs) <= 1, runs
            if not runs and time.monotonic() > touch_at:
                self.triggers_file(pipeline).touch()
                touch_at += FIRING_LIMIT
            return next((run for run in runs if run["status"] in ENDED), None)

        return eventually(f"{pipeline} ends", look, limit, lambda: self.explain(pipeline))

    def explain(self, pipeline: str) -> str:
        """Describe the pipeline's trigger, runs and blocks, and quote the end of the server's log."""
        runs = self.runs(pipeline)
        lines = [f"trigger: {self.schedule(pipeline)}", f"file: {self.triggers_file(pipeline).read_text()}"]
        for run in runs:
            lines.append(f"run {run['id']}: {run['status']}")
            lines += [f"  {name}: {block['status']}" for name, block in self.block_runs(run["id"]).items()]
        return "\n".join([*lines, self.log.read_text()[-6000:]])

    def block_runs(self, run_id: int) -> dict[str, dict]:
        runs = self.call("GET", f"pipeline_runs/{run_id}/block_runs?_limit=50")["block_runs"]
        return {run["block_uuid"]: run for run in runs}

    def retry(self, run_id: int) -> None:
        body = {"id": run_id, "pipeline_run_action": "retry_blocks", "from_block_uuid": None}
        self.call("PUT", f"pipeline_runs/{run_id}", {"pipeline_run": body})

    def events(self, pipeline: str) -> list[dict]:
        """Return the log records of a pipeline's blocks, oldest first, as the page of logs shows them."""
        records = []
        for path in self.data.rglob("*.log"):
            if pipeline in path.parts:
                records += [
                    json.loads(text) for text in re.findall(r"^[-0-9T:]+ (\{.*\})$", path.read_text(), re.MULTILINE)
                ]
        return sorted(records, key=lambda record: record["timestamp"])
