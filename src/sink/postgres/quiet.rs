//! Windows in which nothing is new: most of what a sync reads. They are collected while their entities
//! are read, and committed together, in one statement.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::window_transaction::Transaction;
use super::{PostgresSink, PostgresWriter};
use crate::domain::{LoadCounts, Page, RunReport};
use crate::error::{Error, Result};
use crate::port::{CommitSummary, ReadSummary, RunContext, Sink, WindowContext, WindowWriter};
use crate::postgres::{Columns, Query, params};
use crate::store::HOLD_TURNS;

const COMMIT_QUIET: &str = include_str!("sql/commit_quiet.sql");

/// A window that was read and has nothing new, and is not committed yet.
#[derive(Debug)]
pub(crate) struct QuietWindow {
    context: WindowContext,
    summary: ReadSummary,
}

/// An entity of which nothing is new.
#[derive(Debug)]
pub(crate) struct QuietEntity {
    /// Its window.
    pub window: QuietWindow,
    /// Everything changed before it is in the table.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Deletions up to this instant are in the table, as far as this sync knows.
    pub deletions_until: Option<DateTime<Utc>>,
}

/// The sink of a run whose answer is at hand and seems to hold nothing. Its window is begun in the ledger
/// when a record comes, and stored as in every other run. If none comes, nothing is written: the window
/// waits in [`quiet`](Self::quiet) for [`PostgresSink::commit_quiet`].
#[derive(Debug, Clone)]
pub(crate) struct QuietSink {
    sink: Arc<PostgresSink>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_begun: AtomicBool,
    quiet: Mutex<Option<QuietWindow>>,
}

impl QuietSink {
    /// Returns the sink of a run of one window.
    pub(crate) fn new(sink: Arc<PostgresSink>) -> Self {
        Self {
            sink,
            state: Arc::default(),
        }
    }

    /// Takes the window, if the run has ended without a record.
    pub(crate) fn quiet(&self) -> Option<QuietWindow> {
        self.state.quiet.lock().take()
    }

    fn is_begun(&self) -> bool {
        self.state.is_begun.load(Ordering::Relaxed)
    }

    async fn begin(&self, context: &WindowContext) -> Result<()> {
        match self.state.is_begun.swap(true, Ordering::Relaxed) {
            true => Ok(()),
            false => self.sink.window_started(context).await.map(drop),
        }
    }
}

impl Sink for QuietSink {
    type Writer = QuietWriter;

    const PHASE: &'static str = PostgresSink::PHASE;

    async fn run_started(&self, run: &RunContext) -> Result<()> {
        self.sink.run_started(run).await
    }

    async fn run_finished(&self, report: &RunReport) -> Result<()> {
        self.sink.run_finished(report).await
    }

    // No right to write is taken: most looks bring no record and need no connection, and companies that copy much or
    // that wait for QuickBooks must not hold up those in which nothing is new.

    async fn window_failed(&self, context: &WindowContext, error: &Error) {
        if self.begin(context).await.is_ok() {
            self.sink.window_failed(context, error).await;
        }
    }

    async fn window_released(&self, context: &WindowContext) {
        if self.is_begun() {
            self.sink.window_released(context).await;
        }
    }

    fn window_abandoned(&self, context: WindowContext) {
        if self.is_begun() {
            self.sink.window_abandoned(context);
        }
    }

    fn is_transient(&self, error: &Error) -> bool {
        self.sink.is_transient(error)
    }

    async fn open_window(&self, context: WindowContext) -> Result<QuietWriter> {
        Ok(QuietWriter {
            sink: self.clone(),
            context,
            writer: None,
        })
    }
}

/// The writer of a window that is written only if a record comes.
#[derive(Debug)]
pub(crate) struct QuietWriter {
    sink: QuietSink,
    context: WindowContext,
    writer: Option<PostgresWriter>,
}

