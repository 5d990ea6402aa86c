//! The count of what a call has done so far: whether it has asked for data, which the exit code says,
//! and how many windows it has committed, which the text of a stop says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::command_line::CommandLine;
use super::logging;
use super::words::{number_in, rows_in, windows_in};
use crate::domain::{Window, WindowReport, WindowStatus};
use crate::language::say;
use crate::port::{Endpoint, Progress, RunName};

/// Counts what happens, and passes everything on.
pub(super) struct Tally {
    next: Arc<dyn Progress>,
    line: CommandLine,
    /// The range that the call reads.
    range: OnceLock<Window>,
    /// Whether what is done is lost when the call is stopped.
    leaves_nothing: AtomicBool,
    has_asked: AtomicBool,
    windows: AtomicU64,
    done: AtomicU64,
    /// Rows of the windows that have ended.
    rows: AtomicU64,
    /// Rows of the parts of windows that have not, each by its company, entity and window.
    parts: Mutex<BTreeMap<(String, String), BTreeMap<Window, u64>>>,
}

impl Tally {
    pub(super) fn new(next: Arc<dyn Progress>, line: CommandLine) -> Self {
        Self {
            next,
            line,
            range: OnceLock::new(),
            leaves_nothing: AtomicBool::new(false),
            has_asked: AtomicBool::new(false),
            windows: AtomicU64::new(0),
            done: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            parts: Mutex::default(),
        }
    }

    /// Returns true if a request for data was made.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// Says which range this call reads.
    pub(super) fn reads(&self, range: Window) {
        let _ = self.range.set(range);
    }

    /// Says that no later call can go on where this one ends.
    pub(super) fn leaves_nothing(&self) {
        self.leaves_nothing.store(true, Ordering::Relaxed);
    }

    /// Returns the command that goes on where this one has ended, or does all of it again.
    pub(super) fn again(&self) -> String {
        let resumes = !self.leaves_nothing.load(Ordering::Relaxed);
        self.line.again(self.range.get().copied(), resumes)
    }

    /// Returns the flag that names the file of the settings, with a blank before it; nothing without one.
    pub(super) fn env_file_flag(&self) -> String {
        self.line.env_file_flag()
    }

    /// Returns the flag that names the company, with a blank before it; nothing without one.
    pub(super) fn company_flag(&self) -> String {
        self.line.company_flag()
    }

    /// Says what was done before the call was stopped, and how to go on.
    pub(super) fn stopped(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let again = self.again();
        let language = logging::language();
        if self.leaves_nothing.load(Ordering::Relaxed) {
            return say!(in language; "Stopped; nothing was written to stdout. Again:  {again}", again);
        }
        let in_parts: u64 = self.parts.lock().values().flat_map(BTreeMap::values).sum();
        let rows = count(&self.rows) + in_parts;
        let windows = windows_in(language, count(&self.windows));
        match count(&self.done) {
            0 if rows == 0 => {
                say!(in language; "Stopped before a window was complete. Go on:  {again}", again)
            }
            done => say!(in language;
                "Stopped after {done} of {windows}, {rows}; they stay. Go on:  {again}",
                done = number_in(language, done),
                windows,
                rows = rows_in(language, rows),
                again
            ),
        }
    }
}

impl Progress for Tally {
    fn next(&self) -> Option<&dyn Progress> {
        Some(&*self.next)
    }

    fn call_started(&self, realm_id: &str, runs: &[(&str, usize)]) {
        let windows: usize = runs.iter().map(|(_, windows)| windows).sum();
        self.windows.fetch_add(windows as u64, Ordering::Relaxed);
        self.next.call_started(realm_id, runs);
    }

    fn part_committed(&self, run: RunName<'_>, window: Window, rows: u64) {
        let mut parts = self.parts.lock();
        parts.entry(key(run)).or_default().insert(window, rows);
        drop(parts);
        self.next.part_committed(run, window, rows);
    }

    fn window_finished(&self, run: RunName<'_>, window: &WindowReport) {
        if let Some(parts) = self.parts.lock().get_mut(&key(run)) {
            parts.remove(&window.window());
        }
        if window.status == WindowStatus::Done {
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        // Those of a window that has failed stay, too.
        self.rows.fetch_add(window.rows, Ordering::Relaxed);
        self.next.window_finished(run, window);
    }

    fn request_ended(&self, endpoint: Endpoint, status: Option<u16>, elapsed: Duration) {
        if endpoint == Endpoint::Data {
            self.has_asked.store(true, Ordering::Relaxed);
        }
        self.next.request_ended(endpoint, status, elapsed);
    }
}

fn key(run: RunName<'_>) -> (String, String) {
    (run.realm_id.to_owned(), run.entity.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::NoProgress;

    #[test]
    fn a_stop_says_what_is_done_and_how_to_go_on() {
        let line = "qbo-rs backfill invoices --start 2024-01-01 --end 2024-01-03";
        let line = CommandLine::new(line.split(' ').map(str::to_owned));
        let tally = Tally::new(Arc::new(NoProgress), line);
        assert!(
            tally
                .stopped()
                .starts_with("Stopped before a window was complete. Go on:  qbo-rs")
        );
        tally.call_started("9", &[("invoices", 2)]);
        let window = Window::parse("2024-01-01", "2024-01-02").unwrap();
        let done = WindowReport {
            rows: 12_969,
            ..WindowReport::empty(window, WindowStatus::Done)
        };
        let run = RunName {
            realm_id: "9",
            entity: "invoices",
        };
        let second = Window::parse("2024-01-02", "2024-01-03").unwrap();
        tally.part_committed(run, second, 1000);
        tally.part_committed(run, second, 2000);
        assert!(
            tally.stopped().contains("after 0 of 2 windows, 2,000 rows"),
            "{}",
            tally.stopped()
        );
        tally.part_committed(run, window, 5);
        tally.window_finished(run, &done);
        assert!(
            tally.stopped().contains("14,969 rows"),
            "{}",
            tally.stopped()
        );
        tally.window_finished(run, &WindowReport::empty(second, WindowStatus::Failed));
        assert_eq!(
            tally.stopped(),
            "Stopped after 1 of 2 windows, 12,969 rows; they stay. Go on:  qbo-rs backfill invoices \
             --start 2024-01-01 --end 2024-01-03 --resume"
        );
    }
}
