//! Errors as the command shows them: in parts for people, as an object with `--json`.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde_json::{Value, json};

use super::command_line::with_env_file;
use super::early::Early;
use super::exit::ExitCode;
use super::misread_number::misread_number;
use super::wrap::{broken, columns_of_stderr, is_statement, wrapped};
use super::{hint, language, logging, output};
use crate::error::Error;
use crate::language::{Language, current, translated, translated_into, without_numbers_of_errors};
use crate::terminal::one_line;

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// An error's text in parts: what is wrong, then why, then what helps. Texts of errors put a
/// semicolon between them.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'t> {
    what: &'t str,
    more: Vec<&'t str>,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Self {
        let mut parts = split(text).into_iter();
        Self {
            what: parts.next().unwrap_or_default(),
            more: parts.collect(),
        }
    }

    fn hint(&self) -> Option<String> {
        (!self.more.is_empty()).then(|| self.more.join("; ").replace(";; ", "; "))
    }
}

/// Splits a text at its semicolons, except at those in brackets or quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut is_quoted, mut before) = (0_u32, false, ' ');
    let (mut parts, mut start) = (Vec::new(), 0);
    for (at, letter) in text.char_indices() {
        let next = text[at + letter.len_utf8()..].chars().next();
        match letter {
            // An apostrophe within a word is no quote.
            '\'' if is_quoted => is_quoted = next.is_some_and(char::is_alphanumeric),
            '\'' => is_quoted = !before.is_alphanumeric(),
            '(' | '[' | '{' if !is_quoted => depth += 1,
            ')' | ']' | '}' if !is_quoted => depth = depth.saturating_sub(1),
            ';' if depth == 0 && !is_quoted && next == Some(' ') => {
                let part = text[start..=at].trim();
                // Statements are copied as they are, with their semicolons.
                match holds_statement(part) {
                    true if is_statement(text[at + 1..].trim_start()) => {}
                    is_statement => {
                        parts.push(if is_statement {
                            part
                        } else {
                            part[..part.len() - 1].trim()
                        });
                        start = at + 1;
                    }
                }
            }
            _ => {}
        }
        before = letter;
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Returns whether a part of an error ends with a statement for Postgres.
fn holds_statement(part: &str) -> bool {
    is_statement(part.rsplit(": ").next().unwrap_or(part))
}

/// Prints an error on stderr: for people in parts, each a line, or as one event if the logs are JSON.
pub(super) fn print(text: &str) {
    if logging::is_json() {
        tracing::error!(
            target: logging::LAST_LINES,
            phase = "command",
            event = "command_failed",
            "{text}"
        );
        return;
    }
    let columns = columns_of_stderr();
    let mut out = anstream::stderr().lock();
    for (number, line) in lines(text, current()).into_iter().enumerate() {
        let (head, rest) = match number {
            0 => ("error: ", "       "),
            _ => ("  ", "    "),
        };
        let line = broken(head, rest, &line, columns).join("\n");
        let _ = match line.strip_prefix("error:") {
            Some(line) if number == 0 => writeln!(out, "{ERROR}error:{ERROR:#}{line}"),
            _ => writeln!(out, "{line}"),
        };
    }
}

/// Returns the parts of an error in a language, each as a line.
pub(super) fn lines(text: &str, language: Language) -> Vec<String> {
    let text = without_numbers_of_errors(text);
    let text = translated_into(language, &text);
    let text = with_env_file(&text);
    let parts = Parts::of(&text);
    let parts = [parts.what].into_iter().chain(parts.more);
    parts.map(|part| one_line(part).into_owned()).collect()
}

/// Prints what was done when the command was stopped: a line for people, or one event if the logs are
/// JSON.
pub(super) fn note(text: &str) {
    match logging::is_json() {
        true => print(text),
        false => {
            let line = one_line(&translated(text)).into_owned();
            let lines = wrapped(&line, columns_of_stderr());
            let _ = writeln!(anstream::stderr().lock(), "{lines}");
        }
    }
}

/// Prints an error that ended the command, and with `--json` an object on stdout if nothing is there.
pub(super) fn report(error: &Error, args: &[OsString], as_json: bool) {
    report_as(error, typed(error, args), as_json);
}

/// Prints an error as [`report`] does, with another text for people.
fn report_as(error: &Error, spoken: String, as_json: bool) {
    let text = match logging::is_json() {
        true => error.to_string(),
        false => spoken,
    };
    print(&hint::with_flags(&text));
    if as_json && !output::has_printed() {
        output::object(&object(error));
    }
}

/// Returns the text of an error for people. The name of an argument is left out where the reason says it too.
pub(super) fn spoken(error: &Error) -> String {
    match error {
        Error::Config { setting, reason } if setting == ARGUMENTS || is_said(setting, reason) => {
            reason.clone()
        }
        other => other.to_string(),
    }
}

/// Returns true if a reason says the name of an argument as a word of its own.
fn is_said(setting: &str, reason: &str) -> bool {
    let mut words = reason.split(|c: char| !c.is_alphanumeric());
    setting.bytes().all(|byte| byte.is_ascii_lowercase()) && words.any(|word| word == setting)
}

fn object(error: &Error) -> Value {
    let (setting, text) = match error {
        Error::Config { setting, reason } => (
            Some(setting).filter(|name| *name != ARGUMENTS),
            reason.clone(),
        ),
        other => (None, hint::with_flags(&other.to_string())),
    };
    let parts = Parts::of(&text);
    json!({"error": {
        "kind": error.kind(),
        "setting": setting,
        "message": parts.what,
        "hint": parts.hint(),
    }})
}

/// Prints help as it is, and a mistake in the arguments with the tips and the usage of its command.
pub(super) fn report_usage(error: clap::Error, args: &[OsString], early: Early) -> ExitCode {
    use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand as NothingAsked;
    if !error.use_stderr() || error.kind() == NothingAsked {
        // A closed pipe, as of `qbo-rs --help | head`, is not worth a word.
        let _ = error.print();
        return match error.use_stderr() {
            true => ExitCode::Refused,
            false => ExitCode::Done,
        };
    }
    // A value that one of our types refuses: its own text names the setting and the value.
    if let Some(cause) = error
        .source()
        .and_then(|cause| cause.downcast_ref::<Error>())
    {
        report_as(cause, typed(cause, args), early.json);
        return ExitCode::Refused;
    }
    if let Some(error) = of_ours(&error).or_else(|| misread_number(&error)) {
        report_as(&error, typed(&error, args), early.json);
        return ExitCode::Refused;
    }
    let error = with_tips_of_ours(without_escapes(error, args, early), args);
    let text = language::usage(&error).unwrap_or_else(|| error.to_string());
    let lines = wrapped(&text, columns_of_stderr());
    match current() == Language::En && lines == text {
        // With its colours.
        true => _ = error.print(),
        false => _ = write!(anstream::stderr().lock(), "{lines}"),
    }
    if early.json {
        output::object(&usage_object(&error));
    }
    ExitCode::Refused
}

/// Other spellings of flags, whose mistakes have the name of the flag.
const ALIASES: [(&str, &str); 2] = [("--fecha-inicio", "start"), ("--fecha-fin", "end")];

/// Returns the text of a mistake in a flag, which is called as it was typed.
fn typed(error: &Error, args: &[OsString]) -> String {
    let text = spoken(error);
    let Error::Config { setting, .. } = error else {
        return text;
    };
    let Some(rest) = text
        .strip_prefix(setting.as_str())
        .filter(|rest| rest.starts_with(": "))
    else {
        return text;
    };
    let is_typed = |flag: &str, setting: &str| {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == flag);
        alias
            .map(|(_, name)| *name)
            .or_else(|| flag.strip_prefix("--"))
            .is_some_and(|name| name.replace('-', "_") == setting.replace('-', "_"))
    };
    let words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    let flags = words.take_while(|word| *word != "--");
    let flags = flags.map(|word| word.split_once('=').map_or(word, |(flag, _)| flag));
    let flag_of = |setting: &str| flags.clone().find(|flag| is_typed(flag, setting));
    let text = match flag_of(setting) {
        Some(flag) => format!("{flag}{rest}"),
        None => text.clone(),
    };
    // The end is compared with the start.
    match flag_of("start") {
        Some(flag) => text.replace(" is not after start ", &format!(" is not after {flag} ")),
        None => text,
    }
}

