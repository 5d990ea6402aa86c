//! The texts that commands print on stdout.

use std::fmt::Write as _;
use std::io::Write as _;

use super::exit::{ExitCode, Outcome};
use super::hint::with_flags;
use chrono::{DateTime, Utc};

use crate::domain::instant::format_instant;
use crate::domain::{
    ConnectionReport, ENTITIES, Report, RunReport, Verification, VerificationReport, WindowReport,
    WindowStatus,
};
use crate::error::{Error, Result};
use crate::terminal::one_line;

/// Prints text as it is. A closed pipe, as of `| head`, is not an error worth a word.
pub(super) fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints results on stdout: as JSON with `--json`, as text for people otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    pub json: bool,
}

impl Printer {
    /// Prints a value as one line of JSON, or as its text.
    pub(super) fn print(
        self,
        value: &impl serde::Serialize,
        describe: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.json {
            let line = serde_json::to_string(value)
                .map_err(|e| Error::Internal(format!("output: {e}")))?;
            text(&format!("{line}\n"));
        } else {
            // Texts of others, such as those of faults, change nothing in a terminal.
            let shown: Vec<_> = describe()
                .split('\n')
                .map(|line| one_line(line).into_owned())
                .collect();
            text(&shown.join("\n"));
        }
        Ok(())
    }

    /// Prints the report of runs and returns the exit code that it means.
    pub(super) fn report(self, report: &Report) -> Outcome {
        self.print(report, || table(report))?;
        Ok(ExitCode::of(report.is_complete()))
    }

    /// Prints the names of all entities, with those of QuickBooks.
    pub(super) fn entities(self) -> Outcome {
        let names: std::collections::BTreeMap<_, _> = ENTITIES
            .iter()
            .map(|entity| (entity.name, entity.qbo_name))
            .collect();
        self.print(&names, || {
            ENTITIES
                .iter()
                .map(|entity| format!("{:<24}{}\n", entity.name, entity.qbo_name))
                .collect()
        })?;
        Ok(ExitCode::Done)
    }
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

/// Returns a table of the runs, then what failed.
fn table(report: &Report) -> String {
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
        warning,
        ..
    }) = &report.connection
    {
        let _ = writeln!(
            out,
            "connection to company {realm_id}: {days} days left, {monthly_reads} reads this month"
        );
        if let Some(warning) = warning {
            let _ = writeln!(out, "{warning}");
        }
    }
    out
}

/// The most windows of an entity that are listed.
const MAX_PLANNED: usize = 20;

/// Describes the windows that a dry run would have read.
pub(super) fn planned(report: &Report) -> String {
    let mut out = String::new();
    for run in &report.runs {
        let windows = &run.windows;
        let count = match windows.len() {
            1 => "1 window".to_owned(),
            count => format!("{count} windows"),
        };
        let _ = writeln!(out, "{}: {count} to read", run.entity);
        for window in windows.iter().take(MAX_PLANNED) {
            let _ = writeln!(out, "  {}", window.window());
        }
        if let more @ 1.. = windows.len().saturating_sub(MAX_PLANNED) {
            let _ = writeln!(out, "  and {more} more");
        }
    }
    out.push_str("nothing was read: this is a dry run\n");
    out
}

