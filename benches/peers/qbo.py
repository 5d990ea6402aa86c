"""``qbo-rs backfill``."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from .peer import COMMAND, START

if TYPE_CHECKING:
    from .peer import Place

PLURAL = {"Customer": "customers", "Invoice": "invoices", "Item": "items"}


class Backfill:
    """The command, in windows of a month, up to now. It keeps to ten requests at a time, as QuickBooks demands."""

    name = "qbo-rs backfill"
    needs = ()

    def pipeline(self, place: Place) -> list[list[str]]:
        """Return the command."""
        tomorrow = (datetime.now(timezone.utc) + timedelta(days=1)).date().isoformat()
        entities = ",".join(PLURAL[entity] for entity in place.entities)
        rates = ["--requests-per-minute", "0", "--requests-per-second", "0"]
        extent = ["--start", START, "--end", tomorrow, "--chunk", "month"]
        return [[COMMAND, "backfill", entities, *extent, *rates, "--log-level", "error"]]

    def ids(self, entity: str) -> str:
        """Return the query of the ids."""
        return f"SELECT id FROM raw.qb_{PLURAL[entity]}"
