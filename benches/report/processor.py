"""Processor time of processes that go on, such as a server, read from ``/proc`` of Linux."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def seconds(pid: int) -> float:
    """Return the processor time of a process and of all below it, those that have ended included."""
    while True:
        before = tree(pid)
        times = [spent(process) for process in before]
        if times[0] is None:
            raise ProcessLookupError(f"process {pid} has ended")
        # A child that ends meanwhile is counted twice, or not at all.
        if None not in times and tree(pid) == before:
            return sum(times)


def spent(pid: int) -> float | None:
    """Return the processor time of a process and its children that have ended; ``None`` if it has ended itself."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None
    # The fields after the name, which may hold anything: utime, stime, cutime and cstime are the 12th to the 15th.
    return sum(map(int, text.rpartition(")")[2].split()[11:15])) / TICKS


def tree(pid: int) -> list[int]:
    """Return a process and all below it that go on."""
    found = [pid]
    for process in found:
        found += children(process)
    return found


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and that go on."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        # Threads of a Java machine end at any time.
        with suppress(FileNotFoundError, ProcessLookupError):
            found += [int(one) for one in (thread / "children").read_text().split()]
    return found
