//! `qbo-rs reports`: reports of QuickBooks, landed in Postgres.

use std::fmt::Write as _;

use clap::Args;

use super::exit::{ExitCode, Outcome};
use super::hint::told;
use super::output::Printer;
use super::range::OptionalDays;
use super::signals::block_on;
use super::words;
use super::wrap::{columns_of_stderr, wrapped};
use crate::app::{
    App, KnownReport, LandedReportSummary, ReportStatus, ReportsReport, ReportsRequest,
    known_reports,
};
use crate::language::{current, say};
use crate::terminal::one_line;

#[derive(Debug, Args)]
pub(super) struct ReportsArguments {
    #[command(flatten)]
    request: ReportsRequest,
    #[command(flatten)]
    pub(super) days: OptionalDays,
    /// List the reports, and ask for none
    #[arg(long, conflicts_with_all = ["names", "changed"])]
    list: bool,
}

/// Runs the subcommand. The exit code is 1 if a report failed.
pub(super) fn run(app: &App, arguments: &ReportsArguments, printer: Printer) -> Outcome {
    if arguments.list {
        let known = known_reports();
        let json = serde_json::json!({"reports": known});
        printer.print_translated(&json, || known.iter().map(describe_known).collect())?;
        return Ok(ExitCode::Done);
    }
    let mut request = arguments.request.clone();
    (request.start, request.end) = (arguments.days.start, arguments.days.end);
    let report = block_on(app.reports(&request))?;
    printer.print(&report, || describe(&report))?;
    explain(&report);
    Ok(ExitCode::of(report.is_complete()))
}

fn describe_known(report: &KnownReport) -> String {
    let dates = match report.dates {
        "range" => say!("from --start to --end"),
        "day" => say!("as of --end"),
        _ => say!("without dates"),
    };
    let dates = match report.has_basis {
        true => say!("{dates}, basis", dates),
        false => dates,
    };
    let documented = match report.documented == report.route {
        true => String::new(),
        false => format!(" ({})", report.documented),
    };
    format!("{:<36}{}{documented}: {dates}\n", report.name, report.route)
}

fn describe(report: &ReportsReport) -> String {
    report.reports.iter().map(describe_report).collect()
}

fn describe_report(found: &LandedReportSummary) -> String {
    let title = title(found);
    let mut out = match found.status {
        ReportStatus::Landed => {
            let rows: u64 = found.answers.iter().map(|answer| answer.rows).sum();
            let count = |outcome| {
                let answers = found.answers.iter();
                answers.filter(|answer| answer.outcome == outcome).count()
            };
            let outcomes = [
                (count("new"), say!("{count} new", count = count("new"))),
                (
                    count("changed"),
                    say!("{count} changed", count = count("changed")),
                ),
                (
                    count("unchanged"),
                    say!("{count} unchanged", count = count("unchanged")),
                ),
            ];
            let outcomes = outcomes.into_iter().filter(|(count, _)| *count > 0);
            let outcomes: Vec<String> = outcomes.map(|(_, text)| text).collect();
            let (count, outcomes) = (found.answers.len(), outcomes.join(", "));
            say!(count count; "{title}: {rows} in {count} answer, {outcomes}",
                "{title}: {rows} in {count} answers, {outcomes}", title, rows = words::rows(rows), count, outcomes)
        }
        ReportStatus::Skipped => say!("{title}: nothing has changed, not asked for", title),
        ReportStatus::Unavailable => {
            say!(
                "{title}: unavailable: {reason}",
                title,
                reason = reason(found)
            )
        }
        ReportStatus::Failed => say!("{title}: failed: {reason}", title, reason = reason(found)),
    };
    out.push('\n');
    for line in &found.rows {
        let cells: Vec<&str> = found
            .columns
            .iter()
            .map(|key| line.cells.get(key).map_or("", String::as_str))
            .collect();
        let indent = "  ".repeat(line.path.len());
        let _ = writeln!(out, "  {indent}{}", cells.join(" | "));
    }
    out
}

fn title(found: &LandedReportSummary) -> String {
    let mut title = found.report.to_owned();
    match found.basis.as_deref() {
        Some("cash") => title = say!("{title} cash", title),
        Some(_) => title = say!("{title} accrual", title),
        None => {}
    }
    match (found.start, found.end) {
        (Some(start), Some(end)) => {
            title = say!("{title} {start} to {end}", title, start, end);
        }
        (None, Some(end)) => {
            title = say!("{title} as of {end}", title, end);
        }
        _ => {}
    }
    title
}

/// Returns the reason of a report that was not landed.
fn reason(found: &LandedReportSummary) -> String {
    let reason = found.error.as_deref().unwrap_or_default();
    told(current(), &one_line(reason))
}

/// Says on stderr which reports have failed.
fn explain(report: &ReportsReport) {
    use std::io::Write as _;
    for found in report
        .reports
        .iter()
        .filter(|found| found.status == ReportStatus::Failed)
    {
        let title = title(found);
        let text = say!("{title}: failed: {reason}", title, reason = reason(found));
        let lines = wrapped(&text, columns_of_stderr());
        let _ = writeln!(std::io::stderr(), "{lines}");
    }
}
