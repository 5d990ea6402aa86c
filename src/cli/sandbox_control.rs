//! Commands to a sandbox that runs.

use std::io::IsTerminal as _;

use super::exit::{ExitCode, Outcome};
use super::output::{self, Printer};
use super::signals::block_on;
use super::words::flow;
use super::wrap::{columns, hanging, wrapped};
use crate::config::Settings;
use crate::domain::closest;
use crate::error::{Error, Result};
use crate::language::{say, translated};
use crate::terminal::{one_line, shown_json};
use qbo_sandbox::control_remote;

pub(super) const DEFAULT_PORT: u16 = 8911;

/// Sends a command, or lists all, and prints the answer.
pub(super) fn control(
    command: Option<&str>,
    arguments: &[String],
    url: &str,
    printer: Printer,
) -> Outcome {
    let printed = |answer: &str| shown(answer, std::io::stdout().is_terminal());
    let text = match (command, arguments, printer.json) {
        (None, _, false) | (Some("help"), [], false) => names(&asked(url, "help", &[])?)?,
        (Some("help"), [name, ..], json) => {
            let listed = json_of(&asked(url, "help", &[])?)?;
            match json {
                true => printed(&row_of(&listed, name)?.to_string())? + "\n",
                false => described(row_of(&listed, name)?),
            }
        }
        (command, ..) => printed(&asked(url, command.unwrap_or("help"), arguments)?)? + "\n",
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
                Err(unknown(&json_of(&asked(url, "help", &[])?)?, name).into())
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
    command.or_else(|| quoted("there is no fault '", '\''))
}

/// Returns an answer as it is printed. It is that of whoever calls himself a sandbox: it is JSON, and changes nothing in
/// a terminal. A file gets its bytes.
fn shown(answer: &str, is_terminal: bool) -> Result<String> {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(answer);
    is_json.map_err(|error| refused(format!("its answer: {error}")))?;
    Ok(match is_terminal {
        true => shown_json(answer).into_owned(),
        false => answer.to_owned(),
    })
}

/// Reads an answer.
pub(super) fn json_of(answer: &str) -> Result<serde_json::Value> {
    serde_json::from_str(answer).map_err(|error| refused(format!("its answer: {error}")))
}

/// The lists of a sandbox, and the member that names a row.
const LISTS: [(&str, &str); 2] = [("commands", "command"), ("faults", "fault")];

/// Returns the rows of a list, each with its name.
fn rows<'l>(
    listed: &'l serde_json::Value,
    (list, name): (&str, &str),
) -> Vec<(String, &'l serde_json::Value)> {
    let rows = listed[list].as_array().into_iter().flatten();
    rows.map(|row| (text_of(row, name), row)).collect()
}

/// Returns the rows of all commands and faults.
fn all_rows(listed: &serde_json::Value) -> Vec<(String, &serde_json::Value)> {
    let of_list = |list| rows(listed, list);
    LISTS.into_iter().flat_map(of_list).collect()
}

/// Returns the row of a command or a fault.
fn row_of<'l>(listed: &'l serde_json::Value, name: &str) -> Result<&'l serde_json::Value> {
    let mut rows = all_rows(listed).into_iter();
    let found = rows.find(|(known, _)| known == name);
    found
        .map(|(_, row)| row)
        .ok_or_else(|| unknown(listed, name))
}

/// Returns the names of the commands and faults that a sandbox lists: all of them on one screen.
fn names(answer: &str) -> Result<String> {
    let listed = json_of(answer)?;
    let mut out = String::new();
    for (title, rows) in [
        (
            say!("Commands: qbo-rs sandbox control COMMAND NAME=VALUE ..."),
            rows(&listed, LISTS[0]),
        ),
        (
            say!("Faults: qbo-rs sandbox control fault fault=FAULT ..."),
            rows(&listed, LISTS[1]),
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
fn described(row: &serde_json::Value) -> String {
    let names = LISTS.map(|(_, name)| text_of(row, name)).concat();
    let head = format!("{names} {}", text_of(row, "arguments"));
    let what = text_of(row, "what");
    let what = hanging("  ", &translated(&what), columns());
    format!("{}\n{what}", wrapped(head.trim_end(), columns()))
}

/// Returns the error about a name that no command and no fault has.
fn unknown(listed: &serde_json::Value, name: &str) -> Error {
    let known = all_rows(listed);
    refused(
        match closest(name, known.iter().map(|(name, _)| name.as_str())) {
            Some(guess) => {
                format!("there is no command or fault '{name}'; did you mean '{guess}'?")
            }
            None => {
                format!("there is no command or fault '{name}'; `qbo-rs sandbox control` lists all")
            }
        },
    )
}

/// Returns a text of a sandbox, which may be a stranger's.
fn text_of(row: &serde_json::Value, member: &str) -> String {
    one_line(row[member].as_str().unwrap_or_default()).into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_stranger_is_json_that_changes_no_terminal() {
        let answer = "{\"commands\":\"\u{9b}2J\u{202e}\",\r\"n\":1.10}";
        assert_eq!(
            shown(answer, true).unwrap(),
            r#"{"commands":"\u009b2J\u202e", "n":1.10}"#
        );
        assert_eq!(shown(answer, false).unwrap(), answer);
        for answer in ["\u{1b}[2J", "{\"commands\":\"\u{1b}[2J\"}", "ok"] {
            let error = shown(answer, false).unwrap_err().to_string();
            assert!(error.contains("its answer: "), "{error}");
            assert_eq!(one_line(&error), error);
        }
    }
}
