//! Texts that say how to go on: with a running sandbox, and with the demo's database.

use std::fmt::Write as _;

use qbo_sandbox::Sandbox;

use super::output;
use super::words::shell_quote;
use crate::demo::Demo;

/// Prints the settings that a client of the sandbox needs, ready to paste into a shell.
pub(super) fn sandbox(sandbox: &Sandbox) {
    let mut out = String::new();
    for (name, value) in sandbox.environment() {
        let _ = writeln!(out, "export {name}={}", shell_quote(&value));
    }
    let mut counts = sandbox.company().counts();
    let is_common = |name: &str| matches!(name, "Customer" | "Item" | "Invoice");
    counts.sort_by_key(|(name, count)| (!is_common(name), std::cmp::Reverse(*count)));
    let most = counts
        .iter()
        .take(3)
        .map(|(name, count)| format!("{count} {name}"))
        .collect::<Vec<_>>()
        .join(", ");
    let rest = counts.len().saturating_sub(3);
    let rest = if rest > 0 {
        format!(" and records of {rest} other entities")
    } else {
        String::new()
    };
    let _ = writeln!(
        out,
        "# sandbox at {} with {most}{rest}; stop it with Ctrl-C",
        sandbox.url()
    );
    output::text(&out);
}

/// Explains how to query the records of the demo and how to stop it.
pub(super) fn demo(program: &str, demo: &Demo) -> String {
    let psql = shell_quote(&demo.psql.display().to_string());
    let passfile = shell_quote(&demo.passfile.display().to_string());
    let url = &demo.url;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "\nThe records are in Postgres at {url} (password in {passfile}). Look for yourself:"
    );
    let _ = writeln!(
        out,
        "  PGPASSFILE={passfile} {psql} {url} -c \"SELECT id, payload->>'DisplayName' AS name, payload->>'Balance' AS balance \
         FROM raw.qb_customers ORDER BY ingested_at_utc LIMIT 10\""
    );
    let _ = writeln!(
        out,
        "Postgres goes on running; stop it with:  {} demo --stop{}",
        shell_quote(program),
        demo.directory_flag()
    );
    let _ = writeln!(
        out,
        "Its data lives in {}; remove that directory to start from scratch.",
        demo.directory.display()
    );
    out
}
