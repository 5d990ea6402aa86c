//! The progress of a tie-out: the reports that are read, and the records that are compared with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::NaiveDate;

use crate::domain::reports::Basis;
use crate::domain::{Window, WindowReport, WindowStatus};
use crate::error::Result;
use crate::port::{Progress, RunName};

const REPORTS: &str = "reports";
const RECORDS: &str = "records";
/// The reports that every comparison reads, and those of open documents, which cash basis has not. Where the
/// books differ, more follow.
const COMMON_REPORTS: usize = 5;
const REPORTS_OF_AGES: usize = 2;
/// Records are read, then compared.
const STEPS: usize = 2;

/// Tells an observer how far a tie-out is.
pub(super) struct Watched {
    progress: Arc<dyn Progress>,
    realm_id: String,
    days: Window,
    /// Reports that may still be counted before the end: books that differ need more than is known at the start.
    reports_left: AtomicUsize,
}

impl Watched {
    /// # Errors
    /// [`Error::Config`](crate::Error) about days that are no range.
    pub(super) fn new(
        progress: Arc<dyn Progress>,
        realm_id: &str,
        (first, last): (NaiveDate, NaiveDate),
    ) -> Result<Self> {
        let end = last.succ_opt().unwrap_or(last);
        let days = Window::parse(&first.to_string(), &end.to_string())?;
        Ok(Self {
            progress,
            realm_id: realm_id.to_owned(),
            days,
            reports_left: AtomicUsize::new(0),
        })
    }

    fn run<'n>(&'n self, entity: &'n str) -> RunName<'n> {
        RunName {
            realm_id: &self.realm_id,
            entity,
        }
    }

    pub(super) fn call_started(&self, basis: Basis) {
        let reports = match basis {
            Basis::Accrual => COMMON_REPORTS + REPORTS_OF_AGES,
            Basis::Cash => COMMON_REPORTS,
        };
        // The last one is counted when all is compared.
        self.reports_left.store(reports - 1, Ordering::Relaxed);
        let runs = [(REPORTS, reports), (RECORDS, STEPS)];
        self.progress.call_started(&self.realm_id, &runs);
        for (name, steps) in runs {
            self.progress.run_started(self.run(name), steps);
        }
    }

    pub(super) fn report_read(&self, rows: usize) {
        self.progress.page_read(self.run(REPORTS), rows);
        let order = Ordering::Relaxed;
        let is_counted = self
            .reports_left
            .fetch_update(order, order, |left| left.checked_sub(1));
        if is_counted.is_ok() {
            self.step_done(REPORTS, rows);
        }
    }

    pub(super) fn records_read(&self, records: usize) {
        self.progress.page_read(self.run(RECORDS), records);
        self.step_done(RECORDS, records);
    }

    pub(super) fn compared(&self) {
        self.step_done(REPORTS, 0);
        self.step_done(RECORDS, 0);
        self.progress.run_finished(self.run(REPORTS));
        self.progress.run_finished(self.run(RECORDS));
    }

    fn step_done(&self, name: &str, rows: usize) {
        let report = WindowReport {
            rows: rows as u64,
            ..WindowReport::empty(self.days, WindowStatus::Done)
        };
        self.progress.window_finished(self.run(name), &report);
    }
}
