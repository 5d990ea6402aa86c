//! Texts of `qbo-rs db`: what it has done to tables and views, and the SQL that it prints.

use std::path::Path;

use crate::app::{LedgerReport, ViewChanges};
use crate::sink::postgres::{ArchiveSummary, Upgrade};
use crate::terminal::one_line;

/// Returns the statements that create and upgrade tables, or the tables that were.
pub(super) fn upgrade(upgrade: &Upgrade, dry_run: bool) -> String {
    match (upgrade.sql.is_empty(), dry_run) {
        (true, true) => return "-- nothing to do: every table has the right shape\n".to_owned(),
        (true, false) => return "every table has the right shape\n".to_owned(),
        (false, true) => return format!("BEGIN;\n{}COMMIT;\n", upgrade.sql),
        (false, false) => {}
    }
    let line = |what: &str, tables: &[String]| match tables.is_empty() {
        true => String::new(),
        false => format!("{what}: {}\n", tables.join(", ")),
    };
    let created = line("created", &upgrade.created);
    created + &line("upgraded, every row kept", &upgrade.tables)
}

/// Returns the statements that make views, for `psql`.
pub(super) fn views_sql(changes: &ViewChanges) -> String {
    let sql = match changes.sql.as_str() {
        "" => "-- nothing to do: every view is as it should be\n".to_owned(),
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
        text += &format!("warning: {warning}\n");
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
    for (what, names) in [
        ("created", &changes.created),
        ("replaced", &changes.replaced),
        (
            "dropped, because this version does not make them",
            &changes.dropped,
        ),
    ] {
        if !names.is_empty() {
            text += &format!("{into}: {} {what}: {}\n", names.len(), names.join(", "));
        }
    }
    if text.is_empty() {
        let what = match changes.materialized {
            true => "tables",
            false => "views",
        };
        let count = changes.unchanged;
        text = format!("{into}: all {count} {what} are as they should be\n");
    }
    if changes.materialized && !changes.followed.is_empty() {
        text += &format!(
            "{into}: filled in, and from now on in step with every load: {}\n",
            changes.followed.join(", ")
        );
    }
    if !changes.left_out.is_empty() {
        text += &format!(
            "left out, because there is no table: {}\n",
            changes.left_out.join(", ")
        );
    }
    text + &dbt_variables(changes)
}

/// Returns a line for each entity with the number of records that were archived.
pub(super) fn archived(archived: &[ArchiveSummary], file: &Path) -> String {
    let line = |done: &ArchiveSummary| {
        format!(
            "{}: {} records into {}\n",
            done.entity,
            done.rows,
            file.display()
        )
    };
    archived.iter().map(line).collect()
}

/// Returns lines that say what is in the general ledger, and what is not.
pub(super) fn ledger(report: &LedgerReport) -> String {
    let into = &report.into;
    let transactions: usize = report.posted.values().sum();
    let mut text = format!(
        "{into}.gl_entries: {} entries of {transactions} transactions\n",
        report.entries
    );
    for (entity, count) in &report.posted {
        text += &format!("  {entity}: {count}\n");
    }
    if report.empty > 0 {
        text += &format!("without an amount, as voided ones are: {}\n", report.empty);
    }
    if report.unbalanced > 0 {
        text += &format!(
            "not posted, see {into}.gl_unbalanced: {}\n",
            report.unbalanced
        );
        for (reason, count) in &report.reasons {
            text += &format!("  {count}: {}\n", one_line(reason));
        }
    }
    if !report.missing.is_empty() {
        let missing = report.missing.join(", ");
        text += &format!("not in the ledger, because there is no table: {missing}\n");
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
