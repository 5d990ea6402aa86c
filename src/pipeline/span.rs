//! Reads a span of adjacent windows. Its pages are divided among the windows by time of change, and a
//! window is committed as soon as everything up to its end has been read.
//!
//! ```text
//! time of change  ------------------------------------------------------------>
//! windows         |    w1    |    w2    |    w3    |    w4    |    w5    |
//! pages           |---- page 1 ----|---- page 2 ----|
//!
//! after page 1:   w1 is written and committed, the first half of w2 is written
//! after page 2:   w2 is committed, a part of w3 is written: w3 is the open window
//! idle worker:    w3 and w4 stay with this task | w5 goes to the idle worker
//! ```
//!
//! The first remaining window is the open one. When a page arrives and a worker is idle, the task
//! keeps the open window and half of the others, shortens its span to their end, and sends the rest
//! back to the run, which starts another task for them. A window that fails is reported and skipped;
//! one that fails because the sink is unavailable for a moment is read again after a wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Instrument;

use super::Event;
use super::log::{log_read, log_rejects, log_span};
use super::open_window::OpenWindow;
use super::task::SpanTask;
use crate::domain::{Held, Page, Reject, SkipReason, Window, WindowReport, WindowStatus};
use crate::error::Result;
use crate::port::{CommitSummary, Meter, RequestCounts, RunName, Sink, Source, Span, WindowWriter};

/// Number of pages read ahead of the sink: while one is stored, the next is asked for and then waits.
const PAGES_AHEAD: usize = 1;
/// Maximum number of rejects of a window that are logged one by one.
const MAX_LOGGED_REJECTS: usize = 10;

/// Divides the pages of one span among its windows.
pub(super) struct SpanDivider<'t, S: Source, K: Sink> {
    pub(super) task: &'t SpanTask<S, K>,
    span: &'t Span,
    meter: &'t Meter,
    /// Windows without a report; the first one is open.
    pub remaining: VecDeque<Window>,
    pub(super) open: OpenWindow<K::Writer>,
    /// The window that was reported last.
    last: Option<Window>,
    /// Requests of the meter that have been assigned to a window.
    counted: RequestCounts,
}

impl<S: Source, K: Sink> Drop for SpanDivider<'_, S, K> {
    fn drop(&mut self) {
        if let Some(window) = self.remaining.front().filter(|_| self.open.is_started) {
            // Drop the transaction first: it holds a lock on rows that other windows will change.
            drop(self.open.writer.take());
            self.task.sink.window_abandoned(self.task.context(*window));
        }
    }
}

impl<'t, S: Source, K: Sink> SpanDivider<'t, S, K> {
    /// Creates a divider; `open` is the first window, as far as earlier attempts have read it.
    pub(super) fn new(
        task: &'t SpanTask<S, K>,
        span: &'t Span,
        meter: &'t Meter,
        remaining: VecDeque<Window>,
        open: OpenWindow<K::Writer>,
    ) -> Self {
        Self {
            task,
            span,
            meter,
            remaining,
            open,
            last: None,
            counted: RequestCounts::default(),
        }
    }
}

