//! Golden files of the help texts, one per subcommand, and what holds for all of them.

use std::ffi::OsString;
use std::path::Path;

use clap::Command;

use super::early::Early;
use super::help;
use super::pages::{PAGES, page_of};

/// Width of the rendered help, so that the terminal does not matter.
const WIDTH: usize = 80;
/// The most lines of a help, so that it fits a screen.
const SCREEN: usize = 40;

fn trimmed(text: &str) -> String {
    let lines = text.lines().map(str::trim_end);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Calls `check` with every command, its path below `qbo-rs` and its help.
fn for_each(command: &mut Command, path: &str, check: &mut impl FnMut(&Command, &str, &str)) {
    let text = trimmed(&command.render_help().to_string());
    check(command, path, &text);
    for subcommand in command.get_subcommands_mut() {
        let path = format!("{path} {}", subcommand.get_name());
        for_each(subcommand, path.trim_start(), check);
    }
}

fn every_command(mut check: impl FnMut(&Command, &str, &str)) {
    let mut command = help::command().term_width(WIDTH);
    command.build();
    for_each(&mut command, "", &mut check);
}

#[test]
fn the_help_of_every_command_is_as_recorded() {
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        every_command(|_, path, text| {
            let name = format!("qbo-rs {path}").trim_end().replace(' ', "_");
            insta::assert_snapshot!(name, text);
        });
        let pages = help::settings_pages(&[], Some(WIDTH));
        let pages: String = pages.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!("settings_and_logs", trimmed(&pages));
    });
}

#[test]
fn the_help_of_every_command_fits_a_screen() {
    let mut seen = 0;
    every_command(|_, path, text| {
        let lines = text.lines().count();
        assert!(
            lines <= SCREEN,
            "qbo-rs {path} --help has {lines} lines:\n{text}"
        );
        for line in text.lines() {
            assert!(
                line.chars().count() <= WIDTH,
                "qbo-rs {path} --help: {line}"
            );
        }
        seen += 1;
    });
    assert!(seen > 25, "only {seen} commands were found");
}

#[test]
fn both_flags_and_the_command_help_show_the_same() {
    for flag in ["-h", "--help"] {
        let line = ["qbo-rs", "db", "views", flag].map(OsString::from);
        let shown = super::parse(&line, Early::of(&line)).unwrap_err();
        let mut command = help::command();
        command.build();
        let views = command.find_subcommand_mut("db").unwrap();
        let views = views.find_subcommand_mut("views").unwrap();
        assert_eq!(shown.to_string(), views.render_help().to_string(), "{flag}");
    }
}

#[test]
fn every_command_has_examples_that_parse_and_a_page() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut paths = Vec::new();
    every_command(|command, path, text| {
        let page = page_of(path).unwrap_or_else(|| panic!("pages.rs has no page of '{path}'"));
        assert!((1..=3).contains(&page.examples.len()), "{path}");
        assert!(docs.join(page.docs).is_file(), "{path}: {}", page.docs);
        for example in page.examples {
            assert!(text.contains(example), "{path}: {example}");
            let line = example.split(" > ").next().unwrap();
            let line: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let parsed = super::parse(&line, Early::of(&line));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            let shows = help::named_subcommand(command, &line[path.split_whitespace().count()..]);
            let is_group = command.has_subcommands();
            let is_of_command = example.starts_with(&format!("qbo-rs {path}"));
            assert!(
                is_of_command && (is_group || shows.0.is_empty()),
                "{path}: {example}"
            );
        }
        paths.push(path.to_owned());
    });
    for page in PAGES {
        assert!(
            paths.contains(&page.command.to_owned()),
            "no command '{}'",
            page.command
        );
    }
}
