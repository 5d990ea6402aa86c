"""The same tables, to the row, whoever fills them: one process, executors, or a frame, while people edit the books."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from companies import START

import qbo_rs
import qbo_rs.spark

if TYPE_CHECKING:
    from typing_extensions import Self

ENTITIES = ["customers", "invoices"]
Rows = dict[tuple[str, str, str], object]
"""Records by company, entity and id."""


class People:
    """Edit and add records of all companies, one after the other, until they are told to stop."""

    def __init__(self, qbo: qbo_rs.Sandbox) -> None:
        self.changes = 0
        self._qbo = qbo
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(0.02):
            for realm in self._qbo.companies:
                self._qbo.edit("Invoice", "random", realm=realm)
                self._qbo.edit("Customer", "random", realm=realm)
                self._qbo.insert("Invoice", 1, realm=realm)
            self.changes += 1


def tables(database, schemas: dict[str, str]) -> Rows:
    return {
        (realm_id, entity, id_): json.loads(payload)
        for realm_id, schema in schemas.items()
        for entity in ENTITIES
        for id_, payload in database.rows(f"{schema}.qb_{entity}")
    }


@pytest.mark.usefixtures("connected")
def test_one_process_executors_and_frames_have_the_same_rows(qbo, database, spark):
    copies = {realm_id: f"copy_{realm_id}" for realm_id in qbo.companies}
    until = "2027-01-01"

    def backfill() -> None:
        for realm_id, schema in copies.items():
            qbo_rs.backfill(ENTITIES, START, until, "month", schema=schema, realm_id=realm_id).raise_for_failures()

    with People(qbo) as people:
        qbo_rs.spark.sync(spark, ENTITIES, partitions=2, strict=True)
        during = people.changes
        backfill()
        assert 0 < during < people.changes
    # Everybody reads what has changed since; nothing is edited any more.
    qbo.clock(advance="10m")
    qbo_rs.spark.sync(spark, ENTITIES, partitions=3, strict=True)
    backfill()
    end = datetime.fromisoformat(qbo.clock(advance="0s").replace("Z", "+00:00")) - timedelta(minutes=6)
    options = {"entities": ",".join(ENTITIES), "start": START, "end": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    rows = spark.read.format("qbo").options(**options).load().collect()
    frame = {(row["realm_id"], row["entity"], row["id"]): json.loads(row["payload"]) for row in rows}

    own = "SELECT realm_id, schema_name FROM qbo.schema_realms WHERE schema_name NOT LIKE 'copy_%'"
    by_executors = tables(database, dict(database.query(own)))
    by_one_process = tables(database, copies)
    assert len(by_executors) > 3 * (40 + 150)
    assert by_executors == by_one_process == frame
