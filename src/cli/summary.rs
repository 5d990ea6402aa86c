//! The closing text of a backfill, an extract or a load: one sentence, a table, the range, the next
//! command.

use std::fmt::Write as _;

use super::failures::{is_same, not_attempted_for, untried_entities, without_repeats};
use super::hint::told;
use super::planned::{range_of, read_line};
use super::withheld;
use super::words::{days, elapsed, entities, flow, instant, number, requests, table, windows};
use crate::domain::{Report, RunEnd, RunReport, SkipReason, WindowReport, WindowStatus};
use crate::error::Recovery;
use crate::language::{current, say, translated};

/// The kind of a call, and the commands that come after it.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub verb: Verb,
    /// The schema of the raw tables, if it is another one than the default.
    pub schema_flag: String,
    /// The file of the settings, if this call has one.
    pub env_file_flag: String,
    /// The company, if this call names it.
    pub company_flag: String,
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
    /// Read from the simulator of the demo, which says itself how to go on.
    Demo,
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
        // The last lines of other commands say it, on stderr.
        if ending.verb == Verb::Demo {
            failures(run, &mut out);
        }
    }
    if let Some(text) = unchanged(report, ending) {
        let _ = writeln!(out, "{text}");
    }
    if ending.verb == Verb::Demo && !untried.is_empty() {
        let _ = writeln!(out, "{}", untried_entities(&untried, None, current()));
    }
    if let Some(range) = range_of(report).filter(|_| has_read(report)) {
        let _ = writeln!(out, "{}", read_line(range));
    }
    let parts = request_parts(report, ending);
    out.push_str(&flow("", &parts, " · "));
    let warning = report
        .connection
        .as_ref()
        .and_then(|known| known.warning.as_ref());
    if let Some(warning) = warning {
        let _ = writeln!(out, "{}", translated(warning));
    }
    if let Some(command) = next(report, ending) {
        let _ = writeln!(out, "{}", say!("Next: {command}", command));
    }
    out
}

/// Says of entities without a record that a record may be outside of the range: it is where its last change is.
fn unchanged(report: &Report, ending: &Ending) -> Option<String> {
    let is_done = |window: &WindowReport| window.status == WindowStatus::Done;
    let is_empty = |run: &&RunReport| {
        run.totals.rows == 0 && run.unavailable().is_none() && run.windows.iter().all(is_done)
    };
    let names: Vec<&str> = report
        .runs
        .iter()
        .filter(is_empty)
        .map(|run| &*run.entity)
        .collect();
    if ending.verb != Verb::Backfill || names.is_empty() {
        return None;
    }
    let flags = [&*ending.company_flag, &*ending.env_file_flag].concat();
    let command = format!("qbo-rs sync {}{flags}", names.join(" "));
    let names = names.join(", ");
    Some(say!(
        "no record last changed in this range: {names}; `{command}` reads all",
        names,
        command
    ))
}

/// Returns true unless all windows failed without a record.
fn has_read(report: &Report) -> bool {
    let mut windows = report.runs.iter().flat_map(|run| &run.windows);
    windows.any(|window| window.status != WindowStatus::Failed || window.rows > 0)
}

