//! The task that reads a run of adjacent windows, with the retries of a window whose sink failed.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use super::open_window::OpenWindow;
use super::span::SpanDivider;
use super::task::SpanTask;
use crate::domain::{RunEnd, Window};
use crate::error::without_panics;
use crate::port::{Meter, RequestCounts, Sink, Source, Span};

/// Reads adjacent windows. A window that fails does not affect the others, unless its error ends
/// the run.
pub(super) async fn read_windows<S: Source, K: Sink>(
    task: SpanTask<S, K>,
    windows: VecDeque<Window>,
) {
    let mut remaining = windows;
    let mut attempts = WindowAttempts::default();
    // The first window, as far as it was read before.
    let mut first_window = OpenWindow::new(RequestCounts::default());
    while let Some(first) = remaining.front().copied() {
        let right = task.sink.admit_window().await;
        let start = task.read_start(first);
        let part = first_window.part;
        let start = part.map_or(start, |part| part.until.max(start));
        let span = Span::of_windows(start, remaining.iter().map(|window| window.end));
        let meter = Meter::default();
        let next = OpenWindow::new(RequestCounts::default());
        let open = std::mem::replace(&mut first_window, next);
        let mut divider = SpanDivider::new(&task, &span, &meter, remaining, open);
        let outcome = without_panics(divider.read()).await;
        let Err(error) = outcome else {
            return divider.report_late_requests();
        };
        let ends_run = RunEnd::of(&error).is_some();
        let window = divider.remaining.front().copied();
        match window
            .and_then(|window| attempts.next_wait(window))
            .filter(|_| task.sink.is_transient(&error))
        {
            Some(wait) => {
                warn!(
                    phase = K::PHASE,
                    event = "window_retried",
                    wait_ms = wait.as_millis() as u64,
                    "{error}; reading the window again in {:.1} s",
                    wait.as_secs_f64()
                );
                remaining = std::mem::take(&mut divider.remaining);
                // Its transaction must not stay open during the wait.
                first_window = divider.back_to_part();
                drop(divider);
                drop(right);
                sleep(wait).await;
                continue;
            }
            None => divider.fail_window(&error).await,
        }
        remaining = std::mem::take(&mut divider.remaining);
        if ends_run {
            return;
        }
    }
}

/// Number of times that one window was read because of transient failures of the sink.
#[derive(Default)]
struct WindowAttempts {
    window: Option<Window>,
    count: u32,
}

/// Maximum number of times that a window is read again. The waits add up to a minute and a half, by
/// which time a database server that restarts is back.
const MAX_WINDOW_RETRIES: u32 = 8;
const INITIAL_WAIT: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(30);

impl WindowAttempts {
    /// Returns the wait before the window is read again, or `None` if no retry remains.
    fn next_wait(&mut self, window: Window) -> Option<Duration> {
        if self.window != Some(window) {
            *self = Self {
                window: Some(window),
                count: 0,
            };
        }
        self.count += 1;
        (self.count <= MAX_WINDOW_RETRIES)
            .then(|| (INITIAL_WAIT * 2u32.pow(self.count - 1)).min(MAX_WAIT))
    }
}
