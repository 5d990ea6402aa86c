//! `qbo-rs sync`.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::ops::Add;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;

use super::command_line::schema_flag;
use super::error_text;
use super::exit::{ExitCode, Failure, Outcome};
use super::local::LocalTime;
use super::logging;
use super::output::Printer;
use super::shortfall::explain_sync;
use super::signals::block_on;
use super::tally::Tally;
use super::untold;
use super::words::{elapsed, flow, number, requests};
use crate::app::{App, SyncRequest};
use crate::domain::{CompanyStatus, EntityOutcome, EntitySync, Interval, SyncMethod, SyncReport};
use crate::error::Result;
use crate::language::{say, translated};

/// The most entities of a company that are described, besides those that have failed.
const MAX_DESCRIBED: usize = 9;

#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    #[command(flatten)]
    request: SyncRequest,
    /// Repeat for ever, each company once per interval, such as 30s, 5m or 1h
    #[arg(long, value_name = "INTERVAL")]
    every: Option<Interval>,
}

impl SyncArguments {
    /// Limits the sync to a company that was named by its setting's flag.
    pub(super) fn of_company(mut self, realm_id: Option<String>) -> Self {
        if self.request.scope.accounts.is_empty() {
            self.request.scope.accounts.extend(realm_id);
        }
        self
    }
}

/// Runs the subcommand. With `--every`, each company's report is printed when it is complete.
pub(super) fn run(
    app: &App,
    tally: &Tally,
    arguments: &SyncArguments,
    printer: Printer,
) -> Outcome {
    let request = &arguments.request;
    if let Some(interval) = arguments.every {
        logging::goes_on();
        let show = |report: &SyncReport| printer.print(report, || timed(report, interval.get()));
        until_stopped(app.sync_every(request, interval.get(), &show))?;
        return Ok(ExitCode::Done);
    }
    let report = until_stopped(app.sync(request))?;
    printer.print(&report, || {
        table(&report, false) + &next(&report, &tally.env_file_flag()).unwrap_or_default()
    })?;
    if !report.is_ok() {
        explain_sync(app, &report);
    }
    Ok(ExitCode::of(report.is_ok()))
}

/// Runs a sync until it ends; says that nothing is lost if it was stopped.
fn until_stopped<T>(call: impl Future<Output = Result<T>>) -> Outcome<T> {
    block_on(call).inspect_err(|failure| {
        if matches!(failure, Failure::Stopped(_)) {
            untold::tell();
            error_text::note(
                "Stopped; what is committed stays, and the next sync goes on after it.",
            );
        }
    })
}

/// Describes a report of a sync that is repeated, with the time of day.
fn timed(report: &SyncReport, interval: Duration) -> String {
    let now = crate::clock::now();
    let zone = LocalTime(None);
    let at = zone.time_of_day(now);
    let next = TimeDelta::from_std(interval).map(|interval| zone.time_of_day(now + interval));
    let mut out = String::new();
    for line in table(report, true).lines() {
        let _ = match (&next, line.starts_with(' ')) {
            (_, true) => writeln!(out, "{line}"),
            (Ok(next), false) => writeln!(out, "{at} {line}; {}", say!("next about {next}", next)),
            (Err(_), false) => writeln!(out, "{at} {line}"),
        };
    }
    out
}

