//! `qbo-rs sync`.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;

use super::command_line::schema_flag;
use super::error_text;
use super::exit::{ExitCode, Failure, Outcome};
use super::local::LocalTime;
use super::logging;
use super::output::Printer;
use super::shortfall::{explain_sync, is_refused};
use super::signals::block_on;
use super::tally::Tally;
use super::words::{elapsed, flow, number, requests};
use crate::app::{App, SyncRequest};
use crate::domain::{CompanyStatus, EntityOutcome, EntitySync, Interval, SyncMethod, SyncReport};
use crate::error::Result;
use crate::language::{say, translated};

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
        // The last lines of the command say a refusal in full.
        let is_told_at_the_end = !is_repeated && is_refused(account);
        if let Some(error) = account.error.as_ref().filter(|_| !is_told_at_the_end) {
            let _ = writeln!(out, "  {}", translated(error));
        }
        let is_told = |entity: &&EntitySync| {
            // The line of the company says why these were not tried.
            let is_told_above = is_refused(account) && entity.error == account.error;
            !(account.error.is_some() && entity.is_not_attempted() || is_told_above)
                && entity.status != EntityOutcome::Unavailable
        };
        for entity in account.entities.iter().filter(is_told) {
            describe(entity, &mut out);
        }
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

/// Names what has changed in an entity, and why it failed; nothing if neither has happened.
fn describe(entity: &EntitySync, out: &mut String) {
    let counts = [
        (entity.inserted, inserted as fn(u64) -> String),
        (entity.updated, updated),
        (entity.deleted, deleted),
        (entity.rejected, set_aside),
    ];
    let changed: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, text)| text(count))
        .collect();
    if changed.is_empty() && entity.error.is_none() {
        return;
    }
    let via = match entity.via {
        SyncMethod::Changes => say!("by changes"),
        SyncMethod::Batch => say!("by a batch"),
        SyncMethod::Query => say!("by queries"),
        SyncMethod::Read => say!("by one read"),
    };
    let changed = match changed.is_empty() {
        true => say!("nothing changed"),
        false => changed.join(", "),
    };
    let _ = writeln!(out, "  {:<24}{changed}, {via}", entity.entity);
    if let Some(error) = &entity.error {
        let _ = writeln!(
            out,
            "    {}",
            say!("failed: {reason}", reason = translated(error))
        );
    }
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
}
