//! Commands to a sandbox that runs.

use super::exit::{ExitCode, Outcome};
use super::output::{self, Printer};
use super::signals::block_on;
use crate::error::{Error, Result};
use crate::language::say;
use crate::terminal::one_line;
use qbo_sandbox::control_remote;

pub(super) const DEFAULT_PORT: u16 = 8911;

/// Sends a command, or lists all, and prints the answer.
pub(super) fn control(
    command: Option<&str>,
    arguments: &[String],
    url: Option<String>,
    printer: Printer,
) -> Outcome {
    let answer = asked(&url_of(url), command.unwrap_or("help"), arguments)?;
    match (command, printer.json) {
        (None, false) => output::text(&commands(&answer)?),
        _ => output::text(&format!("{answer}\n")),
    }
    Ok(ExitCode::Done)
}

/// Returns the address that was named, or the usual one.
pub(super) fn url_of(named: Option<String>) -> String {
    named.unwrap_or_else(|| environment("QBO_API_URL", local(DEFAULT_PORT)))
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
    block_on(async {
        control_remote(url, command, arguments)
            .await
            .map_err(refused)
    })
}

/// Reads an answer.
pub(super) fn json_of(answer: &str) -> Result<serde_json::Value> {
    serde_json::from_str(answer).map_err(|error| refused(format!("its answer: {error}")))
}

/// Returns the table of the commands and faults that a sandbox lists.
fn commands(answer: &str) -> Result<String> {
    let listed = json_of(answer)?;
    let rows = |list: &str, name: fn(&serde_json::Value) -> String| -> Vec<(String, String)> {
        let rows = listed[list].as_array().into_iter().flatten();
        rows.map(|row| (name(row), text_of(row, "what"))).collect()
    };
    let commands = rows("commands", |row| {
        let (name, arguments) = (text_of(row, "command"), text_of(row, "arguments"));
        format!("{name} {arguments}").trim_end().to_owned()
    });
    let faults = rows("faults", |row| text_of(row, "fault"));
    let mut out = String::new();
    for (title, rows) in [
        (
            say!("Commands: qbo-rs sandbox control COMMAND NAME=VALUE ..."),
            commands,
        ),
        (
            say!("Faults: qbo-rs sandbox control fault fault=FAULT ..."),
            faults,
        ),
    ] {
        out.push_str(&format!("{title}\n"));
        for (name, description) in rows {
            out.push_str(&format!(
                "  {}\n      {}\n",
                one_line(&name),
                one_line(&description)
            ));
        }
    }
    Ok(out)
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
