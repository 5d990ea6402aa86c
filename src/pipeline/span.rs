//! Reading a span of windows: its pages are divided among the windows by time of change, and a
//! window is committed as soon as everything up to its end has been read.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{Instrument, Span as LogSpan, debug, info_span, warn};

use super::{Event, failed};
use crate::domain::instant::format_instant;
use crate::domain::{EntitySpec, Page, Reject, Window, WindowReport, WindowStatus};
use crate::error::{Error, Result};
use crate::port::{
    CommitSummary, Meter, Progress, ReadSummary, Sink, Source, Span, WindowContext, WindowWriter,
};

/// Pages read ahead of the sink: one being stored, one waiting.
const PAGES_AHEAD: usize = 1;
/// Rejects of a window that are logged one by one.
const MAX_LOGGED_REJECTS: usize = 10;

/// Everything that reading a span takes.
pub(super) struct SpanTask<S, K> {
    pub source: Arc<S>,
    pub sink: Arc<K>,
    pub entity: EntitySpec,
    pub run_id: String,
    pub page_size: u32,
    pub read_from: Option<DateTime<Utc>>,
    pub progress: Arc<dyn Progress>,
    pub news: mpsc::UnboundedSender<Event>,
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
            news: self.news.clone(),
            idle: self.idle.clone(),
        }
    }
}

impl<S: Source, K: Sink> SpanTask<S, K> {
    /// Reads windows that follow each other. One that fails does not take the others with it,
    /// unless its error ends the run.
    pub async fn run(self, windows: VecDeque<Window>) {
        let mut left = windows;
        let mut tries = Tries::default();
        // Requests and retries of a window that is read again.
        let mut spent = (0, 0);
        while let (Some(first), Some(last)) = (left.front().copied(), left.back().copied()) {
            let start = self
                .read_from
                .map_or(first.start, |from| first.start.max(from));
            let span = Span::new(Window {
                start,
                end: last.end,
            });
            let meter = Meter::default();
            let mut division = Division {
                task: &self,
                span: &span,
                meter: &meter,
                left,
                current: Current::after(std::mem::take(&mut spent)),
                counted: (0, 0),
            };
            let outcome = AssertUnwindSafe(division.read()).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|panic| Err(Error::from_panic(&*panic)));
            let Err(error) = outcome else { return };
            let ends_run = error.ends_run();
            let begun = division.left.front().copied();
            match begun
                .and_then(|window| tries.next_wait(window))
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
                    left = std::mem::take(&mut division.left);
                    spent = division.spent();
                    // What is left of its transaction must not be kept for the length of the wait.
                    drop(division);
                    sleep(wait).await;
                    continue;
                }
                None => division.fail(&error).await,
            }
            left = std::mem::take(&mut division.left);
            if ends_run {
                return;
            }
        }
    }

    fn context(&self, window: Window) -> WindowContext {
        WindowContext {
            realm_id: self.source.realm_id().to_owned(),
            entity: self.entity,
            window,
            run_id: self.run_id.clone(),
        }
    }
}

/// How often the same window was tried because the sink stumbled.
#[derive(Default)]
struct Tries {
    window: Option<Window>,
    made: u32,
}

/// A server that restarts is back by then: the waits add up to a minute and a half.
const MAX_TRIES: u32 = 8;
const INITIAL_WAIT: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(30);

impl Tries {
    /// How long to wait before the window is tried again; `None` when that was done often enough.
    fn next_wait(&mut self, window: Window) -> Option<Duration> {
        if self.window != Some(window) {
            *self = Self {
                window: Some(window),
                made: 0,
            };
        }
        self.made += 1;
        (self.made <= MAX_TRIES).then(|| (INITIAL_WAIT * 2u32.pow(self.made - 1)).min(MAX_WAIT))
    }
}

/// One span's pages on their way to its windows.
struct Division<'t, S: Source, K: Sink> {
    task: &'t SpanTask<S, K>,
    span: &'t Span,
    meter: &'t Meter,
    /// Windows not yet done; the first is the one being read.
    left: VecDeque<Window>,
    current: Current<K::Writer>,
    /// Requests and retries already put down to a window.
    counted: (u64, u64),
}

/// The window being read.
struct Current<W> {
    begin: Instant,
    writer: Option<W>,
    /// The number of the last one written.
    pages: u32,
    rejects: usize,
    request: Option<Arc<str>>,
    rows: u64,
    bytes: u64,
    requests: u64,
    retries: u64,
    /// For pages.
    waited: Duration,
    /// The sink knows that it is under way.
    is_begun: bool,
}

impl<W> Current<W> {
    /// `spent`: requests and retries that it has cost before.
    fn after(spent: (u64, u64)) -> Self {
        let (requests, retries) = spent;
        Self {
            begin: Instant::now(),
            writer: None,
            pages: 0,
            rejects: 0,
            request: None,
            rows: 0,
            bytes: 0,
            requests,
            retries,
            waited: Duration::ZERO,
            is_begun: false,
        }
    }
}

