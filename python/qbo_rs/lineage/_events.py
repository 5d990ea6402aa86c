"""Events as OpenLineage's own client makes and sends them. Importing this module needs the client."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import error_message_run, job_type_job, parent_run, schema_dataset
from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics
from openlineage.client.uuid import generate_new_uuid

from qbo_rs import _core
from qbo_rs._empty import schema_of

if TYPE_CHECKING:
    from qbo_rs.lineage._database import Database
    from qbo_rs.lineage._outcome import Outcome, Written

PRODUCER = "https://github.com/qbo-rs/qbo_rs"


class Sender:
    """Sends the events of one run."""

    def __init__(self, job: str, database: Database) -> None:
        """Make the sender of a run; the client reads the variables of OpenLineage."""
        kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="QBO_RS", producer=PRODUCER)
        self._job = Job(os.environ.get("OPENLINEAGE_NAMESPACE") or "qbo_rs", job, {"jobType": kind})
        self._run_id = str(generate_new_uuid())
        self._database = database
        self._client = OpenLineageClient()

    def send(self, state: str, outcome: Outcome) -> None:
        """Send an event; the client raises if the receiver does not take it."""
        event = RunEvent(
            eventType=RunState[state],
            eventTime=datetime.now(timezone.utc).isoformat(),
            run=Run(self._run_id, _parent() | _error(outcome.failure)),
            job=self._job,
            inputs=[_input(written) for written in outcome.written],
            outputs=[self._output(written) for written in outcome.written if written.schema or written.folder],
            producer=PRODUCER,
        )
        self._client.emit(event)
        if state != "START":
            self._client.close()

    def _output(self, written: Written) -> OutputDataset:
        counted = statistics.OutputStatisticsOutputDatasetFacet(rowCount=written.rows, producer=PRODUCER)
        if written.folder is not None:
            namespace, name = "file", str(Path(written.folder).absolute())
        else:
            table = f"{self._database.name}.{written.schema}.qb_{written.entity}"
            namespace, name = self._database.namespace, table
        facets = {"outputStatistics": counted}
        return OutputDataset(namespace, name, facets=_columns(written.entity), outputFacets=facets)


def _input(written: Written) -> InputDataset:
    name = dict(_core.entities())[written.entity]
    return InputDataset(f"quickbooks://{written.realm_id}", name, facets=_columns(written.entity))


def _columns(entity: str) -> dict[str, Any]:
    """Return the columns of an entity with their meanings, from the table of fields."""
    fields = [
        schema_dataset.SchemaDatasetFacetFields(
            name=each.name,
            type=str(each.type),
            description=(each.metadata or {}).get(b"comment", b"").decode() or None,
        )
        for each in schema_of(entity)
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields, producer=PRODUCER)}


def _error(failure: str | None) -> dict[str, Any]:
    if failure is None:
        return {}
    return {"errorMessage": error_message_run.ErrorMessageRunFacet(failure, "PYTHON", producer=PRODUCER)}


def _parent() -> dict[str, Any]:
    """Return the run that has started this one, from `OPENLINEAGE_PARENT_ID`: namespace, job and run."""
    namespace, _, rest = os.environ.get("OPENLINEAGE_PARENT_ID", "").partition("/")
    job, _, run_id = rest.rpartition("/")
    if not (namespace and job and run_id):
        return {}
    parent = parent_run.Job(namespace=namespace, name=job)
    return {"parent": parent_run.ParentRunFacet(parent_run.Run(runId=run_id), parent, producer=PRODUCER)}
