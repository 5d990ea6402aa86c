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
from typing import TYPE_CHECKING

from qbo_rs import lineage
from qbo_rs._company import named_companies
from qbo_rs._plan import need_database
from qbo_rs._plan import plan as plan_all
from qbo_rs._verbs import _names, sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_USAGE = "usage: python -m qbo_rs.buckets NUMBER OF [ENTITY ...]; NUMBER is below OF\n"


def plan(
    count: int | None = None,
    *,
    entity: str | Iterable[str] | None = None,
    accounts: str | Iterable[str] | None = None,
) -> list[list[str]]:
    """Divide companies into buckets of about the same cost, by how far each is in step.

    Args:
        count: Buckets at most; None: one for each 32 companies, as many as a process syncs at a time.
        entity: Entities that will be synced; None: all.
        accounts: Realm ids; None: every company of the token store. An empty list is refused.

    Returns:
        The realm ids of each bucket, for ``accounts`` of :func:`qbo_rs.sync`.

    Raises:
        ConfigError: No company is known, one of ``accounts`` is not, or the database cannot be reached.

    Example:
        >>> [qbo_rs.sync(accounts=bucket) for bucket in qbo_rs.buckets.plan(4)]

    """
    companies = named_companies(accounts)
    need_database({})
    planned = plan_all(_names(entity), companies, count, {})
    return [[company.realm_id for company in bucket] for bucket in planned.buckets]


def share(number: int, of: int) -> list[str]:
    """Return the companies of one of ``of`` buckets, the same whichever process asks and whenever.

    A realm id alone decides, so that processes that start at different times never take the same company, or leave one
    out. Buckets hold about as many companies as each other.

    Args:
        number: Number of the bucket, from 0.
        of: Number of buckets.

    """
    every = [realm_id for bucket in plan() for realm_id in bucket]
    return sorted(realm_id for realm_id in every if zlib.crc32(realm_id.encode()) % of == number)


def main(arguments: Sequence[str]) -> int:
    """Sync a share; print the report of :func:`qbo_rs.sync` as JSON, and return 1 if anything failed."""
    numbers = [int(text) for text in arguments[:2] if text.isdecimal()]
    if len(numbers) != 2 or numbers[0] >= numbers[1]:  # noqa: PLR2004 - NUMBER and OF
        sys.stderr.write(_USAGE)
        return 2
    accounts = share(*numbers)
    # A share may be empty, and the sync refuses an empty list.
    report = lineage.run(sync, arguments[2:], accounts=accounts) if accounts else None
    sys.stdout.write(json.dumps({"accounts": []} if report is None else report.to_dict()) + "\n")
    return 0 if report is None or report.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
