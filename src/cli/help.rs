//! The help of the command: one screen for each subcommand, and the settings on a page of their own.

use std::ffi::OsString;

use clap::builder::{StyledStr, Styles};
use clap::{Arg, Command, CommandFactory};

use super::args::Arguments;
use super::language::in_language;
use super::output;
use super::pages::page_of;
use super::wrap::{columns, hanging};
use crate::config::SETTINGS;
use crate::domain::closest;
use crate::error::{Error, Result};
use crate::language::{Language, current, say, translated};

/// The address of the pages of the documentation.
const DOCS: &str = "https://github.com/qbo-rs/qbo_rs/blob/main/docs/";
/// Pages that are there in Spanish, too.
const IN_SPANISH: [(&str, &str); 3] = [
    ("connect.md", "es/conectar.md"),
    ("mage.md", "es/mage.md"),
    ("operate.md", "es/operar.md"),
];
/// The word that asks for the settings instead of the help of a command.
const SETTINGS_TOPIC: &str = "settings";

/// Returns the whole command, with examples in the help of each subcommand.
pub(super) fn command() -> Command {
    in_language(with_page(Arguments::command(), String::new()), current())
}

fn with_page(command: Command, path: String) -> Command {
    let command = match page_of(&path) {
        Some(page) => {
            let docs = say!("Docs: {address}", address = address(current(), page.docs));
            let has_more = command.get_arguments().any(Arg::is_hide_short_help_set);
            let after = match has_more {
                true => {
                    let more = say!("More flags: qbo-rs {path} --help-settings", path);
                    format!("{more}\n{docs}")
                }
                false => docs,
            };
            command
                .help_template(template(page.examples))
                .after_help(after)
        }
        None => command.help_template(template(&[])),
    };
    command.mut_subcommands(|subcommand| {
        let path = format!("{path} {}", subcommand.get_name());
        with_page(subcommand, path.trim_start().to_owned())
    })
}

/// Returns the address of a page, of its Spanish version where there is one.
fn address(language: Language, page: &str) -> String {
    let spanish = IN_SPANISH.iter().find(|(english, _)| *english == page);
    let page = match (language, spanish) {
        (Language::Es, Some((_, spanish))) => spanish,
        _ => page,
    };
    format!("{DOCS}{page}")
}

fn template(examples: &[&str]) -> String {
    let styles = Styles::styled();
    let header = styles.get_header();
    let usage = say!("Usage:");
    let mut template = format!("{{about-with-newline}}\n{header}{usage}{header:#} {{usage}}\n");
    if !examples.is_empty() {
        let heading = say!("Examples:");
        template.push_str(&format!("\n{header}{heading}{header:#}\n"));
    }
    for example in examples {
        template.push_str("  ");
        template.push_str(example);
        template.push('\n');
    }
    template + "\n{all-args}{after-help}"
}

/// Prints the help of the command that `path` names, or the settings.
///
/// # Errors
/// [`Error::Config`] if there is no such command.
pub(super) fn print(path: &[String]) -> Result<()> {
    let mut root = command();
    root.build();
    if let [topic] = path
        && topic == SETTINGS_TOPIC
    {
        print_settings(&[]);
        return Ok(());
    }
    let mut found = &mut root;
    for name in path {
        let names: Vec<String> = found.get_subcommands().map(name_of).collect();
        let known = names.iter().map(String::as_str).chain([SETTINGS_TOPIC]);
        let guess = closest(name, known).map_or_else(
            || "`qbo-rs --help` lists all commands".to_owned(),
            |guess| format!("did you mean '{guess}'?"),
        );
        found = found
            .find_subcommand_mut(name)
            .ok_or_else(|| Error::config("help", format!("no help for '{name}'; {guess}")))?;
    }
    let help = found.render_help();
    output::styled(&help);
    Ok(())
}

fn name_of(command: &Command) -> String {
    command.get_name().to_owned()
}

/// The most columns of a list of flags.
const MAX_COLUMNS: usize = 100;

/// Prints the flags that the help of commands leaves out: those of the subcommand that the arguments
/// name, and those that all share.
pub(super) fn print_settings(args: &[OsString]) {
    for page in settings_pages(args, None) {
        output::styled(&page);
    }
    output::text(&secrets(columns().min(MAX_COLUMNS)));
}

