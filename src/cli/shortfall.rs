//! The last lines on stderr of a command that ends with exit code 1: each window that failed and each
//! record that was set aside, and the command that shows the rest.

use tracing::error;

use super::hint::with_flags;
use super::logging::LAST_LINES;
use super::signals::block_on;
use crate::app::{App, SetAside, set_aside_in_landing};
use crate::domain::instant::format_instant;
use crate::domain::{
    KnownReject, Report, RunReport, SyncReport, Verification, VerificationReport,
    VerificationStatus, Window, WindowReport, WindowStatus,
};
use crate::error::Result;

/// The most windows, and the most records, that are named.
const MAX_NAMED: usize = 10;

const IN_DATABASE: &str = "qbo-rs rejects lists all records that are set aside, qbo-rs status all windows that are not committed";
const IN_LANDING: &str = "records that are set aside are the lines with `rejected` in the landing files; after qbo-rs load, qbo-rs rejects lists them";

/// The place of the records that a run has set aside.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    /// The database; a schema of it.
    Schema(&'p str),
    /// The landing files.
    Landing,
}

/// The failures and rejects of a command, for its last lines.
struct Shortfall {
    /// The `phase` of the lines.
    phase: &'static str,
    failures: Vec<Failure>,
    /// The first records that were set aside.
    set_aside: Vec<SetAside>,
    /// Number of all of them.
    rejected: u64,
    /// The commands that show all of them.
    rest: &'static str,
}

/// A company, an entity or a window that failed or differs.
struct Failure {
    realm_id: String,
    entity: Option<String>,
    window: Option<Window>,
    reason: String,
}

/// Explains the exit code of a backfill, an extract or a load.
pub(super) fn explain_runs(app: &App, report: &Report, place: Place<'_>) {
    let rejected = report.runs.iter().map(|run| run.totals.rejected).sum();
    let (phase, rest) = match place {
        Place::Schema(_) => ("load", IN_DATABASE),
        Place::Landing => ("extract", IN_LANDING),
    };
    let set_aside = look_up(rejected, || match place {
        Place::Schema(schema) => ask(app.set_aside_by_runs(report, schema, MAX_NAMED as u64)),
        Place::Landing => set_aside_in_landing(report, MAX_NAMED),
    });
    let shortfall = Shortfall {
        phase,
        failures: report.runs.iter().flat_map(failures_of_run).collect(),
        set_aside,
        rejected,
        rest,
    };
    shortfall.print();
}

/// Explains the exit code of a sync.
pub(super) fn explain_sync(app: &App, report: &SyncReport) {
    let entities = report.accounts.iter().flat_map(|account| &account.entities);
    let rejected = entities.map(|entity| entity.rejected).sum();
    let failures = report.accounts.iter().flat_map(|account| {
        let of_company = account.error.as_ref().map(|error| (None, error));
        let of_entities = account
            .entities
            .iter()
            // The line of the company says why these were not tried.
            .filter(|entity| !(account.error.is_some() && entity.is_not_attempted()))
            .filter_map(|entity| Some((Some(entity.entity.clone()), entity.error.as_ref()?)));
        of_company
            .into_iter()
            .chain(of_entities)
            .map(|(entity, error)| Failure {
                realm_id: account.realm_id.clone(),
                entity,
                window: None,
                reason: format!("failed: {}", with_flags(error)),
            })
    });
    let shortfall = Shortfall {
        phase: "sync",
        failures: failures.collect(),
        set_aside: look_up(rejected, || {
            ask(app.set_aside_by_sync(report, MAX_NAMED as u64))
        }),
        rejected,
        rest: IN_DATABASE,
    };
    shortfall.print();
}

