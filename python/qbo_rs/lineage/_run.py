"""A verb whose run OpenLineage is told of."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from qbo_rs._verbs import _names
from qbo_rs.exceptions import ConfigError
from qbo_rs.lineage._database import database_of
from qbo_rs.lineage._outcome import Outcome, outcome_of
from qbo_rs.lineage._teller import Teller, is_configured

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
#: The verbs that copy.
_VERBS = ("backfill", "extract", "upsert", "sync")


def run(verb: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call a verb and send its events, if OpenLineage is configured.

    Args:
        verb: :func:`qbo_rs.backfill`, :func:`qbo_rs.extract`, :func:`qbo_rs.upsert` or :func:`qbo_rs.sync`.
        *args: Arguments of the verb.
        **kwargs: Keywords and settings of the verb.

    Returns:
        The report of the verb. A report with failures is told as FAIL, with what was written all the same.

    Raises:
        ConfigError: The verb is another one. Nothing was called or sent.
        QboError: What the verb raises.

    Example:
        ::

            import qbo_rs
            import qbo_rs.lineage

            report = qbo_rs.lineage.run(qbo_rs.sync, ["customers", "invoices"])

    """
    name = getattr(verb, "__name__", type(verb).__name__)
    if name not in _VERBS:
        raise ConfigError(f"verb: {name} has no events; those with events are {', '.join(_VERBS)}")
    if not is_configured():
        return verb(*args, **kwargs)
    given: dict[str, Any] = inspect.signature(verb).bind(*args, **kwargs).arguments
    settings = {name: str(value) for name, value in given.get("settings", {}).items() if value is not None}
    entities = _names(given.get("entity"))
    teller = Teller(name, entities, database_of(settings), settings)
    teller.start()
    try:
        report = verb(*args, **kwargs)
    except KeyboardInterrupt:
        teller.end(Outcome(), is_stopped=True)
        raise
    except BaseException as error:
        teller.end(Outcome(failure=str(error) or type(error).__name__))
        raise
    teller.end(outcome_of(_as_json(report), name, given.get("schema", "raw")))
    return report


def _as_json(report: Any) -> dict[str, Any]:
    """Return a report as the command prints it; a landing is one run."""
    known: dict[str, Any] = report.to_dict()
    return known if "runs" in known or "accounts" in known else {"runs": [known]}
