"""What a program must offer to be measured."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv" / "peers"
READERS = Path(__file__).resolve().parent / "readers"
COMMAND = str(Path(sys.executable).parent / "qbo-rs")
START = "2024-01-01T00:00:00Z"


class Peer(Protocol):
    """A program, with its settings."""

    name: str
    needs: Sequence[str]
    """Virtual environments below ``.venv/peers``."""

    def pipeline(self, place: Place) -> list[list[str]]:
        """Return the commands that read the company; each reads what the one before it prints."""

    def ids(self, entity: str) -> str:
        """Return the query of the ids that have arrived."""


@dataclass(frozen=True)
class Place:
    """Where a peer runs: a directory of its own, the settings of company and database, and what it shall read."""

    folder: Path
    environment: dict[str, str]
    entities: tuple[str, ...]

    def python(self, environment: str) -> str:
        """Return the Python of a virtual environment."""
        return str(ENVIRONMENTS / environment / "bin" / "python")

    def write(self, name: str, content: object) -> str:
        """Write a JSON file into the directory; return its path."""
        path = self.folder / name
        path.write_text(json.dumps(content))
        return str(path)


def missing(peer: Peer) -> str | None:
    """Return why a peer cannot run: an environment that could not be installed."""
    for name in peer.needs:
        if not (ENVIRONMENTS / name / ".installed").exists():
            refused = ENVIRONMENTS / name / "refused.log"
            said = refused.read_text().split("\n") if refused.exists() else []
            last = next((line for line in reversed(said) if line.strip()), "run make bench-peers")
            return f"{name} is not installed: {last.strip()}"
    return None


def versions(peer: Peer) -> str:
    """Return the pinned versions of what a peer's environments are named after."""
    pins = []
    for name in peer.needs:
        text = (Path(__file__).resolve().parent / "requirements" / f"{name}.txt").read_text()
        pins.append(text.split("#", 1)[1].split("\n", 1)[0].strip())
    return ", ".join(dict.fromkeys(pins))
