"""Processor time of processes that go on, such as a server, read from ``/proc`` of Linux."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def seconds(pid: int) -> float:
    """Return the processor time of a process, its children that have ended, and those that go on."""
    while True:
        before = children(pid)
        times = [spent(process) for process in (pid, *before)]
        # A child that ends meanwhile is counted twice, or not at all.
        if None not in times and children(pid) == before:
            return sum(times)


def spent(pid: int) -> float | None:
    """Return the processor time of a process and its children that have ended; ``None`` if it has ended itself."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None
    # The fields after the name, which may hold anything: utime, stime, cutime and cstime are the 12th to the 15th.
    return sum(map(int, text.rpartition(")")[2].split()[11:15])) / TICKS


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and that go on."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(one) for thread in threads for one in (thread / "children").read_text().split()]
