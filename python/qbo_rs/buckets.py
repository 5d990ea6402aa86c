"""Companies in buckets, for a scheduler that syncs each bucket in a task, a pod or a machine of its own.

* :func:`plan`: one process divides all companies by what there is to read, and hands the buckets out.
* :func:`share`: many processes, each of which knows only its number, take their companies without asking each other.
* ``python -m qbo_rs.buckets 3 8 customers invoices`` syncs the share of number 3 of 8, as a pod of an indexed Job does.

A company is in one bucket, and no request goes to QuickBooks for the division.
"""

from __future__ import annotations

import json
import sys
import zlib
from typing import TYPE_CHECKING, Any

from qbo_rs import _scheduled
from qbo_rs._company import named_companies
from qbo_rs._keywords import check_keywords
from qbo_rs._plan import core
from qbo_rs._plan import plan as plan_all
from qbo_rs._verbs import _names
from qbo_rs.exceptions import ConfigError, QboError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Unpack

    from qbo_rs._settings import Settings

_USAGE = "usage: python -m qbo_rs.buckets NUMBER OF [ENTITY ...]; NUMBER counts from 0 and is below OF\n"
_HELP = """
Sync the companies of bucket NUMBER of OF; without ENTITY, all entities. The report is one JSON object on stdout.
Exit code 0: all are in step; 1: something failed; 2: an argument or a setting is wrong, and nothing was read.
"""


def plan(
    count: int | None = None,
    *,
    entity: str | Iterable[str] | None = None,
    accounts: str | Iterable[str] | None = None,
    **settings: Unpack[Settings],
) -> list[list[str]]:
    """Divide companies into buckets of about the same cost, by how far each is in step.

    Args:
        count: Buckets at most, from 1; None: one for each 32 companies, as many as a process syncs at a time.
        entity: Entities that will be synced; None: all.
        accounts: Realm ids; None: every company of the token store. An empty list is refused.
        **settings: Override the environment.

    Returns:
        The realm ids of each bucket, for ``accounts`` of :func:`qbo_rs.sync`.

    Raises:
        ConfigError: An argument is unusable, a company is not connected, or the database cannot be reached.

    Example:
        ::

            from qbo_rs import buckets

            for accounts in buckets.plan(8, entity=["customers", "invoices"]):
                qbo_rs.sync(["customers", "invoices"], accounts=accounts, planned=True)

    """
    check_keywords(settings, ("count", "entity", "accounts"))
    if count is not None:
        _check_whole("count", count, 1)
    entities, named = _names(entity), named_companies(accounts)
    given = {name: str(value) for name, value in settings.items() if value is not None}
    # A sync needs it, so its absence is told before what else is missing.
    core("database", {}, given)
    return [_realm_ids([bucket]) for bucket in plan_all(entities, named, count, given).buckets]


def _realm_ids(buckets: Iterable[Any]) -> list[str]:
    return [company.realm_id for bucket in buckets for company in bucket]


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name}: {value!r} is no whole number; int() makes one of a text")
    if value < least:
        raise ConfigError(f"{name}: {value} is too small; the smallest is {least}")


def share(number: int, of: int, **settings: Unpack[Settings]) -> list[str]:
    """Return the companies of one of ``of`` buckets, the same whichever process asks and whenever.

    A realm id alone decides, so that processes that start at different times never take the same company, or leave one
    out. Buckets hold about as many companies as each other.

    Args:
        number: Number of the bucket, from 0.
        of: Number of buckets.
        **settings: Override the environment.

    Raises:
        ConfigError: There is no such bucket, no company is known, or the database cannot be reached.

    Example:
        ::

            import os

            from qbo_rs import buckets

            accounts = buckets.share(int(os.environ["JOB_COMPLETION_INDEX"]), 8)

    """
    check_keywords(settings, ("number", "of"))
    _check_whole("of", of, 1)
    _check_whole("number", number, 0)
    if number >= of:
        raise ConfigError(f"number: {number} is not below of, which is {of}; buckets are counted from 0")
    every = [realm_id for bucket in plan(**settings) for realm_id in bucket]
    return sorted(realm_id for realm_id in every if zlib.crc32(realm_id.encode()) % of == number)


def main(arguments: Sequence[str]) -> int:
    """Sync a share and print the report of :func:`qbo_rs.sync` as JSON; return the exit code."""
    if any(argument in ("-h", "--help") for argument in arguments):
        sys.stdout.write(_USAGE + _HELP)
        return 0
    numbers = [int(text) for text in arguments[:2] if text.isdecimal()]
    if len(numbers) != 2 or numbers[0] >= numbers[1]:  # noqa: PLR2004 - NUMBER and OF
        sys.stderr.write(_USAGE)
        return 2
    try:
        accounts = share(*numbers)
        # No company at all would mean every company.
        report = _scheduled.run_sync(arguments[2:], accounts, settings={}) if accounts else None
    except QboError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, ConfigError) else 1
    sys.stdout.write(json.dumps({"accounts": []} if report is None else report.to_dict()) + "\n")
    return 0 if report is None or report.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
