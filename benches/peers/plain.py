"""The script that users write first: python-quickbooks, pages by offset, rows into one jsonb column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .peer import READERS

if TYPE_CHECKING:
    from .peer import Place


@dataclass(frozen=True)
class Script:
    """The script, with the size of a page and the way in which rows are sent."""

    page: int
    how: str
    needs = ("python-quickbooks",)

    @property
    def name(self) -> str:
        """Name and settings."""
        return f"python-quickbooks, {self.page}, {self.how}"

    def pipeline(self, place: Place) -> list[list[str]]:
        """Return the command."""
        script = str(READERS / "plain_script.py")
        return [[place.python("python-quickbooks"), script, str(self.page), self.how, *place.entities]]

    def ids(self, entity: str) -> str:
        """Return the query of the ids."""
        return f"SELECT id FROM plain_{entity.lower()}"
