"""The three blocks of a backfill."""

from __future__ import annotations

import json
import shutil
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs import _verbs, lineage
from qbo_rs._html import count
from qbo_rs._private import open_private
from qbo_rs._types import Report
from qbo_rs.mage import _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._variables import read_variables

if TYPE_CHECKING:
    from qbo_rs._types import Landing, Window
    from qbo_rs.mage._execution import Block, Execution
    from qbo_rs.mage._variables import RuntimeVariables


def chunk_fecha(entity: str) -> Block:
    """Make the block that cuts ``[fecha_inicio, fecha_fin)`` into windows and checks settings, database and table.

    The block sends nothing to QuickBooks. Its runtime variables are those of :class:`RuntimeVariables`.

    Args:
        entity: Name from :func:`qbo_rs.entities`.

    Returns:
        A function for ``@data_loader``. It returns a DataFrame of windows with ``start``, ``end`` and ``status``:
        ``to read``, or with ``resume`` ``committed`` for a window that the ledger has. It raises
        :class:`~qbo_rs.ConfigError` if a variable, a setting or the table is unusable.

    Example:
        ::

            chunk_fecha_customers = data_loader(chunk_fecha("customers"))

    """

    def body(call: Execution) -> Any:
        variables = read_variables(call.kwargs)
        # A problem that would fail the last block is found before anything is sent to QuickBooks.
        _verbs.prepare(entity, schema=variables.schema, **call.settings.keywords)
        remaining = _verbs.backfill(
            entity,
            variables.start,
            variables.end,
            variables.chunk,
            variables.page_size,
            tz=variables.tz,
            resume=variables.resume,
            dry_run=True,
            progress=False,
            schema=variables.schema,
            **call.settings.keywords,
        ).runs[0]
        windows = variables.windows()
        call.log.write(
            "info",
            _describe_range(entity, variables, windows, len(remaining.windows)),
            phase="chunk",
            event="range_cut",
            entity=entity,
            windows=len(windows),
            to_read=len(remaining.windows),
            fecha_inicio=variables.start,
            fecha_fin=variables.end,
            last_day=_last_day(variables, windows),
            chunk=variables.chunk,
            page_size=variables.page_size,
        )
        return _tables.plan_table(windows, [report.window for report in remaining.windows])

    return as_block(f"chunk_fecha_{entity}", body)


def _describe_range(entity: str, variables: RuntimeVariables, windows: list[Window], to_read: int) -> str:
    """Say what is read. The last day stands there since the day of ``fecha_fin`` is not in the range."""
    return (
        f"{entity}: {count(len(windows), 'window')} of {variables.chunk}, {to_read} to read, "
        f"last day {_last_day(variables, windows)} · {variables.clock.span(windows[0].start, windows[-1].end)}"
    )


def _last_day(variables: RuntimeVariables, windows: list[Window]) -> str:
    return variables.clock.day(windows[-1].end - timedelta(microseconds=1))


def extract_qbo(entity: str) -> Block:
    """Make the block that copies the windows into landing files, in parallel within the limits of QuickBooks.

    A retry of the block skips the windows that are in files already.

    Args:
        entity: Name from :func:`qbo_rs.entities`.

    Returns:
        A function for ``@data_loader``. It takes the table of :func:`chunk_fecha` and returns a DataFrame with the
        counts and the file of each window. It raises :class:`~qbo_rs.IncompleteError` if a window failed.

    Example:
        ::

            extract_qbo_customers = data_loader(extract_qbo("customers"))

    """

    def body(call: Execution) -> Any:
        plan = call.table()
        landing = lineage.run(
            _verbs.extract,
            entity,
            _tables.windows_to_read(plan),
            page_size=read_variables(call.kwargs).page_size,
            out=call.directory or call.settings.landing / call.pipeline / f"manual-{uuid.uuid4().hex}",
            resume=call.directory is not None,
            progress=False,
            **call.settings.keywords,
        )
        if landing.run.failed:
            landing.raise_for_failures()
        return _tables.landing_table(landing, plan)

    return as_block(f"extract_qbo_{entity}", body)


def load_postgres(entity: str) -> Block:
    """Make the block that merges the landing files into ``qb_<entity>`` and removes them.

    Each window is one transaction.

    Args:
        entity: Name from :func:`qbo_rs.entities`.

    Returns:
        A function for ``@data_exporter``. It takes the table of :func:`extract_qbo` and returns a DataFrame with the
        counts of each window. It raises :class:`~qbo_rs.IncompleteError` if a window failed; the others are committed.
        Records that were set aside do not fail the block; they are counted, and a warning is logged.

    Example:
        ::

            load_postgres_customers = data_exporter(load_postgres("customers"))

    """

    def body(call: Execution) -> Any:
        landing = _tables.landing_to_load(call.table())
        report = Report(()) if landing is None else _load(call, landing)
        _log_summary(call, entity, report)
        return _tables.load_table(report.runs)

    return as_block(f"load_postgres_{entity}", body)


def _load(call: Execution, landing: Landing) -> Report:
    """Load the files, then replace them by their report, since Mage may repeat a block that has already succeeded."""
    saved_report = call.directory / "loaded.json" if call.directory else None
    if saved_report and saved_report.exists() and not any(Path(path).exists() for path in landing.paths):
        return Report.from_dict(json.loads(saved_report.read_text()))
    schema = read_variables(call.kwargs).schema
    report = lineage.run(_verbs.upsert, landing, schema=schema, progress=False, **call.settings.keywords)
    if report.runs[0].failed:
        report.raise_for_failures()
    if saved_report:
        with open_private(saved_report, "w") as file:
            json.dump(report.to_dict(), file)
    # A file's path is `<run>/<company>/<entity>/<window>`; the report stays in the directory of the run.
    for path in {Path(path).parents[1 if saved_report else 2] for path in landing.paths}:
        shutil.rmtree(path, ignore_errors=True)
    return report


def _log_summary(call: Execution, entity: str, report: Report) -> None:
    names = ("windows", "pages", "rows", "inserted", "updated", "unchanged", "rejected", "duration_ms")
    counts = {name: sum(getattr(run.totals, name) for run in report.runs) for name in names}
    loaded = ", ".join(f"{counts[name]:,} {name}" for name in ("inserted", "updated", "unchanged", "rejected"))
    read = f"{count(counts['windows'], 'window')}, {count(counts['pages'], 'page')}"
    parts = [count(counts["rows"], "row"), loaded, read]
    level = "warning" if counts["rejected"] else "info"
    hint = ["see qbo.rejects"] if counts["rejected"] else []
    ended = call.log.clock.both(datetime.now(timezone.utc))
    call.log.write(
        level,
        " · ".join([*parts[:2], *hint, parts[2], call.pipeline, ended]),
        phase="load",
        event="pipeline_finished",
        entity=entity,
        pipeline=call.pipeline,
        **counts,
    )
