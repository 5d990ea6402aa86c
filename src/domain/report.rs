//! The report of a run. Serialised, it is the `--json` object of the command line.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{CallCost, FailureKind, NOT_ATTEMPTED, RunCost, Window};
use crate::error::{Error, Recovery};

/// Outcome of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowStatus {
    /// Read, stored and committed.
    Done,
    /// Failed, so it is not committed. If more of its records were set aside than is allowed, or the
    /// search for bad ones ended without a result, its good records are in the table; the counts say
    /// how many.
    Failed,
    /// Not read; [`SkipReason`] says why.
    Skipped,
}

/// Why a window was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// An earlier run has committed it, or has left its landing file.
    Committed,
    /// It lies in the future.
    Future,
    /// It has no records, and its source does not say up to when it was read: a landing file of an earlier version.
    Unread,
    /// The company does not have the entity.
    Unavailable,
    /// This is a dry run: the window would be read.
    Planned,
}

/// Outcome of one entity's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// No window failed.
    Ok,
    /// Some windows failed; the others are committed.
    Partial,
    /// Every window that was read failed.
    Failed,
}

impl RunStatus {
    /// Returns its name in reports and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

/// Why a run ended before all of its windows were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// The company does not have the entity.
    Unavailable(String),
    /// No request to the company would succeed, whatever the entity.
    CompanyLost(String, Recovery, FailureKind),
    /// Every other window of the run would fail in the same way.
    Failure(String, Recovery),
}

impl RunReport {
    /// Returns why QuickBooks denies the company, which ended the run.
    pub(crate) fn denial(&self) -> Option<&str> {
        match &self.ended_by {
            Some(RunEnd::CompanyLost(reason, _, FailureKind::AccessDenied)) => Some(reason),
            _ => None,
        }
    }

    /// Returns true if QuickBooks denies the company.
    pub(crate) fn is_denied(&self) -> bool {
        self.denial().is_some()
    }
}

impl RunEnd {
    /// Returns the end of the run that an error causes; `None` if only its window has failed.
    pub fn of(error: &Error) -> Option<Self> {
        let reason = || error.to_string();
        match () {
            () if error.is_unavailable() => Some(Self::Unavailable(reason())),
            () if error.ends_company() => {
                let kind = FailureKind::of(error);
                Some(Self::CompanyLost(reason(), error.recovery(), kind))
            }
            () if error.ends_run() || error.denies_entity() => {
                Some(Self::Failure(reason(), error.recovery()))
            }
            () => None,
        }
    }

    /// Returns the step that helps, if it is another one than the same call.
    fn recovery(&self) -> Option<Recovery> {
        match self {
            Self::Unavailable(_) => None,
            Self::CompanyLost(_, recovery, _) | Self::Failure(_, recovery) => {
                Some(*recovery).filter(|recovery| *recovery != Recovery::Retry)
            }
        }
    }

    /// Returns the report of a window that was not read because the run had ended.
    pub fn report(&self, window: Window) -> WindowReport {
        match self {
            Self::Unavailable(reason) => WindowReport {
                error: Some(reason.clone()),
                ..WindowReport::skipped(window, SkipReason::Unavailable)
            },
            Self::CompanyLost(reason, ..) | Self::Failure(reason, _) => {
                WindowReport::not_attempted(window, reason)
            }
        }
    }
}

/// Counts of what a sink did with the records of one window. The other four add up to `rows`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Distinct records that were written.
    pub rows: u64,
    /// Records that were new in the table.
    pub inserted: u64,
    /// Records that replaced an older version.
    pub updated: u64,
    /// Records that the table already had in this or a newer version.
    pub unchanged: u64,
    /// Records that could not be stored.
    pub rejected: u64,
}

/// Report of one window.
#[derive(Debug, Clone, Serialize)]
pub struct WindowReport {
    /// First instant of the window.
    pub start: DateTime<Utc>,
    /// First instant after the window.
    pub end: DateTime<Utc>,
    /// Outcome.
    pub status: WindowStatus,
    /// Number of pages that held its records or were requested at its start.
    pub pages: u32,
    /// Distinct records.
    pub rows: u64,
    /// New records.
    pub inserted: u64,
    /// Changed records.
    pub updated: u64,
    /// Records that the table already had.
    pub unchanged: u64,
    /// Records that could not be stored.
    pub rejected: u64,
    /// HTTP requests for data, retries included. A request that serves several windows counts for the
    /// first one.
    pub requests: u64,
    /// Number of those requests that were retries.
    pub retries: u64,
    /// Wall time, milliseconds.
    pub duration_ms: u64,
    /// Reason of the failure, one line; for a skipped window, that the company does not have the
    /// entity.
    pub error: Option<String>,
    /// Kind of the failure, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureKind>,
    /// Instant up to which it was read, if it reaches into the present and was read only in part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_until: Option<DateTime<Utc>>,
    /// Path of the landing file, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why it was not read, if it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<SkipReason>,
}

