//! The commands of the control API: how one is described and run.

use parking_lot::RwLockWriteGuard;

use super::arguments::Arguments;
use crate::company::Company;
use crate::state::{CompanyState, State};

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

pub(super) fn done() -> CommandResult {
    Ok("{}".to_owned())
}

pub(super) fn to_json(value: &impl serde::Serialize) -> CommandResult {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

pub(super) fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| reason_of(&error))
}

/// Returns why an argument cannot be read. Its place in the text is left out: the text is short, and the names of
/// all choices are in the reason.
fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (reason, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    let choice = reason.strip_prefix("unknown variant `").and_then(|rest| {
        let (given, names) = rest.split_once("`, expected ")?;
        let names = names.trim_start_matches("one of ").replace('`', "");
        Some(format!("'{given}' is not one of {names}"))
    });
    choice.unwrap_or_else(|| reason.to_owned())
}

/// Returns the company that the argument `realm` names, or the first company.
pub(super) fn company_state<'s>(
    state: &'s State,
    arguments: &Arguments,
) -> Result<&'s CompanyState, String> {
    let id = arguments.text("realm");
    state
        .company(id.as_deref())
        .ok_or_else(|| format!("there is no company {}", id.unwrap_or_default()))
}

pub(super) fn company<'s>(
    state: &'s State,
    arguments: &Arguments,
) -> Result<RwLockWriteGuard<'s, Company>, String> {
    Ok(company_state(state, arguments)?.write())
}
