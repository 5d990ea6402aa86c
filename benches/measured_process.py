"""Runs a pipeline of commands, and measures the processes that it consists of.

What the last command printed is in the file ``output`` of the folder.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SAMPLE_S = 0.1
HIGHEST, PRESENT = re.compile(r"VmHWM:\s+(\d+) kB"), re.compile(r"VmRSS:\s+(\d+) kB")
MEGABYTE = 1e6
# The longest message that fits into a table.
MESSAGE = 160
# The line that names a Python exception; warnings and advice can follow it.
EXCEPTION = re.compile(r"(?:[a-z_]\w*\.)+[A-Z]\w*: .|\w*Error: .")


class ProcessError(Exception):
    """A command did not run to its end; the message is the last thing that it said."""


class Usage(NamedTuple):
    """What a pipeline took."""

    seconds: float
    cpu_s: float
    peak_mb: float


def run(
    pipeline: Sequence[Sequence[str]], environment: Mapping[str, str], folder: Path, limit_s: float, accepted: int = 0
) -> Usage:
    """Run the commands side by side, each fed by the one before it.

    Processor time is that of all processes that ended, with their children. Memory is the highest sum of what they
    held at the same time, looked at ten times a second, or the highest that one of them ever held, if that is more.
    An exit code of ``accepted`` is no failure.

    Raises:
        ProcessError: A command failed, or the limit passed.

    """
    begin = time.perf_counter()
    with ExitStack() as files:
        processes = _start(pipeline, environment, folder, files)
    late = threading.Event()

    def end() -> None:
        late.set()
        for process in processes:
            # Each leads a process group, so that its children end too.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    limit = threading.Timer(limit_s, end)
    limit.start()
    sampler = Sampler([process.pid for process in processes])
    try:
        ended = [os.wait4(process.pid, 0) for process in processes]
    except BaseException:
        end()
        raise
    finally:
        limit.cancel()
        peak = sampler.stop()
    seconds = time.perf_counter() - begin
    for process, (_, status, _) in zip(processes, ended, strict=True):
        process.returncode = os.waitstatus_to_exitcode(status)
    if late.is_set():
        raise ProcessError(f"not done after {limit_s:.0f} s")
    # A reader that fails ends its writer, so that the last one knows why.
    for index, process in reversed(list(enumerate(processes))):
        if process.returncode not in (0, accepted):
            raise ProcessError(_last_words(folder / f"errors-{index}", process.returncode))
    cpu = sum(usage.ru_utime + usage.ru_stime for *_, usage in ended)
    return Usage(seconds, cpu, peak / MEGABYTE)


def _start(
    pipeline: Sequence[Sequence[str]], environment: Mapping[str, str], folder: Path, files: ExitStack
) -> list[subprocess.Popen[bytes]]:
    processes: list[subprocess.Popen[bytes]] = []
    source = subprocess.DEVNULL
    for index, line in enumerate(pipeline):
        is_last = index == len(pipeline) - 1
        processes.append(
            subprocess.Popen(
                line,
                env=dict(environment),
                cwd=folder,
                stdin=source,
                stdout=files.enter_context((folder / "output").open("wb")) if is_last else subprocess.PIPE,
                stderr=files.enter_context((folder / f"errors-{index}").open("wb")),
                start_new_session=True,
            )
        )
        if not is_last:
            # Closed here once the next command has it, so that a reader's end ends its writer.
            source = files.enter_context(processes[-1].stdout)
    return processes


def _last_words(errors: Path, code: int) -> str:
    lines = [line.strip() for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if EXCEPTION.match(line)] or lines or [f"exit code {code}"]
    return said[-1][:MESSAGE]


class Sampler:
    """Looks at the memory of all processes of some sessions until it is stopped.

    ``ru_maxrss`` would not do: a process inherits that of the one that started it, which here holds the simulator.
    """

    def __init__(self, sessions: Sequence[int]) -> None:
        """Begin to look."""
        self._sessions = frozenset(sessions)
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return the highest memory in bytes."""
        self._stop.set()
        self._thread.join()
        return self._peak

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            held = [self._memory(process) for process in Path("/proc").glob("[0-9]*")]
            highest = max((high for high, _ in held), default=0)
            self._peak = max(self._peak, highest, sum(now for _, now in held))

    def _memory(self, process: Path) -> tuple[int, int]:
        """Return the highest and the present memory of a process; none if it is another's."""
        # A process can end between two looks.
        with suppress(OSError):
            if os.getsid(int(process.name)) in self._sessions:
                status = (process / "status").read_text()
                # One that has ended, but is not waited for yet, has neither.
                high, now = (pattern.search(status) for pattern in (HIGHEST, PRESENT))
                if high and now:
                    return int(high[1]) * 1024, int(now[1]) * 1024
        return 0, 0