/// Explains the exit code of a comparison.
pub(super) fn explain_verification(report: &VerificationReport) {
    let set_aside = report.runs.iter().flat_map(|run| {
        let of_run = |reject: &KnownReject| SetAside {
            realm_id: run.realm_id.clone(),
            entity: run.entity.clone(),
            window: Window {
                start: reject.changed_at,
                end: reject.changed_at,
            },
            id: reject.id.clone(),
            error: reject.error.clone(),
            intuit_tid: reject.intuit_tid.clone(),
        };
        run.rejects.iter().map(of_run).collect::<Vec<_>>()
    });
    let shortfall = Shortfall {
        phase: "load",
        failures: report.runs.iter().flat_map(differences).collect(),
        set_aside: set_aside.take(MAX_NAMED).collect(),
        rejected: report.runs.iter().map(|run| run.rejects.len() as u64).sum(),
        rest: IN_DATABASE,
    };
    shortfall.print();
}

/// Waits for the database. A signal ends the wait, and the lines are printed without its answer.
fn ask<T>(call: impl Future<Output = Result<Vec<T>>>) -> Result<Vec<T>> {
    match block_on(call) {
        Ok(found) => Ok(found),
        Err(super::exit::Failure::Error(error)) => Err(error),
        Err(super::exit::Failure::Stopped(_)) => Ok(Vec::new()),
    }
}

/// Looks records up if there are any. Their number is known without that, so an error is only told.
fn look_up(rejected: u64, find: impl FnOnce() -> Result<Vec<SetAside>>) -> Vec<SetAside> {
    if rejected == 0 {
        return Vec::new();
    }
    find().unwrap_or_else(|error| {
        error!(
            target: LAST_LINES,
            phase = "load",
            event = "rejects_not_listed",
            "the records that are set aside cannot be listed: {error}"
        );
        Vec::new()
    })
}

/// Returns the failed windows of a run. Those that were not attempted for the same reason are one.
fn failures_of_run(run: &RunReport) -> Vec<Failure> {
    let failed = run
        .windows
        .iter()
        .filter(|window| window.status == WindowStatus::Failed);
    let (not_attempted, failed): (Vec<&WindowReport>, Vec<_>) =
        failed.partition(|window| window.is_not_attempted());
    let failure = |window: Option<Window>, reason: String| Failure {
        realm_id: run.realm_id.clone(),
        entity: Some(run.entity.clone()),
        window,
        reason,
    };
    let mut failures: Vec<Failure> = failed
        .iter()
        .map(|window| {
            let reason = format!("failed: {}", with_flags(reason_of(window)));
            failure(Some(window.window()), reason)
        })
        .collect();
    if let (Some(first), Some(last)) = (not_attempted.first(), not_attempted.last()) {
        let range = Window {
            start: first.start,
            end: last.end,
        };
        let (count, reason) = (not_attempted.len(), with_flags(reason_of(first)));
        failures.push(failure(Some(range), format!("{count} windows {reason}")));
    }
    failures
}

fn reason_of(window: &WindowReport) -> &str {
    window.error.as_deref().unwrap_or("no reason given")
}

fn differences(run: &Verification) -> Vec<Failure> {
    let difference = |found: &crate::domain::WindowDifference| Failure {
        realm_id: run.realm_id.clone(),
        entity: Some(run.entity.clone()),
        window: Some(found.window()),
        reason: format!(
            "differs: {} in QuickBooks, {} in the table; {} missing, {} stale, {} extra",
            found.source,
            found.table,
            found.missing.len(),
            found.stale.len(),
            found.extra.len()
        ),
    };
    let whole = |reason| Failure {
        realm_id: run.realm_id.clone(),
        entity: Some(run.entity.clone()),
        window: None,
        reason,
    };
    let (source, table) = (run.source, run.table);
    match (&run.unavailable, run.status == VerificationStatus::Ok) {
        (Some(reason), false) => vec![whole(format!(
            "differs: {table} records in the table cannot be compared: {}",
            with_flags(reason)
        ))],
        (None, false) if run.different.is_empty() && source != table => vec![whole(format!(
            "differs: {source} in QuickBooks, {table} in the table, in no window that was compared; compare again"
        ))],
        _ => run.different.iter().map(difference).collect(),
    }
}

