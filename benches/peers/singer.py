"""tap-quickbooks, piped into either of two targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .peer import ROOT, START

if TYPE_CHECKING:
    from .peer import Place

STREAMS = {"Customer": "customers", "Invoice": "invoices", "Item": "items"}


@dataclass(frozen=True)
class Tap:
    """The tap, with pages of 1000, and a target with its own settings."""

    target: str

    @property
    def needs(self) -> tuple[str, ...]:
        """The two virtual environments."""
        return ("tap-quickbooks", self.target)

    @property
    def name(self) -> str:
        """Tap and target."""
        return f"tap-quickbooks, {self.target}"

    def pipeline(self, place: Place) -> list[list[str]]:
        """Return tap and target."""
        settings = place.environment
        tap = {
            "start_date": START,
            "user_agent": "bench",
            "realm_id": settings["QBO_REALM_ID"],
            "client_id": settings["QBO_CLIENT_ID"],
            "client_secret": settings["QBO_CLIENT_SECRET"],
            "refresh_token": settings["QBO_REFRESH_TOKEN"],
            "max_results": "1000",
        }
        target = {
            "host": settings["PG_HOST"],
            "port": int(settings["PG_PORT"]),
            "user": settings["PG_USER"],
            "password": settings["PG_PASSWORD"],
            "default_target_schema": "singer",
        }
        # Each target knows the database by another name.
        target |= {"dbname": settings["PG_DB"], "database": settings["PG_DB"]}
        script = str(ROOT / "benches" / "peers" / "readers" / "run_tap.py")
        streams = [STREAMS[entity] for entity in place.entities]
        binary = str(ROOT / ".venv" / "peers" / self.target / "bin" / "target-postgres")
        return [
            [place.python("tap-quickbooks"), script, place.write("tap.json", tap), *streams],
            [binary, "--config", place.write("target.json", target)],
        ]

    def ids(self, entity: str) -> str:
        """Return the query of the ids."""
        column = "id" if self.target.startswith("pipelinewise") else '"Id"'
        return f"SELECT {column} FROM singer.{STREAMS[entity]}"
