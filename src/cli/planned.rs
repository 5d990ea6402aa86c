//! The text of a dry run.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveTime, Utc};

use super::words::{
    elapsed, entities, flow, instant, number, range, records, requests, width, windows,
};
use crate::domain::{CallCost, Report, RunCost, RunReport, SkipReason, Window, merged};
use crate::language::say;

/// The most ranges of an entity that are listed.
const MAX_RANGES: usize = 4;

/// Describes the windows that would be read, and their cost. `place` is where the records would go.
pub(super) fn planned(report: &Report, place: &str) -> String {
    let mut out = String::new();
    let entities = entities(report.runs.len() as u64);
    let plan = say!("Would read {entities} into {place}:", entities, place);
    let _ = writeln!(out, "{plan}");
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
        Some(rows) => format!("{text}, {}", records(rows)),
        None => text,
    }
}

fn windows_alone(cost: &RunCost) -> String {
    let windows = windows(cost.windows);
    let (committed, future, to_read) = (
        number(cost.committed),
        number(cost.future),
        number(cost.to_read),
    );
    match (cost.committed, cost.future) {
        (0, 0) => say!("{windows} to read", windows),
        _ if cost.committed == cost.windows => {
            say!(count cost.windows; "{windows} that is committed", "{windows}, all committed", windows)
        }
        _ if cost.future == cost.windows => {
            say!(count cost.windows; "{windows} in the future", "{windows}, all in the future", windows)
        }
        (_, 0) => say!(
            "{windows}, {committed} committed, {to_read} to read",
            windows,
            committed,
            to_read
        ),
        (0, _) => say!(
            "{windows}, {future} in the future, {to_read} to read",
            windows,
            future,
            to_read
        ),
        _ => say!(
            "{windows}, {committed} committed, {future} in the future, {to_read} to read",
            windows,
            committed,
            future,
            to_read
        ),
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
    let mut parts: Vec<String> = shown.iter().take(MAX_RANGES).copied().map(in_utc).collect();
    if let more @ 1.. = shown.len().saturating_sub(MAX_RANGES) {
        parts.push(say!("and {more} more", more = number(more as u64)));
    }
    flow("    ", &parts, ", ")
}

/// Writes a range; bounds that are no days say of which zone they are.
fn in_utc(window: Window) -> String {
    let is_day = |at: DateTime<Utc>| at.time() == NaiveTime::MIN;
    match is_day(window.start) && is_day(window.end) {
        true => range(window),
        false => format!("{} (UTC)", range(window)),
    }
}

fn describe_cost(cost: &CallCost, out: &mut String) {
    if cost.requests == 0 {
        out.push_str(&say!("There is nothing to read, and no request to send."));
        out.push('\n');
        return;
    }
    let requests = requests(cost.requests);
    let time = match cost.seconds {
        ..2 => say!("a second"),
        seconds => elapsed(seconds * 1000),
    };
    let limit = number(u64::from(cost.requests_per_minute));
    let price = match (cost.counted, cost.requests_per_minute) {
        (true, 0) => say!(
            "About {requests}, without a limit of requests a minute.",
            requests
        ),
        (true, _) => say!(
            "About {requests}: at least {time}, at {limit} a minute.",
            requests,
            time,
            limit
        ),
        (false, 0) => say!(
            "At least {requests}; --estimate asks for the records.",
            requests
        ),
        (false, _) => say!(
            "At least {requests}: {time}, at {limit} a minute; --estimate asks for the records.",
            requests,
            time,
            limit
        ),
    };
    let _ = writeln!(out, "{price}");
    if let Some(percent) = cost.quota_percent {
        let quota = number(cost.monthly_quota);
        let share = match percent < 0.1 {
            true => say!(
                "That is less than 0.1 % of the month's {quota} reads.",
                quota
            ),
            false => {
                let percent = format!("{percent:.1}");
                say!(
                    "That is {percent} % of the month's {quota} reads.",
                    percent,
                    quota
                )
            }
        };
        let _ = writeln!(out, "{share}");
    }
    let sent = match cost.counted {
        true => say!("Only counts were asked for; no record was read."),
        false => say!("Nothing was sent."),
    };
    let _ = writeln!(out, "{sent}");
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
    say!("Read {start} up to, not including, {end} (UTC)", start, end)
}
