//! `qbo-rs completion`: scripts that complete commands, flags, entities and reports in a shell.

use clap::builder::PossibleValuesParser;
use clap::{Args, Command};
use clap_complete::Shell;

use super::exit::{ExitCode, Outcome};
use super::output;
use crate::app::known_reports;
use crate::domain::ENTITIES;

#[derive(Debug, Args)]
pub(super) struct CompletionArguments {
    /// Shell that reads the script
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

/// Prints the script of a shell that completes `command`.
pub(super) fn run(arguments: &CompletionArguments, command: Command) -> Outcome {
    output::text(&script(&arguments.shell, command));
    Ok(ExitCode::Done)
}

fn script(shell: &str, command: Command) -> String {
    let shell = match shell {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    let mut command = with_names(command);
    clap_complete::generate(shell, &mut command, "qbo-rs", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Fish => add_names_for_fish(&command, &mut script),
        // clap_complete 4.6 calls the program so in one half of the script, because of its hyphen, and
        // `qbo__rs` in the other.
        Shell::Bash => script = subcommands_first(&script.replace("qbo__subcmd__rs", "qbo__rs")),
        _ => {}
    }
    script
}

/// Puts the words that are no flags first in each list of the script of bash, which keeps the order.
fn subcommands_first(script: &str) -> String {
    const LIST: &str = "opts=\"";
    let ordered = script.split_inclusive('\n').map(|line| {
        let words = line.split_once(LIST).and_then(|(indent, rest)| {
            let (words, end) = rest.split_once('"')?;
            Some((indent, words, end))
        });
        let Some((indent, words, end)) = words else {
            return line.to_owned();
        };
        let (flags, names): (Vec<&str>, Vec<&str>) = words
            .split_ascii_whitespace()
            .partition(|word| word.starts_with('-'));
        let words = [names, flags].concat().join(" ");
        format!("{indent}{LIST}{words}\"{end}")
    });
    ordered.collect()
}

/// Adds the names that arguments without a flag take: the script of clap leaves them out.
fn add_names_for_fish(command: &Command, script: &mut String) {
    for subcommand in command.get_subcommands() {
        let names: Vec<String> = subcommand
            .get_positionals()
            .filter(|arg| !arg.get_possible_values().is_empty())
            .flat_map(|arg| arg.get_possible_values())
            .map(|value| value.get_name().to_owned())
            .collect();
        if !names.is_empty() {
            let (name, names) = (subcommand.get_name(), names.join(" "));
            script.push_str(&format!(
                "complete -c qbo-rs -n '__fish_seen_subcommand_from {name}' -f -a '{names}'\n"
            ));
        }
        add_names_for_fish(subcommand, script);
    }
}

/// Lets the arguments for entities and reports name what they take. Parsing does not use these lists:
/// it understands more names, and guesses at the others.
fn with_names(command: Command) -> Command {
    let is_of_reports = command.get_name() == "reports";
    command
        .mut_args(|arg| {
            if arg.get_long() == Some("chunk") {
                return arg.value_parser(PossibleValuesParser::new(CHUNKS));
            }
            let names = arg.get_value_names().unwrap_or_default();
            match names.first().map(|name| name.as_str()) {
                Some("ENTITY") => arg.value_parser(PossibleValuesParser::new(entities())),
                Some("NAME") if is_of_reports => {
                    arg.value_parser(PossibleValuesParser::new(reports()))
                }
                _ => arg,
            }
        })
        .mut_subcommands(with_names)
}

/// The usual units of windows.
const CHUNKS: [&str; 6] = ["hour", "day", "week", "month", "quarter", "year"];

fn entities() -> impl Iterator<Item = &'static str> {
    ENTITIES.iter().map(|entity| entity.name)
}

fn reports() -> impl Iterator<Item = &'static str> {
    known_reports().into_iter().map(|report| report.route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_and_reports_are_in_the_script_of_every_shell() {
        for shell in ["bash", "zsh", "fish"] {
            let script = script(shell, crate::cli::help::command());
            for word in ["backfill", "--chunk", "journal_entries", "TrialBalance"] {
                let word = word.trim_start_matches('-');
                assert!(script.contains(word), "{shell} lacks {word}");
            }
            for unit in CHUNKS {
                assert!(script.contains(unit), "{shell} lacks {unit}");
            }
        }
    }

    #[test]
    fn bash_lists_subcommands_before_flags() {
        let script = script("bash", crate::cli::help::command());
        let lists: Vec<&str> = script
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("opts=\""))
            .collect();
        assert!(lists.len() > 20, "{}", lists.len());
        for first in ["login ", "backfill "] {
            assert!(lists.iter().any(|list| list.starts_with(first)), "{first}");
        }
        for list in lists {
            let mut words = list.trim_end_matches('"').split(' ');
            let is_flag = |word: &str| word.starts_with('-');
            assert!(
                words.by_ref().any(is_flag) && words.all(is_flag) || list == "\"",
                "{list}"
            );
        }
    }
}
