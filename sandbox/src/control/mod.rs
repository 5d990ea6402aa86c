//! The control API, with which tests change and inspect a sandbox. It has a path prefix of its own
//! beside Intuit's paths, and is also used from Python and the command line.

mod arguments;
mod books;
mod callers;
mod clock;
mod command;
mod commands;
mod plan;
mod reports;

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method};
use serde_json::json;
use serde_json::value::RawValue;

pub(crate) use self::arguments::Arguments;
use self::commands::COMMANDS;
use crate::answer::Answer;
use crate::faults::FAULTS;
use crate::paths::CONTROL_PREFIX;
use crate::state::State;

/// The reason why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such command.
    #[error("there is no command '{0}'; there are {names}", names = command_names())]
    Command(String),
    /// The command failed, or its arguments are not valid.
    #[error("{command}: {reason}")]
    Arguments {
        /// The command's name.
        command: &'static str,
        /// The reason.
        reason: String,
    },
}

fn command_names() -> String {
    COMMANDS
        .iter()
        .map(|command| command.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Runs a command and returns its JSON.
///
/// # Errors
/// [`ControlError`] if there is no such command, or it failed.
pub(super) fn run(
    state: &State,
    name: &str,
    arguments: &Arguments,
) -> Result<String, ControlError> {
    let command = COMMANDS.iter().find(|command| command.name == name);
    let command = command.ok_or_else(|| ControlError::Command(name.to_owned()))?;
    let failed = |reason| ControlError::Arguments {
        command: command.name,
        reason,
    };
    arguments.check(command.arguments).map_err(failed)?;
    (command.run)(state, arguments).map_err(failed)
}

/// Runs the commands of a `change` fault. A command that fails is logged and skipped.
pub(super) fn run_changes(state: &State, changes: &[Box<RawValue>]) {
    for change in changes {
        let outcome = Arguments::parse(change.get()).and_then(|mut arguments| {
            let name = arguments.take("command").ok_or("a command is missing")?;
            run(state, &name, &arguments).map_err(|error| error.to_string())
        });
        if let Err(reason) = outcome {
            log::warn!("sandbox: a command of a change fault failed: {reason}");
        }
    }
}

/// Returns the name of the command in a path below the control prefix. The prefix alone has an
/// empty name, which asks for help.
pub(super) fn command_in_path(path: &str) -> Option<&str> {
    match path.strip_prefix(CONTROL_PREFIX)?.strip_prefix('/') {
        Some(name) => Some(name.trim_end_matches('/')),
        None => (path == CONTROL_PREFIX).then_some(""),
    }
}

/// Returns the arguments of a request: the members of its JSON body, or else the fields of its
/// query string.
pub(super) fn arguments(
    body: &Bytes,
    query: &HashMap<String, String>,
) -> Result<Arguments, String> {
    match body.is_empty() {
        true => Ok(Arguments::from_pairs(
            query
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )),
        false => Arguments::parse(std::str::from_utf8(body).map_err(|error| error.to_string())?),
    }
}

/// Runs a command and returns its HTTP answer.
pub(super) fn answer(
    state: &State,
    method: &Method,
    name: &str,
    arguments: Result<Arguments, String>,
) -> Answer {
    if name.is_empty() || name == "help" {
        return Answer::json(
            200,
            &json!({"prefix": CONTROL_PREFIX, "commands": help(), "faults": faults()}),
        );
    }
    let is_read_only = COMMANDS
        .iter()
        .any(|command| command.name == name && command.is_read_only);
    if method != Method::POST && !(is_read_only && method == Method::GET) {
        let known = COMMANDS.iter().any(|command| command.name == name);
        if known {
            return refusal(405, &format!("{name} changes something and needs a POST"));
        }
    }
    match arguments
        .and_then(|arguments| run(state, name, &arguments).map_err(|error| error.to_string()))
    {
        Ok(body) => Answer::json_text(200, body),
        Err(reason) => refusal(400, &reason),
    }
}

/// Returns the answer to a request that does not come from a tool of the user's own, or `None` if it does.
pub(super) fn refusal_of_caller(method: &Method, headers: &HeaderMap) -> Option<Answer> {
    callers::refusal(method, headers).map(|(status, reason)| refusal(status, reason))
}

fn refusal(status: u16, reason: &str) -> Answer {
    // The error comes first, where people look for it.
    let reason = serde_json::Value::from(reason);
    Answer::json_text(
        status,
        format!(r#"{{"error":{reason},"commands":{}}}"#, help()),
    )
}

/// Returns the description of every command as JSON.
fn help() -> serde_json::Value {
    let commands = COMMANDS.iter().map(|command| {
        json!({"command": command.name, "arguments": command.arguments, "what": command.description, "reads": command.is_read_only})
    });
    commands.collect()
}

/// Returns the descriptions of all commands and faults, for who shows them in another language.
pub fn descriptions() -> impl Iterator<Item = &'static str> {
    let commands = COMMANDS.iter().map(|command| command.description);
    commands.chain(FAULTS.iter().map(|(_, description)| *description))
}

/// Returns the description of every fault as JSON.
fn faults() -> serde_json::Value {
    FAULTS
        .iter()
        .map(|(name, description)| json!({"fault": name, "what": description}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_commands_and_faults_is_as_recorded() {
        let commands = COMMANDS.iter().map(|command| {
            let call = format!("{} {}", command.name, command.arguments);
            format!("{}\n    {}\n", call.trim_end(), command.description)
        });
        let faults = FAULTS
            .iter()
            .map(|(name, description)| format!("{name}\n    {description}\n"));
        let help: String = commands
            .chain(["\nFaults:\n\n".to_owned()])
            .chain(faults)
            .collect();
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!("help", help);
        });
    }
}
