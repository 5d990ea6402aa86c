//! The commands of the control API: how one is described and run.

use super::arguments::Arguments;
use crate::state::State;

/// The outcome of a command: JSON, or the reason why it failed.
pub(super) type CommandResult = Result<String, String>;

/// One command.
pub(super) struct Command {
    pub(super) name: &'static str,
    /// Names of its arguments; optional ones in brackets.
    pub(super) arguments: &'static str,
    pub(super) description: &'static str,
    /// Whether it changes nothing, so that a GET may run it.
    pub(super) is_read_only: bool,
    pub(super) run: fn(&State, &Arguments) -> CommandResult,
}

impl Command {
    /// Returns a command that changes nothing.
    pub(super) const fn context(
        name: &'static str,
        arguments: &'static str,
        description: &'static str,
        run: fn(&State, &Arguments) -> CommandResult,
    ) -> Self {
        Self {
            name,
            arguments,
            description,
            is_read_only: true,
            run,
        }
    }

    /// Returns a command that changes something.
    pub(super) const fn changing(
        name: &'static str,
        arguments: &'static str,
        description: &'static str,
        run: fn(&State, &Arguments) -> CommandResult,
    ) -> Self {
        Self {
            name,
            arguments,
            description,
            is_read_only: false,
            run,
        }
    }
}
