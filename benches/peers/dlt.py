"""dlt, with resources of our own: its verified source reads 100 customers and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .peer import READERS

if TYPE_CHECKING:
    from .peer import Place


@dataclass(frozen=True)
class Dlt:
    """dlt with one of its loaders: its default merge, and nested parts kept as JSON, as that is faster than tables."""

    loader: str
    needs = ("dlt",)

    @property
    def name(self) -> str:
        """Name and settings."""
        return f"dlt, {self.loader}"

    def pipeline(self, place: Place) -> list[list[str]]:
        """Return the command."""
        return [[place.python("dlt"), str(READERS / "dlt_pipeline.py"), self.loader, *place.entities]]

    def ids(self, entity: str) -> str:
        """Return the query of the ids."""
        return f"SELECT id FROM dlt.{entity.lower()}"
