"""The block that syncs companies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbo_rs import _scheduled
from qbo_rs.exceptions import RetriableError
from qbo_rs.mage import _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._zones import is_missing

if TYPE_CHECKING:
    from qbo_rs.mage._execution import Block, Execution


def sync_qbo() -> Block:
    """Make the block that syncs every company of the token store, as :func:`qbo_rs.sync` does.

    Its runtime variables are ``entities`` (names) and ``accounts`` (company ids), separated by commas; empty: all.

    Returns:
        A function for ``@data_loader``. It returns a DataFrame with one row per company and entity; its ``status`` is
        ``unavailable`` for an entity that the company's plan or country does not have. If a company or an entity
        failed, it raises :class:`~qbo_rs.RetriableError` after all others are in step.

    Example:
        ::

            sync_qbo = data_loader(sync_qbo())

    """

    def body(call: Execution) -> Any:
        named = [_names(call.kwargs.get(name)) for name in ("entities", "accounts")]
        report = _scheduled.run_sync(*named, progress=False, settings=call.settings.keywords)
        failures = []
        for account in report.accounts:
            # What was not attempted failed for the reason that the company gives.
            failed = [e for e in account.entities if e.error and e.failure != "not_attempted"]
            errors = [account.error, *(f"{entity.entity}: {entity.error}" for entity in failed)]
            failures += [f"{account.realm_id}: {error}" for error in errors if error]
        if failures:
            raise RetriableError(f"{len(failures)} not in step: " + "; ".join(failures[:5]))
        return _tables.sync_table(report)

    return as_block("sync_qbo", body)


def _names(value: object) -> list[str] | None:
    if is_missing(value):
        return None
    texts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return [name for text in texts if (name := str(text).strip())] or None
