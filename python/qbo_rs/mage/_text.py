"""The blocks of the text layer, ``qb_<entity>_txt``: a range in one text file, window by window.

The file holds complete windows at every moment: some are read, then they replace their own lines all at once.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs import _verbs, lineage
from qbo_rs._private import make_private_directory
from qbo_rs.exceptions import ConfigError, RetriableError
from qbo_rs.mage import _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._ranges import Owner, WrittenRanges
from qbo_rs.mage._spanish import InBoth
from qbo_rs.mage._variables import read_variables
from qbo_rs.mage._zones import is_missing

if TYPE_CHECKING:
    from qbo_rs._types import Landing, Window, WindowReport
    from qbo_rs.mage._execution import Block, Execution
    from qbo_rs.mage._variables import RuntimeVariables

MAX_FAILED = 3
"""Failed windows after which the others are left to a retry: the cause is then hardly one of a single window."""
SETTLED = timedelta(minutes=10)
"""Time after the end of a window before which it may still get records."""
BATCH = 4
"""Windows that are read at a time, which then go into the file together, at least."""
SHARE = 4
"""A batch has one of so many windows of the file. Each one costs a copy of the file, all together some copies."""
REPLACED = frozenset({"run_started", "run_finished", "window_done", "window_failed", "landing_incomplete"})
"""Events of the core that the lines of this block replace."""
COLUMNS = ("start", "end", "status", "rows", "file")


def chunk_fecha_txt(entity: str) -> Block:
    """Make the block that cuts ``[fecha_inicio, fecha_fin)`` into windows for a text file; it needs no database.

    Its runtime variables are those of :class:`RuntimeVariables` and ``archivo``, the file: by default
    ``data/<entity>.txt`` in the project of Mage.

    Args:
        entity: Name from :func:`qbo_rs.entities`.

    Returns:
        A function for ``@data_loader``. It returns a DataFrame of windows with ``start``, ``end`` and ``status``:
        ``to read``, or with ``resume`` ``committed`` for a window that the file has.

    Example:
        ::

            chunk_fecha_invoices_txt = data_loader(chunk_fecha_txt("invoices"))

    """

    def body(call: Execution) -> Any:
        variables = read_variables(call.kwargs)
        call.log.mute(REPLACED)
        ranges = _ranges(call, entity)
        windows = variables.windows()
        remaining = [it for it in windows if not variables.resume or ranges.rows(it) is None]
        call.log.write(
            "info",
            f"{entity}: {len(windows)} rangos de {variables.chunk}, {len(remaining)} por leer -> {ranges.file}",
            phase="chunk",
            event="range_cut",
            entity=entity,
            windows=len(windows),
            to_read=len(remaining),
        )
        return _tables.plan_table(windows, remaining)

    return as_block(f"chunk_fecha_{entity}_txt", body)


def write_txt(entity: str) -> Block:
    """Make the block that writes the windows of a table of :func:`chunk_fecha_txt` into the text file.

    A retry of the block goes on after the last window that is in the file.

    Args:
        entity: Name from :func:`qbo_rs.entities`.

    Returns:
        A function for ``@data_exporter``. It writes a line ``Rango ... -> N filas`` a window to Mage's log, and returns
        a DataFrame with one row per window. It raises :class:`~qbo_rs.RetriableError` if a window failed; the others
        are in the file.

    Example:
        ::

            write_txt_invoices = data_exporter(write_txt("invoices"))

    """

    def body(call: Execution) -> Any:
        variables = read_variables(call.kwargs)
        call.log.mute(REPLACED)
        ranges = _ranges(call, entity)
        run = str(call.kwargs.get("execution_partition") or uuid.uuid4().hex)
        planned = _tables.planned_windows(call.table())
        text = TextFile(call, entity, variables, ranges, run)
        rows = text.write_together(planned) if ranges.is_cut_by(planned) else text.write_each(planned)
        failures = [f"[{row['start']}, {row['end']})" for row in rows if row["status"] == "failed"]
        total = sum(row["rows"] for row in rows)
        call.log.write(
            "info",
            f"Total {entity} descargadas: {total}",
            phase="extract",
            event="pipeline_finished",
            entity=entity,
            rows=total,
            windows=len(rows),
            file=str(ranges.file),
        )
        if failures:
            left = len(planned) - len(rows)
            raise RetriableError(
                f"{entity}: {len(failures)} of {len(planned)} windows failed, first {failures[0]}, "
                f"{left} were left out; the others are in {ranges.file}; retry the block"
            )
        return _tables.frame([row | {"file": str(ranges.file)} for row in rows], COLUMNS)

    return as_block(f"write_txt_{entity}", body)


class TextFile:
    """A text file, and the run that writes windows into it."""

    def __init__(
        self, call: Execution, entity: str, variables: RuntimeVariables, ranges: WrittenRanges, run: str
    ) -> None:
        """Write with the settings of a call."""
        self._call, self._entity, self._variables = call, entity, variables
        self._ranges, self._run = ranges, run

    def write_each(self, planned: list[tuple[Window, bool]]) -> list[dict[str, Any]]:
        """Write the windows that the file lacks, some at a time; return a row for each. After some failures give up."""
        rows: list[dict[str, Any]] = []
        failed = 0
        while planned and failed < MAX_FAILED:
            batch, planned = self._cut_batch(planned)
            written = self._read_batch([window for window, known in batch if known is None])
            for window, known in batch:
                if known is not None:
                    self._log("info", window, f"{known} filas (ya en el archivo)", rows=known)
                    rows.append(window.to_dict() | {"status": "skipped", "rows": known})
                elif window in written:
                    rows.append(self._row(written[window]))
                    failed += written[window].status == "failed"
        return rows

    def write_together(self, planned: list[tuple[Window, bool]]) -> list[dict[str, Any]]:
        """Write all windows at once; return a row for each.

        The file has longer windows, which only go when all their time is read again.
        """
        landing = self._read([window for window, _ in planned], strict=False)
        return [self._row(read) for read in landing.run.windows]

    def _cut_batch(
        self, planned: list[tuple[Window, bool]]
    ) -> tuple[list[tuple[Window, int | None]], list[tuple[Window, bool]]]:
        """Split off the next windows, each with the rows that the file has of it; None for one that is to be read."""
        left = max(BATCH, len(self._ranges) // SHARE)
        batch: list[tuple[Window, int | None]] = []
        for number, (window, is_to_read) in enumerate(planned):
            known = self._ranges.rows(window, self._run if is_to_read else None)
            left -= known is None
            if left < 0:
                return batch, planned[number:]
            batch.append((window, known))
        return batch, []

    def _read_batch(self, windows: list[Window]) -> dict[Window, WindowReport]:
        """Write windows; return the report of each that is in the file, or failed.

        Of windows that are read at a time the file takes all or none. So those beside a failed one are read again.
        """
        ended: dict[Window, WindowReport] = {}
        while windows:
            reads = self._read(windows, strict=True).run.windows
            failed = [read for read in reads if read.status == "failed"]
            ended |= {read.window: read for read in failed or reads}
            # After many failures the cause is hardly one of a single window, and another read would fail, too.
            windows = [read.window for read in reads if read not in failed] if 0 < len(failed) < MAX_FAILED else []
        return ended

    def _read(self, windows: list[Window], *, strict: bool) -> Landing:
        landing = lineage.run(
            _verbs.extract,
            self._entity,
            windows,
            page_size=self._variables.page_size,
            out=self._ranges.file,
            strict_windows=strict,
            progress=False,
            **self._call.settings.keywords,
        )
        if landing.run.failed:
            _remove(landing)
        else:
            now = datetime.now(timezone.utc)
            settled = {read.window: read.rows for read in landing.run.windows if now - read.end > SETTLED}
            self._ranges.add(settled, self._run)
        return landing

    def _row(self, read: WindowReport) -> dict[str, Any]:
        """Log the line of a window that was read, and return its row."""
        if read.status == "failed":
            self._log("error", read.window, f"error: {read.error}", rows=0)
        else:
            aside = f", {read.rejected} apartadas" if read.rejected else ""
            self._log("warning" if aside else "info", read.window, f"{read.rows} filas{aside}", rows=read.rows)
        return read.window.to_dict() | {"status": read.status, "rows": read.rows}

    def _log(self, level: str, window: Window, outcome: str, *, rows: int) -> None:
        clock = self._call.log.clock
        bounds = window.to_dict()
        self._call.log.write(
            level,
            f"Rango {clock.day(window.start)} a {clock.day(window.end)} -> {outcome}",
            phase="extract",
            event="range_written",
            entity=self._entity,
            window_start=bounds["start"],
            window_end=bounds["end"],
            window_start_local=clock.in_local(window.start),
            window_end_local=clock.in_local(window.end),
            rows=rows,
        )


def _remove(landing: Landing) -> None:
    """Remove what was read beside a failed window, which the core leaves in a directory beside the file."""
    for path in map(Path, landing.paths):
        path.unlink(missing_ok=True)
        # `<file>.parts/<company>/<entity>/<window>`; a directory with other files stays.
        with suppress(OSError):
            for directory in list(path.parents)[:3]:
                directory.rmdir()


def _ranges(call: Execution, entity: str) -> WrittenRanges:
    """Return what the call's file holds, which is of the call's company and entity."""
    file = _file(call, entity)
    with tempfile.TemporaryDirectory() as directory:
        # No window means no request; the report names the company, which may stand in the token store only.
        run = _verbs.extract(entity, [], out=directory, progress=False, **call.settings.keywords).run
    return WrittenRanges(file, Owner(run.realm_id, run.entity))


def _file(call: Execution, entity: str) -> Path:
    given = call.kwargs.get("archivo")
    name = f"data/{entity}.txt" if is_missing(given) else str(given).strip()
    file = Path(str(call.kwargs.get("repo_path") or Path.cwd())) / name
    if not file.name.endswith(".txt"):
        raise ConfigError(InBoth(f"archivo: '{name}' does not end in .txt", f"'{name}' no termina en .txt"))
    make_private_directory(file.parent)
    if not os.access(file.parent, os.W_OK):
        folder = file.parent
        raise ConfigError(InBoth(f"archivo: '{folder}' cannot be written", f"no se puede escribir en '{folder}'"))
    return file
