//! Texts that say how to go on: with a running sandbox, and with the demo's database.

use std::fmt::Write as _;

use qbo_sandbox::Sandbox;

use super::output;
use super::words::{number, shell_quote, width};
use crate::demo::Demo;
use crate::language::say;

/// Prints the settings that a client of the sandbox needs, ready to paste into a shell.
pub(super) fn sandbox(sandbox: &Sandbox) {
    let mut out = String::new();
    for (name, value) in sandbox.environment() {
        let _ = writeln!(out, "export {name}={}", shell_quote(&value));
    }
    out.push_str(&further_companies(sandbox));
    let mut counts = sandbox.company().counts();
    let is_common = |name: &str| matches!(name, "Customer" | "Item" | "Invoice");
    counts.sort_by_key(|(name, count)| (!is_common(name), std::cmp::Reverse(*count)));
    let most = counts
        .iter()
        .take(3)
        .map(|(name, count)| format!("{count} {name}"))
        .collect::<Vec<_>>()
        .join(", ");
    let url = sandbox.url();
    let comment = match counts.len().saturating_sub(3) {
        0 => say!(
            "# sandbox at {url} with {most}; stop it with Ctrl-C",
            url,
            most
        ),
        rest => say!(count rest;
            "# sandbox at {url} with {most} and records of {rest} other entity; stop it with Ctrl-C",
            "# sandbox at {url} with {most} and records of {rest} other entities; stop it with Ctrl-C",
            url, most, rest),
    };
    let _ = writeln!(out, "{comment}");
    output::text(&out);
}

/// The most companies whose settings are printed beside those of the first one.
const MAX_COMPANIES: usize = 10;

/// Returns the settings that the companies after the first one have of their own. They are comments: the
/// shell takes the lines above them.
fn further_companies(sandbox: &Sandbox) -> String {
    let realm_ids: Vec<&str> = sandbox.realm_ids().skip(1).collect();
    let mut out = String::new();
    for realm_id in realm_ids.iter().take(MAX_COMPANIES) {
        let token = sandbox.refresh_token(realm_id).unwrap_or_default();
        let (id, token) = (shell_quote(realm_id), shell_quote(&token));
        let _ = writeln!(out, "# export QBO_REALM_ID={id} QBO_REFRESH_TOKEN={token}");
    }
    if let Some(last) = realm_ids.get(MAX_COMPANIES..).and_then(<[_]>::last) {
        let _ = writeln!(out, "# ... QBO_REALM_ID={last}");
    }
    out
}

/// Shows records of the demo, and says how to see more of them and how to stop it.
pub(super) fn demo(program: &str, demo: &Demo, table: &str) -> String {
    let quote = |path: &std::path::Path| shell_quote(&path.display().to_string());
    let (passfile, env_file) = (quote(&demo.passfile), quote(&demo.env_file));
    let (program, stop) = (shell_quote(program), demo.directory_flag());
    let rows: u64 = demo.report.runs.iter().map(|run| run.totals.rows).sum();
    let mut out = format!("\n{table}\n");
    // Writing to a string cannot fail.
    let there = say!(
        "{rows} records are in Postgres. Go on with:",
        rows = number(rows)
    );
    let _ = writeln!(out, "{there}\n");
    let _ = writeln!(out, "  {program} show customers --env-file {env_file}");
    let _ = writeln!(out, "  {program} status --env-file {env_file}");
    let _ = writeln!(out, "  {program} demo --stop{stop}\n");
    let stays =
        say!("Postgres goes on running until then. To start from scratch, remove its data.");
    let _ = writeln!(out, "{stays}");
    // Paths may be long, so each has a line.
    let places = [
        (say!("address"), demo.url.clone()),
        (say!("password file"), passfile),
        (say!("data"), quote(&demo.directory)),
    ];
    let widest = places
        .iter()
        .map(|(name, _)| width(name))
        .max()
        .unwrap_or_default();
    for (name, place) in places {
        let _ = writeln!(out, "  {name:<widest$}  {place}");
    }
    out
}
