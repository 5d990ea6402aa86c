//! The progress of a tie-out: the reports that are read, and the records that are compared with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    /// Rows of reports that were not counted, for the last step.
    rows_left: AtomicUsize,
    /// True once the records were told: a comparison that looks again reads them again.
    are_records_told: AtomicBool,
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
            rows_left: AtomicUsize::new(0),
            are_records_told: AtomicBool::new(false),
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
        match is_counted {
            Ok(_) => self.step_done(REPORTS, rows),
            Err(_) => _ = self.rows_left.fetch_add(rows, order),
        }
    }

    pub(super) fn records_read(&self, records: usize) {
        if self.are_records_told.swap(true, Ordering::Relaxed) {
            return;
        }
        self.progress.page_read(self.run(RECORDS), records);
        self.step_done(RECORDS, records);
    }

    pub(super) fn compared(&self) {
        self.step_done(REPORTS, self.rows_left.swap(0, Ordering::Relaxed));
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

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Counts the rows of pages of a run, and the windows with their rows.
    struct Counted(&'static str, Mutex<(usize, Vec<u64>)>);

    impl Counted {
        fn of(run: &'static str) -> Arc<Self> {
            Arc::new(Self(run, Mutex::default()))
        }
    }

    impl Progress for Counted {
        fn page_read(&self, run: RunName<'_>, rows: usize) {
            if run.entity == self.0 {
                self.1.lock().0 += rows;
            }
        }

        fn window_finished(&self, run: RunName<'_>, window: &WindowReport) {
            if run.entity == self.0 {
                self.1.lock().1.push(window.rows);
            }
        }
    }

    fn watched(counted: &Arc<Counted>) -> Watched {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let days = (day("2031-01-01"), day("2031-01-31"));
        let watched = Watched::new(counted.clone(), "9", days).unwrap();
        watched.call_started(Basis::Accrual);
        watched
    }

    #[test]
    fn records_are_told_once_however_often_the_books_are_looked_at() {
        for looks in 1..=4 {
            let counted = Counted::of(RECORDS);
            let watched = watched(&counted);
            for look in 0..looks {
                // Somebody adds a record meanwhile.
                watched.records_read(100 + look);
            }
            watched.compared();
            assert_eq!(std::mem::take(&mut *counted.1.lock()), (100, vec![100, 0]));
        }
    }

    #[test]
    fn more_reports_than_were_planned_are_no_more_steps_and_all_rows_are_told() {
        for (reports, steps) in [(3, 4), (7, 7), (12, 7)] {
            let counted = Counted::of(REPORTS);
            let watched = watched(&counted);
            for _ in 0..reports {
                watched.report_read(10);
            }
            watched.compared();
            let (rows, windows) = std::mem::take(&mut *counted.1.lock());
            assert_eq!((rows, windows.len()), (reports * 10, steps));
            assert_eq!(windows.iter().sum::<u64>(), rows as u64);
        }
    }
}
