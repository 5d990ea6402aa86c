"""The command with events: ``python -m qbo_rs.lineage backfill invoices --start 2025 --end 2026``.

The command runs as a process of its own with the same arguments and ``--json``. Its object goes to stdout, everything
else to stderr, and the exit code is the command's. It is the same without a place for events, which then go nowhere.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from qbo_rs import _core
from qbo_rs.lineage._database import database_of
from qbo_rs.lineage._outcome import Outcome, outcome_of
from qbo_rs.lineage._teller import Teller, client_needed, is_configured

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = ("backfill", "extract", "load", "sync")
_HELP = ("-h", "--help")
_HELP_TEXT = f"""\
usage: python -m qbo_rs.lineage COMMAND ...

Run `qbo-rs COMMAND ... --json` and tell OpenLineage of it. COMMAND is one of {", ".join(_COMMANDS)};
its arguments are those of `qbo-rs COMMAND --help`, without --env-file and --every.
"""
_JSON = "--json"
_ENV_FILE = "QBO_ENV_FILE"
_STOPPED = (130, 143, -signal.SIGINT, -signal.SIGTERM)
_USAGE = 2


def main(arguments: Sequence[str]) -> int:
    """Run the command and send its events; return its exit code."""
    if arguments and arguments[0] in _HELP:
        sys.stdout.write(_HELP_TEXT)
        return 0
    if not arguments or arguments[0] not in _COMMANDS:
        sys.stderr.write(f"error: the commands with events are {', '.join(_COMMANDS)}\n")
        return _USAGE
    if any(argument in _HELP for argument in arguments):
        os.execv(sys.executable, _command(arguments))  # noqa: S606 - the command of this package
    flags = _flags(arguments)
    refused = [f"--{flag}" for flag in ("every", "env-file") if flag in flags]
    refused += [_ENV_FILE] if os.environ.get(_ENV_FILE) else []
    if refused and is_configured():
        sys.stderr.write(f"error: {refused[0]} does not go with events; docs/lineage.md says what to do instead\n")
        return _USAGE
    try:
        with client_needed():
            importlib.import_module("qbo_rs.lineage._events")
    except ModuleNotFoundError as error:
        # Whoever calls this command wants events: without any, success would not be true.
        sys.stderr.write(f"error: {error}\n")
        return _USAGE
    if not is_configured():
        os.execv(sys.executable, _command(_with_json(arguments)))  # noqa: S606 - likewise
    settings = {name: flags[name.replace("_", "-")] for _, name in _core.settings() if name.replace("_", "-") in flags}
    return _tell(arguments, flags, settings)


def _tell(arguments: Sequence[str], flags: dict[str, str], settings: dict[str, str]) -> int:
    names = [] if arguments[0] == "load" else _entities(arguments[1:])
    teller = Teller(arguments[0], names, database_of(settings), settings)
    teller.start()
    with subprocess.Popen(_command(_with_json(arguments)), stdout=subprocess.PIPE, text=True) as command:  # noqa: S603 - likewise
        # Ctrl-C reaches the command, too, which ends in order; a plain kill is passed on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        output, _ = command.communicate()
    sys.stdout.write(output)
    sys.stdout.flush()
    code = command.returncode
    teller.end(_outcome(output, arguments[0], flags.get("schema", "raw"), code), is_stopped=code in _STOPPED)
    return code if code >= 0 else 128 - code


def _outcome(output: str, verb: str, schema: str, code: int) -> Outcome:
    try:
        outcome = outcome_of(json.loads(output), verb, schema)
    except ValueError:
        outcome = Outcome()
    if code != 0 and outcome.failure is None:
        return Outcome(outcome.written, f"the command ended with exit code {code}")
    return outcome


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "qbo_rs", *arguments]


def _with_json(arguments: Sequence[str]) -> Sequence[str]:
    return arguments if _JSON in arguments else [*arguments, _JSON]


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    """Return the flags by name, with their values."""
    found = {}
    for place, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, has_value, value = argument[2:].partition("=")
            following = arguments[place + 1] if place + 1 < len(arguments) else ""
            found[name] = value if has_value else following
    return found


def _entities(arguments: Sequence[str]) -> list[str]:
    """Return the entities, which stand before the first flag."""
    names: list[str] = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        names += argument.split(",")
    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
