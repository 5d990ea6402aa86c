"""The command ``qbo-rs`` in a process of its own, for what has no function in Python: logins and the state of things.

A process of its own also suits Mage's web server, which draws charts and must not get threads of the core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMIT_S = 180
ERROR = "error: "


@dataclass(frozen=True)
class Ended:
    """The end of a command."""

    code: int
    """Its exit code."""
    stdout: str
    """Its output."""
    stderr: str
    """Its log."""

    def report(self) -> dict[str, Any]:
        """Return the JSON object that it printed.

        Raises:
            ConfigError: It printed none, or that of an error; the text is its last error.

        """
        text = self.stdout.strip()
        report: dict[str, Any] = json.loads(text) if text.startswith("{") else {"error": text}
        if set(report) == {"error"}:
            raise ConfigError(self.reason)
        return report

    @property
    def reason(self) -> str:
        """The errors that it ended with, in one line."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        errors = [number for number, line in enumerate(lines) if line.startswith(ERROR)]
        last = lines[errors[0] :] if errors else lines[-1:]
        return "; ".join(line.removeprefix(ERROR) for line in last) or f"qbo-rs ended with {self.code} and said nothing"


def run(keywords: Mapping[str, Any], *arguments: str, text: str = "", limit_s: float = LIMIT_S) -> Ended:
    """Run the command and wait for its end.

    Args:
        keywords: Settings, as for the functions of :mod:`qbo_rs`.
        *arguments: Its arguments.
        text: Text on its standard input.
        limit_s: Seconds after which it is killed.

    Raises:
        ConfigError: It did not end in that time.

    """
    with started(keywords, *arguments) as process:
        try:
            stdout, stderr = process.communicate(text, timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise ConfigError(f"qbo-rs {arguments[0]}: no answer within {limit_s:g} s") from None
    return Ended(process.returncode, stdout, stderr)


@contextmanager
def started(keywords: Mapping[str, Any], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command; it is killed after three minutes, and at the end of the ``with`` statement."""
    variables = {keyword: variable for variable, keyword in _core.settings()}
    environment = dict(os.environ) | {variables[keyword]: str(value) for keyword, value in keywords.items()}
    # The command finds the package where this process has found it.
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(  # noqa: S603 - no shell, and the arguments are ours
        [sys.executable, "-m", "qbo_rs", *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = Timer(LIMIT_S, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