/// The setting of a mistake that is about no single argument.
const ARGUMENTS: &str = "arguments";

/// Returns a mistake that our own types have found in several arguments: clap knows nothing of it but
/// its text.
fn of_ours(error: &clap::Error) -> Option<Error> {
    if error.context().next().is_some() {
        return None;
    }
    let text = error.to_string();
    let text = text.trim_start_matches("error: ").trim_end();
    Some(match text.split_once(": ") {
        Some((setting, reason)) if !setting.contains(' ') => Error::config(setting, reason),
        _ => Error::config(ARGUMENTS, text),
    })
}

/// Leaves out the advice of clap to put an unknown flag behind `--`, where it would be taken for a name, and
/// says which command lists the names that are missing, or does what a flag of another command does there.
fn with_tips_of_ours(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    let tips = match error.remove(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(tips)) => tips,
        _ => Vec::new(),
    };
    let is_right = |tip: &StyledStr| !tip.to_string().starts_with("to pass '");
    let mut tips: Vec<StyledStr> = tips.into_iter().filter(is_right).collect();
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing))
            if error.kind() == ErrorKind::MissingRequiredArgument =>
        {
            missing.as_slice()
        }
        _ => &[],
    };
    let is_missing = |name: &str| missing.iter().any(|missing| missing.contains(name));
    if is_missing("<ENTITY>") {
        tips.push("`qbo-rs entities` lists the entities".into());
    }
    if is_missing("<NAME>...") {
        tips.push("`qbo-rs reports --list` lists the reports".into());
    }
    let is_of_sync = args.iter().any(|word| word == "sync");
    let unknown = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    if is_of_sync
        && error.kind() == ErrorKind::UnknownArgument
        && unknown.as_deref() == Some("--schema")
    {
        let tip = "a sync goes on in the schema that a company is in; `qbo-rs backfill` with --schema puts it there";
        tips.push(tip.into());
    }
    if error.kind() == ErrorKind::UnknownArgument && args.iter().any(|word| word == "show") {
        match unknown.as_deref() {
            Some("--format") => {
                error.remove(ContextKind::SuggestedArg);
                tips = vec!["--csv prints comma-separated values, --json an object".into()];
            }
            Some(word) if !word.starts_with('-') => tips.push(
                "show takes one entity; --where id=17 names a record, --limit 5 the number of records".into(),
            ),
            _ => {}
        }
    }
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// Returns the mistake in arguments whose characters a terminal shows as they are.
fn without_escapes(error: clap::Error, args: &[OsString], early: Early) -> clap::Error {
    let shown: Vec<String> = args
        .iter()
        .map(|arg| arg.to_string_lossy().into())
        .collect();
    let clean: Vec<String> = shown.iter().map(|arg| one_line(arg).into()).collect();
    match clean == shown {
        true => error,
        // Only the text of the mistake is new: what was refused is refused again.
        false => super::parse(
            &clean.into_iter().map(OsString::from).collect::<Vec<_>>(),
            early,
        )
        .err()
        .unwrap_or_else(|| clap::Error::new(error.kind())),
    }
}

