//! Tasks that read runs of adjacent windows, and the retries of a window whose sink has failed.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

use super::Event;
use super::span::SpanDivider;
use crate::domain::{EntitySpec, Window};
use crate::error::Error;
use crate::port::{Meter, Progress, RequestCounts, Sink, Source, Span, WindowContext};

/// A task that reads runs of adjacent windows.
pub(super) struct SpanTask<S, K> {
    pub source: Arc<S>,
    pub sink: Arc<K>,
    pub entity: EntitySpec,
    pub run_id: String,
    pub page_size: u32,
    pub read_from: Option<DateTime<Utc>>,
    pub progress: Arc<dyn Progress>,
    pub events: mpsc::UnboundedSender<Event>,
    pub idle: Arc<AtomicUsize>,
}

impl<S, K> Clone for SpanTask<S, K> {
    fn clone(&self) -> Self {
        Self {
            source: self.source.clone(),
            sink: self.sink.clone(),
            entity: self.entity,
            run_id: self.run_id.clone(),
            page_size: self.page_size,
            read_from: self.read_from,
            progress: self.progress.clone(),
            events: self.events.clone(),
            idle: self.idle.clone(),
        }
    }
}

impl<S: Source, K: Sink> SpanTask<S, K> {
    /// Reads adjacent windows. A window that fails does not affect the others, unless its error ends
    /// the run.
    pub async fn run(self, windows: VecDeque<Window>) {
        let mut remaining = windows;
        let mut attempts = WindowAttempts::default();
        // Cost so far of a window that is read again.
        let mut spent = RequestCounts::default();
        while let (Some(first), Some(last)) =
            (remaining.front().copied(), remaining.back().copied())
        {
            let start = self
                .read_from
                .map_or(first.start, |from| first.start.max(from));
            let span = Span::new(Window {
                start,
                end: last.end,
            });
            let meter = Meter::default();
            let spent_before = std::mem::take(&mut spent);
            let mut divider = SpanDivider::new(&self, &span, &meter, remaining, spent_before);
            let outcome = AssertUnwindSafe(divider.read()).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|panic| Err(Error::from_panic(&*panic)));
            let Err(error) = outcome else { return };
            let ends_run = error.ends_run();
            let open = divider.remaining.front().copied();
            match open
                .and_then(|window| attempts.next_wait(window))
                .filter(|_| self.sink.is_transient(&error))
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
                    spent = divider.spent();
                    // Its transaction must not stay open during the wait.
                    drop(divider);
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

    pub fn context(&self, window: Window) -> WindowContext {
        WindowContext {
            realm_id: self.source.realm_id().to_owned(),
            entity: self.entity,
            window,
            run_id: self.run_id.clone(),
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
