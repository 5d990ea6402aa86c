//! `qbo-rs status`: what is in the tables, what is missing, what failed.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde_json::{Value, json};

use super::exit::{ExitCode, Outcome};
use super::output::Printer;
use super::signals::block_on;
use crate::app::{App, StatusReport, StatusRequest};
use crate::domain::Window;
use crate::domain::instant::{format_instant, parse_instant};
use crate::error::{Error, Result};
use crate::store::{EntityStatus, SchemaDrift};

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    request: StatusRequest,
    /// Start of the range to search for gaps, UTC; default: the first committed instant
    #[arg(long, alias = "fecha-inicio", value_name = "INSTANT", requires = "end")]
    start: Option<String>,
    /// End of the range to search for gaps, UTC
    #[arg(long, alias = "fecha-fin", value_name = "INSTANT", requires = "start")]
    end: Option<String>,
    /// Show local times too, in a zone such as America/Guayaquil
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    tz: Option<Tz>,
}

/// The most windows and failures that are shown.
const MAX_SHOWN: usize = 10;

pub(super) fn run(app: &App, arguments: StatusArguments, printer: Printer) -> Outcome {
    let zone = arguments.tz;
    let range = match (&arguments.start, &arguments.end) {
        (Some(start), Some(end)) => Some(Window::parse(start, end)?),
        _ => None,
    };
    let report = block_on(app.status(&arguments.request.range(range)))?;
    let value = serde_json::to_value(&report).unwrap_or_default();
    printer.print(&with_local_times(value, zone), || describe(&report, zone))?;
    let is_wrong = report
        .entities
        .iter()
        .flat_map(|entity| &entity.checks)
        .any(|check| check.wrong > 0);
    Ok(ExitCode::of(!is_wrong))
}

fn parse_zone(name: &str) -> Result<Tz> {
    name.parse().map_err(|_| {
        Error::config(
            "tz",
            format!("'{name}' is not a zone; write it as America/Guayaquil"),
        )
    })
}

/// Puts the local time beside every instant: `start_local` beside `start`.
fn with_local_times(value: Value, zone: Option<Tz>) -> Value {
    let Some(zone) = zone else { return value };
    match value {
        Value::Object(members) => {
            let mut all = serde_json::Map::new();
            for (name, member) in members {
                let local = member
                    .as_str()
                    .filter(|text| text.ends_with('Z'))
                    .and_then(|text| parse_instant("", text).ok());
                if let Some(at) = local {
                    all.insert(
                        format!("{name}_local"),
                        json!(at.with_timezone(&zone).to_rfc3339()),
                    );
                }
                all.insert(name, with_local_times(member, Some(zone)));
            }
            Value::Object(all)
        }
        Value::Array(values) => values
            .into_iter()
            .map(|value| with_local_times(value, Some(zone)))
            .collect(),
        other => other,
    }
}

fn describe(report: &StatusReport, zone: Option<Tz>) -> String {
    let mut out = String::new();
    for account in &report.accounts {
        let days = account.days_left.map_or_else(
            || "days left unknown".to_owned(),
            |days| format!("{days} days left"),
        );
        let _ = writeln!(
            out,
            "company {}: {}, {days}",
            account.account.realm_id, account.state
        );
        for include in &account.refused_includes {
            let _ = writeln!(out, "  QuickBooks refuses include={include}");
        }
        if let Some(warning) = &account.warning {
            let _ = writeln!(out, "  {warning}");
        } else if let Some(url) = &account.reconnect_url {
            let _ = writeln!(out, "  connect it again: qbo-rs auth login, or {url}");
        }
    }
    if report.entities.is_empty() {
        let _ = writeln!(
            out,
            "nothing has been loaded into the schema {} yet",
            report.schema
        );
    }
    for entity in &report.entities {
        describe_entity(entity, zone, &mut out);
    }
    for absent in &report.unavailable {
        let looked_at = absent.looked_at.map_or_else(String::new, |at| {
            format!(" (last looked at {})", instant(at, zone))
        });
        let reason = absent.reason.as_deref().unwrap_or("not available");
        let _ = writeln!(out, "{}: {reason}{looked_at}", absent.entity);
    }
    drift(report, &mut out);
    for books in &report.books {
        let _ = writeln!(
            out,
            "books as of {}, {} basis: {}; {} unexplained, {} unverified, {} transactions differ (compared {})",
            books.as_of,
            books.basis,
            books.status,
            books.unexplained,
            books.unverified,
            books.transactions,
            instant(books.checked, zone)
        );
    }
    out
}

/// Names what records have and the table of fields does not say.
fn drift(report: &StatusReport, out: &mut String) {
    let all = &report.schema_drift;
    if all.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "{} differences between records and the known fields (qbo.schema_drift):",
        all.len()
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

fn describe_entity(entity: &EntityStatus, zone: Option<Tz>, out: &mut String) {
    let EntityStatus { rows, rejects, .. } = entity;
    let _ = writeln!(
        out,
        "{}: {rows} rows of company {}, {rejects} set aside",
        entity.entity, entity.realm_id
    );
    stretches("committed", &entity.committed, zone, out);
    stretches("gaps", &entity.gaps, zone, out);
    stretches("days without records", &entity.empty_days, zone, out);
    for window in entity.unfinished.iter().take(MAX_SHOWN) {
        let span = span(
            &Window {
                start: window.start,
                end: window.end,
            },
            zone,
        );
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
    if let Some(run) = &entity.last_run {
        let end = run.finished_at.map_or_else(
            || "not ended".to_owned(),
            |at| format!("ended {}", instant(at, zone)),
        );
        let _ = writeln!(
            out,
            "  last run {}: {}, began {}, {end}",
            run.run_id,
            run.status,
            instant(run.started_at, zone)
        );
    }
    for check in &entity.checks {
        let verdict = if check.wrong == 0 {
            "ok".to_owned()
        } else {
            format!("{} WRONG", check.wrong)
        };
        let _ = writeln!(out, "  {:24}{verdict}", check.name);
    }
}

fn stretches(what: &str, windows: &[Window], zone: Option<Tz>, out: &mut String) {
    let days: i64 = windows
        .iter()
        .map(|window| (window.end - window.start).num_days())
        .sum();
    let text = match windows.len() {
        0 => "none".to_owned(),
        count => {
            let shown = windows
                .iter()
                .take(MAX_SHOWN)
                .map(|window| span(window, zone))
                .collect::<Vec<_>>()
                .join("\n    ");
            let more = if count > MAX_SHOWN {
                format!("\n    and {} more", count - MAX_SHOWN)
            } else {
                String::new()
            };
            format!("{days} days\n    {shown}{more}")
        }
    };
    let _ = writeln!(out, "  {what}: {text}");
}

fn span(window: &Window, zone: Option<Tz>) -> String {
    format!(
        "[{}, {})",
        instant(window.start, zone),
        instant(window.end, zone)
    )
}

fn instant(at: DateTime<Utc>, zone: Option<Tz>) -> String {
    match zone {
        None => format_instant(at),
        Some(zone) => format!(
            "{} = {}",
            format_instant(at),
            at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z")
        ),
    }
}