impl WindowReport {
    /// Creates a report of a window that was not read.
    pub fn skipped(window: Window, reason: SkipReason) -> Self {
        Self {
            skip_reason: Some(reason),
            ..Self::empty(window, WindowStatus::Skipped)
        }
    }

    /// Creates a report of a window that failed before anything of it was tried.
    pub fn not_attempted(window: Window, reason: &str) -> Self {
        Self {
            error: Some(format!("{NOT_ATTEMPTED}{reason}")),
            failure: Some(FailureKind::NotAttempted),
            ..Self::empty(window, WindowStatus::Failed)
        }
    }

    /// Creates a report of a window that failed.
    pub fn failed(window: Window, error: &Error) -> Self {
        Self {
            error: Some(error.to_string()),
            failure: Some(FailureKind::of(error)),
            ..Self::empty(window, WindowStatus::Failed)
        }
    }

    /// Returns true if the window failed before anything of it was tried.
    pub fn is_not_attempted(&self) -> bool {
        self.failure == Some(FailureKind::NotAttempted)
    }

    /// Creates a report in which all counts are 0.
    pub fn empty(window: Window, status: WindowStatus) -> Self {
        Self {
            start: window.start,
            end: window.end,
            status,
            pages: 0,
            rows: 0,
            inserted: 0,
            updated: 0,
            unchanged: 0,
            rejected: 0,
            requests: 0,
            retries: 0,
            duration_ms: 0,
            error: None,
            failure: None,
            read_until: None,
            path: None,
            skip_reason: None,
        }
    }

    /// Sets the counts of a sink.
    #[must_use]
    pub fn with_counts(mut self, counts: LoadCounts) -> Self {
        self.rows = counts.rows;
        self.inserted = counts.inserted;
        self.updated = counts.updated;
        self.unchanged = counts.unchanged;
        self.rejected = counts.rejected;
        self
    }

    /// Returns the window.
    pub fn window(&self) -> Window {
        Window {
            start: self.start,
            end: self.end,
        }
    }
}

/// Sums over the windows of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Windows of the plan, skipped ones included.
    pub windows: u64,
    /// Sum of the windows' pages. A page with records of several windows counts for each of them.
    pub pages: u64,
    /// Records, each counted once per window.
    pub rows: u64,
    /// New records.
    pub inserted: u64,
    /// Changed records.
    pub updated: u64,
    /// Records that the table already had.
    pub unchanged: u64,
    /// Records that could not be stored.
    pub rejected: u64,
    /// HTTP requests for data.
    pub requests: u64,
    /// Number of those requests that were retries.
    pub retries: u64,
    /// Wall time of the run, milliseconds. Less than the sum of the windows, which overlap.
    pub duration_ms: u64,
}

/// Report of one entity's run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// Name of the entity.
    pub entity: String,
    /// Id of the company.
    pub realm_id: String,
    /// Id of this run in the ledger and the logs.
    pub run_id: String,
    /// Outcome.
    pub status: RunStatus,
    /// Reports of the windows, oldest first.
    pub windows: Vec<WindowReport>,
    /// Sums over the windows.
    pub totals: Totals,
    /// The step that helps, if the run has ended because the same call would fail again: only a
    /// person, or a change of settings or data, can help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// The cost of the run, if this is a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<RunCost>,
    /// Why the run ended before all windows were read, if it did.
    #[serde(skip)]
    pub ended_by: Option<RunEnd>,
}

impl RunReport {
    /// Creates a report; sorts `windows` and sums them up.
    pub fn new(
        entity: &str,
        realm_id: &str,
        run_id: &str,
        mut windows: Vec<WindowReport>,
        duration_ms: u64,
    ) -> Self {
        windows.sort_by_key(|w| (w.start, w.end));
        let mut totals = Totals {
            windows: windows.len() as u64,
            duration_ms,
            ..Totals::default()
        };
        for w in &windows {
            totals.pages += u64::from(w.pages);
            totals.rows += w.rows;
            totals.inserted += w.inserted;
            totals.updated += w.updated;
            totals.unchanged += w.unchanged;
            totals.rejected += w.rejected;
            totals.requests += w.requests;
            totals.retries += w.retries;
        }
        let failed = windows
            .iter()
            .filter(|w| w.status == WindowStatus::Failed)
            .count();
        let done = windows
            .iter()
            .filter(|w| w.status == WindowStatus::Done)
            .count();
        let status = match (failed, done) {
            (0, _) => RunStatus::Ok,
            (_, 0) => RunStatus::Failed,
            _ => RunStatus::Partial,
        };
        Self {
            entity: entity.into(),
            realm_id: realm_id.into(),
            run_id: run_id.into(),
            status,
            windows,
            totals,
            recovery: None,
            plan: None,
            ended_by: None,
        }
    }

