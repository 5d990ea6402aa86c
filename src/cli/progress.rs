//! Progress bars, on a terminal only; and whether data was asked for, which the exit code says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::domain::WindowReport;
use crate::port::{Endpoint, Progress};

/// A bar per run: windows done, rows, rows a second, time left.
#[derive(Debug, Clone)]
pub(super) struct Bars {
    all: MultiProgress,
    runs: Arc<Mutex<HashMap<String, Run>>>,
}

#[derive(Debug)]
struct Run {
    bar: ProgressBar,
    begin: Instant,
    rows: usize,
}

impl Bars {
    pub(super) fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            runs: Arc::default(),
        }
    }

    /// Hides the bars while `act` writes to the terminal.
    pub(super) fn suspend<T>(&self, act: impl FnOnce() -> T) -> T {
        self.all.suspend(act)
    }

    fn with(&self, entity: &str, act: impl FnOnce(&mut Run)) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = runs.get_mut(entity) {
            act(run);
        }
    }
}

impl Progress for Bars {
    fn run_started(&self, entity: &str, windows: usize) {
        let bar = self
            .all
            .add(ProgressBar::new(windows as u64))
            .with_prefix(entity.to_owned());
        // The template is a constant; a mistake in it would show in the first run.
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix:10} {wide_bar} {pos}/{len} windows, {msg}, {eta} left",
        ) {
            bar.set_style(style);
        }
        bar.set_message("0 rows");
        let run = Run {
            bar,
            begin: Instant::now(),
            rows: 0,
        };
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(entity.to_owned(), run);
    }

    fn page_read(&self, entity: &str, rows: usize) {
        self.with(entity, |run| {
            run.rows += rows;
            let rate = run.rows as f64 / run.begin.elapsed().as_secs_f64().max(0.001);
            run.bar
                .set_message(format!("{} rows, {rate:.0} rows/s", run.rows));
        });
    }

    fn window_finished(&self, entity: &str, _window: &WindowReport) {
        self.with(entity, |run| run.bar.inc(1));
    }

    fn run_finished(&self, entity: &str) {
        self.with(entity, |run| run.bar.finish_and_clear());
    }
}

/// Remembers whether a request for data was made, and passes everything on.
pub(super) struct DataRequests {
    next: Arc<dyn Progress>,
    were_made: AtomicBool,
}

impl DataRequests {
    pub(super) fn new(next: Arc<dyn Progress>) -> Self {
        Self {
            next,
            were_made: AtomicBool::new(false),
        }
    }

    pub(super) fn were_made(&self) -> bool {
        self.were_made.load(Ordering::Relaxed)
    }
}

impl Progress for DataRequests {
    fn run_started(&self, entity: &str, windows: usize) {
        self.next.run_started(entity, windows);
    }

    fn page_read(&self, entity: &str, rows: usize) {
        self.next.page_read(entity, rows);
    }

    fn window_finished(&self, entity: &str, window: &WindowReport) {
        self.next.window_finished(entity, window);
    }

    fn run_finished(&self, entity: &str) {
        self.next.run_finished(entity);
    }

    fn request_ended(&self, endpoint: Endpoint, status: Option<u16>, elapsed: Duration) {
        if endpoint == Endpoint::Data {
            self.were_made.store(true, Ordering::Relaxed);
        }
        self.next.request_ended(endpoint, status, elapsed);
    }
}
