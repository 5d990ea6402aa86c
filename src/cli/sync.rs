//! `qbo-rs sync`.

use std::fmt::Write as _;

use clap::Args;

use super::exit::{ExitCode, Outcome};
use super::output::Printer;
use super::shortfall::explain_sync;
use super::signals::block_on;
use crate::app::{App, SyncRequest};
use crate::domain::{CompanyStatus, EntityOutcome, EntitySync, Interval, SyncMethod, SyncReport};

#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    #[command(flatten)]
    request: SyncRequest,
    /// Repeat for ever, each company once per interval, such as 30s, 5m or 1h
    #[arg(long, value_name = "INTERVAL")]
    every: Option<Interval>,
}

/// Runs the subcommand. With `--every`, each company's report is printed when it is complete.
pub(super) fn run(app: &App, arguments: &SyncArguments, printer: Printer) -> Outcome {
    let request = &arguments.request;
    if let Some(interval) = arguments.every {
        let show = |report: &SyncReport| printer.print(report, || table(report));
        block_on(app.sync_every(request, interval.get(), &show))?;
        return Ok(ExitCode::Done);
    }
    let report = block_on(app.sync(request))?;
    printer.print(&report, || table(&report))?;
    if !report.is_ok() {
        explain_sync(app, &report);
    }
    Ok(ExitCode::of(report.is_ok()))
}

fn table(report: &SyncReport) -> String {
    let mut out = String::new();
    for account in &report.accounts {
        let status = match account.status {
            CompanyStatus::Ok => "in step",
            CompanyStatus::Partial => "partly in step",
            CompanyStatus::Failed => "failed",
            CompanyStatus::NeedsReauth => "needs to be connected again",
        };
        let _ = write!(
            out,
            "company {} in {}: {status}",
            account.realm_id, account.schema
        );
        let _ = writeln!(
            out,
            ", {} requests, {} ms",
            account.requests, account.duration_ms
        );
        if let Some(error) = &account.error {
            let _ = writeln!(out, "  {error}");
        }
        let entities = account.entities.iter();
        let is_told = |entity: &&EntitySync| {
            // The line of the company says why these were not tried.
            !(account.error.is_some() && entity.is_not_attempted())
                && entity.status != EntityOutcome::Unavailable
        };
        for entity in entities.filter(is_told) {
            let changed = entity.inserted + entity.updated + entity.deleted + entity.rejected;
            if changed == 0 && entity.error.is_none() {
                continue;
            }
            let via = match entity.via {
                SyncMethod::Changes => "changes",
                SyncMethod::Batch => "a batch",
                SyncMethod::Query => "queries",
                SyncMethod::Read => "one read",
            };
            let _ = write!(
                out,
                "  {:<24}{} inserted, {} updated, ",
                entity.entity, entity.inserted, entity.updated
            );
            let _ = writeln!(
                out,
                "{} deleted, {} set aside, by {via}",
                entity.deleted, entity.rejected
            );
            if let Some(error) = &entity.error {
                let _ = writeln!(out, "    failed: {error}");
            }
        }
        let absent: Vec<&str> = account
            .entities
            .iter()
            .filter(|entity| entity.status == EntityOutcome::Unavailable)
            .map(|entity| entity.entity.as_str())
            .collect();
        if !absent.is_empty() {
            let _ = writeln!(
                out,
                "  not available in this company: {}",
                absent.join(", ")
            );
        }
    }
    out
}
