//! Counts of the work that a call has done so far, for those who show it.
//!
//! The core only counts. Whoever shows the counts takes a snapshot on a thread of its own, so that no
//! thread of the core waits for the GIL, and nothing that Python does with it can break a run.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use serde::Serialize;
use tokio::time::Instant;

use crate::domain::{WindowReport, WindowStatus};
use crate::port::{Endpoint, Progress, RunName};

/// Interval between two snapshots that are shown.
const INTERVAL: Duration = Duration::from_millis(250);
/// The status of an answer that asks for slower requests.
const TOO_MANY_REQUESTS: u16 = 429;

/// The counts of a call. A snapshot is JSON; its runs are in the order in which they began.
#[pyclass(frozen, module = "qbo_rs._core")]
#[derive(Default)]
pub(super) struct Following {
    counts: Arc<Counts>,
}

#[pymethods]
impl Following {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Returns the counts, or None if they are those of the last snapshot.
    fn snapshot(&self) -> Option<String> {
        self.counts.take()
    }
}

impl Following {
    /// Returns what the core tells.
    pub(super) fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }
}

/// The counts, written by the threads of the core.
#[derive(Default)]
pub(super) struct Counts(Mutex<State>);

#[derive(Default, Serialize)]
struct State {
    runs: Vec<Run>,
    requests: u64,
    throttled: u64,
    /// Seconds until the next request may be sent.
    paused_s: f64,
    #[serde(skip)]
    paused_until: Option<Instant>,
    #[serde(skip)]
    is_new: bool,
}

#[derive(Default, Serialize)]
struct Run {
    #[serde(skip)]
    realm_id: String,
    entity: String,
    begun: bool,
    windows: usize,
    done: usize,
    failed: usize,
    rows: u64,
    ended: bool,
    #[serde(skip)]
    stored: u64,
}

impl Run {
    fn is(&self, name: RunName<'_>) -> bool {
        self.realm_id == name.realm_id && self.entity == name.entity
    }
}

impl Counts {
    fn change(&self, act: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        act(&mut state);
        state.is_new = true;
    }

    fn change_run(&self, name: RunName<'_>, act: impl FnOnce(&mut Run)) {
        self.change(|state| {
            let is_open = |run: &Run| run.is(name) && !run.ended;
            let place = state.runs.iter().rposition(|run| is_open(run) && run.begun);
            let place = place.or_else(|| state.runs.iter().rposition(is_open));
            if let Some(run) = place.and_then(|place| state.runs.get_mut(place)) {
                act(run);
            }
        });
    }

    fn is_new(&self) -> bool {
        let state = self.0.lock();
        // A pause counts down.
        state.is_new || state.paused_until.is_some()
    }

    fn take(&self) -> Option<String> {
        let mut state = self.0.lock();
        let left = state.paused_until.map(|until| until - Instant::now());
        if !std::mem::take(&mut state.is_new) && left.is_none() {
            return None;
        }
        state.paused_s = left.unwrap_or_default().as_secs_f64();
        if left.is_some_and(|left| left.is_zero()) {
            state.paused_until = None;
        }
        serde_json::to_string(&*state).ok()
    }
}

impl Progress for Counts {
    fn call_started(&self, realm_id: &str, runs: &[(&str, usize)]) {
        self.change(|state| {
            state.runs.extend(runs.iter().map(|(entity, windows)| Run {
                realm_id: realm_id.to_owned(),
                entity: (*entity).to_owned(),
                windows: *windows,
                ..Run::default()
            }));
        });
    }

    fn run_started(&self, name: RunName<'_>, windows: usize) {
        self.change(|state| {
            let is_waiting = |run: &&mut Run| run.is(name) && !run.begun && !run.ended;
            match state.runs.iter_mut().find(is_waiting) {
                Some(run) => {
                    run.begun = true;
                    run.windows = windows;
                }
                None => state.runs.push(Run {
                    realm_id: name.realm_id.to_owned(),
                    entity: name.entity.to_owned(),
                    begun: true,
                    windows,
                    ..Run::default()
                }),
            }
        });
    }

    fn page_read(&self, name: RunName<'_>, rows: usize) {
        self.change_run(name, |run| run.rows += rows as u64);
    }

    fn window_finished(&self, name: RunName<'_>, window: &WindowReport) {
        let is_failed = window.status == WindowStatus::Failed;
        self.change_run(name, |run| {
            run.done += 1;
            run.failed += usize::from(is_failed);
            run.stored += window.rows;
        });
    }

    fn run_finished(&self, name: RunName<'_>) {
        self.change_run(name, |run| {
            run.ended = true;
            // Pages that were read again have counted twice.
            run.rows = match run.stored {
                0 => run.rows,
                stored => stored,
            };
        });
    }

    fn paused(&self, wait: Duration) {
        self.change(|state| state.paused_until = Some(Instant::now() + wait));
    }

    fn request_ended(&self, endpoint: Endpoint, status: Option<u16>, _elapsed: Duration) {
        if endpoint == Endpoint::Data {
            self.change(|state| {
                state.requests += 1;
                state.throttled += u64::from(status == Some(TOO_MANY_REQUESTS));
            });
        }
    }
}

/// Calls `show` while there is something new, on the thread that waits for the call. Returns only an
/// interrupt: another exception ends the showing, not the run.
pub(super) async fn follow(counts: Arc<Counts>, show: Py<PyAny>) -> PyErr {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if !counts.is_new() {
            continue;
        }
        let shown = Python::attach(|py| match show.call0(py) {
            Ok(_) => Ok(()),
            Err(error) => Err((error.is_instance_of::<PyException>(py), error)),
        });
        match shown {
            Ok(()) => {}
            Err((false, interrupt)) => return interrupt,
            Err((true, error)) => {
                log::debug!("progress is not shown any more: {error}");
                std::future::pending::<()>().await;
            }
        }
    }
}
