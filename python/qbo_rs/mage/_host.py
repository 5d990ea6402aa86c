"""All that is asked of Mage itself (0.9.80): its secrets, its directory, its triggers.

It is imported late, since the package is also used where Mage is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def secrets() -> Callable[[str], str | None]:
    """Return what looks a Mage Secret up by name; None stands for one that is not there or cannot be decrypted."""
    from mage_ai.data_preparation.shared.secrets import get_secret_value
    from mage_ai.orchestration.db.models.secrets import Secret

    # One query for all names: a block asks for a hundred, of which ten exist.
    names = {name for (name,) in Secret.query.with_entities(Secret.name).all()}
    return lambda name: get_secret_value(name, suppress_warning=True) if name in names else None


def data_directory() -> str:
    """Return the directory in which Mage keeps what runs leave."""
    from mage_ai.settings.repo import get_data_dir

    return str(get_data_dir())


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
    """Whether a trigger runs one time."""
    from mage_ai.data_preparation.models.triggers import ScheduleInterval

    return bool(schedule.schedule_interval == ScheduleInterval.ONCE)