impl Shortfall {
    fn print(&self) {
        for failure in self.failures.iter().take(MAX_NAMED) {
            let window = failure.window.map(bounds);
            let (start, end) = window.unzip();
            error!(
                target: LAST_LINES,
                phase = self.phase,
                event = "failure_named",
                realm_id = failure.realm_id.as_str(),
                entity = failure.entity.as_deref(),
                window_start = start.as_deref(),
                window_end = end.as_deref(),
                "{}",
                failure.reason
            );
        }
        let named = self.failures.len().min(MAX_NAMED);
        self.print_count("failures", self.failures.len() - named);
        for record in &self.set_aside {
            let (start, end) = bounds(record.window);
            let has_window = record.window.start < record.window.end;
            let tid = record.intuit_tid.as_deref();
            let added_tid = unnamed_tid(&record.error, tid);
            error!(
                target: LAST_LINES,
                phase = self.phase,
                event = "reject_named",
                realm_id = record.realm_id.as_str(),
                entity = record.entity.as_str(),
                window_start = has_window.then_some(start.as_str()),
                window_end = has_window.then_some(end.as_str()),
                id = record.id.as_deref(),
                intuit_tid = tid,
                "record {} is set aside: {}{added_tid}",
                record.id.as_deref().unwrap_or("of unknown id"),
                record.error
            );
        }
        let unnamed = self.rejected.saturating_sub(self.set_aside.len() as u64);
        self.print_count("records that are set aside", unnamed as usize);
        error!(
            target: LAST_LINES,
            phase = self.phase,
            event = "rest_shown_by",
            "{}",
            self.rest
        );
    }

    /// Prints how many more there are than were named.
    fn print_count(&self, what: &str, more: usize) {
        if more > 0 {
            error!(
                target: LAST_LINES,
                phase = self.phase,
                event = "more_unnamed",
                count = more,
                "and {more} more {what}"
            );
        }
    }
}

/// Returns the clause with Intuit's id of an answer; empty if the error names it.
pub(super) fn unnamed_tid(error: &str, tid: Option<&str>) -> String {
    tid.filter(|tid| !error.contains(tid))
        .map(|tid| format!(" (intuit_tid={tid})"))
        .unwrap_or_default()
}

fn bounds(window: Window) -> (String, String) {
    (format_instant(window.start), format_instant(window.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: u64, table: u64, unavailable: Option<&str>) -> Verification {
        Verification {
            entity: "classes".to_owned(),
            realm_id: "9".to_owned(),
            status: match source == table {
                true => VerificationStatus::Ok,
                false => VerificationStatus::Different,
            },
            windows: 1,
            source,
            table,
            different: Vec::new(),
            rejects: Vec::new(),
            repaired: 0,
            renamed_references: 0,
            read_until: None,
            requests: 1,
            unavailable: unavailable.map(str::to_owned),
        }
    }

    #[test]
    fn each_comparison_that_fails_has_a_line_with_its_reason() {
        for (run, words) in [
            (
                run(0, 7, Some("Feature Not Supported")),
                ["7 records", "Feature Not"],
            ),
            (run(3, 2, None), ["3 in QuickBooks", "2 in the table"]),
        ] {
            let failures = differences(&run);
            assert_eq!(failures.len(), 1);
            for word in words {
                assert!(failures[0].reason.contains(word), "{}", failures[0].reason);
            }
            let report = VerificationReport { runs: vec![run] };
            let text = crate::cli::output::verification(&report);
            assert!(!text.contains("no difference"), "{text}");
        }
        assert!(differences(&run(0, 0, Some("Feature Not Supported"))).is_empty());
        assert!(differences(&run(4, 4, None)).is_empty());
    }
}