/// Says why no window was read: all are committed, or the range begins in the future.
fn nothing_to_do(report: &Report) -> Option<String> {
    let windows = || report.runs.iter().flat_map(|run| &run.windows);
    let range = range_of(report)?;
    let all = |reason| windows().all(|window| window.skip_reason == Some(reason));
    if all(SkipReason::Committed) {
        let end = instant(range.end);
        let entities = entities(report.runs.len() as u64);
        let done = say!(
            "Everything up to {end} is committed already ({entities}).",
            end,
            entities
        );
        let sent = say!("No request was sent.");
        return Some(format!("{done}\n{sent}\n"));
    }
    if all(SkipReason::Future) {
        let start = instant(range.start);
        let left = (range.start - crate::clock::now())
            .num_days()
            .unsigned_abs();
        let text = match left {
            0 => say!(
                "Nothing to read yet: the range begins {start} (UTC), within a day.",
                start
            ),
            left => say!(
                "Nothing to read yet: the range begins {start}, in {days}.",
                start,
                days = days(left)
            ),
        };
        return Some(text + "\n");
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
    let time = elapsed(total(|run| run.totals.duration_ms));
    let count = number(stored);
    let rows = match ending.verb {
        Verb::Extract(_) => {
            say!(count stored; "{count} row is in the landing files", "{count} rows are in the landing files", count)
        }
        _ => say!(count stored; "{count} row is in step", "{count} rows are in step", count),
    };
    let is_extract = matches!(ending.verb, Verb::Extract(_));
    let mut text = match (failed, rejected) {
        (1.., _) => {
            let windows = windows(total(|run| run.totals.windows));
            let failed = number(failed);
            say!(
                "Not complete after {time}: {failed} of {windows} failed; {rows}.",
                time,
                failed,
                windows,
                rows
            )
        }
        (_, 1..) => {
            let records = number(rejected);
            say!(count rejected; "Done in {time}, but {records} record was set aside: {rows}.",
                "Done in {time}, but {records} records were set aside: {rows}.", time, records, rows)
        }
        _ if stored == 0 => say!("Done in {time}: there are no records in this range.", time),
        _ if is_extract => say!("Done in {time}: {rows}.", time, rows),
        _ => changed(&time, &rows, new, updated),
    };
    text.push('\n');
    text
}

/// Says how many of the rows are new or were updated.
fn changed(time: &str, rows: &str, new: u64, updated: u64) -> String {
    let (count, more) = (number(new), number(updated));
    match (new, updated) {
        (0, 0) => say!("Done in {time}: {rows}; none has changed.", time, rows),
        (_, 0) => say!(
            "Done in {time}: {rows}, {count} of them new.",
            time,
            rows,
            count
        ),
        (0, _) => say!(
            "Done in {time}: {rows}, {count} of them updated.",
            time,
            rows,
            count = more
        ),
        _ => say!(
            "Done in {time}: {rows}, {count} of them new, {updated} updated.",
            time,
            rows,
            count,
            updated = more
        ),
    }
}

fn failed_windows(run: &RunReport) -> u64 {
    let failed = |window: &&WindowReport| window.status == WindowStatus::Failed;
    run.windows.iter().filter(failed).count() as u64
}

/// A column: its name, and its number in the row of a run.
type Column = (String, fn(&RunReport) -> u64);

/// Returns the table of the runs, without the columns in which every number is 0.
fn rows(report: &Report, ending: &Ending) -> String {
    let stored: [Column; 2] = [
        (say!("new"), |run| run.totals.inserted),
        (say!("updated"), |run| run.totals.updated),
    ];
    let odd: [Column; 2] = [
        (say!("set aside"), |run| run.totals.rejected),
        (say!("failed windows"), failed_windows),
    ];
    let stored = match ending.verb {
        Verb::Extract(_) => &[][..],
        Verb::Backfill | Verb::Load | Verb::Demo => &stored[..],
    };
    let is_told = |(_, count): &&Column| report.runs.iter().any(|run| count(run) > 0);
    let columns: Vec<&Column> = stored.iter().chain(&odd).filter(is_told).collect();
    let mut rows = vec![vec![say!("entity"), say!("rows")]];
    rows[0].extend(columns.iter().map(|(name, _)| name.clone()));
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
        let _ = writeln!(out, "{entity}: {}", translated(reason));
    }
    let windows = windows(run.totals.windows);
    if let committed @ 1.. = skipped(SkipReason::Committed) {
        let count = number(committed);
        let text = say!(count committed; "{entity}: {count} of {windows} was committed before",
            "{entity}: {count} of {windows} were committed before", entity, count, windows);
        let _ = writeln!(out, "{text}");
    }
    if let future @ 1.. = skipped(SkipReason::Future) {
        let count = number(future);
        let text = say!(count future; "{entity}: {count} of {windows} lies in the future",
            "{entity}: {count} of {windows} lie in the future", entity, count, windows);
        let _ = writeln!(out, "{text}");
    }
    if let unread @ 1.. = skipped(SkipReason::Unread) {
        let count = number(unread);
        let text = say!(count unread;
            "{entity}: {count} of {windows} has an empty file that does not say up to when it was read; `qbo-rs extract --resume` reads it again",
            "{entity}: {count} of {windows} have empty files that do not say up to when they were read; `qbo-rs extract --resume` reads them again",
            entity, count, windows);
        let _ = writeln!(out, "{text}");
    }
    // Records of an archive are no read: such a window is "read until" its begin.
    let is_read = |window: &&WindowReport| window.read_until > Some(window.window().start);
    let read = run.windows.iter().find(is_read);
    if let Some(read_until) = read.and_then(|window| window.read_until) {
        let at = instant(read_until);
        let text = say!(
            "{entity}: read until {at}, a little before the present",
            entity,
            at
        );
        let _ = writeln!(out, "{text}");
    }
}

