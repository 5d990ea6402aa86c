"""The execution of a block: its input from Mage, its settings, its log and its errors.

No block shows progress: Mage's editor, which is a notebook to IPython, adds an output for every change of a display.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qbo_rs._language import english
from qbo_rs.exceptions import ConfigError
from qbo_rs.mage._events import EventLog, core_events
from qbo_rs.mage._guard import Attempts, as_exception
from qbo_rs.mage._settings import BlockSettings, read_settings
from qbo_rs.mage._spanish import in_both, text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Block = Callable[..., Any]


@dataclass(frozen=True)
class Execution:
    """The input of a block."""

    upstream: tuple[Any, ...]
    """Results of the upstream blocks."""
    kwargs: dict[str, Any]
    """Keywords that Mage passed: runtime variables, the logger, and names of the run."""
    settings: BlockSettings
    """Settings from Mage Secrets and the environment."""
    log: EventLog
    """Log of the block."""

    @property
    def pipeline(self) -> str:
        """The name of the pipeline."""
        return str(self.kwargs.get("pipeline_uuid", "notebook"))

    @property
    def directory(self) -> Path | None:
        """The landing directory of this pipeline run, shared by its retries; None if Mage does not retry."""
        partition = self.kwargs.get("execution_partition")
        return self.settings.landing / self.pipeline / str(partition) if partition else None

    def table(self) -> Any:
        """Return the table of the upstream block."""
        if not self.upstream:
            raise ConfigError("the block has no upstream block; connect it in the pipeline")
        return self.upstream[0]


def as_block(name: str, body: Callable[[Execution], Any]) -> Block:
    """Make a function for a decorator of Mage: guarded, with limited attempts, and with the core's events in its log.

    Args:
        name: Name of the function, by which Mage's editor finds it.
        body: Work of the block.

    Returns:
        The function.

    """

    def block(*upstream: Any, **kwargs: Any) -> Any:
        # The log says the Spanish beside it.
        with english():
            return run(*upstream, **kwargs)

    def run(*upstream: Any, **kwargs: Any) -> Any:
        log = EventLog(kwargs)
        secrets: tuple[str, ...] = ()
        try:
            settings = read_settings()
            secrets = settings.secrets
            execution = Execution(upstream, kwargs, settings, log)
            with core_events(log), Attempts(execution.directory, name, settings.max_attempts):
                return body(execution)
        except BaseException as error:  # noqa: BLE001 - Mage repeats a block for ever unless it raises an Exception
            cause = as_exception(_with_hint(error), secrets)
            # Mage's page of logs shows the text of an exception only below the end of its traceback.
            log.write("error", f"FAILED · {in_both(text_of(cause))}", event="block_failed")
            raise cause from None

    block.__name__ = block.__qualname__ = name
    return block


def _with_hint(error: BaseException) -> BaseException:
    if isinstance(error, ConfigError) and str(error).endswith("not set"):
        return ConfigError(f"{error}, neither as a Mage Secret nor in the environment")
    return error
