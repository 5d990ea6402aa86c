"""The callback that ends one-time triggers with their run."""

from __future__ import annotations

from typing import Any

from qbo_rs.mage import _host
from qbo_rs.mage._events import EventLog
from qbo_rs.mage._guard import guarded


@guarded
def disable_once_trigger(*_: Any, **kwargs: Any) -> None:
    """Make the ``@once`` trigger of a run that succeeded inactive, in Mage's database and in ``triggers.yaml``.

    It is a function for ``@callback('success')`` on the last block. Mage changes its database by itself, but a restart
    reads the file, in which the trigger would still be active. Other triggers, and runs without one, are unchanged.

    Example:
        ::

            callback("success")(disable_once_trigger)

    """
    run = kwargs.get("pipeline_run")
    schedule = run.pipeline_schedule if run is not None else None
    if schedule is None or not _host.is_once(schedule):
        return
    _host.disable_trigger(schedule)
    message = f"trigger {schedule.name} is now inactive"
    EventLog(kwargs).write("info", message, phase="load", event="trigger_disabled", trigger=schedule.name)
