//! All that is known about single entities: `qbo-rs status invoices`, and `-v`.

use std::fmt::Write as _;

use super::local::LocalTime;
use super::states::state;
use super::words::{archived, days, number, rows};
use crate::app::{EntityStatus, SchemaDrift, StatusReport};
use crate::domain::Window;
use crate::language::{say, translated};

/// The most windows and failures that are shown.
const MAX_SHOWN: usize = 10;

/// Describes every entity of a report.
pub(super) fn details(report: &StatusReport, zone: LocalTime, empty_days: bool) -> String {
    let mut out = String::new();
    for account in &report.accounts {
        for include in &account.refused_includes {
            let text = say!("QuickBooks refuses include={include}", include);
            let _ = writeln!(out, "{text}");
        }
    }
    for entity in &report.entities {
        describe_entity(entity, zone, empty_days, &mut out);
    }
    for absent in &report.unavailable {
        let reason = translated(absent.reason.as_deref().unwrap_or("not available"));
        let entity = &absent.entity;
        let _ = match absent.looked_at {
            Some(at) => {
                let looked = say!("last looked at {at}", at = zone.both(at));
                writeln!(out, "{entity}: {reason} ({looked})")
            }
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
    let count = all.len();
    let text = say!(count count; "{n} difference between records and the known fields",
        "{n} differences between records and the known fields", n = number(count as u64));
    let _ = writeln!(out, "{text} (qbo.schema_drift):");
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
            ("unknown", _) => say!("unknown property, {found}", found),
            ("enum", _) => say!("unknown word"),
            ("type", Some(expected)) => say!("{found} instead of {expected}", found, expected),
            (_, Some(expected)) => say!("{found} that is no {expected}", found, expected),
            _ => found.clone(),
        };
        let records = say!(count *records; "{n} record, {example_id}", "{n} records, such as {example_id}",
            n = number(records.unsigned_abs()), example_id);
        let _ = writeln!(out, "  {entity} {path}: {what}; {records}");
    }
    if all.len() > MAX_SHOWN {
        let _ = writeln!(
            out,
            "  {}",
            say!("and {more} more", more = all.len() - MAX_SHOWN)
        );
    }
}

fn describe_entity(entity: &EntityStatus, zone: LocalTime, empty_days: bool, out: &mut String) {
    let rejects = number(entity.rejects.unsigned_abs());
    let text = say!(
        "{entity}: {rows} of company {realm_id}, {rejects} set aside",
        entity = entity.entity,
        rows = rows(entity.rows.unsigned_abs()),
        realm_id = entity.realm_id,
        rejects
    );
    let _ = writeln!(out, "{text}");
    stretches(&say!("committed"), &entity.committed, zone, out);
    stretches(&say!("gaps"), &entity.gaps, zone, out);
    if empty_days {
        stretches(&say!("days without records"), &entity.empty_days, zone, out);
    }
    for archive in entity.archives.iter().take(MAX_SHOWN) {
        let _ = writeln!(out, "  {}", archived(archive));
    }
    for window in entity.unfinished.iter().take(MAX_SHOWN) {
        let span = zone.span(&Window {
            start: window.start,
            end: window.end,
        });
        let (status, attempts) = (state(window.status.as_str()), window.attempts);
        let text = match window.is_committed {
            true => say!(
                "{status} {span}, attempts {attempts}, committed before",
                status,
                span,
                attempts
            ),
            false => say!(
                "{status} {span}, attempts {attempts}",
                status,
                span,
                attempts
            ),
        };
        let reason = window.error.as_deref().map(translated);
        let reason = reason.map(|reason| format!(": {reason}"));
        let _ = writeln!(out, "  {text}{}", reason.unwrap_or_default());
    }
    if let more @ 1.. = entity.unfinished.len().saturating_sub(MAX_SHOWN) {
        let _ = writeln!(out, "  {}", say!("and {more} more", more));
    }
    runs(entity, zone, out);
    for check in &entity.checks {
        let verdict = match check.wrong {
            0 => "ok".to_owned(),
            wrong => say!("{wrong} WRONG", wrong),
        };
        let _ = writeln!(out, "  {:24}{verdict}", check.name);
    }
}

fn runs(entity: &EntityStatus, zone: LocalTime, out: &mut String) {
    if let Some(run) = &entity.last_run {
        let status = match run.is_dead {
            true => say!("died"),
            false => state(run.status.as_str()),
        };
        let begin = zone.both(run.started_at);
        let id = &run.run_id;
        let _ = match (run.finished_at, run.alive_at) {
            (Some(at), _) => {
                let end = zone.both(at);
                let text = say!(
                    "last run {id}: {status}, began {begin}, ended {end}",
                    id,
                    status,
                    begin,
                    end
                );
                writeln!(out, "  {text}")
            }
            (None, Some(at)) => {
                let alive = zone.both(at);
                let text = say!(
                    "last run {id}: {status}, began {begin}, last alive {alive}",
                    id,
                    status,
                    begin,
                    alive
                );
                writeln!(out, "  {text}")
            }
            (None, None) => {
                let text = say!(
                    "last run {id}: {status}, began {begin}, not ended",
                    id,
                    status,
                    begin
                );
                writeln!(out, "  {text}")
            }
        };
        if let (Some(pid), Some(host)) = (run.pid, &run.host) {
            let _ = writeln!(out, "    {}", say!("by process {pid} on {host}", pid, host));
        }
    }
    if let Some(sync) = &entity.last_sync {
        let at = sync.succeeded_at.or(sync.attempted_at);
        let at = at.map(|at| zone.both(at)).unwrap_or_default();
        let status = state(sync.status.as_str());
        let text = say!("last sync: {status} {at}", status, at);
        let _ = match &sync.error {
            Some(error) => writeln!(out, "  {text}: {}", translated(error)),
            None => writeln!(out, "  {text}"),
        };
    }
}

fn stretches(what: &str, windows: &[Window], zone: LocalTime, out: &mut String) {
    let days: i64 = windows
        .iter()
        .map(|window| (window.end - window.start).num_days())
        .sum();
    if windows.is_empty() {
        let _ = writeln!(out, "  {what}: {}", say!("none"));
        return;
    }
    let _ = writeln!(out, "  {what}: {}", self::days(days.unsigned_abs()));
    for window in windows.iter().take(MAX_SHOWN) {
        let _ = writeln!(out, "    {}", zone.span(window));
    }
    if let more @ 1.. = windows.len().saturating_sub(MAX_SHOWN) {
        let _ = writeln!(out, "    {}", say!("and {more} more", more));
    }
}