fn usage_object(error: &clap::Error) -> Value {
    let text = error.to_string();
    let mut paragraphs = text.split("\n\n");
    let words = |paragraph: &str| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        words.join(" ")
    };
    let what = words(paragraphs.next().unwrap_or_default());
    let tips: Vec<String> = paragraphs
        .filter(|paragraph| !paragraph.starts_with("Usage:"))
        .map(words)
        .collect();
    let argument = error
        .get(ContextKind::InvalidArg)
        .or_else(|| error.get(ContextKind::InvalidSubcommand));
    json!({"error": {
        "kind": "usage",
        "setting": argument.map(ToString::to_string),
        "message": what.trim_start_matches("error: "),
        "hint": tips.join("; "),
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_where_its_parts_meet() {
        for (text, parts) in [
            ("a; b; c", &["a", "b", "c"][..]),
            ("a 'b; c' d; e", &["a 'b; c' d", "e"]),
            ("Intuit's x; y", &["Intuit's x", "y"]),
            ("a (b; c); d", &["a (b; c)", "d"]),
            (
                "a; run: GRANT x TO y; GRANT z TO y; (SQLSTATE 42501)",
                &["a", "run: GRANT x TO y; GRANT z TO y;", "(SQLSTATE 42501)"],
            ),
            ("a; ", &["a"]),
            ("a;b", &["a;b"]),
            ("", &[]),
        ] {
            assert_eq!(split(text), parts, "{text}");
        }
    }

    #[test]
    fn an_error_is_an_object_for_programs() {
        let error = crate::domain::find_entity("invocies").unwrap_err();
        let value = object(&error);
        assert_eq!(value["error"]["kind"], "config");
        assert_eq!(value["error"]["setting"], "entity");
        assert_eq!(value["error"]["message"], "unknown entity 'invocies'");
        let hint = value["error"]["hint"].as_str().unwrap();
        assert!(hint.contains("'invoices'"), "{hint}");
        let value = object(&Error::RequestCap { max: 7 });
        assert_eq!(value["error"]["kind"], "request_cap");
        assert_eq!(value["error"]["setting"], Value::Null);
        assert!(
            value["error"]["hint"]
                .as_str()
                .unwrap()
                .contains("--max-requests")
        );
    }

    #[test]
    fn a_mistake_in_the_arguments_is_an_object_too() {
        let args = ["qbo-rs", "backfil"].map(OsString::from);
        let early = Early::of(&args);
        let value = usage_object(&super::super::parse(&args, early).unwrap_err());
        assert_eq!(value["error"]["kind"], "usage");
        assert_eq!(value["error"]["setting"], "backfil");
        assert_eq!(
            value["error"]["message"],
            "unrecognized subcommand 'backfil'"
        );
        assert!(
            value["error"]["hint"]
                .as_str()
                .unwrap()
                .contains("'backfill'")
        );
    }

    #[test]
    fn tips_help() {
        let tips = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let error = super::super::parse(&args, Early::of(&args)).unwrap_err();
            let value = usage_object(&with_tips_of_ours(error, &args));
            value["error"]["hint"].as_str().unwrap().to_owned()
        };
        let tip = tips("qbo-rs backfill --last 9d");
        assert!(tip.contains("`qbo-rs entities` lists"), "{tip}");
        let tip = tips("qbo-rs reports");
        assert!(tip.contains("qbo-rs reports --list"), "{tip}");
        for line in [
            "qbo-rs sync --schema raw_2",
            "qbo-rs sync items --schema=raw_2",
        ] {
            let tip = tips(line);
            assert!(tip.contains("`qbo-rs backfill` with --schema"), "{tip}");
        }
        assert!(!tips("qbo-rs sync --schemas x").contains("backfill"));
        for line in ["qbo-rs show invoices 5", "qbo-rs show items bills"] {
            assert!(tips(line).contains("--where id=17"), "{line}");
        }
        let tip = tips("qbo-rs show items --format csv");
        assert!(
            tip.contains("--csv") && !tip.contains("log-format"),
            "{tip}"
        );
        for line in ["qbo-rs sync --colour", "qbo-rs show items --limit -1"] {
            let tip = tips(line);
            assert!(!tip.contains("to pass"), "{tip}");
        }
    }

    #[test]
    fn what_our_types_find_in_several_arguments_keeps_its_setting() {
        for (line, setting, message) in [
            ("backfill items --last 90", "last", "cannot read '90'"),
            ("backfill items", "range", "no range is named"),
            (
                "verify items --books --end 2025-01-31",
                "",
                "--books compares whole books",
            ),
        ] {
            let args: Vec<OsString> = format!("qbo-rs {line}")
                .split(' ')
                .map(OsString::from)
                .collect();
            let error = super::super::parse(&args, Early::of(&args)).unwrap_err();
            let value = object(&of_ours(&error).unwrap());
            assert_eq!(value["error"]["kind"], "config");
            assert_eq!(
                value["error"]["setting"].as_str().unwrap_or_default(),
                setting
            );
            assert_eq!(value["error"]["message"], message);
        }
    }

    #[test]
    fn a_flag_is_called_as_it_was_typed() {
        for (line, text) in [
            (
                "--fecha-inicio soon --fecha-fin 2025",
                "--fecha-inicio: cannot read 'soon'",
            ),
            (
                "--fecha-inicio=2025 --fecha-fin=2024",
                "--fecha-fin: '2024' is not after",
            ),
            ("--start soon --end 2025", "--start: cannot read 'soon'"),
            ("--quarter 2024-Q5 -- --quarter", "--quarter: "),
        ] {
            let line = format!("qbo-rs backfill items {line}");
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let error = super::super::parse(&args, Early::of(&args)).unwrap_err();
            let error = of_ours(&error).unwrap();
            let told = typed(&error, &args);
            assert!(told.starts_with(text), "{told}");
            // Programs and Python know it by its name.
            assert!(
                !object(&error)["error"]["setting"]
                    .as_str()
                    .unwrap()
                    .contains('-')
            );
        }
    }

    #[test]
    fn no_argument_forges_a_line() {
        let args = ["qbo-rs", "x\nerror: forged\u{1b}[2J"].map(OsString::from);
        let early = Early::of(&args);
        let error = super::super::parse(&args, early).unwrap_err();
        assert!(error.to_string().contains("\nerror: forged"));
        let text = without_escapes(error, &args, early).to_string();
        assert!(
            text.contains("forged") && text.contains("Usage: qbo-rs"),
            "{text}"
        );
        assert!(
            !text.contains("\nerror: forged") && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}
