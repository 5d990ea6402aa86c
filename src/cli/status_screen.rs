//! The overview of `qbo-rs status`: one screen, however many entities there are, with a verdict and the
//! commands that help.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};

use super::entity_health::{Health, Level, health};
use super::local::LocalTime;
use super::words::{MAX_WIDTH, counted, cut, flow, number, width};
use crate::app::{CompanyReport, EntityStatus, StatusReport, TieOut};
use crate::domain::{ConnectionState, Window};

/// The most entities in the table.
const MAX_ROWS: usize = 9;
/// The most commands that are named.
const MAX_COMMANDS: usize = 4;
/// The longest name of an entity that is not cut.
const MAX_NAME: usize = 22;

/// The view of the reader.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub zone: LocalTime,
    pub now: DateTime<Utc>,
    /// Reads a month that the app is granted; 0: not metered.
    pub monthly_quota: u64,
    /// Every entity is shown.
    pub is_whole: bool,
}

/// Describes a schema on one screen.
pub(super) fn screen(report: &StatusReport, view: View) -> String {
    let mut out = String::new();
    heading(report, view, &mut out);
    let flag = match report.schema.as_str() {
        "raw" => String::new(),
        other => format!(" --schema {other}"),
    };
    if report.entities.is_empty() {
        let _ = writeln!(
            out,
            "nothing has been loaded into the schema {} yet\nNext: qbo-rs sync",
            report.schema
        );
        return out;
    }
    let mut judged: Vec<(&EntityStatus, Health)> = report
        .entities
        .iter()
        .map(|entity| (entity, health(entity, view.zone, view.now, &flag)))
        .collect();
    // Those that need somebody come first, then those that changed last.
    judged.sort_by_key(|(_, health)| {
        (
            std::cmp::Reverse(health.level),
            std::cmp::Reverse(health.at),
        )
    });
    table(report, &judged, view, &mut out);
    for books in report.books.iter().take(2) {
        out.push_str(&books_line(books, view));
    }
    if !report.schema_drift.is_empty() {
        let drift = counted(
            report.schema_drift.len() as u64,
            "difference",
            "differences",
        );
        let _ = writeln!(out, "{drift} between records and the known fields (-v)");
    }
    out.push('\n');
    verdict(report, &judged, &mut out);
    out
}

fn heading(report: &StatusReport, view: View, out: &mut String) {
    let realm_id = report
        .entities
        .first()
        .map(|entity| entity.realm_id.as_str());
    let at = view.zone.with_offset(view.now);
    let name = match (&report.company, realm_id) {
        (Some(name), Some(realm_id)) => format!("{name} ({realm_id}), schema {}", report.schema),
        (_, Some(realm_id)) => format!("Company {realm_id}, schema {}", report.schema),
        (_, None) => format!("Schema {}", report.schema),
    };
    if realm_id.is_some() || !report.accounts.is_empty() {
        let as_of = format!("as of {at}");
        let room = MAX_WIDTH.saturating_sub(width(&as_of) + 2);
        let name = cut(&name, room);
        let _ = writeln!(out, "{name:<room$}  {as_of}");
    }
    let is_of_schema = |account: &&CompanyReport| {
        realm_id.is_none_or(|realm_id| account.account.realm_id == realm_id)
    };
    for account in report.accounts.iter().filter(is_of_schema).take(2) {
        out.push_str(&flow("", &connection(account, view), " · "));
    }
    if realm_id.is_some() {
        out.push('\n');
    }
}

fn connection(account: &CompanyReport, view: View) -> Vec<String> {
    let realm_id = &account.account.realm_id;
    let state = match (account.state, account.days_left) {
        (ConnectionState::NeedsReauth, _) => {
            format!("Company {realm_id} must be connected again: qbo-rs auth login")
        }
        (ConnectionState::ExpiresSoon, Some(days)) => {
            format!(
                "Connected, ends in {}",
                counted(days.unsigned_abs(), "day", "days")
            )
        }
        (_, Some(days)) => {
            let days = counted(days.unsigned_abs(), "day", "days");
            format!("Connected, {days} without use")
        }
        (_, None) => "Connected".to_owned(),
    };
    let reads = number(account.traffic.monthly_reads);
    let reads = match view.monthly_quota {
        0 => format!("{reads} reads this month"),
        quota => format!("{reads} of {} reads this month", number(quota)),
    };
    let mut parts = vec![state, reads];
    parts.extend(account.warning.clone());
    parts
}

