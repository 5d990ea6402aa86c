"""Counts instructions and holds them against the recorded ones: ``python -m instructions``; ``--record`` writes them.

The compiler is that of the recorded counts, by rustup, so that the file decides and not the machine. Counts of other
tools are not judged: the command says which differ, and fails with exit code 2.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from . import callgrind
from .counts import COUNTS, Counts, judge, other_tools, table

RECORD = "make bench-check RECORD=1"
FAILED, CANNOT_JUDGE = 1, 2

REFUSAL = f"""\
bench-check cannot judge: only counts of the same tools are comparable.
%s
To compare on this machine, record before a change with
  {RECORD} COUNTS=/tmp/before.txt
and check after it with
  make bench-check COUNTS=/tmp/before.txt"""


def conclude(recorded: dict[str, int], counted: dict[str, int]) -> tuple[int, str]:
    """Return the exit code for new counts, and what is printed about them."""
    verdicts = judge(recorded, counted)
    code, lines = 0, [table(verdicts)]
    if any(verdict.fails for verdict in verdicts):
        code = FAILED
        lines.append(f"\nbench-check failed. If this is intended, record the new counts and say why: {RECORD}")
    elif any(verdict.word == "fell" for verdict in verdicts):
        lines.append(f"\nSome work takes fewer instructions. So that it stays so, record the new counts: {RECORD}")
    return code, "\n".join(lines)


def refuse(recorded: dict[str, str], present: dict[str, str]) -> str | None:
    """Return why counts cannot be judged on this machine; None if they can."""
    differences = "\n".join(f"  {difference}" for difference in other_tools(recorded, present))
    return REFUSAL % differences if differences else None


def main() -> int:
    """Count, and judge or record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the counts, by the compiler that is in use")
    parser.add_argument("--counts", type=Path, default=COUNTS, help="file of the counts (default: %(default)s)")
    arguments = parser.parse_args()
    recorded = None if arguments.record else Counts.read(arguments.counts)
    toolchain = recorded and recorded.tools["rustc"]
    present = callgrind.tools(toolchain)
    if recorded and (refusal := refuse(recorded.tools, present)):
        print(refusal, file=sys.stderr)
        return CANNOT_JUDGE
    began = time.monotonic()
    binary = callgrind.build(toolchain)
    built = time.monotonic()
    counted = dict(callgrind.count(binary))
    print(f"built in {built - began:.0f} s, counted in {time.monotonic() - built:.0f} s\n")
    if recorded is None:
        arguments.counts.write_text(Counts(present, counted).text())
        print(f"{len(counted)} counts are written to {arguments.counts}")
        return 0
    code, told = conclude(recorded.cases, counted)
    print(told)
    return code


if __name__ == "__main__":
    sys.exit(main())
