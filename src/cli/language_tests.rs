//! Holds the catalogue and the sources together: every text for people has its Spanish, and nothing
//! else is in the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::builder::StyledStr;
use clap::{Command, CommandFactory};

use super::args::Arguments;
use super::language::in_language;
use super::language_sources::templates;
use crate::config::SETTINGS;
use crate::language::{Language, Template, entries, translated_into};

/// Texts of clap, and of settings, that no literal of ours holds.
const OF_CLAP: &[&str] = &[
    "Print help",
    "Print help (see more with '--help')",
    "Print help (see a summary with '-h')",
    "Print version",
    "Print this message or the help of the given subcommand(s)",
    "unexpected argument '{argument}' found",
    "unrecognized subcommand '{command}'",
    "the following required arguments were not provided:",
    "invalid value '{value}' for '{argument}'",
    "{value} is not in {range}",
    "a value is required for '{argument}' but none was supplied",
    "the argument '{argument}' cannot be used with '{other}'",
    "the argument '{argument}' cannot be used multiple times",
    "unexpected value '{value}' for '{argument}' found; no more were expected",
    "'{command}' requires a subcommand but one was not provided",
    "a similar argument exists: '{argument}'",
    "a similar subcommand exists: '{command}'",
    "a similar value exists: '{value}'",
    "some similar subcommands exist: {commands}",
    "some similar values exist: {values}",
    "possible values: {values}",
    "[subcommands: {names}]",
    "For more information, try '{help}'.",
];

/// Examples of dates, which have no words but these.
const OF_DATES: &[&str] = &["2025-01-31 or 2025-01-31T00:00:00Z"];

/// Words of the system and of libraries, which errors of ours hold.
const OF_SYSTEM: &[&str] = &[
    "Address already in use",
    "Broken pipe",
    "Cannot assign requested address",
    "Connection refused",
    "Connection reset by peer",
    "Connection timed out",
    "File exists",
    "Is a directory",
    "Name or service not known",
    "Network is unreachable",
    "No route to host",
    "No space left on device",
    "No such file or directory",
    "Not a directory",
    "Permission denied",
    "Read-only file system",
    "Temporary failure in name resolution",
    "Too many open files",
    "error connecting to server",
    "database \"{name}\" does not exist",
    "failed to lookup address information",
    "permission denied for database {name}",
    "permission denied for schema {name}",
    "permission denied for sequence {name}",
    "permission denied for table {name}",
    "permission denied for view {name}",
    "must be owner of table {name}",
    "password authentication failed for user \"{name}\"",
    "role \"{name}\" does not exist",
    "connection closed before message completed",
    "connection error",
    "end of file before message length reached",
    "error reading a body from connection",
    "invalid HTTP header parsed",
    "invalid HTTP status-code parsed",
    "invalid HTTP version parsed",
    "message head is too large",
    "operation timed out",
    "operation was canceled",
    "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html#unexpected-eof",
    "tls handshake eof",
    "tunnel error: proxy response headers too long",
    "tunnel error: unexpected end of file",
    "tunnel error: unsuccessful",
    "unexpected EOF during chunk size line",
    "unexpected end of file",
];

/// Folders and files of the sandbox whose texts people read in a terminal.
const OF_SANDBOX: &[&str] = &[
    "assumption",
    "clock",
    "company/change",
    "company/plan",
    "company/plant",
    "company/record_files",
    "control",
    "faults",
    "lib",
    "remote",
    "snapshot",
    "stopping",
    "webhooks",
];

/// Literals that look like sentences and are none of ours, or are no sentences: words of other
/// libraries and of QuickBooks by which an error is recognised, SQL, lists of names.
const NO_SENTENCES: &[&str] = &[
    "Properties of the element that have no column",
    "Subscription period has ended or canceled or there was a billing problem",
    "The company cannot be used",
    "another token",
    "is not after start",
    "is not after {flag}",
    "one of",
    "qbo-sandbox company",
    "unknown variant `",
    "{}: place in the list, from 1",
    "{fault}, {times} times by now; {wait}",
    "qbo-rs sync {}{flags}",
    "(SQLSTATE {s})",
    "(os error",
    "-h {host} -p {port}",
    "there is no fault '",
    "at line",
    "qbo-rs check --env-file {name}",
    "expected one of",
    "cannot connect to Postgres",
    "entity code [realm]",
    "entity id [at] [realm]",
    "entity id blemish [realm]",
    "entity id record at [realm]",
    "entity loser winner [at] [realm]",
    "entity record [realm]",
    "id withdrawn [realm]",
    "name answer [realm]",
    "name value",
    "there is no command '",
    "attempts in",
    "no answer within",
    "onnection refused",
    "qbo-rs sandbox control help edit",
    "-- check:",
    "-- show:",
    "Rango {start} a {end} -> error en {windows} tramos: {reason}",
    "Postgres: {reason}{}",
    "[qbo_rs ledger 1, schema",
    "coalesce(({record} #>> '{MetaData,LastUpdatedTime}')::timestamptz, ingested_at_utc) + interval '1 second'",
    "coalesce(jsonb_path_query_first({payload}, 'strict $.* ? (exists (@.Id))', '{{}}', true), {payload})",
    "--start 2000-01-01 --end now --chunk year",
    "at path",
    "is not in",
    "complete -c qbo-rs -n '__fish_seen_subcommand_from {name}' -f -a '{names}'",
    "db migrate",
    "password missing",
    "pip install --upgrade qbo_rs",
    "proxy authorization required",
    "qbo-rs auth login",
    "qbo-rs backfill items --start 2024-01-01 --end 2025-01-01 --resume",
    "qbo-rs backfill {entity} --start {start} --end {end}",
    "qbo-rs backfill {entity} --start {start} --end {end} --schema {schema} --realm-id {realm_id}",
    "qbo-rs db migrate",
    "qbo-rs load {path}{flags}",
    "qbo-rs rejects {name}{flag}",
    "qbo-rs rejects {}{flags}",
    "qbo-rs show {entity}{flags}{sync}",
    "qbo-rs status {name}{flag}",
    "qbo-rs status{flags} · qbo-rs show {entity}{flags}",
    "· qbo-rs sync --every 5m{env_file}",
    "qbo-rs verify --books --end {end} --basis {basis}{flag}",
    "realm_id, entity, id, line, txn_date, account_id, account_name, debit, credit, currency, foreign_debit, foreign_credit, party_type, party_id, party_name, memo, kind, source",
    "realm_id, entity, id, txn_date, reason",
    "sudo timedatectl set-ntp true",
    "the rule has run",
    "timestamp with time zone",
    "to pass '",
    "tunnel error",
    "{text}  -> qbo-rs status {entity} --validate{flags}",
    "{program} show customers --env-file {env_file}",
    "{program} status --env-file {env_file}",
    "(alive_at_utc > clock_timestamp() - interval '30 seconds')",
    ".started_at_utc) > clock_timestamp() - interval '1 minute')",
    "qbo-rs backfill invoices --last 90d{}",
    "qbo-rs check --lift-pause --realm-id {realm_id}",
    "qbo-rs status {name} --validate{flag}",
    "qbo-rs sync",
    "qbo-rs sync --every 5m",
    "qbo-rs backfill",
    "qbo-rs verify",
    "qbo-rs reports",
    "qbo-rs load {}{}",
    "qbo-rs verify {entity} --start {start} --end {end}{deep} --repair{flag}",
    "qbo-rs verify {entities} {WHOLE} --deep --repair{flags}",
    "{about} of company {realm_id}: {text}.",
];

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
