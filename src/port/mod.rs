//! Traits between the pipeline and the outside: sources, sinks, token stores, shared state, progress.
//!
//! `Source` and `Sink` use static dispatch: a pipeline is compiled for its source and sink. All
//! futures are `Send`, so that windows can run on several threads.

mod memory;
mod progress;
mod secret;
mod shared_state;
mod tokens;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::mpsc;

pub use self::memory::{MemoryBudget, Reservation};
pub use self::progress::{Endpoint, NoProgress, Progress, RunName};
pub use self::secret::Secret;
pub use self::shared_state::{Change, SharedState};
pub use self::tokens::{AccessGrant, Connection, TokenLease, TokenStore};
pub use crate::domain::Held;
use crate::domain::plan::DEFAULT_CONCURRENCY;
use crate::domain::{
    EntitySpec, LoadCounts, Page, PartTotals, RecordKey, Reject, RunReport, Window,
};
use crate::error::{Error, Result};

/// A source of one company's records.
pub trait Source: Send + Sync + 'static {
    /// Id of the company that the records belong to.
    fn realm_id(&self) -> &str;

    /// Returns the number of spans that are worth reading at the same time, at most `most`.
    fn enough_spans(&self, most: usize) -> usize {
        most.min(DEFAULT_CONCURRENCY)
    }

    /// Prepares for reading, for example by obtaining a token.
    ///
    /// # Errors
    /// Errors that would fail every window; nothing has been read then.
    fn prepare(&self) -> impl Future<Output = Result<()>> + Send;

    /// True if adjacent windows can be read together; otherwise each is read on its own.
    const SHARES_REQUESTS: bool;

    /// Returns the request to store as `request_payload` for a window: JSON text of the request for
    /// the window's first page, whichever request actually brought the records. Returns `None` if
    /// the pages already carry their request.
    fn request(&self, _entity: &EntitySpec, _window: Window, _page_size: u32) -> Option<Arc<str>> {
        None
    }

    /// Returns true if nobody says up to when a window without records was read, so that nothing of it counts as read.
    fn is_unread(&self, _entity: &EntitySpec, _window: Window) -> bool {
        false
    }

    /// Reads a span into `pages`, in order of change. `covered_until` of each page is the instant
    /// before which no record is missing. `Ok(None)` means that the whole span was read,
    /// `Ok(Some(instant))` that it was read up to that instant; the rest is left to a later run.
    ///
    /// # Errors
    /// The reason why records after the last page could not be read.
    fn read_span(
        &self,
        entity: &EntitySpec,
        span: &Span,
        page_size: u32,
        meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> impl Future<Output = Result<Option<DateTime<Utc>>>> + Send;
}

/// A stretch of time that is read together. Its end can be moved forward during the read, so that
/// another task can take over the rest.
#[derive(Debug, Clone)]
pub struct Span {
    /// First instant inside.
    pub start: DateTime<Utc>,
    end: Arc<Mutex<DateTime<Utc>>>,
    /// Ends of its windows, ascending.
    window_ends: Arc<[DateTime<Utc>]>,
}

impl Span {
    /// Creates a span from the start to the end of `window`.
    pub fn new(window: Window) -> Self {
        Self::of_windows(window.start, [window.end])
    }

    /// Creates a span from `start` over windows that end at `ends`, ascending.
    pub fn of_windows(start: DateTime<Utc>, ends: impl IntoIterator<Item = DateTime<Utc>>) -> Self {
        let window_ends: Arc<[DateTime<Utc>]> = ends.into_iter().collect();
        let end = window_ends.last().copied().unwrap_or(start);
        Self {
            start,
            end: Arc::new(Mutex::new(end)),
            window_ends,
        }
    }

