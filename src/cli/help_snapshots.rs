//! Golden files of the help texts, one per subcommand.

use clap::{Command, CommandFactory};

use super::args::{Arguments, SETTINGS_HEADING};

/// Width of the rendered help, so that the terminal does not matter.
const WIDTH: usize = 100;

/// Returns the help of a command, split before the flags for settings and logs.
fn render(command: &mut Command) -> (String, String) {
    let help = command.render_long_help().to_string();
    let help: String = help
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    let (own, common) = help.split_at(help.find(&format!("{SETTINGS_HEADING}:")).unwrap());
    (own.to_owned(), common.to_owned())
}

/// Checks a command and its subcommands. `path` names the golden file: `qbo-rs_db_ddl`.
fn check(command: &mut Command, path: &str, common: &str) {
    let (help, end) = render(command);
    assert_eq!(end, common, "{path}");
    insta::assert_snapshot!(path, help);
    for subcommand in command.get_subcommands_mut() {
        if subcommand.get_name() != "help" {
            let path = format!("{path}_{}", subcommand.get_name());
            check(subcommand, &path, common);
        }
    }
}

#[test]
fn the_help_of_every_command_is_as_recorded() {
    let mut command = Arguments::command().term_width(WIDTH);
    command.build();
    // Every command has the same flags for settings and logs: they are recorded once.
    let (_, common) = render(&mut command);
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("settings_and_logs", common);
        check(&mut command, "qbo-rs", &common);
    });
}
