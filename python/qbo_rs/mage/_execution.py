"""One execution of a block: what Mage gave it, its settings, its log, and how it may end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qbo_rs.exceptions import ConfigError
from qbo_rs.mage._events import EventLog, core_events
from qbo_rs.mage._guard import Attempts, raise_plainly
from qbo_rs.mage._settings import BlockSettings, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Block = Callable[..., Any]


@dataclass(frozen=True)
class Execution:
    """What a block works with."""

    upstream: tuple[Any, ...]
    kwargs: dict[str, Any]
    settings: BlockSettings
    log: EventLog

    @property
    def pipeline(self) -> str:
        """Name of the pipeline."""
        return str(self.kwargs.get("pipeline_uuid", "notebook"))

    @property
    def directory(self) -> Path | None:
        """Where this run of the pipeline lands its files, for all tries of it; None where Mage does not try again."""
        partition = self.kwargs.get("execution_partition")
        return self.settings.landing / self.pipeline / str(partition) if partition else None

    def table(self) -> Any:
        """Return what the block before handed on."""
        if not self.upstream:
            raise ConfigError("the block has no block before it; connect it in the pipeline")
        return self.upstream[0]


def as_block(name: str, body: Callable[[Execution], Any]) -> Block:
    """Make a function for a decorator of Mage: guarded, with a limited number of tries, its events in Mage's log.

    Args:
        name: Mage's editor looks a block's function up by its name.
        body: What it does.

    Returns:
        The function.

    """

    def block(*upstream: Any, **kwargs: Any) -> Any:
        log = EventLog(kwargs)
        secrets: tuple[str, ...] = ()
        try:
            settings = read_settings()
            secrets = settings.secrets
            execution = Execution(upstream, kwargs, settings, log)
            with core_events(log), Attempts(execution.directory, name, settings.max_attempts):
                return body(execution)
        except BaseException as error:  # noqa: BLE001 - Mage runs a block for ever upon others than Exception
            raise_plainly(_explained(error), secrets)

    block.__name__ = block.__qualname__ = name
    return block


def _explained(error: BaseException) -> BaseException:
    if isinstance(error, ConfigError) and str(error).endswith("not set"):
        return ConfigError(f"{error}, neither as a Mage Secret nor in the environment")
    return error
