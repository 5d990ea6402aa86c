//! Holds the catalogue and the sources together: every text for people has its Spanish, and nothing
//! else is in the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::builder::StyledStr;
use clap::{Command, CommandFactory};

use super::args::Arguments;
use super::language::in_language;
use super::language_lists::{NO_SENTENCES, OF_CLAP, OF_DATES, OF_SANDBOX, OF_SYSTEM};
use super::language_sources::templates;
use crate::config::SETTINGS;
use crate::language::{Language, Template, entries, translated_into};

fn source_folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Returns every text of the help, with the command that shows it.
fn help_texts(command: &Command, texts: &mut BTreeMap<String, String>) {
    let mut add = |text: Option<&StyledStr>| {
        if let Some(text) = text {
            texts.insert(text.to_string(), command.get_name().to_owned());
        }
    };
    add(command.get_about());
    add(command.get_long_about());
    add(command.get_after_help());
    add(command.get_after_long_help());
    for arg in command.get_arguments() {
        add(arg.get_help());
        add(arg.get_long_help());
    }
    for subcommand in command.get_subcommands() {
        help_texts(subcommand, texts);
    }
}

/// Returns a finished text that a template makes, with values that no catalogue knows.
fn sample(template: &Template) -> (String, Vec<(String, String)>) {
    let names: Vec<String> = template.names().map(str::to_owned).collect();
    let values: Vec<(String, String)> = (0..)
        .map(|number| format!("Ω{number}"))
        .zip(names)
        .map(|(value, name)| (name, value))
        .collect();
    let borrowed: Vec<(&str, &str)> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    (template.fill(&borrowed), values)
}

/// Returns words of an English template of ours that a text in another language shows: at least three in a row.
pub(super) fn english_left(text: &str) -> Option<&'static str> {
    // Commands are the same in every language.
    let is_long =
        |words: &&str| words.split_whitespace().count() > 2 && !words.starts_with("qbo-rs ");
    let templates = entries()
        .iter()
        .filter(|entry| !entry.english.contains('`'));
    let clauses = templates.flat_map(|entry| entry.english.split(['{', '}', ';', ':', '\'']));
    clauses
        .map(str::trim)
        .filter(is_long)
        .find(|words| text.contains(words))
}

/// Returns the texts with which the sandbox refuses a flag, an assumption, a fault or a command.
fn of_sandbox_folder() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox/src");
    let mut found = templates(&folder);
    found.retain(|text, file| {
        let is_read = OF_SANDBOX.iter().any(|read| {
            let rest = file.strip_prefix(read);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        // An assumption cites what it is about; it is listed in JSON alone.
        is_read && !text.contains("(qbo-facts") && !text.contains("(reports.md")
    });
    assert!(found.len() > 20, "this test has gone blind");
    found
}

fn needed() -> BTreeMap<String, String> {
    let mut needed = templates(&source_folder());
    needed.extend(of_sandbox_folder());
    let of_settings = SETTINGS.iter().flat_map(|setting| setting.help.lines());
    needed.extend(of_settings.map(|text| (text.trim().to_owned(), "config/registry".to_owned())));
    let of_sandbox = qbo_sandbox::control_descriptions();
    needed.extend(of_sandbox.map(|text| (text.to_owned(), "its sandbox".to_owned())));
    for text in NO_SENTENCES {
        assert!(
            needed.remove(*text).is_some(),
            "no source has {text:?} any more"
        );
    }
    needed
}

#[test]
fn every_text_for_people_has_its_spanish() {
    let known: BTreeSet<&str> = entries()
        .iter()
        .map(|entry| entry.english.as_str())
        .collect();
    let needed = needed();
    assert!(needed.len() > 500, "this test has gone blind");
    let missing: Vec<String> = needed
        .iter()
        .filter(|(text, _)| !known.contains(text.as_str()))
        .map(|(text, file)| format!("src/{file}.rs: {text:?}"))
        .collect();
    assert!(
        missing.is_empty(),
        "locales/es.po lacks {} texts:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

#[test]
fn the_catalogue_holds_nothing_that_no_source_has() {
    let mut needed = needed();
    let mut command = Arguments::command();
    command.build();
    help_texts(&command, &mut needed);
    let python = python_sources();
    let unused: Vec<&str> = entries()
        .iter()
        .map(|entry| entry.english.as_str())
        .filter(|text| {
            !needed.contains_key(*text)
                && [OF_CLAP, OF_DATES, OF_SYSTEM]
                    .iter()
                    .all(|known| !known.contains(text))
        })
        .filter(|text| !python.iter().any(|source| is_in(source, text)))
        .collect();
    assert!(
        unused.is_empty(),
        "nothing shows these any more:\n{}",
        unused.join("\n")
    );
}

/// Returns the sources of the package, with the parts of each text put together.
fn python_sources() -> Vec<String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/qbo_rs");
    let (mut sources, mut pending) = (Vec::new(), vec![package]);
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "py") {
                let source = std::fs::read_to_string(path).unwrap();
                let lines: Vec<&str> = source.lines().map(str::trim).collect();
                let source = lines
                    .join("\n")
                    .replace("\"\nf\"", "")
                    .replace("\"\n\"", "");
                sources.push(source);
            }
        }
    }
    sources
}

