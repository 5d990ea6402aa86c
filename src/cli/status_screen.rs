//! The overview of `qbo-rs status`: one screen, however many entities there are, with a verdict and the
//! commands that help.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};

use super::advised::{advised, needing};
use super::entity_health::{mark, read_until, state};
use super::status_notes::{archives, differences, never_read, other_schemas};
use super::status_view::View;
use super::summary::reads;
use super::words::{MAX_WIDTH, cut, days, entities, flow, number, width};
use super::wrap::hanging;
use crate::app::health::{MAX_AGE, books_word, schema_flag, unexplained};
use crate::app::{CompanyReport, EntityStatus, StatusReport, TieOut};
use crate::domain::{ConnectionState, Finding, Level, Reason, Window};
use crate::language::{current, say, translated};
use crate::terminal::one_line;

/// The most entities in the table.
const MAX_ROWS: usize = 9;
/// The most commands that are named.
const MAX_COMMANDS: usize = 4;
/// The longest name of an entity that is not cut.
const MAX_NAME: usize = 22;

/// Describes a schema on one screen.
pub(super) fn screen(report: &StatusReport, view: View<'_>) -> String {
    let mut out = String::new();
    heading(report, view, &mut out);
    if report.entities.is_empty() && report.never_read.is_empty() && report.syncs.is_empty() {
        let schema = &report.schema;
        let text = say!(
            "nothing has been loaded into the schema {schema} yet",
            schema
        );
        let _ = writeln!(out, "{text}");
        match &report.findings[..] {
            [
                Finding {
                    command: Some(command),
                    ..
                },
            ] => {
                let command = format!("{command}{}", view.env_file_flag);
                let _ = writeln!(out, "{}", say!("Next: {command}", command));
            }
            _ => verdict(report, view, &mut out),
        }
        out.push_str(&other_schemas(report));
        return out;
    }
    let mut listed: Vec<&EntityStatus> = report.entities.iter().collect();
    // Those that need somebody come first, then those with most records.
    listed.sort_by_key(|entity| std::cmp::Reverse((entity.level, entity.rows)));
    if !listed.is_empty() {
        table(report, &listed, view, &mut out);
    }
    out.push_str(&differences(report, view));
    out.push_str(&archives(report, view));
    out.push_str(&never_read(report, view));
    for books in report.books.iter().take(2) {
        out.push_str(&books_line(books, view));
    }
    if !report.schema_drift.is_empty() {
        let count = report.schema_drift.len();
        let text = say!(count count; "{n} difference between records and the known fields",
            "{n} differences between records and the known fields", n = number(count as u64));
        let _ = writeln!(out, "{text} (-v)");
    }
    out.push('\n');
    verdict(report, view, &mut out);
    out.push_str(&other_schemas(report));
    out
}

fn heading(report: &StatusReport, view: View<'_>, out: &mut String) {
    let realm_id = report
        .entities
        .first()
        .map(|entity| entity.realm_id.as_str());
    let at = view.zone.with_offset(view.now);
    let schema = &report.schema;
    let in_schema = match realm_id {
        Some(_) => say!(", schema {schema}", schema),
        None => say!("Schema {schema}", schema),
    };
    // The id and the schema tell two companies apart: a long name is cut, and they are not.
    let (company, id) = match (&report.company, realm_id) {
        (Some(name), Some(realm_id)) => (one_line(name).into_owned(), format!(" ({realm_id})")),
        (_, Some(realm_id)) => (String::new(), say!("Company {realm_id}", realm_id)),
        (_, None) => (String::new(), String::new()),
    };
    let place = id + &in_schema;
    if realm_id.is_some() || !report.accounts.is_empty() {
        let as_of = say!("as of {at}", at);
        let mark = mark(report.level);
        let room = MAX_WIDTH.saturating_sub(width(&as_of) + 4);
        let name = cut(&company, room.saturating_sub(width(&place))) + &place;
        let _ = writeln!(out, "{mark} {name:<room$}  {as_of}");
    }
    for account in report.connections().take(2) {
        out.push_str(&flow("", &connection(account, view), " · "));
        if let Some(until) = account.traffic.paused_until {
            let time = view.zone.clock(until, view.now);
            let text = say!(
                "QuickBooks asked to slow down: no request until {time}",
                time
            );
            let _ = writeln!(out, "{text}");
        }
    }
    if realm_id.is_some() {
        out.push('\n');
    }
}

