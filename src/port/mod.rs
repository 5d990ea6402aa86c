//! The seams between the pipeline and the world: where records come from, where they go, where
//! tokens live.
//!
//! Static dispatch: a pipeline is compiled for its source and sink. Every future is `Send`, so that
//! windows can run on several threads.

mod secret;
mod shared_state;
mod tokens;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

pub use self::secret::Secret;
pub use self::shared_state::{Change, SharedState};
pub use self::tokens::{AccessGrant, Connection, TokenStore};
use crate::domain::{EntitySpec, LoadCounts, Page, RecordKey, RunReport, Window, WindowReport};
use crate::error::{Error, Result};

/// Where records come from.
pub trait Source: Send + Sync + 'static {
    /// The company that the records belong to.
    fn realm_id(&self) -> &str;

    /// Makes sure that reading can begin: obtains a token, opens a directory.
    ///
    /// # Errors
    /// Whatever would stop every window; nothing has been read then.
    fn prepare(&self) -> impl Future<Output = Result<()>> + Send;

    /// Whether one read may serve several windows; otherwise each is read by itself.
    const SHARES_REQUESTS: bool;

    /// The request, as JSON text, that would bring the first page of a window by itself; none:
    /// pages know their own. Records are stored with it however they were read, so that the same
    /// records are stored with the same one each time.
    fn request(&self, _entity: &EntitySpec, _window: Window, _page_size: u32) -> Option<Arc<str>> {
        None
    }

    /// Reads a span into `pages`, in the order of change. Each page says up to which instant
    /// nothing is missing; returning `Ok` promises it for the whole span, or up to the instant
    /// returned, if that is earlier: what lies beyond is left to a later read.
    ///
    /// # Errors
    /// Why what lies behind the last page cannot be complete.
    fn read_span(
        &self,
        entity: &EntitySpec,
        span: &Span,
        page_size: u32,
        meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> impl Future<Output = Result<Option<DateTime<Utc>>>> + Send;
}

/// Time that is read in one go. Its end can be brought forward meanwhile, so that others can take
/// over what is left.
#[derive(Debug, Clone)]
pub struct Span {
    /// First instant inside.
    pub start: DateTime<Utc>,
    end: Arc<Mutex<DateTime<Utc>>>,
}

impl Span {
    /// The time of a window.
    pub fn new(window: Window) -> Self {
        Self {
            start: window.start,
            end: Arc::new(Mutex::new(window.end)),
        }
    }

    /// First instant after it, as things stand.
    pub fn end(&self) -> DateTime<Utc> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the end forward; a later one changes nothing.
    pub fn end_at(&self, end: DateTime<Utc>) {
        let mut current = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        *current = end.min(*current);
    }
}

/// What a side of a comparison holds.
pub trait RecordIndex: Send + Sync {
    /// How many records were changed in each of these ranges.
    ///
    /// # Errors
    /// If they cannot be counted.
    fn counts(
        &self,
        entity: &EntitySpec,
        ranges: &[Window],
        meter: &Meter,
    ) -> impl Future<Output = Result<Vec<u64>>> + Send;

    /// The versions of all records changed in a window, and of these ids wherever they stand.
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
}

/// Where records go.
pub trait Sink: Send + Sync + 'static {
    /// Takes the pages of one window.
    type Writer: WindowWriter;

    /// What logs call the storing of a window here: `load`, or `extract` where records are only
    /// landed.
    const PHASE: &'static str;

    /// Takes note that a run begins.
    ///
    /// # Errors
    /// If the sink cannot be reached.
    fn run_started(&self, _run: &RunContext) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Takes note of what a run came to.
    ///
    /// # Errors
    /// If the sink cannot be reached.
    fn run_finished(&self, _report: &RunReport) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Takes note that a window begins, before anything of it is read.
    ///
    /// # Errors
    /// [`Error::Stuck`](crate::error::Error::Stuck) if it must not be tried again.
    fn window_started(&self, _opening: &WindowContext) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Takes note that a window has failed.
    fn window_failed(
        &self,
        _opening: &WindowContext,
        _error: &Error,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The run was stopped in the middle of a window, which is no fault of the window's. Must not
    /// block: what is to be done is done in the background, if there is time left for it.
    fn window_abandoned(&self, _opening: WindowContext) {}

    /// Whether the same window may well be stored in a while.
    fn is_transient(&self, _error: &Error) -> bool {
        false
    }

    /// Opens a window. Nothing is visible to anyone before [`WindowWriter::commit`].
    ///
    /// # Errors
    /// If the sink cannot be reached.
    fn open_window(
        &self,
        context: WindowContext,
    ) -> impl Future<Output = Result<Self::Writer>> + Send;
}

/// A run that begins.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// The run.
    pub run_id: String,
    /// The company.
    pub realm_id: String,
    /// The record type.
    pub entity: EntitySpec,
    /// From its first window to its last.
    pub range: Window,
}

/// The window that a [`WindowWriter`] is for.
#[derive(Debug, Clone)]
pub struct WindowContext {
    /// The company.
    pub realm_id: String,
    /// The record type.
    pub entity: EntitySpec,
    /// The window.
    pub window: Window,
    /// The run.
    pub run_id: String,
}

/// Takes one window's pages. Dropped without [`commit`](WindowWriter::commit), it leaves no trace.
pub trait WindowWriter: Send + 'static {
    /// Takes a page.
    ///
    /// # Errors
    /// If it cannot be stored; the window has failed then.
    fn write(&mut self, page: Page) -> impl Future<Output = Result<()>> + Send;

    /// Makes the window's records and its completion visible together.
    ///
    /// # Errors
    /// If that failed; nothing is visible then.
    fn commit(self, summary: ReadSummary) -> impl Future<Output = Result<CommitSummary>> + Send;
}

/// What was read of a window, for its ledger row.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadSummary {
    /// Pages.
    pub pages: u32,
    /// HTTP requests.
    pub requests: u64,
    /// Of those, repetitions.
    pub retries: u64,
    /// Bytes of payloads.
    pub bytes: u64,
    /// Milliseconds spent waiting for pages.
    pub extract_ms: u64,
    /// The window is complete only up to this instant, which lies inside of it; none: to its end.
    pub read_until: Option<DateTime<Utc>>,
}

/// What a sink has made visible.
#[derive(Debug, Clone, Default)]
pub struct CommitSummary {
    /// What became of the records.
    pub counts: LoadCounts,
    /// The file, where there is one.
    pub path: Option<String>,
}

/// Counts one window's HTTP requests while they happen, so that a window that fails has counts too.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    retries: AtomicU64,
}

impl Meter {
    /// A request was sent; `is_retry` if it repeats one.
    pub fn count_request(&self, is_retry: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.retries
            .fetch_add(u64::from(is_retry), Ordering::Relaxed);
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Repetitions so far.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}

/// What of QuickBooks a request is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// The API of a company.
    Data,
    /// The token endpoint.
    Token,
}

/// Watches a run, and the requests that are sent for it. All methods may be called from several
/// tasks at once.
pub trait Progress: Send + Sync + 'static {
    /// A run begins.
    fn run_started(&self, _entity: &str, _windows: usize) {}
    /// A page was handed to the sink.
    fn page_read(&self, _entity: &str, _rows: usize) {}
    /// A window ended, well or not.
    fn window_finished(&self, _entity: &str, _window: &WindowReport) {}
    /// A run ended.
    fn run_finished(&self, _entity: &str) {}
    /// A request ended: with a status, or without an answer.
    fn request_ended(&self, _endpoint: Endpoint, _status: Option<u16>, _took: Duration) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoProgress;

impl Progress for NoProgress {}