fn table(report: &SyncReport, is_repeated: bool) -> String {
    let mut out = String::new();
    for account in &report.accounts {
        let status = match account.status {
            CompanyStatus::Ok => say!("in step"),
            CompanyStatus::Partial => say!("partly in step"),
            CompanyStatus::Failed => say!("failed"),
            CompanyStatus::NeedsReauth => say!("needs to be connected again"),
            CompanyStatus::Held => say!("read by another sync"),
        };
        let (company, time) = (&account.realm_id, elapsed(account.duration_ms));
        let requests = requests(account.requests);
        let text = match account.schema.as_str() {
            // It failed before it was given one.
            "" => say!(
                "company {company}: {status}, {requests}, {time}",
                company,
                status,
                requests,
                time
            ),
            schema => say!(
                "company {company} in {schema}: {status}, {requests}, {time}",
                company,
                schema,
                status,
                requests,
                time
            ),
        };
        let _ = writeln!(out, "{text}");
        // The last lines of a command that ends say it.
        if let Some(error) = account.error.as_ref().filter(|_| is_repeated) {
            let _ = writeln!(out, "  {}", translated(error));
        }
        let is_told = |entity: &&EntitySync| {
            // The line of the company says why these were not tried.
            let is_told_above = account.is_denied() && entity.error == account.error;
            !(account.error.is_some() && entity.is_not_attempted() || is_told_above)
                && entity.status != EntityOutcome::Unavailable
        };
        let told = account.entities.iter().filter(is_told).collect();
        describe_all(told, is_repeated, &mut out);
        let absent: Vec<String> = account
            .entities
            .iter()
            .filter(|entity| entity.status == EntityOutcome::Unavailable)
            .map(|entity| entity.entity.clone())
            .collect();
        if !absent.is_empty() {
            let _ = writeln!(out, "  {}", say!("not available in this company:"));
            out.push_str(&flow("    ", &absent, ", "));
        }
    }
    out
}

/// Returns the line with the next commands after the first sync of a company, which reads all records.
fn next(report: &SyncReport, env_file_flag: &str) -> Option<String> {
    let [account] = report.accounts.as_slice() else {
        return None;
    };
    let is_read = |via| matches!(via, SyncMethod::Query | SyncMethod::Batch);
    let is_first = |entity: &&EntitySync| is_read(entity.via) && entity.inserted > 0;
    let first = account.entities.iter().filter(is_first);
    let entity = &first.max_by_key(|entity| entity.inserted)?.entity;
    let flags = schema_flag(&account.schema) + env_file_flag;
    let command = format!("qbo-rs status{flags} · qbo-rs show {entity}{flags}");
    Some(say!("Next: {command}", command) + "\n").filter(|_| report.is_ok())
}

/// Describes what has failed, and what has changed most, so that it fits one screen.
fn describe_all(mut entities: Vec<&EntitySync>, is_repeated: bool, out: &mut String) {
    let is_failed = |entity: &EntitySync| entity.error.is_some();
    entities.retain(|entity| is_failed(entity) || Changes::of(entity).count() > 0);
    entities.sort_by_key(|entity| (!is_failed(entity), Reverse(Changes::of(entity).count())));
    let failed = entities.iter().filter(|entity| is_failed(entity)).count();
    let room = failed + MAX_DESCRIBED;
    // Another line says no less than the one that would count it.
    let shown = entities.len().min(room + 1);
    let shown = if entities.len() > shown { room } else { shown };
    for entity in &entities[..shown] {
        describe(entity, is_repeated, out);
    }
    if let [first, others @ ..] = &entities[shown..] {
        let rest = others
            .iter()
            .fold(Changes::of(first), |sum, entity| sum + Changes::of(entity));
        let text = say!(
            "{n} more entities: {changed}; --json lists all",
            n = number(others.len() as u64 + 1),
            changed = rest.text()
        );
        let _ = writeln!(out, "  {text}");
    }
}

/// Numbers of records by what became of them.
#[derive(Debug, Clone, Copy)]
struct Changes {
    inserted: u64,
    updated: u64,
    deleted: u64,
    rejected: u64,
}

impl Changes {
    fn of(entity: &EntitySync) -> Self {
        Self {
            inserted: entity.inserted,
            updated: entity.updated,
            deleted: entity.deleted,
            rejected: entity.rejected,
        }
    }

    fn count(self) -> u64 {
        self.inserted + self.updated + self.deleted + self.rejected
    }

    fn text(self) -> String {
        let counts = [
            (self.inserted, inserted as fn(u64) -> String),
            (self.updated, updated),
            (self.deleted, deleted),
            (self.rejected, set_aside),
        ];
        let changed = counts.into_iter().filter(|(count, _)| *count > 0);
        let changed: Vec<String> = changed.map(|(count, text)| text(count)).collect();
        match changed.is_empty() {
            true => say!("nothing changed"),
            false => changed.join(", "),
        }
    }
}

