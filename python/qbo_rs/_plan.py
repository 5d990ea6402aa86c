"""The companies of a sync, divided among tasks: each is in one of them."""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs._types import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Companies that the core syncs at a time, each of which waits for QuickBooks most of the time.
COMPANIES_AT_A_TIME = 32
#: The cost of an entity that was never synced, in days of changes.
DAYS_OF_A_NEW_ENTITY = 20


@dataclass(frozen=True)
class Company:
    """One company of a plan."""

    realm_id: str
    synced_until: str | None = None
    """Instant up to which all entities of the plan are in step; None if one of them never was."""


@dataclass(frozen=True)
class Plan:
    """The companies and entities of a sync or a frame."""

    buckets: tuple[tuple[Company, ...], ...]
    """The companies of each task."""
    entities: tuple[str, ...]
    deletions_unreported: tuple[str, ...] = ()
    """Entities of the plan whose deletions QuickBooks reports of no company."""


def core(verb: str, arguments: Mapping[str, Any], settings: Mapping[str, str]) -> Any:
    """Run a verb of the core. Waits without the GIL."""
    return json.loads(_core.call(json.dumps({"verb": {verb: arguments}, "settings": dict(settings)})))


def plan(
    entities: Iterable[str],
    accounts: Iterable[str],
    tasks: int | None,
    settings: Mapping[str, str],
    *,
    reads_records: bool = False,
) -> Plan:
    """Divide the companies among tasks. Postgres is asked how far each is; QuickBooks gets no request.

    No entity means all: those that a sync copies, or with `reads_records` those of which a range can be read.

    Raises:
        ConfigError: A company or an entity is unknown, or no range of an entity can be read.

    """
    arguments = {"entities": list(entities), "accounts": list(accounts), "reads_records": reads_records}
    answer = core("plan_sync", arguments, settings)
    now = datetime.now(timezone.utc)
    costs = [(_cost(account, now), _company(account)) for account in answer["accounts"]]
    count = tasks or -(-len(costs) // COMPANIES_AT_A_TIME)
    return Plan(divide(costs, count), tuple(answer["entities"]), tuple(answer["deletions_unreported"]))


def _company(account: Mapping[str, Any]) -> Company:
    return Company(account["realm_id"], None if account["new_entities"] else account["synced_until"])


def _cost(account: Mapping[str, Any], now: datetime) -> float:
    """Return about how much there is to read, in days of changes."""
    until = account["synced_until"]
    behind = (now - parse_instant(until)).total_seconds() / 86400 if until else 0
    return 1 + max(behind, 0) + DAYS_OF_A_NEW_ENTITY * float(account["new_entities"])


def divide(costs: Sequence[tuple[float, Company]], count: int) -> tuple[tuple[Company, ...], ...]:
    """Divide companies into at most `count` buckets of about the same cost, the most expensive first."""
    buckets: list[list[Company]] = [[] for _ in range(min(count, len(costs)))]
    filled = [(0.0, number) for number in range(len(buckets))]
    for cost, company in sorted(costs, key=lambda each: (-each[0], each[1].realm_id)):
        load, number = heapq.heappop(filled)
        buckets[number].append(company)
        heapq.heappush(filled, (load + cost, number))
    return tuple(tuple(bucket) for bucket in buckets)