/// Returns the closing lines for Spanish users: one for each window, then the total of each entity.
/// Dates are those of the half-open range.
pub(super) fn filas(report: &Report) -> String {
    let mut out = String::new();
    for run in &report.runs {
        for window in &run.windows {
            let (start, end) = (
                window.start.format("%Y-%m-%d"),
                window.end.format("%Y-%m-%d"),
            );
            let _ = match window.status {
                WindowStatus::Failed if window.is_not_attempted() => Ok(()),
                WindowStatus::Failed => {
                    let reason = window.error.as_deref().unwrap_or_default();
                    writeln!(out, "Rango {start} a {end} -> error: {reason}")
                }
                WindowStatus::Done | WindowStatus::Skipped => {
                    writeln!(out, "Rango {start} a {end} -> {} filas", window.rows)
                }
            };
        }
        if let Some(untried) = untried(run) {
            let (start, end) = (
                untried.start.format("%Y-%m-%d"),
                untried.end.format("%Y-%m-%d"),
            );
            let (windows, reason) = (untried.windows, untried.reason);
            let _ = writeln!(
                out,
                "Rango {start} a {end} -> error en {windows} tramos: {reason}"
            );
        }
        if let Some(reason) = run.unavailable() {
            let _ = writeln!(out, "{}: {reason}", run.entity);
        }
        let _ = writeln!(out, "Total {} descargadas: {}", run.entity, run.totals.rows);
    }
    out
}

/// The most ids that are shown.
const MAX_SHOWN: usize = 10;

/// Describes the result of a comparison.
pub(super) fn verification(report: &VerificationReport) -> String {
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
            renamed_references,
            requests,
            unavailable,
            ..
        } = run;
        if let Some(reason) = unavailable {
            let rows = match table {
                0 => "the table is empty, too".to_owned(),
                rows => format!(
                    "the table has {rows} records from a time when the company had it, which cannot be \
                     compared any more"
                ),
            };
            let _ = writeln!(out, "{entity}: {reason}; {rows}");
            continue;
        }
        let verdict = match (different.len(), *repaired) {
            (0, _) if source != table => "the totals differ".to_owned(),
            (0, _) if !rejects.is_empty() => {
                format!("{} records were set aside", rejects.len())
            }
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
        if *renamed_references > 0 {
            let _ = writeln!(
                out,
                "  {renamed_references} records differ only by names inside references, which is not counted as a difference"
            );
        }
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
                        .take(MAX_SHOWN)
                        .map(String::as_str)
                        .collect::<Vec<_>>()
                        .join(", ");
                    let more = if ids.len() > MAX_SHOWN { ", ..." } else { "" };
                    let _ = write!(out, "; {} {name}: {shown}{more}", ids.len());
                }
            }
            out.push('\n');
        }
        for reject in rejects {
            let (id, at) = (
                one_line(reject.id.as_deref().unwrap_or("of unknown id")),
                format_instant(reject.changed_at),
            );
            let _ = writeln!(
                out,
                "  record {id}, changed about {at}, was set aside: {}",
                one_line(&reject.error)
            );
        }
    }
    out
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
        let reason = run
            .unavailable()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        let _ = writeln!(
            out,
            "{}: {skipped} of {} windows skipped{reason}",
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
        .filter(|w| w.status == WindowStatus::Failed && !w.is_not_attempted())
    {
        let (start, end) = (format_instant(window.start), format_instant(window.end));
        let reason = with_flags(window.error.as_deref().unwrap_or("no reason given"));
        let _ = writeln!(out, "{}: [{start}, {end}) failed: {reason}", run.entity);
    }
    if let Some(Untried {
        windows,
        start,
        end,
        reason,
    }) = untried(run)
    {
        let (start, end) = (format_instant(start), format_instant(end));
        let count = if windows == 1 {
            "1 window".to_owned()
        } else {
            format!("{windows} windows")
        };
        let _ = writeln!(
            out,
            "{}: {count} of [{start}, {end}) failed, {}",
            run.entity,
            with_flags(reason)
        );
    }
}

/// The windows of a run that failed before anything of them was tried, all for the same reason.
struct Untried<'r> {
    windows: usize,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    reason: &'r str,
}

fn untried(run: &RunReport) -> Option<Untried<'_>> {
    let windows: Vec<&WindowReport> = run
        .windows
        .iter()
        .filter(|window| window.is_not_attempted())
        .collect();
    Some(Untried {
        windows: windows.len(),
        start: windows.first()?.start,
        end: windows.last()?.end,
        reason: windows.first()?.error.as_deref()?,
    })
}
