//! All that is known about single entities: `qbo-rs status invoices`, and `-v`.

use std::fmt::Write as _;

use super::local::LocalTime;
use super::words::{counted, number};
use crate::app::{EntityStatus, SchemaDrift, StatusReport};
use crate::domain::Window;

/// The most windows and failures that are shown.
const MAX_SHOWN: usize = 10;

/// Describes every entity of a report.
pub(super) fn details(report: &StatusReport, zone: LocalTime, empty_days: bool) -> String {
    let mut out = String::new();
    for account in &report.accounts {
        for include in &account.refused_includes {
            let _ = writeln!(out, "QuickBooks refuses include={include}");
        }
    }
    for entity in &report.entities {
        describe_entity(entity, zone, empty_days, &mut out);
    }
    for absent in &report.unavailable {
        let reason = absent.reason.as_deref().unwrap_or("not available");
        let entity = &absent.entity;
        let _ = match absent.looked_at {
            Some(at) => writeln!(out, "{entity}: {reason} (last looked at {})", zone.both(at)),
            None => writeln!(out, "{entity}: {reason}"),
        };
    }
    drift(report, &mut out);
    out
}

/// Names what records have and the table of fields does not say.
fn drift(report: &StatusReport, out: &mut String) {
    let all = &report.schema_drift;
    if all.is_empty() {
        return;
    }
    let differences = counted(all.len() as u64, "difference", "differences");
    let _ = writeln!(
        out,
        "{differences} between records and the known fields (qbo.schema_drift):"
    );
    for drift in all.iter().take(MAX_SHOWN) {
        let SchemaDrift {
            entity,
            path,
            kind,
            found,
            records,
            example_id,
            ..
        } = drift;
        let what = match (kind.as_str(), &drift.expected) {
            ("unknown", _) => format!("unknown property, {found}"),
            ("enum", _) => "unknown word".to_owned(),
            ("type", Some(expected)) => format!("{found} instead of {expected}"),
            (_, Some(expected)) => format!("{found} that is no {expected}"),
            _ => found.clone(),
        };
        let _ = writeln!(
            out,
            "  {entity} {path}: {what}; {records} records, such as {example_id}"
        );
    }
    if all.len() > MAX_SHOWN {
        let _ = writeln!(out, "  and {} more", all.len() - MAX_SHOWN);
    }
}

fn describe_entity(entity: &EntityStatus, zone: LocalTime, empty_days: bool, out: &mut String) {
    let rows = counted(entity.rows.unsigned_abs(), "row", "rows");
    let rejects = number(entity.rejects.unsigned_abs());
    let _ = writeln!(
        out,
        "{}: {rows} of company {}, {rejects} set aside",
        entity.entity, entity.realm_id
    );
    stretches("committed", &entity.committed, zone, out);
    stretches("gaps", &entity.gaps, zone, out);
    if empty_days {
        stretches("days without records", &entity.empty_days, zone, out);
    }
    for window in entity.unfinished.iter().take(MAX_SHOWN) {
        let span = zone.span(&Window {
            start: window.start,
            end: window.end,
        });
        let before = if window.is_committed {
            ", committed before"
        } else {
            ""
        };
        let reason = window
            .error
            .as_deref()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "  {} {span}, attempts {}{before}{reason}",
            window.status, window.attempts
        );
    }
    if let more @ 1.. = entity.unfinished.len().saturating_sub(MAX_SHOWN) {
        let _ = writeln!(out, "  and {more} more");
    }
    runs(entity, zone, out);
    for check in &entity.checks {
        let verdict = if check.wrong == 0 {
            "ok".to_owned()
        } else {
            format!("{} WRONG", check.wrong)
        };
        let _ = writeln!(out, "  {:24}{verdict}", check.name);
    }
}

fn runs(entity: &EntityStatus, zone: LocalTime, out: &mut String) {
    if let Some(run) = &entity.last_run {
        let status = match run.is_dead {
            true => "died",
            false => run.status.as_str(),
        };
        let begin = zone.both(run.started_at);
        let id = &run.run_id;
        let _ = match (run.finished_at, run.alive_at) {
            (Some(at), _) => {
                let end = zone.both(at);
                writeln!(out, "  last run {id}: {status}, began {begin}, ended {end}")
            }
            (None, Some(at)) => {
                let alive = zone.both(at);
                writeln!(
                    out,
                    "  last run {id}: {status}, began {begin}, last alive {alive}"
                )
            }
            (None, None) => writeln!(out, "  last run {id}: {status}, began {begin}, not ended"),
        };
        if let (Some(pid), Some(host)) = (run.pid, &run.host) {
            let _ = writeln!(out, "    by process {pid} on {host}");
        }
    }
    if let Some(sync) = &entity.last_sync {
        let at = sync.succeeded_at.or(sync.attempted_at);
        let at = at.map(|at| zone.both(at)).unwrap_or_default();
        let status = sync.status;
        let _ = match &sync.error {
            Some(error) => writeln!(out, "  last sync: {status} {at}: {error}"),
            None => writeln!(out, "  last sync: {status} {at}"),
        };
    }
}

fn stretches(what: &str, windows: &[Window], zone: LocalTime, out: &mut String) {
    let days: i64 = windows
        .iter()
        .map(|window| (window.end - window.start).num_days())
        .sum();
    if windows.is_empty() {
        let _ = writeln!(out, "  {what}: none");
        return;
    }
    let days = counted(days.unsigned_abs(), "day", "days");
    let _ = writeln!(out, "  {what}: {days}");
    for window in windows.iter().take(MAX_SHOWN) {
        let _ = writeln!(out, "    {}", zone.span(window));
    }
    if let more @ 1.. = windows.len().saturating_sub(MAX_SHOWN) {
        let _ = writeln!(out, "    and {more} more");
    }
}
