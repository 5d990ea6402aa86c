//! `qbo-rs reports`: reports of QuickBooks, landed in Postgres.

use std::fmt::Write as _;

use clap::Args;

use super::exit::{ExitCode, Outcome};
use super::hint::with_flags;
use super::output::Printer;
use super::signals::block_on;
use crate::app::{
    App, KnownReport, LandedReportSummary, ReportStatus, ReportsReport, ReportsRequest,
    known_reports,
};
use crate::terminal::one_line;

#[derive(Debug, Args)]
pub(super) struct ReportsArguments {
    #[command(flatten)]
    request: ReportsRequest,
    /// List the reports that can be asked for, and ask for none
    #[arg(long, conflicts_with_all = ["names", "changed"])]
    list: bool,
}

/// Runs the subcommand. The exit code is 1 if a report failed.
pub(super) fn run(app: &App, arguments: &ReportsArguments, printer: Printer) -> Outcome {
    if arguments.list {
        let known = known_reports();
        let json = serde_json::json!({"reports": known});
        printer.print(&json, || known.iter().map(describe_known).collect())?;
        return Ok(ExitCode::Done);
    }
    let report = block_on(app.reports(&arguments.request))?;
    printer.print(&report, || describe(&report))?;
    explain(&report);
    Ok(ExitCode::of(report.is_complete()))
}

fn describe_known(report: &KnownReport) -> String {
    let dates = match report.dates {
        "range" => "from --start to --end",
        "day" => "as of --end",
        _ => "without dates",
    };
    let basis = if report.has_basis { ", basis" } else { "" };
    let documented = match report.documented == report.route {
        true => String::new(),
        false => format!(" ({})", report.documented),
    };
    format!(
        "{:<28}{}{documented}: {dates}{basis}\n",
        report.name, report.route
    )
}

fn describe(report: &ReportsReport) -> String {
    report.reports.iter().map(describe_report).collect()
}

fn describe_report(found: &LandedReportSummary) -> String {
    let title = title(found);
    let mut out = match found.status {
        ReportStatus::Landed => {
            let rows: u64 = found.answers.iter().map(|answer| answer.rows).sum();
            let outcomes: Vec<String> = ["new", "changed", "unchanged"]
                .into_iter()
                .filter_map(|outcome| {
                    let answers = found.answers.iter();
                    let count = answers.filter(|answer| answer.outcome == outcome).count();
                    (count > 0).then(|| format!("{count} {outcome}"))
                })
                .collect();
            format!(
                "{title}: {rows} rows in {} answers, {}\n",
                found.answers.len(),
                outcomes.join(", ")
            )
        }
        ReportStatus::Skipped => format!("{title}: nothing has changed, not asked for\n"),
        ReportStatus::Unavailable | ReportStatus::Failed => {
            let reason = with_flags(found.error.as_deref().unwrap_or_default());
            format!("{title}: {}: {}\n", found.status, one_line(&reason))
        }
    };
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
    if let Some(basis) = &found.basis {
        let _ = write!(title, " {basis}");
    }
    match (found.start, found.end) {
        (Some(start), Some(end)) => {
            let _ = write!(title, " {start} to {end}");
        }
        (None, Some(end)) => {
            let _ = write!(title, " as of {end}");
        }
        _ => {}
    }
    title
}

/// Says on stderr which reports have failed.
fn explain(report: &ReportsReport) {
    use std::io::Write as _;
    for found in report
        .reports
        .iter()
        .filter(|found| found.status == ReportStatus::Failed)
    {
        let reason = with_flags(found.error.as_deref().unwrap_or_default());
        let _ = writeln!(
            std::io::stderr(),
            "failed: {}: {}",
            title(found),
            one_line(&reason)
        );
    }
}
