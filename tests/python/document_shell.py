"""Runs the commands of the documents in bash, as they stand, against a simulated company."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from conftest import COMMAND, ROOT

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = re.compile(r"^```(sh|sql|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Lines that install, build, need Docker or a checkout, or have tests of their own (test_demo.py). Their recipes and
# files are looked up instead.
NOT_RUN = re.compile(r"^(pip install|cargo |make |docker |sh docker/|\.venv/bin/|qbo-rs demo)")
# What a user fills in, and what the tests set before.
FILLED_IN = re.compile(r"^export (DATABASE_URL|QBO_CLIENT_ID)=")

# Takes the place of `qbo-rs`: it is the browser of a login, and ends what would run until it is stopped, once it has
# said that it works.
WRAPPER = '''#!{python}
import json, os, socket, subprocess, sys, threading, time, urllib.error, urllib.request

arguments = sys.argv[1:]
line = [{command!r}, *arguments]
words = [word for word in arguments if not word.startswith("-")]
SECONDS = 60
# What a command says as soon as it does what it is for.
SIGNS = {{"serve": "listening on http", "sandbox": "# sandbox at http", "sync": "; next about "}}


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def address_after_consent(url):
    try:
        urllib.request.build_opener(Stay).open(url, timeout=20)
    except urllib.error.HTTPError as answer:
        return answer.headers["location"]
    raise SystemExit("no redirect from " + url)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def log_in():
    if "--redirect-uri" not in arguments:
        line.extend(["--redirect-uri", f"http://localhost:{{free_port()}}/callback"])
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for said in process.stderr:
        sys.stderr.write(said)
        if said.strip().startswith("http"):
            address = address_after_consent(said.strip())
            if "DOCUMENT_ADDRESS" in os.environ:
                state = address.partition("state=")[2].partition("&")[0]
                address = address.partition("?")[0] + os.environ["DOCUMENT_ADDRESS"].replace("STATE", state)
            if "--paste" in arguments:
                process.stdin.write(address + "\\n")
                process.stdin.close()
            else:
                urllib.request.urlopen(address, timeout=20)
            break
    sys.stderr.write(process.stderr.read())
    return process.wait(timeout=30)


def refresh_token():
    """Get a refresh token, as from Intuit's OAuth playground."""
    asked = [line[0], "sandbox", "control", "refresh-token"]
    said = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(said)["refresh_token"]


def run_until_it_works():
    sign = next(sign for word, sign in SIGNS.items() if word in words)
    seen = threading.Event()

    def copy(source, target):
        for said in source:
            target.write(said)
            target.flush()
            if sign in said:
                seen.set()

    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    copies = [threading.Thread(target=copy, args=pair)
              for pair in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))]
    for each in copies:
        each.start()
    deadline = time.monotonic() + SECONDS
    while not seen.wait(0.05) and process.poll() is None and time.monotonic() < deadline:
        pass
    has_ended = process.poll()
    process.terminate()
    process.wait(timeout=30)
    for each in copies:
        each.join()
    if seen.is_set():
        return has_ended or 0
    sys.stderr.write(f"{{line}} did not say {{sign!r}}\\n")
    return has_ended or 1


if words[:2] == ["auth", "import"]:
    with open(words[2], "w") as file:
        file.write(refresh_token())
if "login" in words:
    sys.exit(log_in())
is_repeated = "--every" in arguments
ends = {{"control", "conform", "--", "--stop"}} & set(arguments)
runs_on = "serve" in words or is_repeated or (words[:1] == ["sandbox"] and not ends)
if not runs_on:
    os.execv(line[0], line)
if not is_repeated:
    line += ["--port", os.environ.get("DOCUMENT_PORT", "0")]
if "DOCUMENT_BACKGROUND" in os.environ:
    os.execv(line[0], line)
if "--detach" in arguments:
    os.execv(line[0], line)
sys.exit(run_until_it_works())
'''


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    """Return the code blocks of a document, each with its language."""
    found = BLOCK.findall((ROOT / page).read_text())
    return [(language, text) for language, text in found if language in languages]


def runnable(text: str) -> str:
    """Return a block of a shell without the lines that a test does not run."""
    kept = [line for line in text.splitlines() if not NOT_RUN.match(line) and not FILLED_IN.match(line)]
    return "\n".join(kept) + "\n"


class Shell:
    """A shell in a folder of its own, in which `qbo-rs` is the command under test."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        programs = folder / "programs"
        programs.mkdir()
        wrapper = programs / "qbo-rs"
        wrapper.write_text(WRAPPER.format(python=sys.executable, command=COMMAND))
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
        self.environment = environment | {"PATH": f"{programs}:{environment['PATH']}", "LC_ALL": "C.UTF-8"}

    def run(self, text: str, timeout: int = 100) -> subprocess.CompletedProcess:
        """Run commands, each of which has to succeed."""
        done = self.start(text, timeout)
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done

    def attempt(self, text: str) -> str:
        """Run commands of which one has to fail; return what they say."""
        done = self.start(text, 100)
        assert done.returncode != 0, text
        return done.stdout + done.stderr

    def start(self, text: str, timeout: int) -> subprocess.CompletedProcess:
        line = [shutil.which("bash"), "-euo", "pipefail", "-c", text]
        return subprocess.run(
            line,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
