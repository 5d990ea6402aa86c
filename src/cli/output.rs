//! What the commands print on stdout.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::demo::Demo;
use crate::domain::instant::format_instant;
use crate::domain::{
    ConnectionReport, Report, RunReport, Verification, VerificationReport, WindowStatus,
};
use crate::error::{Error, Result};
use crate::sink::postgres::Upgrade;
use qbo_sandbox::Sandbox;

/// Prints text as it is. A closed pipe, as of `| head`, is not an error worth a word.
pub(super) fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints the report as one JSON object on one line.
pub(super) fn json(value: &impl serde::Serialize) -> Result<()> {
    let line = serde_json::to_string(value).map_err(|e| Error::Internal(format!("output: {e}")))?;
    text(&format!("{line}\n"));
    Ok(())
}

const HEADERS: [&str; 11] = [
    "entity",
    "windows",
    "pages",
    "rows",
    "inserted",
    "updated",
    "unchanged",
    "rejected",
    "requests",
    "seconds",
    "rows/s",
];

/// Prints a table of the runs, then what failed.
pub(super) fn table(report: &Report) {
    let mut rows = vec![HEADERS.map(str::to_owned)];
    rows.extend(report.runs.iter().map(cells));
    let mut out = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
            // Names to the left, numbers to the right. Writing to a string cannot fail.
            let _ = match column {
                0 => write!(out, "{cell:width$}"),
                _ => write!(out, "  {cell:>width$}"),
            };
        }
        out.push('\n');
    }
    for run in &report.runs {
        notes(run, &mut out);
    }
    if let Some(ConnectionReport {
        realm_id,
        days_left: Some(days),
        monthly_reads,
        ..
    }) = &report.connection
    {
        let _ = writeln!(
            out,
            "connection to company {realm_id}: {days} days left, {monthly_reads} reads this month"
        );
    }
    text(&out);
}

/// Prints the closing lines that Spanish users know: a window each, then the total of each entity.
/// Dates are those of the half-open range.
pub(super) fn filas(report: &Report) {
    let mut out = String::new();
    for run in &report.runs {
        for window in &run.windows {
            let (start, end) = (
                window.start.format("%Y-%m-%d"),
                window.end.format("%Y-%m-%d"),
            );
            let _ = match window.status {
                WindowStatus::Failed => {
                    let reason = window.error.as_deref().unwrap_or_default();
                    writeln!(out, "Rango {start} a {end} -> error: {reason}")
                }
                WindowStatus::Done | WindowStatus::Skipped => {
                    writeln!(out, "Rango {start} a {end} -> {} filas", window.rows)
                }
            };
        }
        let _ = writeln!(out, "Total {} descargadas: {}", run.entity, run.totals.rows);
    }
    text(&out);
}

/// Ids that are shown of many.
const SHOWN: usize = 10;

/// Prints what a comparison has found.
pub(super) fn verification(report: &VerificationReport) {
    let mut out = String::new();
    for run in &report.runs {
        let Verification {
            entity,
            windows,
            source,
            table,
            different,
            rejects,
            repaired,
            requests,
            ..
        } = run;
        let verdict = match (different.len(), *repaired) {
            (0, 0) => "no difference".to_owned(),
            (0, repaired) => {
                format!("{repaired} windows were read again, and nothing differs any more")
            }
            (count, _) => format!("{count} windows differ"),
        };
        let _ = writeln!(
            out,
            "{entity}: {source} in QuickBooks, {table} in the table, {windows} windows, {requests} requests: {verdict}"
        );
        for difference in different {
            let (start, end) = (
                format_instant(difference.start),
                format_instant(difference.end),
            );
            let _ = write!(
                out,
                "  [{start}, {end}): {} against {}",
                difference.source, difference.table
            );
            for (name, ids) in [
                ("missing", &difference.missing),
                ("stale", &difference.stale),
                ("extra", &difference.extra),
            ] {
                if !ids.is_empty() {
                    let shown = ids
                        .iter()
                        .take(SHOWN)
                        .map(String::as_str)
                        .collect::<Vec<_>>()
                        .join(", ");
                    let more = if ids.len() > SHOWN { ", ..." } else { "" };
                    let _ = write!(out, "; {} {name}: {shown}{more}", ids.len());
                }
            }
            out.push('\n');
        }
        for reject in rejects {
            let (id, at) = (
                reject.id.as_deref().unwrap_or("of unknown id"),
                format_instant(reject.changed_at),
            );
            let _ = writeln!(
                out,
                "  record {id}, changed about {at}, was set aside: {}",
                reject.error
            );
        }
    }
    text(&out);
}

fn cells(run: &RunReport) -> [String; 11] {
    let totals = &run.totals;
    let seconds = totals.duration_ms as f64 / 1000.0;
    let rate = if seconds > 0.0 {
        totals.rows as f64 / seconds
    } else {
        0.0
    };
    [
        run.entity.clone(),
        totals.windows.to_string(),
        totals.pages.to_string(),
        totals.rows.to_string(),
        totals.inserted.to_string(),
        totals.updated.to_string(),
        totals.unchanged.to_string(),
        totals.rejected.to_string(),
        totals.requests.to_string(),
        format!("{seconds:.1}"),
        format!("{rate:.0}"),
    ]
}

fn notes(run: &RunReport, out: &mut String) {
    let skipped = run
        .windows
        .iter()
        .filter(|w| w.status == WindowStatus::Skipped)
        .count();
    if skipped > 0 {
        let _ = writeln!(
            out,
            "{}: {skipped} of {} windows skipped",
            run.entity, run.totals.windows
        );
    }
    match run.totals.rejected {
        0 => {}
        1 => {
            _ = writeln!(
                out,
                "{}: 1 record was set aside; qbo.rejects says why",
                run.entity
            )
        }
        many => {
            _ = writeln!(
                out,
                "{}: {many} records were set aside; qbo.rejects says why",
                run.entity
            )
        }
    }
    if let Some(read_until) = run.windows.iter().find_map(|window| window.read_until) {
        let _ = writeln!(
            out,
            "{}: read until {}, a little before the present",
            run.entity,
            format_instant(read_until)
        );
    }
    for window in run
        .windows
        .iter()
        .filter(|w| w.status == WindowStatus::Failed)
    {
        let (start, end) = (format_instant(window.start), format_instant(window.end));
        let reason = window.error.as_deref().unwrap_or("no reason given");
        let _ = writeln!(out, "{}: [{start}, {end}) failed: {reason}", run.entity);
    }
}

/// Prints the statements that upgrade tables, or what has been upgraded.
pub(super) fn upgrade(upgrade: &Upgrade, is_dry: bool) {
    match (upgrade.tables.is_empty(), is_dry) {
        (true, true) => text("-- nothing to do: every table has the right shape\n"),
        (true, false) => text("every table has the right shape\n"),
        (false, true) => text(&format!("BEGIN;\n{}COMMIT;\n", upgrade.sql)),
        (false, false) => text(&format!(
            "upgraded, every row kept: {}\n",
            upgrade.tables.join(", ")
        )),
    }
}

/// Prints what a client of the sandbox must be told, ready to paste into a shell.
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
    text(&out);
}

/// Prints how to look at what the demo has loaded, and how to end it.
pub(super) fn demo(program: &str, demo: &Demo) {
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
        "Its data lives in {}; remove that directory to begin anew.",
        demo.directory.display()
    );
    text(&out);
}

fn shell_quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
