//! The language of the command: how it is chosen, and the help in it.

use std::ffi::OsString;

use clap::builder::{PossibleValuesParser, StyledStr, TypedValueParser};
use clap::{Arg, ArgAction, Command};

use crate::error::{Error, Result};
use crate::language::{Language, current, say, translated_into};

/// Chooses it without the environment.
const VARIABLE: &str = "QBO_LANG";
/// The variables of a locale, in the order in which one is asked after the other (POSIX).
const LOCALE: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// Returns the reader of `--lang`.
pub(super) fn parser() -> impl TypedValueParser<Value = Language> {
    PossibleValuesParser::new(Language::CODES).try_map(|code| code.parse::<Language>())
}

/// Returns the language of the command: of `--lang`, else of `QBO_LANG`, else of the locale. The
/// arguments are not parsed yet, since help and mistakes are told in that language, too. A `--lang`
/// that names no language is left to the parser.
pub(super) fn chosen(args: &[OsString]) -> Result<Language> {
    match flag(args) {
        Some(language) => Ok(language),
        None => of_environment(),
    }
}

/// Returns the language that the environment asks for.
///
/// # Errors
/// [`Error::Config`] about a variable that names no language.
fn of_environment() -> Result<Language> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(code) = variable(VARIABLE) {
        let refused = |_| Error::config(VARIABLE, format!("'{code}' must be en or es"));
        return code.parse().map_err(refused);
    }
    let locale = LOCALE.into_iter().find_map(variable);
    Ok(locale.map_or(Language::En, |locale| Language::of_locale(&locale)))
}

/// Translates a finished text into the language that the environment asks for. A variable that names no language is the
/// command's to refuse.
#[cfg(feature = "python")]
pub(crate) fn in_language_of_environment(text: &str) -> String {
    translated_into(of_environment().unwrap_or(Language::En), text).into_owned()
}

/// Translates a finished text, as much of it as the catalogue knows.
#[cfg(feature = "python")]
pub(crate) fn in_spanish(text: &str) -> String {
    translated_into(Language::Es, text).into_owned()
}

/// Returns the language that `--lang` names, if it names one.
fn flag(args: &[OsString]) -> Option<Language> {
    let texts = args.iter().map(|arg| arg.to_str().unwrap_or_default());
    let mut texts = texts.take_while(|text| *text != "--");
    while let Some(text) = texts.next() {
        let code = match text.strip_prefix("--lang") {
            Some("") => texts.next()?,
            Some(value) => value.strip_prefix('=').unwrap_or_default(),
            None => continue,
        };
        if let Ok(language) = code.parse() {
            return Some(language);
        }
    }
    None
}

/// Replaces the texts of a command and its subcommands.
pub(super) fn in_language(command: Command, language: Language) -> Command {
    match language {
        Language::En => command,
        Language::Es => translate(with_version(command, language), language),
    }
}

/// Adds the flag for the version, whose text clap has in English alone.
fn with_version(command: Command, language: Language) -> Command {
    let version = Arg::new("version")
        .short('V')
        .long("version")
        .action(ArgAction::Version)
        .help(say!(in language; "Print version"));
    command.disable_version_flag(true).arg(version)
}

fn translate(mut command: Command, language: Language) -> Command {
    let text = |text: Option<&StyledStr>| {
        text.map(|text| translated_into(language, &text.to_string()).into_owned())
    };
    if let Some(about) = text(command.get_about()) {
        command = command.about(about);
    }
    if let Some(about) = text(command.get_long_about()) {
        command = command.long_about(about);
    }
    if let Some(after) = text(command.get_after_help()) {
        command = command.after_help(after);
    }
    command
        .subcommand_help_heading(say!(in language; "Commands"))
        .mut_args(|arg| argument(arg, language))
        .mut_subcommands(|subcommand| translate(subcommand, language))
}

/// Returns the text of a mistake in the arguments; `None` where clap's own is right.
pub(super) fn usage(error: &clap::Error) -> Option<String> {
    let language = current();
    let line = |line: &str| {
        let words = line.trim_start();
        let indent = &line[..line.len() - words.len()];
        let values = || words.strip_prefix("[possible values: ")?.strip_suffix(']');
        let words = if let Some(tip) = words.strip_prefix("tip: ") {
            say!(in language; "tip: {tip}", tip = translated_into(language, tip))
        } else if let Some(usage) = words.strip_prefix("Usage:") {
            say!(in language; "Usage:") + usage
        } else if let Some(values) = values() {
            let text =
                say!(in language; "{before} [possible values: {values}]", before = "", values);
            text.trim_start().to_owned()
        } else {
            translated_into(language, words).into_owned()
        };
        format!("{indent}{words}\n")
    };
    match language {
        Language::En => None,
        Language::Es => Some(error.to_string().lines().map(line).collect()),
    }
}

fn argument(arg: Arg, language: Language) -> Arg {
    let heading = match arg.get_help_heading() {
        Some(heading) => translated_into(language, heading).into_owned(),
        None if arg.is_positional() => say!(in language; "Arguments"),
        None => say!(in language; "Options"),
    };
    let remarks = remarks(&arg, language);
    let text = |text: Option<&StyledStr>| {
        text.map(|text| {
            let text = translated_into(language, &text.to_string()).into_owned();
            [text.as_str(), remarks.as_str()].concat()
        })
    };
    let (short, long) = (text(arg.get_help()), text(arg.get_long_help()));
    let takes_value = arg.get_action().takes_values();
    let mut arg = arg
        .help_heading(heading)
        .hide_default_value(takes_value)
        .hide_possible_values(takes_value);
    if let Some(help) = short {
        arg = arg.help(help);
    }
    if let Some(help) = long {
        arg = arg.long_help(help);
    }
    arg
}

/// Returns the remarks that clap adds in English: the default and the possible values.
fn remarks(arg: &Arg, language: Language) -> String {
    let mut remarks = String::new();
    let takes_value = arg.get_action().takes_values();
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if takes_value && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        let value = defaults.join(" ");
        remarks = say!(in language; "{before} [default: {value}]", before = remarks, value);
    }
    let values = match takes_value && !arg.is_hide_possible_values_set() {
        true => arg.get_possible_values(),
        false => Vec::new(),
    };
    if !values.is_empty() {
        let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
        let values = names.join(", ");
        remarks =
            say!(in language; "{before} [possible values: {values}]", before = remarks, values);
    }
    remarks
}