/// Returns the pages of [`print_settings`], as wide as the terminal if no width is given.
pub(super) fn settings_pages(args: &[OsString], width: Option<usize>) -> Vec<StyledStr> {
    let root = command();
    let (path, subcommand) = named_subcommand(&root, args);
    let rare: Vec<Arg> = own_arguments(subcommand, Arg::is_hide_short_help_set);
    let shared: Vec<Arg> = own_arguments(&root, Arg::is_hide_set);
    let mut pages = Vec::new();
    if !rare.is_empty() {
        let heading = say!("Flags of `qbo-rs {path}` that its help leaves out", path);
        let shown = rare
            .into_iter()
            .map(|arg| arg.hide_short_help(false).help_heading(heading.clone()));
        pages.push(list(shown.collect(), width));
    }
    pages.push(list(shared, width));
    pages
}

fn own_arguments(command: &Command, is_left_out: fn(&Arg) -> bool) -> Vec<Arg> {
    let arguments = command.get_arguments().filter(|arg| is_left_out(arg));
    arguments.cloned().map(|arg| arg.hide(false)).collect()
}

/// Renders arguments as a list: each flag, and below it what it means.
fn list(arguments: Vec<Arg>, width: Option<usize>) -> StyledStr {
    let command = match width {
        Some(width) => Command::new("settings").term_width(width),
        None => Command::new("settings").max_term_width(MAX_COLUMNS),
    };
    command
        .disable_help_flag(true)
        .next_line_help(true)
        .help_template("{all-args}\n\n")
        .args(arguments.into_iter().map(|arg| arg.global(false)))
        .render_help()
}

/// Returns the settings that have no flag.
fn secrets(columns: usize) -> String {
    let indent = " ".repeat(10);
    let mut text = say!("Secrets, only as environment variables:") + "\n";
    for spec in SETTINGS.iter().filter(|spec| spec.is_secret) {
        text.push_str("  ");
        text.push_str(spec.name);
        text.push('\n');
        text.push_str(&hanging(&indent, &translated(spec.help), columns));
    }
    let docs = say!(
        "Docs: {address}",
        address = address(current(), "settings.md")
    );
    format!("{text}\n{docs}\n")
}

/// Returns the deepest subcommand that the arguments name, with its path.
pub(super) fn named_subcommand<'c>(root: &'c Command, args: &[OsString]) -> (String, &'c Command) {
    let (mut path, mut found) = (Vec::new(), root);
    for arg in args.iter().skip(1) {
        if let Some(subcommand) = found.find_subcommand(arg) {
            path.push(subcommand.get_name().to_owned());
            found = subcommand;
        }
    }
    (path.join(" "), found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spanish_page_is_named_where_there_is_one() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let page = |language| address(language, "connect.md").replace(DOCS, "");
        assert_eq!(page(Language::En), "connect.md");
        assert_eq!(page(Language::Es), "es/conectar.md");
        assert!(address(Language::Es, "sync.md").ends_with("/docs/sync.md"));
        let mut spanish: Vec<_> = std::fs::read_dir(docs.join("es"))
            .unwrap()
            .map(|entry| format!("es/{}", entry.unwrap().file_name().to_string_lossy()))
            .collect();
        spanish.sort_unstable();
        assert_eq!(spanish, IN_SPANISH.map(|(_, spanish)| spanish));
    }

    #[test]
    fn every_setting_is_on_the_page_of_settings() {
        let line = ["qbo-rs", "sandbox", "--help-settings"].map(OsString::from);
        let pages: String = settings_pages(&line, None)
            .iter()
            .map(ToString::to_string)
            .collect();
        let secrets = secrets(80);
        assert!(
            secrets.lines().all(|line| line.chars().count() <= 80),
            "{secrets}"
        );
        let all = pages.clone() + &secrets;
        for spec in SETTINGS {
            assert!(all.contains(spec.name), "{}", spec.name);
            let flag = format!("--{} ", spec.keyword().replace('_', "-"));
            assert_eq!(pages.contains(&flag), !spec.is_secret, "{flag}");
        }
        for flag in [
            "--log-format",
            "--quiet",
            "--verbose",
            "--color",
            "--grace-s",
        ] {
            assert!(pages.contains(flag), "{flag}: {pages}");
        }
        assert!(
            print(&["bakcfill".to_owned()])
                .unwrap_err()
                .to_string()
                .contains("'backfill'")
        );
    }
}
