"""Progress of a call: one display in a notebook, which is updated, or one line on stderr.

The core counts, see ``_core.Following``. Here the counts are shown, on the thread of the caller, a few times a second.
Nothing that happens here may break a run: what fails is shown no more.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from qbo_rs import _core
from qbo_rs._html import GREEN, MAX_ROWS, Html, block, count, headline, more, plain, table

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds between two looks at the counts of an awaitable; a blocking call looks as often.
INTERVAL = 0.25
#: Seconds between two lines where a line cannot be written again.
_LOG_INTERVAL = 10.0
_BAR_WIDTH = 160


class _Place(Protocol):
    """A place where progress is shown."""

    def show(self, progress: Progress) -> None:
        """Show the state of a call."""

    def end(self, progress: Progress) -> None:
        """Show the state at the end."""


class Progress:
    """The counts of a call, and where they are shown."""

    def __init__(self, place: _Place) -> None:
        """Begin to count."""
        self.following = _core.Following()
        self._place: _Place | None = place
        self._begin = time.monotonic()
        self._is_shown = False
        self.state: dict[str, Any] = {"runs": [], "requests": 0, "throttled": 0, "paused_s": 0}
        self.is_ok: bool | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self._begin

    def show(self) -> None:
        """Show what is new."""
        snapshot = self.following.snapshot()
        if snapshot is None or self._place is None:
            return
        try:
            self.state = json.loads(snapshot)
            self._is_shown = True
            self._place.show(self)
        except Exception:  # noqa: BLE001 - whatever shows progress may fail
            self._place = None

    async def watch(self) -> None:
        """Show what is new until it is cancelled."""
        import asyncio  # noqa: PLC0415 - an import of the package shall not import it

        while True:
            await asyncio.sleep(INTERVAL)
            self.show()

    def end(self, *, is_ok: bool) -> None:
        """Show the end, if anything was shown before."""
        self.is_ok = is_ok
        if not self._is_shown:
            return
        self.show()
        try:
            if self._place is not None:
                self._place.end(self)
        except Exception:  # noqa: BLE001 - as above
            self._place = None

    def facts(self) -> list[str]:
        """Return the sums of all runs."""
        runs = self.state["runs"]
        # An entity that is compared, repaired and compared again has several runs.
        entities, running = (
            {run["entity"] for run in runs if run["ended"] in kind} for kind in ((True, False), (False,))
        )
        rows, failed = (sum(run[name] for run in runs) for name in ("rows", "failed"))
        ended = len(entities) - len(running)
        facts = [f"{ended} of {count(len(entities), 'entity', 'entities')}", count(rows, "row")] if runs else []
        facts += [f"{count(failed, 'window')} failed"] if failed else []
        facts.append(count(self.state["requests"], "request"))
        throttled = self.state["throttled"]
        facts += [f"{count(throttled, 'time')} asked to slow down"] if throttled else []
        paused = math.ceil(self.state["paused_s"])
        facts += [f"waiting {paused} s"] if paused and self.is_ok is None else []
        return [*facts, f"{self.elapsed:,.1f} s"]


def progress_of(wanted: bool | None) -> Progress | None:
    """Return the progress of a call if it is to be shown: if it was asked for, or by default in IPython."""
    try:
        place = _place(wanted)
    except Exception:  # noqa: BLE001 - without stderr, or while another thread imports IPython, there is no place
        return None
    return None if place is None else Progress(place)


def _place(wanted: bool | None) -> _Place | None:
    shell = _shell()
    if wanted is False or (wanted is None and shell is None):
        return None
    if getattr(shell, "kernel", None) is not None:
        return _Notebook()
    if wanted is None and not sys.stderr.isatty():
        return None
    return _Line()


def _shell() -> object | None:
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


class _Notebook:
    """A display of a notebook."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, progress: Progress) -> None:
        """Make the display, or update it."""
        shown = _Shown(_line(progress), _html(progress))
        if self._handle is None:
            from IPython.display import display  # noqa: PLC0415 - only notebooks have it

            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def end(self, progress: Progress) -> None:
        """Leave one line."""
        line = headline("ok" if progress.is_ok else "wrong", progress.facts())
        if self._handle is not None:
            self._handle.update(_Shown(_line(progress), line))


class _Shown:
    """A state as text and as HTML."""

    def __init__(self, line: str, html: str) -> None:
        self._line = line
        self._html = html

    def __repr__(self) -> str:
        return self._line

    def _repr_html_(self) -> str:
        return self._html


class _Line:
    """A line on stderr, which is written again on a terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._last = time.monotonic()

    def show(self, progress: Progress) -> None:
        """Write the line."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r{_line(progress)[:width]}\x1b[K")
            sys.stderr.flush()
        elif time.monotonic() - self._last >= _LOG_INTERVAL:
            self._last = time.monotonic()
            sys.stderr.write(f"{_line(progress)}\n")
            sys.stderr.flush()

    def end(self, progress: Progress) -> None:
        """Write the last line, and end it."""
        begin, end = ("\r", "\x1b[K\n") if self._is_terminal else ("", "\n")
        sys.stderr.write(f"{begin}{' · '.join(progress.facts())}{end}")
        sys.stderr.flush()


def _line(progress: Progress) -> str:
    facts = progress.facts()
    running = [run for run in progress.state["runs"] if run["begun"] and not run["ended"]]
    if running:
        run = running[-1]
        facts.insert(0, f"{plain(run['entity'])} {run['done']:,}/{run['windows']:,} windows")
    return " · ".join(facts)


def _html(progress: Progress) -> Html:
    runs = progress.state["runs"]
    if not runs:
        return headline("ok", progress.facts())
    # What is read now comes first, then what waits, then what has ended.
    shown = sorted(runs, key=lambda run: (run["ended"], not run["begun"]))
    rows = [[run["entity"], _bar(run), run["rows"], f"{run['done']:,}/{run['windows']:,}"] for run in shown[:MAX_ROWS]]
    columns = ("entity", "", "rows", "windows")
    return block(headline("ok", progress.facts()), table(columns, rows), more(len(runs) - MAX_ROWS, "entities"))


def _bar(run: Mapping[str, Any]) -> Html:
    share = 1.0 if run["ended"] else run["done"] / max(run["windows"], 1)
    outline = f"width:{_BAR_WIDTH}px;height:10px;background:rgba(128,128,128,.25)"
    inside = f"width:{share * _BAR_WIDTH:.0f}px;height:10px;background:{GREEN}"
    return Html(f'<div style="{outline}"><div style="{inside}"></div></div>')
