//! The end of a window that is not committed: failed, with the rows that may be kept, or left as it
//! was.

use tracing::{Instrument, warn};

use super::Event;
use super::log::log_span;
use super::span::SpanDivider;
use crate::domain::{LoadCounts, RunEnd, Window, WindowReport};
use crate::error::Error;
use crate::port::{Sink, Source, WindowWriter};

impl<S: Source, K: Sink> SpanDivider<'_, S, K> {
    /// Reports the open window as failed, or as skipped if the company does not have the entity.
    pub(super) async fn fail_window(&mut self, error: &Error) {
        self.count_requests();
        let Some(window) = self.remaining.front().copied() else {
            return;
        };
        let end = RunEnd::of(error);
        let report = match &end {
            Some(end @ RunEnd::Unavailable(_)) => {
                self.release_window(window).await;
                end.report(window)
            }
            _ => {
                let kept = self.keep_rows(window, error).await;
                // The transaction is gone before the sink records the failure.
                drop(self.open.writer.take());
                self.record_failure(window, error).await;
                WindowReport::failed(window, error).with_counts(kept)
            }
        };
        let report = self.close_window(report);
        self.send(match end {
            Some(end) => Event::RunStopped(report, end),
            None => Event::WindowEnded(report),
        });
    }

    /// Records that the open window has failed. One that fails before its first record came is begun by that: a ledger
    /// that has it from another run would keep what that run says. One that may not be begun any more stays given up.
    async fn record_failure(&mut self, window: Window, error: &Error) {
        let is_stuck = |error: &Error| matches!(error, Error::Stuck { .. });
        // A ledger that cannot be written says so when the failure is recorded.
        if !is_stuck(error) && self.start_window(window).await.is_err_and(|e| is_stuck(&e)) {
            return;
        }
        let context = self.task.context(window);
        let recorded = self.task.sink.window_failed(&context, error);
        recorded.instrument(log_span(window)).await;
    }

    /// Stores what has arrived of a window that fails because of its records; returns what is stored of
    /// it.
    async fn keep_rows(&mut self, window: Window, error: &Error) -> LoadCounts {
        let parts = self.open.part.map(|part| part.counts).unwrap_or_default();
        let writer = self.open.writer.take();
        let Some(writer) = writer.filter(|_| error.is_of_records()) else {
            return parts;
        };
        let kept = writer.keep().instrument(log_span(window)).await;
        kept.unwrap_or_else(|error| {
            warn!(
                phase = K::PHASE,
                event = "rows_not_kept",
                "the rows that have arrived are not stored: {error}"
            );
            parts
        })
    }

    /// Tells the sink that the open window is left as it was before the run.
    pub(super) async fn release_window(&mut self, window: Window) {
        // The transaction is gone before the sink is told.
        drop(self.open.writer.take());
        if std::mem::take(&mut self.open.is_started) {
            let context = self.task.context(window);
            let released = self.task.sink.window_released(&context);
            released.instrument(log_span(window)).await;
        }
    }
}
