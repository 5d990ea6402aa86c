"""Installs the one wheel of a directory in an empty environment and runs it: ``python try_wheel.py DIRECTORY``.

It fails unless the wheel imports, its command runs, and both have the version of ``Cargo.toml``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent


def version_of_source() -> str:
    """Return the version of the workspace."""
    text = (SOURCE / "Cargo.toml").read_text()
    found = re.search(r'^\[workspace\.package\]\nversion = "(.*)"$', text, re.MULTILINE)
    if found is None:
        sys.exit("Cargo.toml has no version")
    return found[1]


def said(*line: str | Path) -> str:
    """Run a program and return what it prints."""
    return subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()  # noqa: S603 - ours


def main() -> None:
    """Install the wheel and run it."""
    [wheel] = Path(sys.argv[1]).resolve().glob("*.whl")
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        programs = Path(directory) / ("Scripts" if os.name == "nt" else "bin")
        said(programs / "python", "-m", "pip", "install", "--no-index", wheel)
        version = said(programs / "python", "-c", "import qbo_rs, qbo_rs.mage; print(qbo_rs.__version__)")
        command = said(programs / "qbo-rs", "--version")
    sys.stdout.write(f"{wheel.name}\n{command}\n")
    if version != version_of_source() or command.split()[:2] != ["qbo-rs", version]:
        sys.exit(f"the wheel is {version}, the source {version_of_source()}, the command says {command}")


if __name__ == "__main__":
    main()
