"""PyAirbyte with source-quickbooks, into its Postgres cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .peer import READERS

if TYPE_CHECKING:
    from .peer import Place

STREAMS = {"Customer": "customers", "Invoice": "invoices", "Item": "items"}


class PyAirbyte:
    """PyAirbyte; the source runs in an environment of its own, with pages of 1000 instead of its 200."""

    name = "PyAirbyte, source-quickbooks"
    needs = ("pyairbyte", "airbyte-source-quickbooks")

    def pipeline(self, place: Place) -> list[list[str]]:
        """Return the command."""
        source = place.folder / "source-quickbooks"
        python = place.python("airbyte-source-quickbooks")
        source.write_text(f'#!/bin/sh\nexec {python} {READERS / "run_source_quickbooks.py"} "$@"\n')
        source.chmod(0o755)
        streams = [STREAMS[entity] for entity in place.entities]
        return [[place.python("pyairbyte"), str(READERS / "read_with_pyairbyte.py"), str(source), *streams]]

    def ids(self, entity: str) -> str:
        """Return the query of the ids."""
        return f"SELECT id FROM airbyte.{STREAMS[entity]}"
