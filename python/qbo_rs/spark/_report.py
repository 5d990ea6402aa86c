"""A task of a sync: the ordinary sync of the core into Postgres, and its report as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from qbo_rs import lineage
from qbo_rs._plan import core
from qbo_rs._types import parse_instant
from qbo_rs.exceptions import QboError
from qbo_rs.spark._schema import REPORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qbo_rs._plan import Company
    from qbo_rs.spark._options import Options

Row = dict[str, Any]


def sync_companies(
    options: Options, entities: Sequence[str], companies: Sequence[Company], *, is_repeated: bool
) -> Iterator[pa.RecordBatch]:
    """Sync companies and yield the report. Whatever fails is a row, so that the task does not fail with it.

    A company that another sync reads is `held`. A repeated task waits for it: the other sync may be the first attempt
    of this task, and Spark would take the row `held` for its result.
    """
    arguments = {
        "accounts": [company.realm_id for company in companies],
        "page_size": str(options.page_size),
        "no_wait": not is_repeated,
        "planned": True,
    }
    try:
        accounts = lineage.run(sync, entities, arguments, **options.references.settings())["accounts"]
        rows = [row for account in accounts for row in _rows(account, companies)]
    except QboError as error:
        rows = [{"realm_id": company.realm_id, "status": "failed", "error": str(error)} for company in companies]
    yield pa.RecordBatch.from_pylist(rows, schema=REPORT)


class Answer(dict[str, Any]):
    """The report of the core, which OpenLineage is told of."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as it is."""
        return self


def sync(entity: Sequence[str], arguments: Mapping[str, Any], **settings: str) -> Answer:
    """Call the core, under the name and with the arguments by which OpenLineage knows a sync."""
    return Answer(core("sync", {"entities": list(entity), **arguments}, settings))


def is_repeated_task() -> bool:
    """Return true if another attempt of this task has been started before."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return context is not None and context.attemptNumber() > 0


def _rows(account: dict[str, Any], companies: Sequence[Company]) -> Iterator[Row]:
    """Return the row of a company, and one of each entity."""
    starts = {company.realm_id: _instant(company.synced_until) for company in companies}
    of_company = {"realm_id": account["realm_id"], "window_from": starts.get(account["realm_id"])}
    yield of_company | {
        "status": account["status"],
        "error": account["error"],
        "requests": account["requests"],
        "seconds": account["duration_ms"] / 1000,
        **{count: sum(entity[count] for entity in account["entities"]) for count in _COUNTS},
    }
    for entity in account["entities"]:
        yield of_company | {
            "entity": entity["entity"],
            "status": entity["status"],
            "error": entity["error"] or entity.get("unavailable"),
            "window_until": _instant(entity["checkpoint"]),
            **{count: entity[count] for count in _COUNTS},
        }


_COUNTS = ("rows", "inserted", "updated", "deleted", "rejected")


def _instant(text: str | None) -> Any:
    return None if text is None else parse_instant(text)
