//! The text of a dry run.

use std::fmt::Write as _;

use super::words::{counted, elapsed, flow, instant, number, range, width};
use crate::domain::{CallCost, Report, RunCost, RunReport, SkipReason, Window, merged};

/// The most ranges of an entity that are listed.
const MAX_RANGES: usize = 4;

/// Describes the windows that would be read, and their cost. `place` is where the records would go.
pub(super) fn planned(report: &Report, place: &str) -> String {
    let mut out = String::new();
    let entities = counted(report.runs.len() as u64, "entity", "entities");
    let _ = writeln!(out, "Would read {entities} into {place}:");
    let names = report.runs.iter().map(|run| width(&run.entity));
    let name = names.max().unwrap_or_default();
    for run in &report.runs {
        let text = windows_of(&run.plan.unwrap_or_default());
        let _ = writeln!(out, "  {:<name$}  {text}", run.entity);
        out.push_str(&ranges(run));
    }
    if let Some(cost) = &report.plan {
        describe_cost(cost, &mut out);
    }
    out
}

/// Says in one phrase what becomes of the windows.
fn windows_of(cost: &RunCost) -> String {
    let text = windows_alone(cost);
    match cost.rows.filter(|_| cost.to_read > 0) {
        Some(rows) => format!("{text}, {}", counted(rows, "record", "records")),
        None => text,
    }
}

fn windows_alone(cost: &RunCost) -> String {
    let windows = counted(cost.windows, "window", "windows");
    let (committed, future, to_read) = (
        number(cost.committed),
        number(cost.future),
        number(cost.to_read),
    );
    match (cost.committed, cost.future) {
        (0, 0) => format!("{windows} to read"),
        _ if cost.committed == cost.windows => format!("{windows}, all committed"),
        _ if cost.future == cost.windows => format!("{windows}, all in the future"),
        (_, 0) => format!("{windows}, {committed} committed, {to_read} to read"),
        (0, _) => format!("{windows}, {future} in the future, {to_read} to read"),
        _ => format!("{windows}, {committed} committed, {future} in the future, {to_read} to read"),
    }
}

/// Lists the time that would be read: the windows if there are few, else adjacent ones as one.
fn ranges(run: &RunReport) -> String {
    let planned = run
        .windows
        .iter()
        .filter(|window| window.skip_reason == Some(SkipReason::Planned));
    let windows: Vec<Window> = planned.map(|window| window.window()).collect();
    let shown = match windows.len() <= MAX_RANGES {
        true => windows,
        false => merged(&windows),
    };
    let mut parts: Vec<String> = shown.iter().take(MAX_RANGES).copied().map(range).collect();
    if let more @ 1.. = shown.len().saturating_sub(MAX_RANGES) {
        parts.push(format!("and {} more", number(more as u64)));
    }
    flow("    ", &parts, ", ")
}

fn describe_cost(cost: &CallCost, out: &mut String) {
    if cost.requests == 0 {
        out.push_str("There is nothing to read, and no request to send.\n");
        return;
    }
    let requests = counted(cost.requests, "request", "requests");
    let time = match cost.seconds {
        ..2 => "a second".to_owned(),
        seconds => elapsed(seconds * 1000),
    };
    let _ = match (cost.counted, cost.requests_per_minute) {
        (true, 0) => writeln!(
            out,
            "About {requests}, without a limit of requests a minute."
        ),
        (true, limit) => writeln!(
            out,
            "About {requests}: at least {time}, at {} a minute.",
            number(u64::from(limit))
        ),
        (false, 0) => writeln!(out, "At least {requests}; --estimate asks for the records."),
        (false, limit) => writeln!(
            out,
            "At least {requests}: {time}, at {} a minute; --estimate asks for the records.",
            number(u64::from(limit))
        ),
    };
    if let Some(percent) = cost.quota_percent {
        let quota = number(cost.monthly_quota);
        let _ = match percent < 0.1 {
            true => writeln!(out, "That is less than 0.1 % of the month's {quota} reads."),
            false => writeln!(out, "That is {percent:.1} % of the month's {quota} reads."),
        };
    }
    out.push_str(match cost.counted {
        true => "Only counts were asked for; no record was read.\n",
        false => "Nothing was sent.\n",
    });
}

/// Names the range that a report is about; `None` if it has no windows.
pub(super) fn range_of(report: &Report) -> Option<Window> {
    let windows = || report.runs.iter().flat_map(|run| &run.windows);
    Some(Window {
        start: windows().map(|window| window.start).min()?,
        end: windows().map(|window| window.end).max()?,
    })
}

/// Says which range was read, with its end as what it is: not included.
pub(super) fn read_line(range: Window) -> String {
    let (start, end) = (instant(range.start), instant(range.end));
    format!("Read {start} up to, not including, {end} (UTC)")
}
