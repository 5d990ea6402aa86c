//! The closing text of a backfill, an extract or a load: one sentence, a table, the range, the next
//! command.

use std::fmt::Write as _;

use super::hint::with_flags;
use super::planned::{range_of, read_line};
use super::shortfall::untried_entities;
use super::words::{counted, elapsed, flow, instant, number, table};
use crate::domain::{Report, RunReport, SkipReason, WindowReport, WindowStatus};

/// The kind of a call, and the commands that come after it.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub verb: Verb,
    /// The schema of the raw tables, if it is another one than the default.
    pub schema_flag: String,
    /// The same command, which reads what is missing.
    pub again: String,
    /// Reads a month that the app is granted; 0: not metered.
    pub monthly_quota: u64,
}

/// The way of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verb {
    /// Read from QuickBooks into tables.
    Backfill,
    /// Read from QuickBooks into files below this path.
    Extract(String),
    /// Read from files into tables.
    Load,
}

/// The most failed windows of an entity that are named here; the last lines on stderr name more.
const MAX_NAMED: usize = 3;

/// Describes the report of a call.
pub(super) fn summary(report: &Report, ending: &Ending) -> String {
    if let Some(text) = nothing_to_do(report) {
        return text;
    }
    let mut out = first_sentence(report, ending);
    out.push_str(&rows(report, ending));
    let (told, untried) = report.told_and_untried();
    for run in told {
        notes(run, &mut out);
    }
    if !untried.is_empty() {
        let _ = writeln!(out, "{}", untried_entities(&untried));
    }
    if let Some(range) = range_of(report) {
        let _ = writeln!(out, "{}", read_line(range));
    }
    let parts = request_parts(report, ending);
    out.push_str(&flow("", &parts, " · "));
    let warning = report
        .connection
        .as_ref()
        .and_then(|known| known.warning.as_ref());
    if let Some(warning) = warning {
        let _ = writeln!(out, "{warning}");
    }
    let _ = writeln!(out, "Next: {}", next(report, ending));
    out
}

/// Says why no window was read: all are committed, or the range begins in the future.
fn nothing_to_do(report: &Report) -> Option<String> {
    let windows = || report.runs.iter().flat_map(|run| &run.windows);
    let range = range_of(report)?;
    let all = |reason| windows().all(|window| window.skip_reason == Some(reason));
    if all(SkipReason::Committed) {
        let end = instant(range.end);
        let entities = counted(report.runs.len() as u64, "entity", "entities");
        return Some(format!(
            "Everything up to {end} is committed already ({entities}).\nNo request was sent.\n"
        ));
    }
    if all(SkipReason::Future) {
        let start = instant(range.start);
        let days = (range.start - crate::clock::now()).num_days();
        return Some(match days {
            0 => format!("Nothing to read yet: the range begins {start} (UTC), within a day.\n"),
            1 => format!("Nothing to read yet: the range begins {start}, in 1 day.\n"),
            days => format!("Nothing to read yet: the range begins {start}, in {days} days.\n"),
        });
    }
    None
}

fn first_sentence(report: &Report, ending: &Ending) -> String {
    let total = |count: fn(&RunReport) -> u64| report.runs.iter().map(count).sum::<u64>();
    let (new, updated) = (
        total(|run| run.totals.inserted),
        total(|run| run.totals.updated),
    );
    let rejected = total(|run| run.totals.rejected);
    let stored = total(|run| run.totals.rows) - rejected;
    let failed = total(failed_windows);
    let windows = counted(total(|run| run.totals.windows), "window", "windows");
    let time = elapsed(total(|run| run.totals.duration_ms));
    let rows = match (&ending.verb, stored) {
        (Verb::Extract(_), 1) => "1 row is in the landing files".to_owned(),
        (Verb::Extract(_), _) => format!("{} rows are in the landing files", number(stored)),
        (_, 1) => "1 row is in step".to_owned(),
        (_, _) => format!("{} rows are in step", number(stored)),
    };
    let set_aside = counted(rejected, "record was set aside", "records were set aside");
    let (new, updated) = (number(new), number(updated));
    match (failed, rejected) {
        (1.., _) => format!(
            "Not complete after {time}: {} of {windows} failed; {rows}.\n",
            number(failed)
        ),
        (_, 1..) => format!("Done in {time}, but {set_aside}: {rows}.\n"),
        _ if stored == 0 => format!("Done in {time}: there are no records in this range.\n"),
        _ if matches!(ending.verb, Verb::Extract(_)) => format!("Done in {time}: {rows}.\n"),
        _ => match (&*new, &*updated) {
            ("0", "0") => format!("Done in {time}: {rows}; none has changed.\n"),
            (_, "0") => format!("Done in {time}: {rows}, {new} of them new.\n"),
            ("0", _) => format!("Done in {time}: {rows}, {updated} of them updated.\n"),
            _ => format!("Done in {time}: {rows}, {new} of them new, {updated} updated.\n"),
        },
    }
}

fn failed_windows(run: &RunReport) -> u64 {
    let failed = |window: &&WindowReport| window.status == WindowStatus::Failed;
    run.windows.iter().filter(failed).count() as u64
}