fn table(report: &StatusReport, judged: &[(&EntityStatus, Health)], view: View, out: &mut String) {
    let limit = if view.is_whole { usize::MAX } else { MAX_ROWS };
    let shown = &judged[..judged.len().min(limit)];
    let name = shown.iter().map(|(entity, _)| width(&entity.entity)).max();
    let name = name.unwrap_or_default().clamp(6, MAX_NAME);
    let rows = |entity: &EntityStatus| number(entity.rows.unsigned_abs());
    let count = shown.iter().map(|(entity, _)| width(&rows(entity))).max();
    let count = count.unwrap_or_default().max(4);
    let time = shown
        .iter()
        .map(|(entity, _)| width(&committed(entity, view.now)))
        .max();
    let time = time.unwrap_or_default().max(15);
    let header = ["entity", "rows", "committed (UTC)", "last run"];
    let line = |mark: &str, [entity, rows, committed, last]: [&str; 4]| {
        let entity = cut(entity, name);
        let line = format!("{mark} {entity:<name$}  {rows:>count$}  {committed:<time$}  {last}");
        cut(line.trim_end(), MAX_WIDTH)
    };
    let _ = writeln!(out, "{}", line(" ", header));
    for (entity, health) in shown {
        let mark = match health.level {
            Level::Good => "✔",
            Level::Odd => "!",
            Level::Bad => "✖",
        };
        let cells = (rows(entity), committed(entity, view.now));
        let cells = [entity.entity.as_str(), &cells.0, &cells.1, &health.text];
        let _ = writeln!(out, "{}", line(mark, cells));
    }
    let hidden = &judged[shown.len()..];
    let needing = hidden
        .iter()
        .filter(|(_, health)| health.level > Level::Good)
        .count();
    let mut more = Vec::new();
    if hidden.len() > needing {
        more.push(format!("{} more in step", hidden.len() - needing));
    }
    if needing > 0 {
        more.push(format!("{needing} more need somebody"));
    }
    if !report.unavailable.is_empty() {
        more.push(format!(
            "{} not in this company's plan",
            report.unavailable.len()
        ));
    }
    if !more.is_empty() {
        let _ = writeln!(out, "  {} (-v)", more.join(", "));
    }
}

/// Writes the committed time of an entity in one phrase: the first stretch, and how many follow.
fn committed(entity: &EntityStatus, now: DateTime<Utc>) -> String {
    let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
    let Some(Window { start, end }) = entity.committed.first() else {
        return "nothing".to_owned();
    };
    let start = day(*start);
    let text = match now - *end < TimeDelta::days(1) {
        true => format!("{start} .. now"),
        false => format!("{start} .. {}", day(*end)),
    };
    match entity.committed.len() - 1 {
        0 => text,
        more => format!("{text} +{more}"),
    }
}

fn books_line(books: &TieOut, view: View) -> String {
    let parts = [
        format!(
            "books as of {}, {} basis: {}; {} unexplained",
            books.as_of, books.basis, books.status, books.unexplained
        ),
        format!("{} unverified", books.unverified),
        counted(
            books.transactions.unsigned_abs(),
            "transaction differs",
            "transactions differ",
        ),
        format!("compared {}", view.zone.clock(books.checked, view.now)),
    ];
    flow("", &parts, ", ")
}

fn verdict(report: &StatusReport, judged: &[(&EntityStatus, Health)], out: &mut String) {
    let commands: Vec<(&str, &str)> = judged
        .iter()
        .filter_map(|(entity, health)| Some((entity.entity.as_str(), health.command.as_deref()?)))
        .collect();
    match commands.len() {
        0 => out.push_str("Everything is in step. Next: qbo-rs sync --every 5m\n"),
        1 => out.push_str("1 needs somebody:\n"),
        many => _ = writeln!(out, "{} need somebody:", number(many as u64)),
    }
    let name = commands.iter().map(|(entity, _)| width(entity)).max();
    let name = name.unwrap_or_default();
    for (entity, command) in commands.iter().take(MAX_COMMANDS) {
        let _ = writeln!(out, "  {entity:<name$}  {command}");
    }
    if let more @ 1.. = commands.len().saturating_sub(MAX_COMMANDS) {
        let _ = writeln!(out, "  and {more} more (-v)");
    }
    checks(report, out);
}

/// Says in one sentence what the checks of the tables have found, if they were run.
fn checks(report: &StatusReport, out: &mut String) {
    let checks = || {
        let entities = report.entities.iter();
        entities.flat_map(|entity| entity.checks.iter().map(move |check| (entity, check)))
    };
    let all = checks().count() as u64;
    if all == 0 {
        return;
    }
    let all = counted(all, "check", "checks");
    let wrong: Vec<String> = checks()
        .filter(|(_, check)| check.wrong > 0)
        .map(|(entity, check)| format!("{}.{} ({})", entity.entity, check.name, check.wrong))
        .collect();
    let first = checks().find(|(_, check)| check.wrong > 0);
    let Some((entity, _)) = first else {
        let _ = writeln!(out, "{all}, none wrong");
        return;
    };
    let _ = writeln!(
        out,
        "{all}, {} wrong: {}  -> qbo-rs status {} --validate",
        wrong.len(),
        wrong.join(", "),
        entity.entity
    );
}
