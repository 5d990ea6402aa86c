//! `qbo-rs sync`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;

use super::{INCOMPLETE, OK, block_on, output, parse_page_size};
use crate::app::{App, SyncRequest};
use crate::domain::{CompanyStatus, SyncMethod, SyncReport};
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    /// customers, invoices, items or any other; default: all
    #[arg(value_name = "ENTITY")]
    entities: Vec<String>,
    /// Only this company; may be given several times
    #[arg(long, value_name = "REALM_ID")]
    account: Vec<String>,
    /// Go on for ever, each company once in this time: 30s, 5m, 1h
    #[arg(long, value_name = "INTERVAL")]
    every: Option<String>,
    /// Records in a page, 1 to 1000
    #[arg(long, default_value = "1000", value_name = "N")]
    page_size: String,
}

pub(super) fn run(app: &App, arguments: &SyncArguments, json: bool) -> Result<i32> {
    let request = SyncRequest {
        entities: arguments.entities.clone(),
        realms: arguments.account.clone(),
        page_size: parse_page_size(&arguments.page_size)?,
    };
    if let Some(every) = &arguments.every {
        let interval = parse_interval(every)?;
        let show = |report: &SyncReport| print(report, json);
        return match block_on(app.sync_every(&request, interval, &show))? {
            Ok(()) => Ok(OK),
            Err(code) => Ok(code),
        };
    }
    match block_on(app.sync(&request))? {
        Ok(report) => print(&report, json).map(|()| if report.is_ok() { OK } else { INCOMPLETE }),
        Err(code) => Ok(code),
    }
}

/// With `--json` one line a report.
fn print(report: &SyncReport, json: bool) -> Result<()> {
    if json {
        return output::json(report);
    }
    output::text(&table(report));
    Ok(())
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
        for entity in &account.entities {
            let changed = entity.inserted + entity.updated + entity.deleted + entity.rejected;
            if changed == 0 && entity.error.is_none() {
                continue;
            }
            let via = match entity.via {
                SyncMethod::Changes => "changes",
                SyncMethod::Batch => "a batch",
                SyncMethod::Query => "queries",
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
    }
    out
}

pub(super) fn parse_interval(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::config(
            "every",
            format!("'{text}' is not an interval; write 30s, 5m or 1h"),
        )
    };
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let seconds = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(wrong)?;
    if seconds == 0 || seconds > 7 * 86_400 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_and_others_named() {
        for (text, seconds) in [("30s", 30), ("5m", 300), (" 1h ", 3600)] {
            assert_eq!(parse_interval(text).unwrap(), Duration::from_secs(seconds));
        }
        for wrong in ["", "5", "m", "0s", "5 m", "-5m", "9999999h", "5d"] {
            assert!(
                parse_interval(wrong)
                    .unwrap_err()
                    .to_string()
                    .starts_with("every: '"),
                "{wrong}"
            );
        }
    }
}