fn failures(run: &RunReport, out: &mut String) {
    // The last lines of the command say it in full.
    if run.is_denied() {
        return;
    }
    let entity = &run.entity;
    let failed = run
        .windows
        .iter()
        .filter(|w| w.status == WindowStatus::Failed);
    let (untried, tried): (Vec<&WindowReport>, Vec<_>) = failed.partition(|w| w.is_not_attempted());
    let tried = without_repeats(run, &tried);
    let named = &tried[..tried.len().min(MAX_NAMED)];
    for window in named {
        withheld::named(
            Some(&run.realm_id),
            window.error.as_deref().unwrap_or_default(),
        );
        let reason = window.error.as_deref().unwrap_or("no reason given");
        let reason = told(current(), reason);
        let text = say!(
            "{entity}: {window} failed: {reason}",
            entity,
            window = window.window(),
            reason
        );
        let _ = writeln!(out, "{text}");
    }
    if let more @ 1.. = tried.len().saturating_sub(MAX_NAMED) {
        let count = number(more as u64);
        let text = say!(count more; "{entity}: {count} more window failed", "{entity}: {count} more windows failed", entity, count);
        let _ = writeln!(out, "{text}");
    }
    if let (Some(first), Some(last)) = (untried.first(), untried.last()) {
        let reason = not_attempted_for(first);
        let range = crate::domain::Window {
            start: first.start,
            end: last.end,
        };
        let count = untried.len() as u64;
        let n = number(count);
        // The line above it, unless that one counts windows.
        let above = named.last().filter(|_| tried.len() == named.len());
        let above = above.and_then(|window| window.error.as_deref());
        let is_told = above.is_some_and(|above| is_same(above, reason));
        let text = match is_told {
            true => {
                say!(count count; "{entity}: {n} window of {range} not attempted, for the same reason",
                "{entity}: {n} windows of {range} not attempted, for the same reason", entity, n, range)
            }
            false => {
                let reason = told(current(), reason);
                say!(count count; "{entity}: {n} window of {range} not attempted: {reason}",
                    "{entity}: {n} windows of {range} not attempted: {reason}", entity, n, range, reason)
            }
        };
        let _ = writeln!(out, "{text}");
    }
}

fn request_parts(report: &Report, ending: &Ending) -> Vec<String> {
    let mut parts = Vec::new();
    if ending.verb != Verb::Load {
        let sent = report.runs.iter().map(|run| run.totals.requests).sum();
        parts.push(requests(sent));
    }
    // They are counted for each address: of one that has never answered, none says nothing.
    let is_told = |reads: u64| reads > 0 || has_read(report);
    let connection = report.connection.as_ref();
    if let Some(connection) = connection.filter(|known| is_told(known.monthly_reads)) {
        parts.push(reads(connection.monthly_reads, ending.monthly_quota));
    }
    parts
}

/// Says how many reads of the month are used. A quota of 0 means that they are not metered.
pub(super) fn reads(reads: u64, quota: u64) -> String {
    let count = number(reads);
    match quota {
        0 => say!(count reads; "{count} read this month", "{count} reads this month", count),
        quota => say!(
            "{count} of {quota} reads this month",
            count,
            quota = number(quota)
        ),
    }
}

/// Returns whether the company was lost for a reason that the same call would meet again.
fn needs_somebody(run: &RunReport) -> bool {
    let lost = match &run.ended_by {
        Some(RunEnd::CompanyLost(_, recovery, _)) => Some(recovery),
        _ => None,
    };
    lost.is_some_and(|recovery| *recovery != Recovery::Retry)
}

/// Returns the command to run next: what is missing first.
fn next(report: &Report, ending: &Ending) -> Option<String> {
    let env_file = &ending.env_file_flag;
    let flags = format!("{}{env_file}", ending.schema_flag);
    // A sync would load into a schema of its own choice.
    let sync = match ending.schema_flag.is_empty() {
        true => format!(" · qbo-rs sync --every 5m{env_file}"),
        false => String::new(),
    };
    if report.runs.iter().any(needs_somebody) {
        return Some(format!("qbo-rs check{}{env_file}", ending.company_flag));
    }
    if report.has_failures() {
        return Some(ending.again.clone());
    }
    let with_rejects: Vec<&str> = report
        .runs
        .iter()
        .filter(|run| run.totals.rejected > 0)
        .map(|run| run.entity.as_str())
        .collect();
    let command = match &ending.verb {
        Verb::Demo => return None,
        Verb::Extract(path) => format!("qbo-rs load {path}{flags}"),
        _ if !with_rejects.is_empty() => {
            format!("qbo-rs rejects {}{flags}", with_rejects.join(" "))
        }
        Verb::Load => format!("qbo-rs status{flags}"),
        Verb::Backfill => {
            let largest = report.runs.iter().max_by_key(|run| run.totals.rows);
            match largest.filter(|run| run.totals.rows > 0) {
                Some(run) => {
                    let entity = &run.entity;
                    format!("qbo-rs show {entity}{flags}{sync}")
                }
                None => format!("qbo-rs status{flags}{sync}"),
            }
        }
    };
    Some(command)
}
