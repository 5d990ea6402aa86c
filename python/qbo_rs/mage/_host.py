"""The interface to Mage itself (0.9.80): its secrets, its data directory and its triggers.

Mage is imported inside the functions, since the package is also used without it.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def secret_lookup() -> Callable[[str], str | None]:
    """Return a function that looks a Mage Secret up by name; None: it does not exist or cannot be decrypted."""
    from mage_ai.data_preparation.shared.secrets import get_secret_value
    from mage_ai.orchestration.db.models.secrets import Secret

    # All names are read in one query: a block looks up about a hundred names, of which about ten exist.
    names = {name for (name,) in Secret.query.with_entities(Secret.name).all()}
    return lambda name: get_secret_value(name, suppress_warning=True) if name in names else None


def data_directory() -> str:
    """Return the directory in which Mage keeps the data of its runs."""
    from mage_ai.settings.repo import get_data_dir

    return str(get_data_dir())


def version() -> str:
    """Return the version of Mage."""
    return metadata.version("mage-ai")


def disable_trigger(schedule: Any) -> None:
    """Make a trigger inactive in Mage's database and in ``triggers.yaml``, which a restart reads again."""
    from mage_ai.data_preparation.models import triggers

    inactive = triggers.ScheduleStatus.INACTIVE
    schedule.update(status=inactive)
    kept = "name pipeline_uuid schedule_type start_time schedule_interval last_enabled_at variables sla settings"
    fields = {name: getattr(schedule, name) for name in [*kept.split(), "description"]}
    triggers.add_or_update_trigger_for_pipeline_and_persist(
        triggers.Trigger(status=inactive, **fields), schedule.pipeline_uuid, update_only_if_exists=True
    )


def is_once(schedule: Any) -> bool:
    """Return True if a trigger runs once."""
    from mage_ai.data_preparation.models.triggers import ScheduleInterval

    return bool(schedule.schedule_interval == ScheduleInterval.ONCE)
