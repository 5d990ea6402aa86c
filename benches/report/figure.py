"""One figure of the page: what was measured, and the goal that it is held against."""

from __future__ import annotations

import operator
from typing import NamedTuple

COMPARISONS = {"at least": operator.ge, "at most": operator.le}


class Figure(NamedTuple):
    """One line of a table.

    ``goal`` is None where nothing is promised. ``bound`` says on which side of the goal the value must be.
    """

    group: str
    name: str
    value: float
    unit: str
    goal: float | None = None
    bound: str = "at least"

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        return None if self.goal is None else COMPARISONS[self.bound](self.value, self.goal)

    @property
    def verdict(self) -> str:
        """The goal and whether it is met, as the page says it."""
        if self.goal is None:
            return ""
        return f"{self.bound} {number(self.goal)}: {'met' if self.met else '**missed**'}"


def number(value: float) -> str:
    """Write a value with three figures that matter, and thousands with a comma.

    >>> number(32669.4), number(1.294), number(71.6)
    ('32,669', '1.29', '71.6')
    """
    if value >= 1000 or value == int(value):  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004
