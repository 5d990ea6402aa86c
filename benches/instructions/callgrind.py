"""Builds the release tests of the library and counts the instructions of its cases under callgrind."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
#: The function of src/testing/instructions.rs inside of which instructions are counted.
MEASURED = "qbo_rs::testing::instructions::measured*"
#: Tests whose names begin so are cases.
CASE = "instructions_of_"


def output(*line: str, toolchain: str | None = None) -> str:
    """Return what a command prints. With ``toolchain``, rustup chooses that one."""
    environment = os.environ | ({"RUSTUP_TOOLCHAIN": toolchain} if toolchain else {})
    return subprocess.run(line, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def tools(toolchain: str | None) -> dict[str, str]:
    """Return what counts depend on: compiler, libraries, and the processor that they choose their loops for."""
    rustc = dict(line.split(": ", 1) for line in output("rustc", "-vV", toolchain=toolchain).splitlines()[1:])
    return {
        "rustc": rustc["release"],
        "host": rustc["host"],
        "libc": " ".join(platform.libc_ver()),
        "valgrind": output("valgrind", "--version").strip().removeprefix("valgrind-"),
        "avx2": "yes" if "avx2" in Path("/proc/cpuinfo").read_text().split() else "no",
    }


def build(toolchain: str | None) -> str:
    """Build the tests; return the path of their binary."""
    line = ["cargo", "test", "--locked", "--release", "--features", "cli", "--lib", "--no-run"]
    for message in output(*line, "--message-format", "json", toolchain=toolchain).splitlines():
        made = json.loads(message)
        if made.get("executable") and made["target"]["name"] == "qbo_rs":
            return made["executable"]
    raise SystemExit("cargo names no binary of the tests")


def cases(binary: str) -> dict[str, str]:
    """Return the tests to count, by the name of their work."""
    named: dict[str, str] = {}
    for line in output(binary, "--list", "--format", "terse").splitlines():
        test = line.removesuffix(": test")
        _, found, work = test.rpartition(CASE)
        name = work.replace("_", " ")
        if found and named.setdefault(name, test) != test:
            raise SystemExit(f"two cases have the name '{name}': {named[name]} and {test}")
    return named


def count(binary: str) -> Iterator[tuple[str, int]]:
    """Run each case; return its name and the number of its instructions."""
    for name, test in cases(binary).items():
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "callgrind"
            options = ["--tool=callgrind", f"--callgrind-out-file={told}", "--collect-atstart=no"]
            line = ["valgrind", "--quiet", *options, f"--toggle-collect={MEASURED}", binary]
            output(*line, "--exact", test, "--test-threads", "1")
            totals = [line for line in told.read_text().splitlines() if line.startswith("totals: ")]
        instructions = int(totals[-1].split()[1]) if totals else 0
        if not instructions:
            raise SystemExit(f"nothing was counted in {test}: does it call measured()?")
        yield name, instructions