    /// Returns the end of the window that an instant belongs to.
    pub fn window_end(&self, instant: DateTime<Utc>) -> DateTime<Utc> {
        let position = self.window_ends.partition_point(|end| *end <= instant);
        let end = self.window_ends.get(position).copied();
        end.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Returns the first instant after the span, as of now.
    pub fn end(&self) -> DateTime<Utc> {
        *self.end.lock()
    }

    /// Moves the end forward to `end`; a later instant changes nothing.
    pub fn shorten_to(&self, end: DateTime<Utc>) {
        let mut current = self.end.lock();
        *current = end.min(*current);
    }
}

/// One side of a comparison: counts and versions of its records.
pub trait RecordIndex: Send + Sync {
    /// Counts the records changed in each of the ranges; returns one count per range.
    ///
    /// # Errors
    /// If they cannot be counted.
    fn counts(
        &self,
        entity: &EntitySpec,
        ranges: &[Window],
        meter: &Meter,
    ) -> impl Future<Output = Result<Vec<u64>>> + Send;

    /// Returns the versions of all records changed in a window, and of the records with these ids in
    /// any window.
    ///
    /// # Errors
    /// If they cannot be read.
    fn keys(
        &self,
        entity: &EntitySpec,
        window: Window,
        ids: &[String],
        meter: &Meter,
    ) -> impl Future<Output = Result<Vec<RecordKey>>> + Send;

    /// Returns the versions of records, as they are now, and of those that are there and cannot be read, the reason.
    ///
    /// # Errors
    /// If nothing can be said of one of them.
    fn living(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> impl Future<Output = Result<(Vec<RecordKey>, Vec<Reject>)>> + Send;

    /// Like [`keys`](Self::keys), with the content of every record.
    ///
    /// # Errors
    /// If they cannot be read.
    fn keys_with_content(
        &self,
        entity: &EntitySpec,
        window: Window,
        ids: &[String],
        meter: &Meter,
    ) -> impl Future<Output = Result<Vec<RecordKey>>> + Send;
}

/// A destination of records.
pub trait Sink: Send + Sync + 'static {
    /// Writer of one window.
    type Writer: WindowWriter;

    /// The `phase` of log lines about this sink: `load`, or `extract` if it only lands records.
    const PHASE: &'static str;

    /// Records that a run has started.
    ///
    /// # Errors
    /// If the sink cannot be reached.
    fn run_started(&self, _run: &RunContext) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Records the report of a finished run.
    ///
    /// # Errors
    /// If the sink cannot be reached.
    fn run_finished(&self, _report: &RunReport) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Waits until the sink can write one more window beside those that are written. Taken before anything is
    /// read, and dropped when nothing of it is left to write: what has been read holds memory for which others
    /// wait, and so must not wait for them.
    fn admit_window(&self) -> impl Future<Output = Held> + Send {
        async { Held::default() }
    }

    /// Records that a window has started, before anything of it is read. Returns the instant up to which
    /// it is committed already.
    ///
    /// # Errors
    /// [`Error::Stuck`](crate::error::Error::Stuck) if the window must not be read again.
    fn window_started(
        &self,
        _context: &WindowContext,
    ) -> impl Future<Output = Result<Option<DateTime<Utc>>>> + Send {
        async { Ok(None) }
    }

    /// Records that a window has failed.
    fn window_failed(
        &self,
        _context: &WindowContext,
        _error: &Error,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Records that a window is left as it was before the run: it lies in the future, or the company
    /// does not have its entity. That is neither a success nor a failure of the window.
    fn window_released(&self, _context: &WindowContext) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Records that the run was stopped in the middle of a window, which does not count as a failure
    /// of the window. Must not block: it works in the background, if the process lives long enough.
    fn window_abandoned(&self, _context: WindowContext) {}

    /// Returns true if storing the same window is likely to succeed later.
    fn is_transient(&self, _error: &Error) -> bool {
        false
    }

    /// Opens a window for writing. Nothing is visible to others before [`WindowWriter::commit`].
    ///
    /// # Errors
    /// If the sink cannot be reached.
    fn open_window(
        &self,
        context: WindowContext,
    ) -> impl Future<Output = Result<Self::Writer>> + Send;
}

/// A run that starts.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// Id of the run.
    pub run_id: String,
    /// Id of the company.
    pub realm_id: String,
    /// The record type.
    pub entity: EntitySpec,
    /// Time from its first window to its last.
    pub range: Window,
    /// The times that it reads of that, oldest first.
    pub times: Vec<Window>,
}

/// A window in the context of its run.
#[derive(Debug, Clone)]
pub struct WindowContext {
    /// Id of the company.
    pub realm_id: String,
    /// The record type.
    pub entity: EntitySpec,
    /// The window.
    pub window: Window,
    /// Id of the run.
    pub run_id: String,
    /// First instant that is read: the window's start, or a later one if earlier runs have committed
    /// what comes before.
    pub read_start: DateTime<Utc>,
    /// Instant at which it was known that earlier runs have committed what comes before, by the sink's
    /// clock.
    pub known_at: Option<DateTime<Utc>>,
    /// Sums over the parts of the window that earlier runs have committed, if this one goes on with
    /// them.
    pub begun: Option<PartTotals>,
}

/// Writer of one window. If it is dropped without [`commit`](WindowWriter::commit), nothing is stored.
pub trait WindowWriter: Send + 'static {
    /// Writes a page.
    ///
    /// # Errors
    /// If the page cannot be stored; the window has failed then.
    fn write(&mut self, page: Page) -> impl Future<Output = Result<()>> + Send;