impl WindowWriter for QuietWriter {
    async fn write(&mut self, page: Page) -> Result<()> {
        if self.writer.is_none() {
            if page.records.is_empty() && page.rejects.is_empty() {
                return Ok(());
            }
            self.sink.begin(&self.context).await?;
            let opened = self.sink.sink.open_window(self.context.clone());
            self.writer = Some(opened.await?);
        }
        match &mut self.writer {
            Some(writer) => writer.write(page).await,
            None => Ok(()),
        }
    }

    async fn commit(self, summary: ReadSummary) -> Result<CommitSummary> {
        let Self {
            sink,
            context,
            writer,
        } = self;
        match writer {
            Some(writer) => writer.commit(summary).await,
            None => {
                *sink.state.quiet.lock() = Some(QuietWindow { context, summary });
                Ok(CommitSummary::default())
            }
        }
    }

    async fn keep(self) -> Result<LoadCounts> {
        match self.writer {
            Some(writer) => writer.keep().await,
            None => Ok(LoadCounts::default()),
        }
    }
}

/// The columns of the statement.
#[derive(Default)]
struct QuietColumns<'a> {
    entities: Vec<&'a str>,
    starts: Vec<DateTime<Utc>>,
    ends: Vec<DateTime<Utc>>,
    runs: Vec<&'a str>,
    read_starts: Vec<DateTime<Utc>>,
    known_at: Vec<Option<DateTime<Utc>>>,
    read_until: Vec<Option<DateTime<Utc>>>,
    pages: Vec<i32>,
    requests: Vec<i64>,
    retries: Vec<i64>,
    extract_ms: Vec<i64>,
    checkpoints: Vec<Option<DateTime<Utc>>>,
    deletions_until: Vec<Option<DateTime<Utc>>>,
}

impl<'a> QuietColumns<'a> {
    fn add(&mut self, entity: &'a QuietEntity) {
        let QuietWindow { context, summary } = &entity.window;
        self.entities.push(context.entity.name);
        self.starts.push(context.window.start);
        self.ends.push(context.window.end);
        self.runs.push(&context.run_id);
        self.read_starts.push(context.read_start);
        self.known_at.push(context.known_at);
        self.read_until.push(summary.read_until);
        self.pages.push(summary.pages as i32);
        self.requests.push(summary.requests as i64);
        self.retries.push(summary.retries as i64);
        self.extract_ms.push(summary.extract_ms as i64);
        self.checkpoints.push(entity.checkpoint);
        self.deletions_until.push(entity.deletions_until);
    }
}

impl PostgresSink {
    /// Commits the windows of entities of a sync in which nothing is new, and records its success, as one
    /// window after the other would be. Returns the entities for which that is done: not those whose
    /// window somebody else has begun meanwhile, nor any whose turn is lost.
    ///
    /// # Errors
    /// [`Error::Database`]; nothing is committed then.
    pub(crate) async fn commit_quiet(
        &self,
        realm_id: &str,
        entities: &[QuietEntity],
    ) -> Result<HashSet<String>> {
        let Some(turn) = self.turn.as_deref().filter(|_| !entities.is_empty()) else {
            return Ok(HashSet::new());
        };
        let mut quiet = QuietColumns::default();
        entities.iter().for_each(|entity| quiet.add(entity));
        let params = params![
            self.schema,
            realm_id,
            turn,
            quiet.entities,
            quiet.starts,
            quiet.ends,
            quiet.runs,
            quiet.read_starts,
            quiet.known_at,
            quiet.read_until,
            quiet.pages,
            quiet.requests,
            quiet.retries,
            quiet.extract_ms,
            quiet.checkpoints,
            quiet.deletions_until,
        ];
        let transaction = Transaction::begin_without_records(&self.db, self.limits).await?;
        let connection = transaction.connection()?;
        // Nobody takes a turn between the look at it and the commit.
        connection.rows(HOLD_TURNS, params![self.schema]).await?;
        let rows = connection.rows(COMMIT_QUIET, params).await?;
        let committed = rows.iter().map(|row| row.column("entity"));
        let committed = committed.collect::<Result<_>>()?;
        transaction.commit().await?;
        Ok(committed)
    }
}
