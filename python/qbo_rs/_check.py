"""A check of everything that a run needs: settings, tokens, the company, the database."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from qbo_rs._html import Html, block, headline, mark, markup, plain, table, visible
from qbo_rs._verbs import _async_twin, _Call, _verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from qbo_rs._settings import Settings

CheckStatus = Literal["ok", "warning", "failed", "skipped"]
"""The verdict of a line: ``warning`` works, ``failed`` would stop a run, ``skipped`` was not looked at."""

_MARKS = {"ok": "✔", "warning": "!", "failed": "✖", "skipped": "-"}


@dataclass(frozen=True)
class CheckLine:
    """One thing that was looked at."""

    name: str
    """Name, such as ``token`` or ``rights``."""
    status: CheckStatus
    """Verdict."""
    text: str
    """Finding, in one sentence."""
    fix: str | None
    """A command, a statement or a setting that helps; None if there is none to copy."""


@dataclass(frozen=True)
class CheckReport:
    """Result of :func:`qbo_rs.check`. In a notebook it is a table."""

    lines: tuple[CheckLine, ...]
    """Lines, in the order in which they are shown."""
    status: CheckStatus
    """Worst verdict of the lines."""

    @property
    def is_ok(self) -> bool:
        """True if no line failed."""
        return self.status != "failed"

    @classmethod
    def from_dict(cls, report: Mapping[str, Any]) -> CheckReport:
        """Make a report from the result of ``to_dict``, or from the JSON of ``qbo-rs check --json``."""
        return cls(tuple(CheckLine(**line) for line in report["check"]), report["status"])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of ``qbo-rs check --json``."""
        return {"check": [asdict(line) for line in self.lines], "status": self.status}

    def __str__(self) -> str:
        """Return the lines as text."""
        width = max((len(line.name) for line in self.lines), default=0)
        shown = []
        for line in self.lines:
            name = visible(line.name.replace("_", " "))
            shown.append(f"{_MARKS[line.status]} {name:{width}}  {visible(line.text)}")
            if line.fix:
                shown.append(f"    -> {visible(line.fix)}")
        return "\n".join(shown)

    def __repr__(self) -> str:
        """Return the verdict, and the names of the lines that are not ok."""
        names = [line.name for line in self.lines if line.status in ("warning", "failed")]
        return f"<CheckReport {plain(self.status)}: {plain(', '.join(names)) if names else f'{len(self.lines)} lines'}>"

    def _repr_html_(self) -> str:
        rows = []
        for line in self.lines:
            fix = f"<br><code>{escape(visible(line.fix))}</code>" if line.fix else ""
            verdict = {"ok": "ok", "failed": "wrong"}.get(line.status, "care")
            rows.append([mark(verdict), line.name.replace("_", " "), Html(f"{markup(line.text)}{fix}")])
        verdict = {"ok": "ok", "failed": "wrong"}.get(self.status, "care")
        return block(headline(verdict, ["qbo_rs.check()", self.status]), table(("", "what", "finding"), rows, "lines"))


@_verb
def check(
    *, offline: bool = False, lift_pause: bool = False, schema: str = "raw", **settings: Unpack[Settings]
) -> _Call[CheckReport]:
    """Check settings, keys, tokens, the company and the database.

    Two requests go to QuickBooks: one refreshes the token, which is stored before it is used, and one asks for the
    company. Problems are in the result, each with something to copy that helps.

    Args:
        offline: Send nothing to QuickBooks.
        lift_pause: End a pause that QuickBooks has asked for, and ask it now.
        schema: Schema of the raw tables.
        **settings: Override the environment.

    Returns:
        One line for each thing that was looked at; a table in a notebook.

    Raises:
        ConfigError: The schema's name cannot be used.

    Example:
        >>> report = qbo_rs.check()
        >>> print(report)
        >>> assert report.is_ok

    """
    return _Call(CheckReport.from_dict, "check", settings, offline=offline, lift_pause=lift_pause, schema=schema)


check_async = _async_twin(check)