    /// Adds why the run ended before all windows were read, if it did.
    pub(crate) fn ended_by(self, end: Option<RunEnd>) -> Self {
        Self {
            recovery: end.as_ref().and_then(RunEnd::recovery),
            ended_by: end,
            ..self
        }
    }

    /// Returns the reason if the company does not have the entity.
    pub fn unavailable(&self) -> Option<&str> {
        match &self.ended_by {
            Some(RunEnd::Unavailable(reason)) => Some(reason),
            _ => None,
        }
    }
}

/// Report of one call: one run per entity.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Runs in the order of the requested entities.
    pub runs: Vec<RunReport>,
    /// State of the connection to the company after the call, if one was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionReport>,
    /// The cost of all runs together, if this is a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<CallCost>,
}

/// State of the connection to a company.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionReport {
    /// Id of the company.
    pub realm_id: String,
    /// Instant at which the refresh token expires if it is not used.
    pub refresh_token_expires_at: Option<DateTime<Utc>>,
    /// Instant at which the connection ends even if it is used (qbo-facts 1.4).
    pub connection_expires_at: Option<DateTime<Utc>>,
    /// Whole days until the earlier of the two.
    pub days_left: Option<i64>,
    /// Successful reads in this calendar month, by all processes that share the limits.
    pub monthly_reads: u64,
    /// Advice for a person, if the connection ends within 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl Report {
    /// Returns true if a window failed.
    pub fn has_failures(&self) -> bool {
        self.runs.iter().any(|run| run.status != RunStatus::Ok)
    }

    /// Returns true if no window failed and no record was rejected.
    pub fn is_complete(&self) -> bool {
        self.runs
            .iter()
            .all(|run| run.status == RunStatus::Ok && run.totals.rejected == 0)
    }
}

impl Report {
    /// Divides the runs: those with something of their own to tell, and those of which nothing was
    /// tried, because an earlier run had found that the company cannot be read.
    pub fn told_and_untried(&self) -> (Vec<&RunReport>, Vec<&RunReport>) {
        let is_lost = |run: &RunReport| matches!(run.ended_by, Some(RunEnd::CompanyLost(..)));
        let first = self.runs.iter().position(is_lost);
        let runs = self.runs.iter().enumerate();
        let (untried, told): (Vec<_>, Vec<_>) = runs.partition(|(index, run)| {
            let mut failed = run
                .windows
                .iter()
                .filter(|window| window.status == WindowStatus::Failed);
            first.is_some_and(|first| *index > first)
                && is_lost(run)
                && failed.all(WindowReport::is_not_attempted)
        });
        let runs = |numbered: Vec<(usize, _)>| numbered.into_iter().map(|(_, run)| run).collect();
        (runs(told), runs(untried))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn window(day: u32, status: WindowStatus) -> WindowReport {
        let at = |d| Utc.with_ymd_and_hms(2025, 1, d, 0, 0, 0).unwrap();
        WindowReport::empty(
            Window {
                start: at(day),
                end: at(day + 1),
            },
            status,
        )
        .with_counts(LoadCounts {
            rows: 12,
            inserted: 12,
            ..LoadCounts::default()
        })
    }

    #[test]
    fn json_has_the_keys_of_the_contract_in_order() {
        let report = Report {
            runs: vec![RunReport::new(
                "customers",
                "9",
                "r",
                vec![window(1, WindowStatus::Done)],
                7,
            )],
            ..Report::default()
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            concat!(
                r#"{"runs":[{"entity":"customers","realm_id":"9","run_id":"r","status":"ok","#,
                r#""windows":[{"start":"2025-01-01T00:00:00Z","end":"2025-01-02T00:00:00Z","status":"done","pages":0,"rows":12,"#,
                r#""inserted":12,"updated":0,"unchanged":0,"rejected":0,"requests":0,"retries":0,"duration_ms":0,"error":null}],"#,
                r#""totals":{"windows":1,"pages":0,"rows":12,"inserted":12,"updated":0,"unchanged":0,"rejected":0,"#,
                r#""requests":0,"retries":0,"duration_ms":7}}]}"#
            )
        );
    }

    #[test]
    fn status_distinguishes_some_failed_from_all_failed() {
        use WindowStatus::{Done, Failed, Skipped};
        let status = |all: &[WindowStatus]| {
            RunReport::new(
                "x",
                "9",
                "r",
                all.iter().map(|s| window(1, *s)).collect(),
                0,
            )
            .status
        };
        assert_eq!(status(&[Done, Skipped]), RunStatus::Ok);
        assert_eq!(status(&[Done, Failed]), RunStatus::Partial);
        assert_eq!(status(&[Failed, Skipped]), RunStatus::Failed);
        assert_eq!(status(&[]), RunStatus::Ok);
    }
}