fn connection(account: &CompanyReport, view: View<'_>) -> Vec<String> {
    let realm_id = &account.account.realm_id;
    let state = match (account.state, account.days_left) {
        (ConnectionState::NeedsReauth, _) => {
            say!(
                "Company {realm_id} must be connected again: qbo-rs auth login",
                realm_id
            )
        }
        (ConnectionState::ExpiresSoon, Some(left)) => {
            say!(
                "Connected, ends in {days}",
                days = days(left.unsigned_abs())
            )
        }
        (_, Some(left)) => say!(
            "Connected; if unused, ends in {days}",
            days = days(left.unsigned_abs())
        ),
        (_, None) => say!("Connected"),
    };
    let reads = reads(account.traffic.monthly_reads, view.monthly_quota);
    let mut parts = vec![state, reads];
    let warning = account.warning.as_deref();
    parts.extend(warning.map(|warning| translated(warning).into_owned()));
    parts
}

fn table(report: &StatusReport, listed: &[&EntityStatus], view: View<'_>, out: &mut String) {
    let limit = if view.is_whole { usize::MAX } else { MAX_ROWS };
    let shown = &listed[..listed.len().min(limit)];
    let header = [
        say!("entity"),
        say!("rows"),
        say!("committed (UTC)"),
        say!("last run"),
    ];
    let header = [&*header[0], &*header[1], &*header[2], &*header[3]];
    let widest = |cells: &dyn Fn(&EntityStatus) -> usize, head: &str| {
        let widths = shown.iter().map(|entity| cells(entity));
        widths.chain([width(head)]).max().unwrap_or_default()
    };
    let rows = |entity: &EntityStatus| number(entity.rows.unsigned_abs());
    let name = widest(&|entity| width(&entity.entity), header[0]).min(MAX_NAME);
    let count = widest(&|entity| width(&rows(entity)), header[1]);
    let time = widest(&|entity| width(&committed(entity, view.now)), header[2]);
    // What an entity needs is never cut: it goes on below its beginning.
    let line = |mark: &str, [entity, rows, committed, last]: [&str; 4]| {
        let entity = cut(entity, name);
        let head = format!("{mark} {entity:<name$}  {rows:>count$}  {committed:<time$}  ");
        hanging(&head, last, view.columns)
    };
    out.push_str(&line(" ", header));
    for entity in shown {
        let cells = (rows(entity), committed(entity, view.now));
        let state = state(entity, view.zone, view.now);
        let cells = [entity.entity.as_str(), &cells.0, &cells.1, &state];
        out.push_str(&line(mark(entity.level), cells));
    }
    let hidden = &listed[shown.len()..];
    let count = |is_one: fn(Level) -> bool| {
        let hidden = hidden.iter();
        hidden.filter(|entity| is_one(entity.level)).count()
    };
    let needing = count(|level| level > Level::UnderWay);
    let mut more = Vec::new();
    if let count @ 1.. = count(|level| level == Level::InStep) {
        more.push(say!("{count} more in step", count));
    }
    if let count @ 1.. = count(|level| level == Level::UnderWay) {
        more.push(
            say!(count count; "{count} more is being read", "{count} more are being read", count),
        );
    }
    if needing > 0 {
        more.push(say!(count needing; "{needing} more needs somebody", "{needing} more need somebody", needing));
    }
    if !report.unavailable.is_empty() {
        let count = report.unavailable.len();
        more.push(say!("{count} not in this company's plan", count));
    }
    if !more.is_empty() {
        let _ = writeln!(out, "  {} (-v)", more.join(", "));
    }
}

/// Writes the committed time of an entity in one phrase: the first stretch, and how many follow.
fn committed(entity: &EntityStatus, now: DateTime<Utc>) -> String {
    let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
    let Some(Window { start, end }) = entity.committed.first() else {
        return say!("nothing");
    };
    let start = day(*start);
    let text = match now - *end < TimeDelta::days(1) {
        true => say!("{start} .. now", start),
        false => format!("{start} .. {}", day(*end)),
    };
    match entity.committed.len() - 1 {
        0 => text,
        more => format!("{text} +{more}"),
    }
}

