"""The blocks of the text layer, ``qb_<entity>_txt``: a range in one text file, window by window.

The file holds complete windows at every moment: each one is read, then replaces its own lines all at once.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbo_rs import _verbs
from qbo_rs._types import Window, parse_instant
from qbo_rs.exceptions import ConfigError, RetriableError
from qbo_rs.mage import _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._variables import read_variables
from qbo_rs.mage._zones import is_missing

if TYPE_CHECKING:
    from qbo_rs.mage._execution import Block, Execution
    from qbo_rs.mage._variables import RuntimeVariables

MAX_FAILED = 3
"""Failed windows after which the others are left to a retry: the cause is then hardly one of a single window."""
SETTLED = timedelta(minutes=10)
"""Time after the end of a window before which it may still get records."""
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
        ranges = WrittenRanges(_file(call, entity))
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
        ranges = WrittenRanges(_file(call, entity))
        call.log.mute(REPLACED)
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
                f"{left} were not tried; the others are in {ranges.file}; retry the block"
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
        """Write window after window, each at once; return a row for each. After some failures it gives up."""
        rows: list[dict[str, Any]] = []
        for window, is_to_read in planned:
            if sum(row["status"] == "failed" for row in rows) == MAX_FAILED:
                break
            known = self._ranges.rows(window, self._run if is_to_read else None)
            if known is None:
                rows += self._read([window])
            else:
                self._log("info", window, f"{known} filas (ya en el archivo)", rows=known)
                rows.append(window.to_dict() | {"status": "skipped", "rows": known})
        return rows

    def write_together(self, planned: list[tuple[Window, bool]]) -> list[dict[str, Any]]:
        """Write all windows at once; return a row for each.

        The file has longer windows, which only go when all their time is read again.
        """
        return self._read([window for window, _ in planned])

    def _read(self, windows: list[Window]) -> list[dict[str, Any]]:
        landing = _verbs.extract(
            self._entity,
            windows,
            page_size=self._variables.page_size,
            out=self._ranges.file,
            **self._call.settings.keywords,
        )
        rows = []
        for read in landing.run.windows:
            if read.status == "failed":
                self._log("error", read.window, f"error: {read.error}", rows=0)
            else:
                aside = f", {read.rejected} apartadas" if read.rejected else ""
                self._log("warning" if aside else "info", read.window, f"{read.rows} filas{aside}", rows=read.rows)
            # Of windows that are read together the file takes all or none.
            if not landing.run.failed and datetime.now(timezone.utc) - read.end > SETTLED:
                self._ranges.add(read.window, read.rows, self._run)
            rows.append(read.window.to_dict() | {"status": read.status, "rows": read.rows})
        return rows

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


class WrittenRanges:
    """The windows that a text file holds, in a small file beside it, since empty ones leave no line in the text."""

    def __init__(self, file: Path) -> None:
        """Read what is known of a text file; nothing, if it does not exist."""
        self.file = file
        self._list = file.with_name(f".{file.name}.ranges.json")
        self._known: dict[str, dict[str, Any]] = {}
        if file.exists() and self._list.exists():
            self._known = json.loads(self._list.read_text())

    def rows(self, window: Window, run: str | None = None) -> int | None:
        """Return the number of rows of a window that the file holds; None if it does not, or another run wrote it."""
        known = self._known.get(_key(window))
        if known is None or (run is not None and known["run"] != run):
            return None
        return int(known["rows"])

    def add(self, window: Window, rows: int, run: str) -> None:
        """Note a window that is in the file now; those within it are replaced."""
        self._known = {key: known for key, known in self._known.items() if not _overlaps(_window(key), window)}
        self._known[_key(window)] = {"rows": rows, "run": run}
        draft = self._list.with_suffix(".new")
        draft.write_text(json.dumps(self._known, indent=0))
        draft.replace(self._list)

    def is_cut_by(self, planned: list[tuple[Window, bool]]) -> bool:
        """Return True if a window of the file reaches beyond one that is to be read, so that another chunk cut it."""
        known = [_window(key) for key in self._known]
        to_read = [window for window, is_to_read in planned if is_to_read]
        return any(
            _overlaps(old, new) and (old.start < new.start or old.end > new.end) for old in known for new in to_read
        )


def _key(window: Window) -> str:
    return f"{window.to_dict()['start']}/{window.to_dict()['end']}"


def _window(key: str) -> Window:
    start, end = map(parse_instant, key.split("/"))
    return Window(start, end)


def _overlaps(one: Window, other: Window) -> bool:
    return one.start < other.end and other.start < one.end


def _file(call: Execution, entity: str) -> Path:
    given = call.kwargs.get("archivo")
    name = f"data/{entity}.txt" if is_missing(given) else str(given).strip()
    file = Path(str(call.kwargs.get("repo_path") or Path.cwd())) / name
    if not file.name.endswith(".txt"):
        raise ConfigError(f"archivo: '{name}' does not end in .txt | '{name}' no termina en .txt")
    file.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(file.parent, os.W_OK):
        raise ConfigError(f"archivo: '{file.parent}' cannot be written | no se puede escribir en '{file.parent}'")
    return file