impl Add for Changes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            inserted: self.inserted + other.inserted,
            updated: self.updated + other.updated,
            deleted: self.deleted + other.deleted,
            rejected: self.rejected + other.rejected,
        }
    }
}

/// Names what has changed in an entity, and whether it failed: of a sync that goes on, also why.
fn describe(entity: &EntitySync, is_repeated: bool, out: &mut String) {
    let via = match entity.via {
        SyncMethod::Changes => say!("by changes"),
        SyncMethod::Batch => say!("by a batch"),
        SyncMethod::Query => say!("by queries"),
        SyncMethod::Read => say!("by one read"),
    };
    let changed = Changes::of(entity).text();
    let name = &entity.entity;
    let _ = match (&entity.error, is_repeated) {
        (None, _) => writeln!(out, "  {name:<24}{changed}, {via}"),
        (Some(_), false) if Changes::of(entity).count() > 0 => {
            writeln!(out, "  {name:<24}{}, {changed}, {via}", say!("failed"))
        }
        (Some(_), false) => writeln!(out, "  {name:<24}{}, {via}", say!("failed")),
        (Some(error), true) => {
            let reason = say!("failed: {reason}", reason = translated(error));
            writeln!(out, "  {name:<24}{changed}, {via}\n    {reason}")
        }
    };
}

fn inserted(count: u64) -> String {
    say!("{n} inserted", n = number(count))
}

fn updated(count: u64) -> String {
    say!("{n} updated", n = number(count))
}

fn deleted(count: u64) -> String {
    say!("{n} deleted", n = number(count))
}

fn set_aside(count: u64) -> String {
    say!("{n} set aside", n = number(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CompanySync;

    #[test]
    fn a_company_without_a_schema_has_no_place() {
        let line = |schema: &str| {
            let company = CompanySync {
                realm_id: "77".to_owned(),
                schema: schema.to_owned(),
                status: CompanyStatus::Failed,
                error: None,
                failure: None,
                requests: 1,
                duration_ms: 200,
                entities: Vec::new(),
            };
            let accounts = vec![company];
            table(&SyncReport { accounts }, false)
        };
        assert_eq!(line(""), "company 77: failed, 1 request, 0.2 s\n");
        assert_eq!(line("raw"), "company 77 in raw: failed, 1 request, 0.2 s\n");
    }

    #[test]
    fn a_failed_entity_says_what_it_has_changed_before() {
        let told = |inserted| {
            let mut out = String::new();
            describe(
                &entity("items", inserted, Some("no answer")),
                false,
                &mut out,
            );
            out
        };
        assert_eq!(told(0), "  items                   failed, by one read\n");
        assert_eq!(
            told(3),
            "  items                   failed, 3 inserted, by one read\n"
        );
    }

    fn entity(name: &str, inserted: u64, error: Option<&str>) -> EntitySync {
        EntitySync {
            inserted,
            error: error.map(str::to_owned),
            ..EntitySync::not_due(name, None)
        }
    }

    #[test]
    fn what_failed_and_what_changed_most_is_told_and_the_rest_is_counted() {
        let told = |entities: &[EntitySync]| {
            let mut out = String::new();
            describe_all(entities.iter().collect(), true, &mut out);
            out
        };
        let mut entities: Vec<EntitySync> = (1..=10)
            .map(|n| entity(&format!("e{n}"), n, None))
            .collect();
        entities.push(entity("unchanged", 0, None));
        let text = told(&entities);
        assert_eq!(text.lines().count(), 10, "{text}");
        assert!(text.starts_with("  e10 "), "{text}");
        assert!(
            !text.contains("unchanged") && !text.contains("more"),
            "{text}"
        );
        entities.push(entity("e11", 11, None));
        entities.push(entity("broken", 0, Some("no answer")));
        let text = told(&entities);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "  broken                  nothing changed, by one read"
        );
        assert_eq!(lines[1], "    failed: no answer");
        assert_eq!(
            lines[2],
            "  e11                     11 inserted, by one read"
        );
        assert_eq!(lines[11], "  2 more entities: 3 inserted; --json lists all");
        assert_eq!(lines.len(), 12, "{text}");
    }
}
