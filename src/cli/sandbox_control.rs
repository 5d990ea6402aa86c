//! Commands to a sandbox that runs.

use super::exit::{ExitCode, Outcome};
use super::output::{self, Printer};
use super::signals::block_on;
use super::words::flow;
use super::wrap::{columns, hanging, wrapped};
use crate::config::Settings;
use crate::domain::closest;
use crate::error::{Error, Result};
use crate::language::{say, translated};
use crate::terminal::one_line;
use qbo_sandbox::control_remote;

pub(super) const DEFAULT_PORT: u16 = 8911;

/// Sends a command, or lists all, and prints the answer.
pub(super) fn control(
    command: Option<&str>,
    arguments: &[String],
    url: &str,
    printer: Printer,
) -> Outcome {
    let text = match (command, arguments, printer.json) {
        (None, _, false) | (Some("help"), [], false) => names(&asked(url, "help", &[])?)?,
        (Some("help"), [name, ..], false) => described(&asked(url, "help", &[])?, name)?,
        (command, ..) => asked(url, command.unwrap_or("help"), arguments)? + "\n",
    };
    output::text(&text);
    Ok(ExitCode::Done)
}

/// Returns the address that was named, else that of the settings, else the usual one.
pub(super) fn url_of(settings: &Settings, named: Option<String>) -> Result<String> {
    let set = match named {
        Some(named) => Some(named),
        None => settings.named_api_url()?,
    };
    Ok(set.unwrap_or_else(|| local(DEFAULT_PORT)))
}

/// Returns the address of a sandbox of this machine.
pub(super) fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Sends a command to a sandbox and returns its answer.
pub(super) fn asked(url: &str, command: &str, arguments: &[String]) -> Outcome<String> {
    // `--fault` takes the arguments of a fault as one.
    let one = arguments
        .first()
        .filter(|first| command == "fault" && arguments.len() == 1 && first.starts_with("fault="));
    let members: Vec<&str> = match one {
        Some(one) => one.split(',').collect(),
        None => arguments.iter().map(String::as_str).collect(),
    };
    let members: Vec<String> = members.into_iter().map(member).collect::<Result<_>>()?;
    let arguments = format!("{{{}}}", members.join(","));
    let sent = block_on(async { Ok(control_remote(url, command, arguments).await) })?;
    match sent {
        Ok(answer) => Ok(answer),
        Err(reason) => match mistaken(&reason) {
            Some(name) if command != "help" => {
                Err(unlisted(&asked(url, "help", &[])?, name)?.into())
            }
            _ => Err(refused(reason).into()),
        },
    }
}

/// Returns the name that a sandbox does not know; it then lists all, which are many.
fn mistaken(reason: &str) -> Option<&str> {
    let quoted = |begin: &str, end: char| {
        let (_, rest) = reason.split_once(begin)?;
        rest.split(end).next()
    };
    let command = quoted("there is no command '", '\'');
    command.or_else(|| quoted("not a fault: unknown variant `", '`'))
}

/// Returns the error about such a name.
fn unlisted(answer: &str, name: &str) -> Result<Error> {
    let listed = json_of(answer)?;
    let mut all = rows(&listed, "commands", "command");
    all.extend(rows(&listed, "faults", "fault"));
    Ok(unknown(name, all.iter().map(|row| row.0.as_str())))
}

/// Reads an answer.
pub(super) fn json_of(answer: &str) -> Result<serde_json::Value> {
    serde_json::from_str(answer).map_err(|error| refused(format!("its answer: {error}")))
}

/// The commands, or the faults, of a sandbox: each with what it takes and what it does.
type Rows = Vec<(String, String, String)>;

fn rows(listed: &serde_json::Value, list: &str, name: &str) -> Rows {
    let rows = listed[list].as_array().into_iter().flatten();
    rows.map(|row| {
        let [name, arguments, what] = [name, "arguments", "what"].map(|member| {
            let text = text_of(row, member);
            one_line(&text).into_owned()
        });
        (name, arguments, what)
    })
    .collect()
}

/// Returns the names of the commands and faults that a sandbox lists: all of them on one screen.
fn names(answer: &str) -> Result<String> {
    let listed = json_of(answer)?;
    let mut out = String::new();
    for (title, rows) in [
        (
            say!("Commands: qbo-rs sandbox control COMMAND NAME=VALUE ..."),
            rows(&listed, "commands", "command"),
        ),
        (
            say!("Faults: qbo-rs sandbox control fault fault=FAULT ..."),
            rows(&listed, "faults", "fault"),
        ),
    ] {
        let names: Vec<String> = rows.into_iter().map(|(name, ..)| name).collect();
        out.push_str(&format!("{title}\n{}", flow("  ", &names, ", ")));
    }
    let command = "qbo-rs sandbox control help edit";
    out.push_str(&say!("What one of them does: {command}", command));
    Ok(out + "\n")
}

/// Describes a command or a fault.
fn described(answer: &str, name: &str) -> Result<String> {
    let listed = json_of(answer)?;
    let mut all = rows(&listed, "commands", "command");
    all.extend(rows(&listed, "faults", "fault"));
    let found: Rows = all.iter().filter(|row| row.0 == name).cloned().collect();
    if found.is_empty() {
        return Err(unknown(name, all.iter().map(|row| row.0.as_str())));
    }
    let mut out = String::new();
    for (name, arguments, what) in found {
        let head = format!("{name} {arguments}");
        out.push_str(&wrapped(head.trim_end(), columns()));
        out.push_str(&format!(
            "\n{}",
            hanging("  ", &translated(&what), columns())
        ));
    }
    Ok(out)
}

/// Returns the error about a name that no command and no fault has.
fn unknown<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Error {
    refused(match closest(name, known) {
        Some(guess) => format!("there is no command or fault '{name}'; did you mean '{guess}'?"),
        None => format!("there is no command or fault '{name}'; qbo-rs sandbox control lists all"),
    })
}

fn text_of(row: &serde_json::Value, member: &str) -> String {
    row[member].as_str().unwrap_or_default().to_owned()
}

/// Converts an argument of a command to a member of a JSON object. A value that is JSON stays as it is
/// written, because parsing it would change its numbers.
fn member(argument: &str) -> Result<String> {
    let (name, value) = pair(argument)?;
    let value = match value.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| refused(format!("{name}: cannot read '{path}': {error}")))?,
        None => value.to_owned(),
    };
    let value = match serde_json::from_str::<serde::de::IgnoredAny>(&value) {
        Ok(_) => value,
        Err(_) => serde_json::Value::from(value).to_string(),
    };
    Ok(format!("{}:{value}", serde_json::Value::from(name)))
}

pub(super) fn refused(reason: String) -> Error {
    Error::config("sandbox", reason)
}

pub(super) fn pair(text: &str) -> Result<(&str, &str)> {
    text.split_once('=')
        .ok_or_else(|| refused(format!("'{text}' is not NAME=VALUE")))
}

pub(super) fn environment(name: &str, default: String) -> String {
    let value = std::env::var(name)
        .ok()
        .map(|value| value.trim().to_owned());
    value.filter(|value| !value.is_empty()).unwrap_or(default)
}
