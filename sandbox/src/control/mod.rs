//! The control API: what tests ask the sandbox to do and to tell, under one prefix beside Intuit's
//! paths, from Python and from the command line.

mod arguments;
mod commands;

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::Method;
use serde_json::json;
use serde_json::value::RawValue;

pub(super) use self::arguments::Arguments;
use self::commands::COMMANDS;
use super::answer::Answer;
use super::server::State;

/// Everything below it is ours.
pub(super) const PREFIX: &str = "/sandbox";

/// Why a command did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such command.
    #[error("there is no command '{0}'; there are {names}", names = names())]
    Command(String),
    /// It cannot be done as it was asked.
    #[error("{command}: {reason}")]
    Arguments {
        /// The command.
        command: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// One command.
struct Command {
    name: &'static str,
    /// Names of its arguments; optional ones in brackets.
    arguments: &'static str,
    what: &'static str,
    /// It changes nothing, so a GET may ask for it.
    only_reads: bool,
    run: fn(&State, &Arguments) -> Result<String, String>,
}

fn names() -> String {
    COMMANDS
        .iter()
        .map(|command| command.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Runs a command; answers JSON.
///
/// # Errors
/// [`ControlError`].
pub(super) fn run(
    state: &State,
    name: &str,
    arguments: &Arguments,
) -> Result<String, ControlError> {
    let command = COMMANDS.iter().find(|command| command.name == name);
    let command = command.ok_or_else(|| ControlError::Command(name.to_owned()))?;
    let refuse = |reason| ControlError::Arguments {
        command: command.name,
        reason,
    };
    arguments.check(command.arguments).map_err(refuse)?;
    (command.run)(state, arguments).map_err(refuse)
}

/// Runs what a fault has in store; what cannot be done is logged and passed over.
pub(super) fn apply(state: &State, changes: &[Box<RawValue>]) {
    for change in changes {
        let outcome = Arguments::parse(change.get()).and_then(|mut arguments| {
            let name = arguments.take("command").ok_or("a command is missing")?;
            run(state, &name, &arguments).map_err(|error| error.to_string())
        });
        if let Err(reason) = outcome {
            log::warn!("sandbox: a change was not made: {reason}");
        }
    }
}

/// The name of the command that a path asks for, if it is below the prefix. Nothing but the prefix
/// asks for help.
pub(super) fn command(path: &str) -> Option<&str> {
    match path.strip_prefix(PREFIX)?.strip_prefix('/') {
        Some(name) => Some(name.trim_end_matches('/')),
        None => (path == PREFIX).then_some(""),
    }
}

/// Arguments out of a request: the members of its JSON body, or the fields of its query.
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

/// The command's outcome over HTTP.
pub(super) fn answer(
    state: &State,
    method: &Method,
    name: &str,
    arguments: Result<Arguments, String>,
) -> Answer {
    if name.is_empty() || name == "help" {
        return Answer::json(
            200,
            &json!({"prefix": PREFIX, "commands": help(), "faults": faults()}),
        );
    }
    let only_reads = COMMANDS
        .iter()
        .any(|command| command.name == name && command.only_reads);
    if method != Method::POST && !(only_reads && method == Method::GET) {
        let known = COMMANDS.iter().any(|command| command.name == name);
        if known {
            return refusal(405, &format!("{name} changes something: it is a POST"));
        }
    }
    match arguments
        .and_then(|arguments| run(state, name, &arguments).map_err(|error| error.to_string()))
    {
        Ok(body) => Answer::json_text(200, body),
        Err(reason) => refusal(400, &reason),
    }
}

fn refusal(status: u16, reason: &str) -> Answer {
    // The error first, where people look.
    let reason = serde_json::Value::from(reason);
    Answer::json_text(
        status,
        format!(r#"{{"error":{reason},"commands":{}}}"#, help()),
    )
}

fn help() -> serde_json::Value {
    let commands = COMMANDS.iter().map(|command| {
        json!({"command": command.name, "arguments": command.arguments, "what": command.what, "reads": command.only_reads})
    });
    commands.collect()
}

fn faults() -> serde_json::Value {
    super::faults::FAULTS
        .iter()
        .map(|(name, what)| json!({"fault": name, "what": what}))
        .collect()
}