/// Returns true if a source has all words of a template. A test of the package finds those without a translation.
fn is_in(source: &str, template: &str) -> bool {
    let parts = template
        .split('{')
        .map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    let mut words = parts.map(str::trim).filter(|words| words.len() > 2);
    words.all(|words| source.contains(words))
}

#[test]
fn translations_have_the_placeholders_of_their_templates() {
    for entry in entries() {
        let of = |template: &Template| {
            let mut names: Vec<String> = template.names().map(str::to_owned).collect();
            names.sort();
            names
        };
        let (english, spanish) = (of(&entry.pattern), of(&entry.translation));
        assert_eq!(english, spanish, "{:?}", entry.english);
    }
}

/// A template with few words of its own must not take the texts of another one.
#[test]
fn a_finished_text_finds_the_template_that_made_it() {
    let mut wrong = Vec::new();
    for entry in entries() {
        let (english, values) = sample(&entry.pattern);
        let values: Vec<(&str, &str)> = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let expected = entry.translation.fill(&values);
        let found = translated_into(Language::Es, &english);
        if entry.pattern.letters() >= 4 && found != expected {
            wrong.push(format!(
                "{english:?}\n    is {found:?}\n    not {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_help_of_every_command_is_spanish() {
    let mut texts = BTreeMap::new();
    let mut command = Arguments::command();
    command.build();
    help_texts(&command, &mut texts);
    let english = |text: &str| {
        let words = [" the ", " of ", " and ", " which ", " with ", " default: "];
        words.iter().any(|word| format!(" {text} ").contains(word))
    };
    let left: Vec<String> = texts
        .iter()
        .map(|(text, command)| (translated_into(Language::Es, text), command))
        .filter(|(text, _)| english(text))
        .map(|(text, command)| format!("{command}: {text}"))
        .collect();
    assert!(left.is_empty(), "English is left in:\n{}", left.join("\n"));
    let mut spanish = in_language(super::help::command(), Language::Es);
    let help = spanish.render_long_help().to_string();
    for words in [
        "Comandos:",
        "Opciones:",
        "Cargar archivos intermedios en Postgres",
    ] {
        assert!(help.contains(words), "{words} is not in\n{help}");
    }
    let extract = spanish.find_subcommand_mut("extract").unwrap();
    let help = extract.render_help().to_string();
    assert!(help.contains("[predeterminado: 1000]"), "{help}");
    let arguments = ["qbo-rs", "--lang", "es", "entities"];
    assert!(spanish.try_get_matches_from(arguments).is_ok());
    in_language(super::help::command(), Language::Es).debug_assert();
}

#[test]
fn a_missing_command_is_told_in_spanish_with_the_names_of_all() {
    let told = translated_into(Language::Es, "[subcommands: load, check, status]");
    assert_eq!(told, "[comandos: load, check, status]");
}

/// A line is broken at each of its blanks, except in a command: it stands between backticks in a sentence, and is
/// followed by nothing elsewhere.
#[test]
fn commands_in_sentences_stand_between_backticks() {
    let is_bare = |text: &str| {
        text.split('`').step_by(2).any(|prose| {
            prose.match_indices("qbo-rs ").any(|(at, _)| {
                let (before, command) = prose.split_at(at);
                let verbs = [" lists ", " shows ", " loads ", " puts ", " removes "];
                let is_marked = ["  ", ": ", "-> ", "$("]
                    .iter()
                    .any(|mark| before.ends_with(mark));
                let is_sentence = verbs.iter().any(|verb| command.contains(verb));
                !is_marked && (is_sentence || !before.is_empty())
            })
        })
    };
    let is_text = |text: &&str| !OF_ONE_WORD.contains(text) && is_bare(text);
    let bare: Vec<&str> = entries()
        .iter()
        .map(|entry| entry.english.as_str())
        .filter(is_text)
        .collect();
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

/// Names of the program, where it is no command.
const OF_ONE_WORD: [&str; 1] =
    ["Keys of columns, separated by commas; each must come back; default: those that qbo-rs needs"];

#[test]
fn examples_of_dates_are_spanish() {
    let error = crate::domain::instant::parse_instant("now", "ayer").unwrap_err();
    assert_eq!(
        translated_into(Language::Es, &error.to_string()),
        "now: no se puede leer 'ayer' como fecha; escriba 2025-01-31 o 2025-01-31T00:00:00Z"
    );
}
