"""The three blocks of a backfill."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs import _verbs
from qbo_rs._types import Report
from qbo_rs.mage import _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._variables import read_variables

if TYPE_CHECKING:
    from qbo_rs._types import Landing
    from qbo_rs.mage._execution import Block, Execution


def chunk_fecha(entity: str) -> Block:
    """Make the block that cuts ``[fecha_inicio, fecha_fin)`` into windows, and checks settings, database and table.

    Nothing is sent to QuickBooks.

    Args:
        entity: A name from :func:`qbo_rs.entities`.

    Returns:
        A function for ``@data_loader``. It returns a DataFrame of windows: ``start``, ``end``, ``status``, which is
        ``to read``, or with ``resume`` ``committed`` for what the ledger has.

    """

    def body(call: Execution) -> Any:
        variables = read_variables(call.kwargs)
        # What would stop the last block is found before anything is sent to QuickBooks.
        _verbs.prepare(entity, schema=variables.schema, **call.settings.keywords)
        left = _verbs.backfill(
            entity,
            variables.start,
            variables.end,
            variables.chunk,
            variables.page_size,
            resume=variables.resume,
            dry_run=True,
            schema=variables.schema,
            **call.settings.keywords,
        ).runs[0]
        windows = variables.windows()
        call.log.write(
            "info",
            f"{entity}: {len(windows)} windows of {variables.chunk}, {len(left.windows)} to read",
            phase="chunk",
            event="range_cut",
            entity=entity,
            windows=len(windows),
            to_read=len(left.windows),
            fecha_inicio=variables.start,
            fecha_fin=variables.end,
            chunk=variables.chunk,
            page_size=variables.page_size,
        )
        return _tables.plan(windows, [report.window for report in left.windows])

    return as_block(f"chunk_fecha_{entity}", body)


def extract_qbo(entity: str) -> Block:
    """Make the block that lands the windows in files, all in parallel within the limits of QuickBooks.

    A try after the first leaves out the windows that are landed.

    Args:
        entity: A name from :func:`qbo_rs.entities`.

    Returns:
        A function for ``@data_loader``. It takes the table of :func:`chunk_fecha` and returns a DataFrame with each
        window's counts and file; it raises :class:`~qbo_rs.IncompleteError` if a window failed.

    """

    def body(call: Execution) -> Any:
        table = call.table()
        landing = _verbs.extract(
            entity,
            _tables.planned(table),
            page_size=read_variables(call.kwargs).page_size,
            out=call.directory or call.settings.landing / call.pipeline / f"manual-{uuid.uuid4().hex}",
            resume=call.directory is not None,
            **call.settings.keywords,
        )
        if landing.run.failed:
            landing.raise_for_failures()
        return _tables.landed(landing, table)

    return as_block(f"extract_qbo_{entity}", body)


def load_postgres(entity: str) -> Block:
    """Make the block that merges the landed windows into ``qb_<entity>`` and removes their files.

    A window is a transaction.

    Args:
        entity: A name from :func:`qbo_rs.entities`.

    Returns:
        A function for ``@data_exporter``. It takes the table of :func:`extract_qbo` and returns a DataFrame with what
        became of each window's records; it raises :class:`~qbo_rs.IncompleteError` if a window failed; the others are
        committed. Records that were set aside do not fail it: they are counted, and warned about.

    """

    def body(call: Execution) -> Any:
        landing = _tables.to_load(call.table())
        report = Report(()) if landing is None else _load(call, landing)
        _close(call, entity, report)
        return _tables.loaded(report.runs)

    return as_block(f"load_postgres_{entity}", body)


def _load(call: Execution, landing: Landing) -> Report:
    """Load, then put a note in the place of the files: Mage may run a block again whose end it did not hear of."""
    note = call.directory / "loaded.json" if call.directory else None
    if note and note.exists() and not any(Path(path).exists() for path in landing.paths):
        return Report.from_dict(json.loads(note.read_text()))
    report = _verbs.upsert(landing, schema=read_variables(call.kwargs).schema, **call.settings.keywords)
    if report.runs[0].failed:
        report.raise_for_failures()
    if note:
        note.write_text(json.dumps(report.to_dict()))
    # A file's path is `<run>/<company>/<entity>/<window>`; the note stays in the run's directory.
    for path in {Path(path).parents[1 if note else 2] for path in landing.paths}:
        shutil.rmtree(path, ignore_errors=True)
    return report


def _close(call: Execution, entity: str, report: Report) -> None:
    names = ("windows", "pages", "rows", "inserted", "updated", "unchanged", "rejected", "duration_ms")
    counts = {name: sum(getattr(run.totals, name) for run in report.runs) for name in names}
    told = ", ".join(f"{counts[name]} {name}" for name in names[:-1])
    level = "warning" if counts["rejected"] else "info"
    hint = "; see qbo.rejects" if counts["rejected"] else ""
    call.log.write(
        level,
        f"{call.pipeline}: {told}{hint}",
        phase="load",
        event="pipeline_finished",
        entity=entity,
        pipeline=call.pipeline,
        **counts,
    )
