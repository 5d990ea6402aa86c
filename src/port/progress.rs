//! Events of runs and requests, and who observes them.

use std::time::Duration;

use crate::domain::{Window, WindowReport};

/// Endpoint of QuickBooks that a request is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// The API of a company.
    Data,
    /// The token endpoint.
    Token,
}

/// The name of a run: several companies are read side by side, each with the same entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunName<'n> {
    /// The company.
    pub realm_id: &'n str,
    /// The entity, or what else is read.
    pub entity: &'n str,
}

/// Observer of runs and of the requests sent for them. Methods may be called from several tasks at
/// once.
///
/// An event that an observer does not name goes to the next one, so that a new event needs no line
/// in those that only look at a few.
pub trait Progress: Send + Sync + 'static {
    /// The observer that is told what this one does not name.
    fn next(&self) -> Option<&dyn Progress> {
        None
    }
    /// A call has started: the company, and each of its runs with its number of windows.
    fn call_started(&self, realm_id: &str, runs: &[(&str, usize)]) {
        if let Some(next) = self.next() {
            next.call_started(realm_id, runs);
        }
    }
    /// A run has started.
    fn run_started(&self, run: RunName<'_>, windows: usize) {
        if let Some(next) = self.next() {
            next.run_started(run, windows);
        }
    }
    /// A page was passed to the sink.
    fn page_read(&self, run: RunName<'_>, rows: usize) {
        if let Some(next) = self.next() {
            next.page_read(run, rows);
        }
    }
    /// A part of a window is committed; the rows are those of all its parts.
    fn part_committed(&self, run: RunName<'_>, window: Window, rows: u64) {
        if let Some(next) = self.next() {
            next.part_committed(run, window, rows);
        }
    }
    /// A window has ended, successfully or not.
    fn window_finished(&self, run: RunName<'_>, window: &WindowReport) {
        if let Some(next) = self.next() {
            next.window_finished(run, window);
        }
    }
    /// A run has ended.
    fn run_finished(&self, run: RunName<'_>) {
        if let Some(next) = self.next() {
            next.run_finished(run);
        }
    }
    /// A request has ended, with a status or without an answer.
    fn request_ended(&self, endpoint: Endpoint, status: Option<u16>, elapsed: Duration) {
        if let Some(next) = self.next() {
            next.request_ended(endpoint, status, elapsed);
        }
    }
    /// QuickBooks has asked for a pause of all requests.
    fn paused(&self, wait: Duration) {
        if let Some(next) = self.next() {
            next.paused(wait);
        }
    }
}

/// An observer that ignores everything.
#[derive(Debug, Clone, Copy)]
pub struct NoProgress;

impl Progress for NoProgress {}
