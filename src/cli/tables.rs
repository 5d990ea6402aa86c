//! Texts of `qbo-rs db`: what it has done to tables and views, and the SQL that it prints.

use std::path::Path;

use super::words::{instant, number};
use crate::app::health::schema_flag;
use crate::app::{ArchiveRequest, LedgerReport, ViewChanges};
use crate::language::{say, translated};
use crate::sink::postgres::{ArchiveSummary, Upgrade};
use crate::terminal::{one_line, shell_quote};

/// Returns the statements that create and upgrade tables, or the tables that were.
pub(super) fn upgrade(upgrade: &Upgrade, dry_run: bool) -> String {
    match (upgrade.sql.is_empty(), dry_run) {
        (true, true) => return say!("-- nothing to do: every table has the right shape") + "\n",
        (true, false) => return say!("every table has the right shape") + "\n",
        (false, true) => return format!("BEGIN;\n{}COMMIT;\n", upgrade.sql),
        (false, false) => {}
    }
    let mut text = String::new();
    if !upgrade.created.is_empty() {
        let tables = upgrade.created.join(", ");
        text += &(say!("created: {tables}", tables) + "\n");
    }
    if !upgrade.tables.is_empty() {
        let tables = upgrade.tables.join(", ");
        text += &(say!("upgraded, every row kept: {tables}", tables) + "\n");
    }
    text
}

/// Returns the statements that make views, for `psql`.
pub(super) fn views_sql(changes: &ViewChanges) -> String {
    let sql = match changes.sql.as_str() {
        "" => say!("-- nothing to do: every view is as it should be") + "\n",
        sql => format!("BEGIN;\n{sql}COMMIT;\n"),
    };
    let comments = dbt_variables(changes);
    let comments = comments.lines().map(|line| format!("-- {line}\n"));
    comments.collect::<String>() + &sql
}

/// Returns the variables for `dbt_project.yml` as YAML, and what the package cannot do.
fn dbt_variables(changes: &ViewChanges) -> String {
    let mut text = String::new();
    for warning in &changes.warnings {
        text += &say!("warning: {warning}", warning = translated(warning));
        text.push('\n');
    }
    if !changes.dbt_variables.is_empty() {
        text += "variables for dbt_project.yml:\nvars:\n";
    }
    for (name, value) in &changes.dbt_variables {
        // JSON is YAML.
        text += &format!("  {name}: {value}\n");
    }
    text
}

/// Returns lines that say what was done to views.
pub(super) fn views(changes: &ViewChanges) -> String {
    let into = &changes.into;
    let mut text = String::new();
    let said = |names: &[String], say: fn(&str, usize, String) -> String| match names {
        [] => String::new(),
        names => say(into, names.len(), names.join(", ")) + "\n",
    };
    text += &said(&changes.created, created);
    text += &said(&changes.replaced, replaced);
    text += &said(&changes.dropped, dropped);
    if text.is_empty() {
        let count = changes.unchanged;
        text = match changes.materialized {
            true => say!(
                "{into}: all {count} tables are as they should be",
                into,
                count
            ),
            false => say!(
                "{into}: all {count} views are as they should be",
                into,
                count
            ),
        } + "\n";
    }
    if changes.materialized && !changes.followed.is_empty() {
        let names = changes.followed.join(", ");
        text += &(say!(
            "{into}: filled in, and from now on in step with every load: {names}",
            into,
            names
        ) + "\n");
    }
    if !changes.left_out.is_empty() {
        let names = changes.left_out.join(", ");
        text += &(say!("left out, because there is no table: {names}", names) + "\n");
    }
    text + &dbt_variables(changes)
}

fn created(into: &str, count: usize, names: String) -> String {
    say!("{into}: {count} created: {names}", into, count, names)
}

fn replaced(into: &str, count: usize, names: String) -> String {
    say!("{into}: {count} replaced: {names}", into, count, names)
}

fn dropped(into: &str, count: usize, names: String) -> String {
    say!(
        "{into}: {count} dropped, because this version does not make them: {names}",
        into,
        count,
        names
    )
}

/// Returns a line for each entity with the number of records that were archived.
pub(super) fn archived(archived: &[ArchiveSummary], request: &ArchiveRequest) -> String {
    let (file, schema) = (&request.out, &request.schema);
    if archived.iter().all(|done| done.rows == 0) {
        let before = instant(request.before);
        return say!(
            "No record was last changed before {before}; no file was written",
            before
        ) + "\n";
    }
    let line = |done: &ArchiveSummary| {
        let (count, file) = (number(done.rows), file.display());
        say!(count done.rows; "{entity}: {count} record into {file}", "{entity}: {count} records into {file}",
            entity = done.entity, count, file)
            + "\n"
    };
    let lines: String = archived.iter().map(line).collect();
    lines + &what_follows(file, schema)
}

/// Says what becomes of records that are in a file alone.
fn what_follows(file: &Path, schema: &str) -> String {
    let command = format!(
        "qbo-rs load {}{}",
        shell_quote(&file.to_string_lossy()),
        schema_flag(schema)
    );
    let texts = [
        say!("verify counts them as archived; one that is edited comes back with a sync"),
        say!("Back into the table: {command}", command),
    ];
    texts.join("\n") + "\n"
}

/// Returns lines that say what is in the general ledger, and what is not.
pub(super) fn ledger(report: &LedgerReport) -> String {
    let into = &report.into;
    let transactions: usize = report.posted.values().sum();
    let mut text = say!(
        "{into}.gl_entries: {entries} entries of {transactions} transactions",
        into,
        entries = report.entries,
        transactions
    ) + "\n";
    for (entity, count) in &report.posted {
        text += &format!("  {entity}: {count}\n");
    }
    if report.empty > 0 {
        let count = report.empty;
        text += &(say!("without an amount, as voided ones are: {count}", count) + "\n");
    }
    if report.unbalanced > 0 {
        let count = report.unbalanced;
        text += &(say!("not posted, see {into}.gl_unbalanced: {count}", into, count) + "\n");
        for (reason, count) in &report.reasons {
            text += &format!("  {count}: {}\n", translated(&one_line(reason)));
        }
    }
    if !report.missing.is_empty() {
        let missing = report.missing.join(", ");
        text += &(say!(
            "not in the ledger, because there is no table: {missing}",
            missing
        ) + "\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::ledger;
    use crate::app::LedgerReport;

    #[test]
    fn the_ledger_says_what_is_in_it_and_what_is_not() {
        let report = LedgerReport {
            into: "books".to_owned(),
            entries: 7,
            posted: BTreeMap::from([("Bill", 1), ("Invoice", 2)]),
            empty: 4,
            unbalanced: 2,
            reasons: vec![("the account 1\nInvoice: 9 is missing".to_owned(), 2)],
            missing: vec!["transfers"],
        };
        let expected = "books.gl_entries: 7 entries of 3 transactions\n  Bill: 1\n  Invoice: 2\n\
            without an amount, as voided ones are: 4\n\
            not posted, see books.gl_unbalanced: 2\n  \
            2: the account 1\\nInvoice: 9 is missing\n\
            not in the ledger, because there is no table: transfers\n";
        assert_eq!(ledger(&report), expected);
    }
}