impl<S: Source, K: Sink> Drop for Division<'_, S, K> {
    fn drop(&mut self) {
        if let Some(window) = self.left.front().filter(|_| self.current.is_begun) {
            // Its transaction first: it holds a lock on what others will change.
            drop(self.current.writer.take());
            self.task.sink.window_abandoned(self.task.context(*window));
        }
    }
}

impl<S: Source, K: Sink> Division<'_, S, K> {
    async fn read(&mut self) -> Result<()> {
        let SpanTask {
            source,
            entity,
            page_size,
            ..
        } = self.task;
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        let (span, meter) = (self.span, self.meter);
        if let Some(window) = self.left.front().copied() {
            // Before it is read: reading it may be what kills the process.
            self.begin(window).await?;
        }
        let read = source.read_span(entity, span, *page_size, meter, sender);
        let (read, stored) = tokio::join!(read, self.store(receiver));
        // A sink that failed also stops the reader; its error is the cause.
        stored?;
        let read_until = read?;
        self.finish(read_until).await
    }

    async fn begin(&mut self, window: Window) -> Result<()> {
        if !self.current.is_begun {
            let context = self.task.context(window);
            let started = self.task.sink.window_started(&context);
            started.instrument(log_span(window)).await?;
            self.current.is_begun = true;
        }
        Ok(())
    }

    async fn store(&mut self, mut pages: mpsc::Receiver<Page>) -> Result<()> {
        loop {
            let begin = Instant::now();
            let Some(page) = pages.recv().await else {
                return Ok(());
            };
            self.current.waited += begin.elapsed();
            self.count_requests();
            self.task
                .progress
                .page_read(self.task.entity.name, page.records.len());
            let is_more = page
                .horizon
                .is_none_or(|horizon| page.covered_until < horizon);
            self.divide(page).await?;
            if is_more {
                self.share_remaining();
            }
        }
    }

    /// A request counts for the window at which it began.
    fn count_requests(&mut self) {
        let (requests, retries) = (self.meter.requests(), self.meter.retries());
        self.current.requests += requests - self.counted.0;
        self.current.retries += retries - self.counted.1;
        self.counted = (requests, retries);
    }

    /// Requests and retries that the window being read has cost so far.
    fn spent(&mut self) -> (u64, u64) {
        self.count_requests();
        (self.current.requests, self.current.retries)
    }

    async fn divide(&mut self, page: Page) -> Result<()> {
        let Page {
            number,
            mut records,
            mut rejects,
            covered_until,
            horizon,
            ingested_at,
            size,
            request,
        } = page;
        rejects.sort_by_key(|reject| reject.at);
        let mut rejects = VecDeque::from(rejects);
        // Most pages come in this order already.
        records.sort_by_key(|record| record.updated_at);
        let mut records = VecDeque::from(records);
        let mut is_first = true;
        while let Some(window) = self.left.front().copied() {
            let inside = records.partition_point(|record| record.updated_at < window.end);
            let rest = records.split_off(inside);
            let own = std::mem::replace(&mut records, rest);
            let inside = rejects.partition_point(|reject| reject.at < window.end);
            let rest = rejects.split_off(inside);
            let own_rejects = std::mem::replace(&mut rejects, rest);
            if is_first || !own.is_empty() || !own_rejects.is_empty() {
                let request = self.request(window).unwrap_or_else(|| request.clone());
                let (records, rejects) = (own.into(), own_rejects.into());
                let share = Page {
                    number,
                    size,
                    request,
                    ingested_at,
                    covered_until,
                    horizon,
                    records,
                    rejects,
                };
                self.write_share(window, share).await?;
            }
            is_first = false;
            let is_read =
                window.end <= covered_until && horizon.is_none_or(|horizon| window.end <= horizon);
            if !is_read {
                break;
            }
            self.commit(window, None).await?;
        }
        Ok(())
    }

    /// The request of a window, made when it is first asked for.
    fn request(&mut self, window: Window) -> Option<Arc<str>> {
        if self.current.request.is_none() {
            self.current.request =
                self.task
                    .source
                    .request(&self.task.entity, window, self.task.page_size);
        }
        self.current.request.clone()
    }

    /// Writes a page's share of a window in pages of the window's own: what is stored of a window
    /// does not tell with which others it was read.
    async fn write_share(&mut self, window: Window, mut share: Page) -> Result<()> {
        if !S::SHARES_REQUESTS {
            return self.write(window, share).await;
        }
        let full = u64::from(self.task.page_size);
        loop {
            let room = full - self.current.rows % full;
            let rest = share
                .records
                .split_off(share.records.len().min(room as usize));
            let number = u32::try_from(self.current.rows / full + 1).unwrap_or(u32::MAX);
            let (records, rejects) = (share.records, std::mem::take(&mut share.rejects));
            let (size, request) = (self.task.page_size, share.request.clone());
            let page = Page {
                number,
                size,
                request,
                records,
                rejects,
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
        self.current.pages = page.number;
        self.current.rows += page.records.len() as u64;
        self.current.bytes += page
            .records
            .iter()
            .map(|record| record.payload.as_bytes().len() as u64)
            .sum::<u64>();
        if self.current.writer.is_none() {
            if !page.records.is_empty() {
                self.begin(window).await?;
            }
            self.current.writer = Some(self.open(window).await?);
        }
        self.log_rejects(window, &page.rejects);
        match &mut self.current.writer {
            Some(writer) => writer.write(page).instrument(log_span(window)).await,
            None => Ok(()),
        }
    }

    async fn open(&mut self, window: Window) -> Result<K::Writer> {
        let opened = self.task.sink.open_window(self.task.context(window));
        opened.instrument(log_span(window)).await
    }

    /// Logs a window's first rejects, one line each. The window's own line counts them all.
    fn log_rejects(&mut self, window: Window, rejects: &[Reject]) {
        let _in_window = log_span(window).entered();
        let room = MAX_LOGGED_REJECTS.saturating_sub(self.current.rejects);
        for reject in rejects.iter().take(room) {
            let id = reject.id.as_deref().unwrap_or("without an id");
            warn!(
                phase = K::PHASE,
                event = "record_rejected",
                id,
                "record {id} is set aside: {}",
                reject.error
            );
        }
        self.current.rejects += rejects.len();
    }

    /// Commits the first window and goes on to the next.
    async fn commit(&mut self, window: Window, read_until: Option<DateTime<Utc>>) -> Result<()> {
        let writer = match self.current.writer.take() {
            Some(writer) => writer,
            None => self.open(window).await?,
        };
        let Current {
            pages,
            rows,
            bytes,
            requests,
            retries,
            waited,
            ..
        } = self.current;
        let extract_ms = waited.as_millis() as u64;
        let summary = ReadSummary {
            pages,
            requests,
            retries,
            bytes,
            extract_ms,
            read_until,
        };
        let log_span = log_span(window);
        log_span.in_scope(|| log_read(&summary, rows));
        let CommitSummary { counts, path } = writer.commit(summary).instrument(log_span).await?;
        let report = WindowReport::empty(window, WindowStatus::Done).with_counts(counts);
        self.end(
            WindowReport {
                path,
                read_until,
                ..report
            },
            false,
        );
        Ok(())
    }

    /// Ends what is left when the reader has come to its end: of a window that reaches beyond, only
    /// the part before it is done; those that lie beyond are not read.
    async fn finish(&mut self, read_until: Option<DateTime<Utc>>) -> Result<()> {
        self.count_requests();
        while let Some(window) = self.left.front().copied() {
            match read_until {
                Some(instant) if instant <= window.start => {
                    let skipped = WindowReport {
                        read_until,
                        ..WindowReport::skipped(window)
                    };
                    self.end(skipped, false);
                }
                Some(instant) if instant < window.end => self.commit(window, read_until).await?,
                _ => self.commit(window, None).await?,
            }
        }
        Ok(())
    }

    async fn fail(&mut self, error: &Error) {
        self.count_requests();
        if let Some(window) = self.left.front().copied() {
            // Of its transaction nothing is left when others look.
            drop(self.current.writer.take());
            let context = self.task.context(window);
            let noted = self.task.sink.window_failed(&context, error);
            noted.instrument(log_span(window)).await;
            self.end(failed(window, error.to_string()), error.ends_run());
        }
    }

    fn end(&mut self, report: WindowReport, ends_run: bool) {
        let current = std::mem::replace(&mut self.current, Current::after((0, 0)));
        let report = WindowReport {
            pages: current.pages,
            requests: current.requests,
            retries: current.retries,
            duration_ms: u64::try_from(current.begin.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..report
        };
        self.left.pop_front();
        // The run listens until all tasks are gone.
        let _ = self.task.news.send(Event::Window(report, ends_run));
    }

    /// Gives half of the windows not yet begun to whoever has time, once it has turned out that
    /// there is more than a page to read.
    fn share_remaining(&mut self) {
        let begun = 1;
        let has_time = |idle: usize| idle.checked_sub(1);
        if self.left.len() < begun + 1
            || self
                .task
                .idle
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_time)
                .is_err()
        {
            return;
        }
        let kept = begun + (self.left.len() - begun) / 2;
        let given = self.left.split_off(kept);
        if let Some(last) = self.left.back() {
            self.span.end_at(last.end);
        }
        let _ = self.task.news.send(Event::Left(given));
    }
}

/// Returns a span that says which window the log lines of a step belong to.
fn log_span(window: Window) -> LogSpan {
    let (start, end) = (format_instant(window.start), format_instant(window.end));
    info_span!(
        "window",
        window_start = start.as_str(),
        window_end = end.as_str()
    )
}

fn log_read(summary: &ReadSummary, rows: u64) {
    debug!(
        phase = "extract",
        event = "window_read",
        pages = summary.pages,
        rows,
        requests = summary.requests,
        retries = summary.retries,
        "read: {} pages, {rows} rows, {} requests",
        summary.pages,
        summary.requests
    );
}