fn books_line(books: &TieOut, view: View<'_>) -> String {
    let parts = [
        say!(
            "books as of {day}, {basis} basis: {status}",
            day = books.as_of,
            basis = translated(&books.basis),
            status = books_word(books, current())
        ),
        say!(
            "{amount} unexplained",
            amount = unexplained(books, current())
        ),
        say!("{count} unverified", count = books.unverified),
        say!(count books.transactions; "{n} transaction differs", "{n} transactions differ",
            n = number(books.transactions.unsigned_abs())),
        say!(
            "compared {time}",
            time = view.zone.clock(books.checked, view.now)
        ),
    ];
    flow("", &parts, ", ")
}

fn verdict(report: &StatusReport, view: View<'_>, out: &mut String) {
    let env_file = view.env_file_flag;
    let commands = advised(report, env_file);
    let needing = needing(&commands);
    let now = view.now;
    let under_way = under_way(report);
    match needing {
        0 if under_way > 0 => {}
        0 => {
            let oldest = report.entities.iter().filter_map(read_until).min();
            let mut parts = vec![match oldest.filter(|until| *until < now - MAX_AGE) {
                None => say!("Everything is in step."),
                Some(until) => say!(
                    "Nothing is missing of what was read, up to {day}.",
                    day = until.format("%Y-%m-%d")
                ),
            }];
            parts.extend(report.next.as_ref().map(|next| {
                let command = format!("{next}{env_file}");
                say!("Next: {command}", command)
            }));
            out.push_str(&flow("", &parts, " "));
        }
        many => {
            let n = number(many as u64);
            let text = match commands.len() {
                // Each of them helps, and none alone.
                more if more > many => {
                    let commands = number(more as u64);
                    say!(count many; "{n} needs somebody, by {commands} commands:",
                        "{n} need somebody, by {commands} commands:", n, commands)
                }
                _ => say!(count many; "{n} needs somebody:", "{n} need somebody:", n),
            };
            let _ = writeln!(out, "{text}");
        }
    }
    let commands: Vec<(String, &str)> = commands
        .iter()
        .map(|one| match &one.names[..] {
            [only] => (only.clone(), one.command.as_str()),
            several => (entities(several.len() as u64), one.command.as_str()),
        })
        .collect();
    let name = commands.iter().map(|(entity, _)| width(entity)).max();
    let name = name.unwrap_or_default();
    let limit = match view.is_whole {
        true => usize::MAX,
        false => MAX_COMMANDS,
    };
    for (entity, command) in commands.iter().take(limit) {
        let _ = writeln!(out, "  {entity:<name$}  {command}");
    }
    if let more @ 1.. = commands.len().saturating_sub(limit) {
        let _ = writeln!(out, "  {} (-v)", say!("and {more} more", more));
    }
    if under_way > 0 {
        let text = say!(count under_way; "{n} run is under way.", "{n} runs are under way.", n = number(under_way));
        let _ = writeln!(out, "{text}");
    }
    checks(report, env_file, out);
}

/// Returns the number of runs and syncs that go on.
fn under_way(report: &StatusReport) -> u64 {
    let is_running = |finding: &Finding| matches!(finding.reason, Reason::Running { .. });
    let entities = report.entities.iter();
    let runs = entities.filter(|entity| entity.findings.iter().any(is_running));
    let syncs = report.syncs.iter().filter(|sync| !sync.is_dead).count();
    (runs.count() + syncs) as u64
}

/// Says in one sentence what the checks of the tables have found, if they were run.
fn checks(report: &StatusReport, env_file: &str, out: &mut String) {
    let checks = || {
        let entities = report.entities.iter();
        entities.flat_map(|entity| entity.checks.iter().map(move |check| (entity, check)))
    };
    let all = checks().count() as u64;
    if all == 0 {
        return;
    }
    let wrong: Vec<String> = checks()
        .filter(|(_, check)| check.wrong > 0)
        .map(|(entity, check)| format!("{}.{} ({})", entity.entity, check.name, check.wrong))
        .collect();
    let first = checks().find(|(_, check)| check.wrong > 0);
    let Some((entity, _)) = first else {
        let text =
            say!(count all; "{n} check, none wrong", "{n} checks, none wrong", n = number(all));
        let _ = writeln!(out, "{text}");
        return;
    };
    let text = say!(count all; "{n} check, {wrong} wrong: {names}", "{n} checks, {wrong} wrong: {names}",
        n = number(all), wrong = wrong.len(), names = wrong.join(", "));
    let entity = &entity.entity;
    let flags = schema_flag(&report.schema) + env_file;
    let _ = writeln!(out, "{text}  -> qbo-rs status {entity} --validate{flags}");
}