    /// Makes the window's records and its completion visible at once. If too many of its records
    /// were set aside, a sink may keep the good ones and record the window as failed; the summary
    /// then has the failure.
    ///
    /// # Errors
    /// If nothing is visible.
    fn commit(self, summary: ReadSummary) -> impl Future<Output = Result<CommitSummary>> + Send;

    /// Makes what was written so far visible at once, and that the window is complete up to the
    /// summary's `read_until`. The last `ahead` records were changed then or later, so that whoever goes on
    /// after this process reads them again. Returns the counts of the window so far; `None` if nothing was
    /// done, because the window is to be committed as a whole.
    ///
    /// # Errors
    /// If nothing that was written since the last part is visible.
    fn commit_part(
        &mut self,
        _summary: ReadSummary,
        _ahead: u64,
    ) -> impl Future<Output = Result<Option<LoadCounts>>> + Send {
        async { Ok(None) }
    }

    /// Forgets what was written since the last part: it will be written again.
    fn back_to_part(&mut self) {}

    /// Makes the records of a window visible that could not be read to its end, if that does no harm.
    /// Nothing says that the window is complete, and nothing is set aside.
    ///
    /// # Errors
    /// If nothing is visible.
    fn keep(self) -> impl Future<Output = Result<LoadCounts>> + Send
    where
        Self: Sized,
    {
        async { Ok(LoadCounts::default()) }
    }
}

/// Counts of what was read for a window, for its ledger row.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadSummary {
    /// Number of pages.
    pub pages: u32,
    /// Number of HTTP requests.
    pub requests: u64,
    /// Number of those requests that were retries.
    pub retries: u64,
    /// Total size of the payloads, bytes.
    pub bytes: u64,
    /// Time spent waiting for pages, milliseconds.
    pub extract_ms: u64,
    /// The window is complete only up to this instant inside it; `None` if it is complete to its
    /// end.
    pub read_until: Option<DateTime<Utc>>,
}

/// Counts of a window whose records were stored.
#[derive(Debug, Default)]
pub struct CommitSummary {
    /// Counts of records.
    pub counts: LoadCounts,
    /// Path of the landing file, for a sink that writes one.
    pub path: Option<String>,
    /// Why the window has failed although its good records were stored. The sink has recorded it.
    pub failure: Option<Error>,
}

/// Counter of HTTP requests, shared with the source, so that failed windows have counts too.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    retries: AtomicU64,
}

impl Meter {
    /// Counts a request; `is_retry` is true if it repeats an earlier one.
    pub fn count_request(&self, is_retry: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.retries
            .fetch_add(u64::from(is_retry), Ordering::Relaxed);
    }

    /// Returns the number of requests so far, retries included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns both counts so far.
    pub fn counts(&self) -> RequestCounts {
        RequestCounts {
            requests: self.requests(),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }
}

/// Number of HTTP requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// All requests.
    pub requests: u64,
    /// Requests that repeated an earlier one.
    pub retries: u64,
}
