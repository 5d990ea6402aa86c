"""The file of counts: what it holds, and what a new count says against it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

COUNTS = Path(__file__).with_name("counts.txt")
#: Share of the recorded count by which a new one may differ.
TOLERANCE = 0.10

HEADING = """\
# Instructions of the release build, counted by callgrind. `make bench-check` fails if one rises by more than 10 %.
# `make bench-check RECORD=1` writes this file. A commit that changes it says why.
"""


class Counts(NamedTuple):
    """Counts by the name of the case, and the tools that they depend on."""

    tools: dict[str, str]
    cases: dict[str, int]

    def text(self) -> str:
        """Return the file.

        >>> print(Counts({"rustc": "1.95.0"}, {"parse": 1234567, "encode": 5}).text().removeprefix(HEADING), end="")
        rustc: 1.95.0
        <BLANKLINE>
                    5  encode
            1,234,567  parse
        """
        tools = [f"{name}: {version}\n" for name, version in self.tools.items()]
        cases = [f"{count:13,}  {name}\n" for name, count in sorted(self.cases.items())]
        return HEADING + "".join(tools) + "\n" + "".join(cases)

    @classmethod
    def read(cls, path: Path) -> Counts:
        """Read the file."""
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        tools, _, cases = "\n".join(lines).partition("\n\n")
        held = (line.strip().partition("  ") for line in cases.splitlines())
        return cls(
            dict(line.split(": ", 1) for line in tools.splitlines()),
            {name: int(count.replace(",", "")) for count, _, name in held},
        )


def other_tools(recorded: dict[str, str], present: dict[str, str]) -> list[str]:
    """Return in words how the tools of this machine differ from those of the file: then no count can be judged."""
    names = dict.fromkeys((*recorded, *present))
    return [
        f"{name}: {present.get(name)}, but the counts are those of {recorded.get(name)}"
        for name in names
        if recorded.get(name) != present.get(name)
    ]


class Verdict(NamedTuple):
    """One case, before and now."""

    name: str
    recorded: int | None
    counted: int | None

    @property
    def change(self) -> float | None:
        """The difference as a share of the recorded count; None if one of them is not known."""
        if self.recorded is None or self.counted is None:
            return None
        return self.counted / self.recorded - 1

    @property
    def word(self) -> str:
        """The verdict."""
        if self.change is None:
            return "NOT RECORDED" if self.recorded is None else "NOT COUNTED"
        if self.change > TOLERANCE:
            return "ROSE"
        return "fell" if self.change < -TOLERANCE else "same"

    @property
    def fails(self) -> bool:
        """Whether the check fails by it."""
        return self.word.isupper()


def judge(recorded: dict[str, int], counted: dict[str, int]) -> list[Verdict]:
    """Hold new counts against the recorded ones, case by case."""
    return [Verdict(name, recorded.get(name), counted.get(name)) for name in sorted({*recorded, *counted})]


def table(verdicts: list[Verdict]) -> str:
    """Return the verdicts as a table in text."""

    def number(count: int | None) -> str:
        return "-" if count is None else f"{count:,}"

    rows = [("recorded", "now", "change", "", "work")]
    for one in verdicts:
        change = "" if one.change is None else f"{one.change:+.1%}"
        rows.append((number(one.recorded), number(one.counted), change, one.word, one.name))
    return "\n".join(
        f"{before:>14} {now:>14} {change:>8}  {word:12} {name}".rstrip() for before, now, change, word, name in rows
    )