/// A column: its name, and its number in the row of a run.
type Column = (&'static str, fn(&RunReport) -> u64);

/// Returns the table of the runs, without the columns in which every number is 0.
fn rows(report: &Report, ending: &Ending) -> String {
    let stored: [Column; 2] = [
        ("new", |run| run.totals.inserted),
        ("updated", |run| run.totals.updated),
    ];
    let odd: [Column; 2] = [
        ("set aside", |run| run.totals.rejected),
        ("failed windows", failed_windows),
    ];
    let stored = match ending.verb {
        Verb::Extract(_) => &[][..],
        Verb::Backfill | Verb::Load => &stored[..],
    };
    let is_told = |(_, count): &&Column| report.runs.iter().any(|run| count(run) > 0);
    let columns: Vec<&Column> = stored.iter().chain(&odd).filter(is_told).collect();
    let mut rows = vec![vec!["entity".to_owned(), "rows".to_owned()]];
    rows[0].extend(columns.iter().map(|(name, _)| (*name).to_owned()));
    for run in &report.runs {
        let mut row = vec![run.entity.clone(), number(run.totals.rows)];
        row.extend(columns.iter().map(|(_, count)| number(count(run))));
        rows.push(row);
    }
    table(&rows)
}

/// Writes what a number in the table does not say.
fn notes(run: &RunReport, out: &mut String) {
    let entity = &run.entity;
    let skipped = |reason| {
        let of_reason = |window: &&WindowReport| window.skip_reason == Some(reason);
        run.windows.iter().filter(of_reason).count() as u64
    };
    if let Some(reason) = run.unavailable() {
        let _ = writeln!(out, "{entity}: {reason}");
    }
    let windows = number(run.totals.windows);
    if let committed @ 1.. = skipped(SkipReason::Committed) {
        let committed = number(committed);
        let _ = writeln!(
            out,
            "{entity}: {committed} of {windows} windows were committed before"
        );
    }
    if let future @ 1.. = skipped(SkipReason::Future) {
        let future = number(future);
        let _ = writeln!(
            out,
            "{entity}: {future} of {windows} windows lie in the future"
        );
    }
    if let Some(read_until) = run.windows.iter().find_map(|window| window.read_until) {
        let at = instant(read_until);
        let _ = writeln!(
            out,
            "{entity}: read until {at}, a little before the present"
        );
    }
    failures(run, out);
}

fn failures(run: &RunReport, out: &mut String) {
    let entity = &run.entity;
    let failed = run
        .windows
        .iter()
        .filter(|w| w.status == WindowStatus::Failed);
    let (untried, tried): (Vec<&WindowReport>, Vec<_>) = failed.partition(|w| w.is_not_attempted());
    for window in tried.iter().take(MAX_NAMED) {
        let reason = with_flags(window.error.as_deref().unwrap_or("no reason given"));
        let _ = writeln!(out, "{entity}: {} failed: {reason}", window.window());
    }
    if let more @ 1.. = tried.len().saturating_sub(MAX_NAMED) {
        let more = counted(more as u64, "more window", "more windows");
        let _ = writeln!(out, "{entity}: {more} failed");
    }
    if let (Some(first), Some(last)) = (untried.first(), untried.last()) {
        let reason = with_flags(first.error.as_deref().unwrap_or_default());
        let range = crate::domain::Window {
            start: first.start,
            end: last.end,
        };
        let windows = counted(untried.len() as u64, "window", "windows");
        let _ = writeln!(out, "{entity}: {windows} of {range} failed, {reason}");
    }
}

fn request_parts(report: &Report, ending: &Ending) -> Vec<String> {
    let mut parts = Vec::new();
    if ending.verb != Verb::Load {
        let requests = report.runs.iter().map(|run| run.totals.requests).sum();
        parts.push(counted(requests, "request", "requests"));
    }
    if let Some(connection) = &report.connection {
        let reads = number(connection.monthly_reads);
        parts.push(match ending.monthly_quota {
            0 => format!("{reads} reads this month"),
            quota => format!("{reads} of {} reads this month", number(quota)),
        });
    }
    parts
}

/// Returns the command to run next: what is missing first.
fn next(report: &Report, ending: &Ending) -> String {
    let flag = &ending.schema_flag;
    if report.has_failures() {
        return ending.again.clone();
    }
    let with_rejects: Vec<&str> = report
        .runs
        .iter()
        .filter(|run| run.totals.rejected > 0)
        .map(|run| run.entity.as_str())
        .collect();
    match &ending.verb {
        Verb::Extract(path) => format!("qbo-rs load {path}"),
        _ if !with_rejects.is_empty() => {
            format!("qbo-rs rejects {}{flag}", with_rejects.join(" "))
        }
        Verb::Load => format!("qbo-rs status{flag}"),
        Verb::Backfill => {
            let largest = report.runs.iter().max_by_key(|run| run.totals.rows);
            match largest.filter(|run| run.totals.rows > 0) {
                Some(run) => {
                    let entity = &run.entity;
                    format!("qbo-rs show {entity}{flag} · qbo-rs sync --every 5m")
                }
                None => format!("qbo-rs status{flag} · qbo-rs sync --every 5m"),
            }
        }
    }
}
