//! The result of the verb, and the list of all reports.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use serde::Serialize;

use crate::domain::reports::{
    BasisStyle, DateStyle, REPORTS, ReportAnswer, ReportRow, ReportSpec, RowPlaces,
};

/// The outcome of a QuickBooks report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    /// It was asked for and is in Postgres.
    Landed,
    /// It was not asked for, because nothing has changed since it was landed.
    Skipped,
    /// The company does not have it.
    Unavailable,
    /// It could not be had; see the error.
    Failed,
}

/// One answer of QuickBooks in Postgres.
#[derive(Debug, Clone, Serialize)]
pub struct AnswerSummary {
    /// Id in `qb_reports` and `qbo.report_rows`.
    pub id: String,
    /// First day; `None` for a report without one.
    pub start: Option<NaiveDate>,
    /// Last day.
    pub end: Option<NaiveDate>,
    /// `new`, `changed` or `unchanged` since the last time.
    pub outcome: &'static str,
    /// Rows of the answer that are not blank.
    pub rows: u64,
    /// Cells that were written.
    pub cells: u64,
}

/// A row of a report.
#[derive(Debug, Clone, Serialize)]
pub struct ReportLine {
    /// Labels of the sections that it stands in, from the outermost one.
    pub path: Vec<String>,
    /// `header`, `data` or `summary`.
    pub kind: &'static str,
    /// Stable name of the row, or of its innermost section that has one.
    pub group: Option<String>,
    /// Id of its account.
    pub account_id: Option<String>,
    /// The report's own word for the type of its transaction.
    pub txn_type: Option<String>,
    /// Id of its transaction.
    pub txn_id: Option<String>,
    /// Id of its customer, vendor or employee.
    pub party_id: Option<String>,
    /// Texts by the keys of their columns, without empty ones.
    pub cells: BTreeMap<String, String>,
}

/// One QuickBooks report of one range of days.
#[derive(Debug, Clone, Serialize)]
pub struct LandedReportSummary {
    /// Intuit's name of it.
    pub report: &'static str,
    /// `accrual` or `cash`; `None` for a report without a basis.
    pub basis: Option<String>,
    /// First day that was asked for.
    pub start: Option<NaiveDate>,
    /// Last day that was asked for.
    pub end: Option<NaiveDate>,
    /// The outcome.
    pub status: ReportStatus,
    /// The reason of a failure.
    pub error: Option<String>,
    /// Number of requests, retries included.
    pub requests: u64,
    /// Home currency of the company.
    pub currency: Option<String>,
    /// Keys of the columns.
    pub columns: Vec<String>,
    /// The answers, oldest first: a long range is asked for in parts.
    pub answers: Vec<AnswerSummary>,
    /// The rows of all answers, if they were asked for.
    pub rows: Vec<ReportLine>,
}

/// The result of the verb `reports`.
#[derive(Debug, Clone, Serialize)]
pub struct ReportsReport {
    /// Id of the company.
    pub realm_id: String,
    /// Schema of `qb_reports`.
    pub schema: String,
    /// The reports, in the order in which they were asked for.
    pub reports: Vec<LandedReportSummary>,
}

impl ReportsReport {
    /// Returns true if no report has failed.
    pub fn is_complete(&self) -> bool {
        self.reports
            .iter()
            .all(|report| report.status != ReportStatus::Failed)
    }
}

/// A report that can be asked for.
#[derive(Debug, Clone, Serialize)]
pub struct KnownReport {
    /// Name in the style of qbo-rs, such as `trial_balance`.
    pub name: String,
    /// Intuit's name in addresses and answers.
    pub route: &'static str,
    /// The name under which Intuit documents it.
    pub documented: &'static str,
    /// `range`, `day` or `none`.
    pub dates: &'static str,
    /// It takes a basis.
    pub has_basis: bool,
    /// A long range is asked for in parts.
    pub adds_up: bool,
    /// Names of the parameters that it takes.
    pub parameters: Vec<&'static str>,
}

/// Returns all reports that can be asked for.
pub fn known_reports() -> Vec<KnownReport> {
    let known = REPORTS.iter().map(|spec| KnownReport {
        name: spec.name(),
        route: spec.route,
        documented: spec.documented,
        dates: match spec.dates {
            DateStyle::Range => "range",
            DateStyle::ReportDate => "day",
            DateStyle::Undated => "none",
        },
        has_basis: spec.basis != BasisStyle::Absent,
        adds_up: spec.adds_up,
        parameters: spec.parameters().collect(),
    });
    known.collect()
}

/// Returns the rows of an answer.
pub(super) fn lines(report: &ReportSpec, answer: &ReportAnswer) -> Vec<ReportLine> {
    let places = RowPlaces::of(report, answer);
    let line = |row: &ReportRow| {
        let place = places.row(row);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let groups = row
            .path
            .iter()
            .rev()
            .find_map(|section| section.group.clone());
        let cells = row.cells.iter().zip(&answer.columns);
        let cells = cells.filter(|(cell, _)| !cell.value.is_empty());
        ReportLine {
            path: row
                .path
                .iter()
                .map(|section| section.label.clone())
                .collect(),
            kind: row.kind.word(),
            group: row.group.clone().or(groups),
            account_id: owned(place.account_id),
            txn_type: owned(place.txn_type),
            txn_id: owned(place.txn_id),
            party_id: owned(place.party_id),
            cells: cells
                .map(|(cell, column)| (column.key.clone(), cell.value.clone()))
                .collect(),
        }
    };
    answer.rows.iter().map(line).collect()
}

impl fmt::Display for ReportStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Landed => "landed",
            Self::Skipped => "skipped",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        })
    }
}
