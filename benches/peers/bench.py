"""Runs one peer on one company, and counts what has arrived."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from measured_process import MEGABYTE, ProcessError, run

from . import peer as peers
from .company import Data, Editor, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import qbo_rs

# Nothing but the loopback address is reached: neither telemetry nor registries of connectors. Programs differ in which
# spelling of a proxy goes first.
NOWHERE = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
NO_NETWORK = {
    **NOWHERE,
    **{name.lower(): value for name, value in NOWHERE.items()},
    "AIRBYTE_OFFLINE_MODE": "1",
    "DO_NOT_TRACK": "1",
    "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
    "OAUTHLIB_INSECURE_TRANSPORT": "1",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
}


@dataclass(frozen=True)
class Case:
    """One column of the comparison: a company, and how it behaves."""

    data: Data
    latency_ms: int
    edits_a_second: float


@dataclass(frozen=True)
class Measure:
    """One peer in one case; ``message`` says why there are no figures."""

    peer: str
    data: str
    latency_ms: int
    edited: bool
    message: str | None = None
    records: int = 0
    arrived: int = 0
    lost: int = 0
    left: int = 0
    edits: int = 0
    seconds: float = 0
    rows_s: float = 0
    mb_s: float = 0
    requests: int = 0
    requests_per_1000: float = 0
    cpu_s: float = 0
    peak_mb: float = 0

    def json(self) -> dict[str, Any]:
        """Return what JSON holds."""
        return asdict(self)


def measure(peer: peers.Peer, case: Case, postgres: Mapping[str, str], limit_s: float) -> Measure:
    """Run a peer; what goes wrong with it is in the message."""
    key = (peer.name, case.data.name, case.latency_ms, case.edits_a_second > 0)
    if (absent := peers.missing(peer)) is not None:
        return Measure(*key, message=absent)
    try:
        return Measure(*key, **_figures(peer, case, postgres, limit_s))
    except (ProcessError, OSError, psycopg.Error) as error:
        return Measure(*key, message=" ".join(str(error).split()))


def _figures(peer: peers.Peer, case: Case, postgres: Mapping[str, str], limit_s: float) -> dict[str, Any]:
    with (
        case.data.start(case.latency_ms) as qbo,
        tempfile.TemporaryDirectory(prefix="qbo_rs-peer-") as folder,
        _database(postgres) as database,
    ):
        environment = _environment(qbo, database, folder)
        place = peers.Place(Path(folder), environment, tuple(case.data.entities))
        pipeline = peer.pipeline(place)
        begun = f"{qbo.clock()[:19]}Z"
        with Editor(qbo, case.data, case.edits_a_second) as editor:
            usage = run(pipeline, environment, place.folder, limit_s)
        requests = qbo.stats()["data_requests"]
        with connect(database) as connection:
            arrival = compare(
                qbo,
                case.data,
                begun,
                lambda entity: {str(row[0]) for row in connection.execute(peer.ids(entity))},
            )
    return {
        **{name: value for name, value in arrival._asdict().items() if name != "arrived_bytes"},
        **usage._asdict(),
        "edits": editor.edits,
        "rows_s": arrival.arrived / usage.seconds,
        "mb_s": arrival.arrived_bytes / MEGABYTE / usage.seconds,
        "requests": requests,
        "requests_per_1000": 1000 * requests / max(arrival.arrived, 1),
    }


def _environment(qbo: qbo_rs.Sandbox, database: Mapping[str, str], folder: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QBO_", "PG_", "DLT_", "PYTHON"))}
    # Whatever a program keeps of its own is gone with the directory.
    homes = {"HOME": folder, "XDG_STATE_HOME": folder, "TMPDIR": folder, "AIRBYTE_PROJECT_DIR": folder}
    return kept | NO_NETWORK | homes | qbo.environment | dict(database)


@contextmanager
def _database(postgres: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Make a database for one run."""
    name = f"peer_{uuid.uuid4().hex}"
    with connect(postgres) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield dict(postgres) | {"PG_DB": name}
    finally:
        with connect(postgres) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def connect(postgres: Mapping[str, str]) -> psycopg.Connection:
    """Connect to a database."""
    return psycopg.connect(
        host=postgres["PG_HOST"],
        port=postgres["PG_PORT"],
        dbname=postgres["PG_DB"],
        user=postgres["PG_USER"],
        password=postgres["PG_PASSWORD"],
        autocommit=True,
    )