impl<S: Source, K: Sink> SpanDivider<'_, S, K> {
    /// Reads the span and commits its windows.
    pub(super) async fn read(&mut self) -> Result<()> {
        let SpanTask {
            source,
            entity,
            page_size,
            ..
        } = self.task;
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        let (span, meter) = (self.span, self.meter);
        if let Some(window) = self.remaining.front().copied() {
            // Recorded before the read, because the read may crash the process.
            self.start_window(window).await?;
        }
        let read = source.read_span(entity, span, *page_size, meter, sender);
        let (read, stored) = tokio::join!(read, self.store(receiver));
        // A failed sink also stops the reader, so its error is the cause.
        stored?;
        let read_until = read?;
        self.commit_remaining(read_until).await
    }

    /// Tells the sink once that the open window has started.
    pub(super) async fn start_window(&mut self, window: Window) -> Result<()> {
        if !self.open.is_started {
            let context = self.task.context(window);
            let started = self.task.sink.window_started(&context);
            let committed_until = started.instrument(log_span(window)).await?;
            self.open.committed_until = committed_until;
            self.open.is_started = true;
        }
        Ok(())
    }

    async fn store(&mut self, mut pages: mpsc::Receiver<Page>) -> Result<()> {
        let mut is_first = true;
        loop {
            let wait_started_at = Instant::now();
            let Some(page) = pages.recv().await else {
                return Ok(());
            };
            if std::mem::take(&mut is_first) {
                self.send(Event::Answered);
            }
            self.open.page_wait += wait_started_at.elapsed();
            self.count_requests();
            let has_more = page
                .horizon
                .is_none_or(|horizon| page.covered_until < horizon);
            self.divide_page(page).await?;
            if has_more {
                self.share_remaining();
            }
        }
    }

    /// Assigns new requests to the open window. A request counts for the window at which it began.
    pub(super) fn count_requests(&mut self) {
        let total = self.meter.counts();
        self.open.counts.requests += total.requests - self.counted.requests;
        self.open.counts.retries += total.retries - self.counted.retries;
        self.counted = total;
    }

    /// Takes the open window out, without what was written of it since its last part.
    pub(super) fn back_to_part(&mut self) -> OpenWindow<K::Writer> {
        self.count_requests();
        let next = OpenWindow::new(RequestCounts::default());
        std::mem::replace(&mut self.open, next).back_to_part()
    }

    /// Reports requests that were sent after the last window was committed: while it was stored, the
    /// reader may have waited for leave to ask for more, before idle workers took the later windows.
    pub(super) fn report_late_requests(&mut self) {
        self.count_requests();
        let late = self.open.counts;
        if let Some(window) = self.last.filter(|_| late.requests > 0) {
            self.send(Event::RequestsAdded(window, late));
        }
    }

    /// Writes the shares of a page to their windows and commits the windows that it completes.
    async fn divide_page(&mut self, page: Page) -> Result<()> {
        let Page {
            number,
            mut records,
            mut rejects,
            covered_until,
            horizon,
            ingested_at,
            size,
            request,
            // Until all shares are stored.
            held: _held,
        } = page;
        rejects.sort_by_key(|reject| reject.at);
        let mut rejects = VecDeque::from(rejects);
        // Most pages are in this order already.
        records.sort_by_key(|record| record.updated_at);
        let mut records = VecDeque::from(records);
        let mut is_first = true;
        while let Some(window) = self.remaining.front().copied() {
            let inside = records.partition_point(|record| record.updated_at < window.end);
            let rest = records.split_off(inside);
            let own = Vec::from(std::mem::replace(&mut records, rest));
            let inside = rejects.partition_point(|reject| reject.at < window.end);
            let rest = rejects.split_off(inside);
            let own_rejects = Vec::from(std::mem::replace(&mut rejects, rest));
            let part = self.part_end(window, &own, covered_until, horizon);
            if is_first || !own.is_empty() || !own_rejects.is_empty() {
                let request = self.request(window).unwrap_or_else(|| request.clone());
                let share = Page {
                    number,
                    size,
                    request,
                    ingested_at,
                    covered_until,
                    horizon,
                    records: own,
                    rejects: own_rejects,
                    held: Held::default(),
                };
                self.write_share(window, share).await?;
            }
            is_first = false;
            let is_read =
                window.end <= covered_until && horizon.is_none_or(|horizon| window.end <= horizon);
            if !is_read {
                if let Some(part) = part {
                    self.commit_part(window, part).await?;
                }
                break;
            }
            self.commit(window, None).await?;
        }
        Ok(())
    }

    /// Returns the request to store with the open window; makes it once.
    fn request(&mut self, window: Window) -> Option<Arc<str>> {
        if self.open.request.is_none() {
            self.open.request =
                self.task
                    .source
                    .request(&self.task.entity, window, self.task.page_size);
        }
        self.open.request.clone()
    }

    /// Writes a window's share of a page, divided into pages that are counted within the window. So
    /// the stored rows do not depend on which windows were read together.
    async fn write_share(&mut self, window: Window, mut share: Page) -> Result<()> {
        if !S::SHARES_REQUESTS {
            return self.write(window, share).await;
        }
        let full = u64::from(self.task.page_size);
        let begun = self.begun_rows(window);
        loop {
            let rows = begun + self.open.rows;
            let room = full - rows % full;
            let rest = share
                .records
                .split_off(share.records.len().min(room as usize));
            let number = u32::try_from(rows / full + 1).unwrap_or(u32::MAX);
            let (records, rejects) = (share.records, std::mem::take(&mut share.rejects));
            let (size, request) = (self.task.page_size, share.request.clone());
            let page = Page {
                number,
                size,
                request,
                records,
                rejects,
                held: Held::default(),
                ..share
            };
            self.write(window, page).await?;
            if rest.is_empty() {
                return Ok(());
            }
            share.records = rest;
        }
    }

    async fn write(&mut self, window: Window, page: Page) -> Result<()> {
        self.open.pages = page.number;
        self.open.rows += page.records.len() as u64;
        let name = RunName {
            realm_id: self.task.source.realm_id(),
            entity: self.task.entity.name,
        };
        self.task.progress.page_read(name, page.records.len());
        self.open.bytes += page
            .records
            .iter()
            .map(|record| record.payload.as_bytes().len() as u64)
            .sum::<u64>();
        if self.open.writer.is_none() {
            if !page.records.is_empty() {
                self.start_window(window).await?;
            }
            self.open.writer = Some(self.open_writer(window).await?);
        }
        self.log_rejects(window, &page.rejects);
        match &mut self.open.writer {
            Some(writer) => writer.write(page).instrument(log_span(window)).await,
            None => Ok(()),
        }
    }

    async fn open_writer(&mut self, window: Window) -> Result<K::Writer> {
        let opened = self.task.sink.open_window(self.task.context(window));
        opened.instrument(log_span(window)).await
    }

    /// Logs a window's first rejects, one line each. The window's own line counts them all.
    fn log_rejects(&mut self, window: Window, rejects: &[Reject]) {
        let room = MAX_LOGGED_REJECTS.saturating_sub(self.open.rejects);
        log_rejects(K::PHASE, window, rejects.iter().take(room));
        self.open.rejects += rejects.len();
    }

    /// Commits the open window and moves on to the next one.
    async fn commit(&mut self, window: Window, read_until: Option<DateTime<Utc>>) -> Result<()> {
        let writer = match self.open.writer.take() {
            Some(writer) => writer,
            None => self.open_writer(window).await?,
        };
        let summary = self.open.summary(read_until);
        let log_span = log_span(window);
        log_span.in_scope(|| log_read(&summary, self.open.rows));
        let CommitSummary {
            counts,
            path,
            failure,
        } = writer.commit(summary).instrument(log_span).await?;
        let report = match failure {
            Some(error) => WindowReport::failed(window, &error),
            None => WindowReport {
                path,
                read_until,
                ..WindowReport::empty(window, WindowStatus::Done)
            },
        };
        let report = self.close_window(report.with_counts(counts));
        self.send(Event::WindowEnded(report));
        Ok(())
    }

    /// Ends the remaining windows when the reader has finished. If it stopped at `read_until`, a window
    /// that contains that instant is done up to there, and later windows are skipped unless records of them
    /// have come.
    async fn commit_remaining(&mut self, read_until: Option<DateTime<Utc>>) -> Result<()> {
        self.count_requests();
        while let Some(window) = self.remaining.front().copied() {
            match read_until {
                // Records of an archive have been read, although no time has.
                Some(instant) if instant <= window.start && self.open.rows == 0 => {
                    self.release_window(window).await;
                    let reason = match self.task.source.is_unread(&self.task.entity, window) {
                        true => SkipReason::Unread,
                        false => SkipReason::Future,
                    };
                    let skipped = WindowReport {
                        read_until,
                        ..WindowReport::skipped(window, reason)
                    };
                    let report = self.close_window(skipped);
                    self.send(Event::WindowEnded(report));
                }
                Some(instant) if instant < window.end => self.commit(window, read_until).await?,
                _ => self.commit(window, None).await?,
            }
        }
        Ok(())
    }

    /// Completes the report of the open window and moves on to the next one.
    pub(super) fn close_window(&mut self, report: WindowReport) -> WindowReport {
        let next = OpenWindow::new(RequestCounts::default());
        let open = std::mem::replace(&mut self.open, next);
        self.remaining.pop_front();
        self.last = Some(report.window());
        let begun = self.begun_rows(report.window()) / u64::from(self.task.page_size);
        WindowReport {
            // Those of earlier runs are numbered before them.
            pages: open.pages - open.pages.min(begun as u32),
            requests: open.counts.requests,
            retries: open.counts.retries,
            duration_ms: u64::try_from(open.started_at.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..report
        }
    }

    /// Returns the number of records in the parts of a window that earlier runs have committed.
    fn begun_rows(&self, window: Window) -> u64 {
        self.task.begun(window).map_or(0, |parts| parts.counts.rows)
    }

    pub(super) fn send(&self, event: Event) {
        // The run listens until all tasks have ended.
        let _ = self.task.events.send(event);
    }

    /// Gives half of the windows that are not open to an idle worker. Called after a page, so that a
    /// span that fits into one page stays together.
    fn share_remaining(&mut self) {
        let open = 1;
        let claim_worker = |idle: usize| idle.checked_sub(1);
        if self.remaining.len() < open + 1
            || self
                .task
                .idle
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim_worker)
                .is_err()
        {
            return;
        }
        let kept = open + (self.remaining.len() - open) / 2;
        let shared = self.remaining.split_off(kept);
        if let Some(last) = self.remaining.back() {
            self.span.shorten_to(last.end);
        }
        self.send(Event::WindowsShared(shared));
    }
}
