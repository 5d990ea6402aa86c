//! `qbo-rs check`: settings, tokens, the company and the database, each with a verdict.

use std::fmt::Write as _;

use super::command_line::with_env_file;
use super::env_file::{EnvFile, not_read};
use super::exit::{ExitCode, Outcome};
use super::output::Printer;
use super::signals::block_on;
use super::words::width;
use super::wrap::{hanging, table_columns};
use crate::app::{App, CheckLine, CheckReport, CheckRequest, CheckStatus};
use crate::config::Settings;
use crate::language::{say, translated};
use crate::terminal::one_line;

/// Runs the subcommand. The exit code is 2 if a line failed: so would every other command.
pub(super) fn run(
    app: &App,
    request: CheckRequest,
    env_file: &EnvFile,
    printer: Printer,
) -> Outcome {
    let request = request.unknown_variables(unknown(env_file.all_names()));
    let mut report = block_on(app.check(&request))?;
    if let Some(name) = env_file.unread() {
        name_unread(&mut report.lines, name);
    }
    printer.print(&report, || describe(&report, table_columns()))?;
    Ok(match report.is_ok() {
        true => ExitCode::Done,
        false => ExitCode::Refused,
    })
}

/// Names a file that is here and is not read, where settings are missing that it may have.
fn name_unread(lines: &mut [CheckLine], name: &str) {
    let lacks = |line: &&mut CheckLine| {
        let sets = line
            .fix
            .as_deref()
            .is_some_and(|fix| fix.starts_with("export "));
        sets && (line.text.contains("not set") || line.status == CheckStatus::Skipped)
    };
    for line in lines.iter_mut().filter(lacks) {
        line.text = format!("{}; {}", line.text, not_read(name));
        line.fix = Some(format!("qbo-rs check --env-file {name}"));
    }
}

/// Returns the variables that look like settings and are none.
fn unknown(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut unknown: Vec<String> = names
        .filter(|name| match name.starts_with("QBO_") {
            true => !Settings::is_known_variable(name),
            // Other programs have such variables, too.
            false => !Settings::misspelled([name.clone()]).is_empty(),
        })
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    unknown
}

/// Describes a report for a terminal of so many columns. What is to be copied is never broken.
fn describe(report: &CheckReport, columns: usize) -> String {
    let is_skipped = |line: &&CheckLine| line.status == CheckStatus::Skipped && line.fix.is_none();
    let widths = report.lines.iter().map(|line| width(&label(line.name)));
    let width = widths.max().unwrap_or(0);
    // Writing to a string cannot fail.
    let mut out = String::new();
    for line in report.lines.iter().filter(|line| !is_skipped(line)) {
        let (mark, name) = (mark(line.status), label(line.name));
        // Names and answers of others begin no line of their own.
        let text = one_line(&translated(&line.text)).into_owned();
        out.push_str(&hanging(&format!("{mark} {name:width$}  "), &text, columns));
        if let Some(fix) = &line.fix {
            // It is there to be copied.
            let _ = writeln!(out, "    -> {}", with_env_file(&translated(fix)));
        }
    }
    let mut skipped: Vec<(&str, Vec<String>)> = Vec::new();
    for line in report.lines.iter().filter(is_skipped) {
        let name = label(line.name);
        match skipped.iter_mut().find(|(reason, _)| *reason == line.text) {
            Some((_, names)) => names.push(name),
            None => skipped.push((&line.text, vec![name])),
        }
    }
    for (reason, names) in skipped {
        let text = say!(
            "not checked: {names} ({reason})",
            names = names.join(", "),
            reason = translated(reason)
        );
        out.push_str(&hanging("- ", &text, columns));
    }
    out
}

/// Returns the name of a line for people.
fn label(name: &str) -> String {
    match name {
        "settings" => say!("settings"),
        "keys" => say!("keys"),
        "token_store" => say!("token store"),
        "pause" => say!("pause"),
        "company" => say!("company"),
        "quota" => say!("quota"),
        "latency" => say!("latency"),
        "clock" => say!("clock"),
        "database" => say!("database"),
        "encoding" => say!("encoding"),
        "rights" => say!("rights"),
        "migrations" => say!("migrations"),
        "schema" => say!("schema"),
        "time_zone" => say!("time zone"),
        other => other.replace('_', " "),
    }
}

fn mark(status: CheckStatus) -> char {
    match status {
        CheckStatus::Ok => '✔',
        CheckStatus::Warning => '!',
        CheckStatus::Failed => '✖',
        CheckStatus::Skipped => '-',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_no_setting_is_named() {
        let names = [
            "QBO_RELAM_ID",
            "QBO_REALM_ID",
            "QBO_ENV_FILE",
            "QBO_LANG",
            "PATH",
            "PGHOST",
            "PG_VERSION",
            "PG_PASSWROD",
        ];
        let found = unknown(names.into_iter().map(str::to_owned));
        assert_eq!(found, ["PG_PASSWROD", "QBO_RELAM_ID"]);
    }

    #[test]
    fn a_file_that_is_not_read_is_named_where_settings_are_missing() {
        let line = |name, status, text: &str, fix: &str| CheckLine {
            name,
            status,
            text: text.to_owned(),
            fix: Some(fix.to_owned()),
        };
        let mut lines = [
            line(
                "keys",
                CheckStatus::Failed,
                "QBO_CLIENT_ID: not set",
                "export QBO_CLIENT_ID=...",
            ),
            line(
                "database",
                CheckStatus::Skipped,
                "no database is configured",
                "export DATABASE_URL=...",
            ),
            line(
                "company",
                CheckStatus::Failed,
                "not connected",
                "qbo-rs auth login",
            ),
        ];
        name_unread(&mut lines, ".env");
        let fixes = lines.each_ref().map(|line| line.fix.as_deref().unwrap());
        let named = "qbo-rs check --env-file .env";
        assert_eq!(fixes, [named, named, "qbo-rs auth login"]);
        let text = "QBO_CLIENT_ID: not set; .env is here and is not read: add --env-file .env";
        assert_eq!(lines[0].text, text);
    }
}
