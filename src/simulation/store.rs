//! The store: tables and ledger in memory, changed by transactions that can fail before or after
//! they take effect.
//!
//! The rules of the merge are written once more in Rust after those of `merge.sql`, those of the ledger in
//! `ledger.rs`, for one schema of one company; which windows are complete is decided by the code of
//! production. It is simpler than the SQL in this: payloads are compared by their bytes, not as `jsonb`, and
//! no row has a time of deletion.
//!
//! After each commit the world looks whether what the ledger now says of the window is so.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde_json::Value;

use super::ledger::{Ledger, Read};
use super::process::{PART_COMMITTED, Process};
use super::sabotage::Sabotage;
use super::true_time;
use crate::domain::{
    BegunWindow, LoadCounts, Page, PartTotals, Record, Reject, Resumed, Window, too_many_rejects,
};
use crate::error::{Error, Result};
use crate::port::{CommitSummary, ReadSummary, Sink, WindowContext, WindowWriter};
use crate::store::{LedgerTime, complete_parts};

/// Tables and ledger of all entities.
#[derive(Default)]
pub(super) struct Store(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    rows: BTreeMap<&'static str, BTreeMap<String, Record>>,
    ledger: Ledger,
    rejects: BTreeMap<&'static str, Vec<SetAside>>,
}

/// A record that was set aside.
struct SetAside {
    id: Option<String>,
    at: DateTime<Utc>,
}

/// The error of a database that cannot be reached.
pub(super) fn unreachable() -> Error {
    Error::Database {
        reason: "the connection was lost".to_owned(),
        sqlstate: None,
        source: None,
    }
}

impl Store {
    /// Returns the payloads of an entity's table, by id.
    pub(super) fn rows(&self, entity: &str) -> BTreeMap<String, Value> {
        let tables = self.0.lock();
        let rows = tables.rows.get(entity).into_iter().flatten();
        rows.map(|(id, row)| {
            let payload = serde_json::from_slice(row.payload.as_bytes()).unwrap();
            (id.clone(), payload)
        })
        .collect()
    }

    /// Returns the time that the ledger calls complete.
    pub(super) fn complete_parts(&self, entity: &str) -> Vec<Window> {
        complete_parts(&self.0.lock().ledger.times(entity))
    }

    /// Returns windows as a resumed process reads them. No time is open here: what was committed counts, also
    /// where a killed process was to read it again.
    pub(super) fn resumed(&self, entity: &str, windows: &[Window]) -> Resumed {
        let known_at = true_time();
        let times = self.0.lock().ledger.times(entity);
        let parts = times
            .iter()
            .filter(|time| time.is_part && time.committed_at.is_some());
        let begun: Vec<BegunWindow> = parts
            .map(|time| BegunWindow {
                window: time.window,
                parts: PartTotals::default(),
            })
            .collect();
        LedgerTime::resumed(windows, &times, &[], &begun, known_at)
    }

    pub(super) fn is_set_aside(&self, entity: &str, id: &str, at: DateTime<Utc>) -> bool {
        let tables = self.0.lock();
        let mut rejects = tables.rejects.get(entity).into_iter().flatten();
        rejects.any(|reject| match &reject.id {
            Some(known) => known == id,
            None => reject.at == at,
        })
    }

    /// Returns the row of a record.
    pub(super) fn row(&self, entity: &str, id: &str) -> Option<Record> {
        self.0.lock().rows.get(entity)?.get(id).cloned()
    }

    pub(super) fn rejects(&self) -> usize {
        self.0.lock().rejects.values().map(Vec::len).sum()
    }
}

impl Tables {
    /// Stores the newest version of each record, unless the table has a newer one (`merge.sql`).
    fn merge(&mut self, entity: &'static str, records: &[Record]) -> LoadCounts {
        let age = |record: &Record| (record.updated_at, record.sync_token);
        let mut newest: BTreeMap<&str, &Record> = BTreeMap::new();
        for record in records {
            let known = newest.get(record.id.as_str());
            if known.is_none_or(|known| age(known) <= age(record)) {
                newest.insert(&record.id, record);
            }
        }
        let mut counts = LoadCounts::default();
        let table = self.rows.entry(entity).or_default();
        for (id, record) in newest {
            counts.rows += 1;
            match table.get(id) {
                None => counts.inserted += 1,
                Some(row) if row.payload == record.payload || age(row) > age(record) => {
                    counts.unchanged += 1;
                    continue;
                }
                Some(_) => counts.updated += 1,
            }
            table.insert(id.to_owned(), record.clone());
        }
        let rejects = self.rejects.entry(entity).or_default();
        rejects.retain(|reject| {
            let is_stored = |record: &&Record| Some(&record.id) == reject.id.as_ref();
            let stored = records.iter().find(is_stored);
            stored.is_none_or(|record| record.updated_at < reject.at)
        });
        counts
    }

    /// Takes note that time was read of which nothing is set aside.
    fn forget_rejects(&mut self, context: &WindowContext, until: DateTime<Utc>) {
        let rejects = self.rejects.entry(context.entity.name).or_default();
        rejects.retain(|reject| reject.at < context.read_start || until <= reject.at);
    }

    /// Writes that a window is committed up to an instant.
    fn write_part(&mut self, context: &WindowContext, read: Read) -> DateTime<Utc> {
        if let Some(until) = read.until {
            self.forget_rejects(context, until);
        }
        self.ledger.write_part(context, read)
    }

    /// Writes the ledger's row and the rejects of the time that was read.
    fn write_ledger(
        &mut self,
        context: &WindowContext,
        read: Read,
        set_aside: &[Reject],
        has_failed: bool,
    ) {
        self.forget_rejects(context, context.window.end);
        let rejects = self.rejects.entry(context.entity.name).or_default();
        rejects.retain(|reject| {
            let is_again = |new: &Reject| new.id.is_some() && new.id == reject.id;
            !set_aside.iter().any(is_again)
        });
        rejects.extend(set_aside.iter().map(|reject| SetAside {
            id: reject.id.clone(),
            at: reject.at,
        }));
        self.ledger.write(context, read, has_failed);
    }
}

/// The sink of one process.
#[derive(Clone)]
pub(super) struct MemorySink {
    process: Arc<Process>,
    /// The sink of a sync.
    is_in_turn: bool,
}

impl MemorySink {
    pub(super) fn new(process: Arc<Process>, is_in_turn: bool) -> Self {
        Self {
            process,
            is_in_turn,
        }
    }

    /// Returns true if windows are committed whole, as those of a sync are (`commit_part` of production).
    fn commits_whole(&self) -> bool {
        self.is_in_turn && !self.process.world.divides_syncs
    }

    fn tables(&self) -> parking_lot::MutexGuard<'_, Tables> {
        self.process.world.store.0.lock()
    }

    /// Ends a window that its run has not read to the end, unless nothing of the process has an effect any
    /// more.
    fn end_window(&self, context: &WindowContext, error: Option<&Error>) {
        if !self.process.is_alive() {
            return;
        }
        let ledger = &mut self.tables().ledger;
        match error {
            Some(error) => ledger.fail(context, error.is_of_records()),
            None => ledger.release(context),
        }
    }

    async fn attempt(&self, what: &str, context: &WindowContext) -> Result<()> {
        let line = format!("{what} {} {}", context.entity.name, context.window);
        self.process.operation(&line).await;
        match self.process.world.fails(&line, 0.3) {
            true => Err(unreachable()),
            false => Ok(()),
        }
    }
}

impl Sink for MemorySink {
    type Writer = MemoryWriter;

    const PHASE: &'static str = "load";

    async fn window_started(&self, context: &WindowContext) -> Result<Option<DateTime<Utc>>> {
        self.attempt("begins", context).await?;
        let known = self.tables().ledger.begin(context);
        Ok(complete_parts(&[known]).first().map(|part| part.end))
    }

    async fn window_failed(&self, context: &WindowContext, error: &Error) {
        if self.attempt("fails", context).await.is_ok() {
            self.end_window(context, Some(error));
        }
    }

    async fn window_released(&self, context: &WindowContext) {
        if self.attempt("releases", context).await.is_ok() {
            self.end_window(context, None);
        }
    }

    fn window_abandoned(&self, context: WindowContext) {
        let error = (!self.is_in_turn).then_some(&Error::Cancelled);
        self.end_window(&context, error);
    }

    fn is_transient(&self, error: &Error) -> bool {
        error.is_transient_in_database()
    }

    async fn open_window(&self, context: WindowContext) -> Result<MemoryWriter> {
        self.attempt("opens", &context).await?;
        Ok(MemoryWriter {
            sink: self.clone(),
            context,
            begun_at: None,
            records: Vec::new(),
            rejects: Vec::new(),
            first_part_at: None,
        })
    }
}

/// The transaction of one window.
pub(super) struct MemoryWriter {
    sink: MemorySink,
    context: WindowContext,
    /// Begin of the transaction.
    begun_at: Option<DateTime<Utc>>,
    records: Vec<Record>,
    rejects: Vec<Reject>,
    first_part_at: Option<DateTime<Utc>>,
}

impl MemoryWriter {
    fn read(&self, until: Option<DateTime<Utc>>) -> Read {
        Read {
            until,
            begun_at: self.begun_at.unwrap_or_else(true_time),
            first_part_at: self.first_part_at,
        }
    }

    /// Looks whether what the ledger says of the window is so.
    fn look(&self) {
        let WindowContext { entity, window, .. } = self.context;
        self.sink.process.world.look(entity.name, window);
    }
}

impl WindowWriter for MemoryWriter {
    async fn write(&mut self, page: Page) -> Result<()> {
        self.sink.attempt("writes", &self.context).await?;
        self.begun_at.get_or_insert_with(true_time);
        self.records.extend(page.records);
        self.rejects.extend(page.rejects);
        Ok(())
    }

    async fn commit(self, summary: ReadSummary) -> Result<CommitSummary> {
        self.sink.attempt("commits", &self.context).await?;
        let rejected = self.rejects.len() as u64;
        let first = self.rejects.first().map_or("", |reject| &reject.error);
        let failure = too_many_rejects(rejected, first);
        let (context, entity) = (&self.context, self.context.entity.name);
        let ledger = |tables: &mut Tables| {
            let has_failed = failure.is_some();
            let read = self.read(summary.read_until);
            tables.write_ledger(context, read, &self.rejects, has_failed);
        };
        let mut counts = match self.sink.process.world.sabotage {
            Some(Sabotage::LedgerFirst) => {
                ledger(&mut self.sink.tables());
                self.sink.process.operation("commits the rows").await;
                self.sink.tables().merge(entity, &self.records)
            }
            _ => {
                let mut tables = self.sink.tables();
                let counts = tables.merge(entity, &self.records);
                ledger(&mut tables);
                counts
            }
        };
        counts.rejected = rejected;
        counts.rows += rejected;
        self.look();
        // The transaction is committed. Its answer may not arrive.
        self.sink.attempt("has committed", context).await?;
        Ok(CommitSummary {
            counts,
            path: None,
            failure,
        })
    }

    async fn commit_part(
        &mut self,
        summary: ReadSummary,
        _ahead: u64,
    ) -> Result<Option<LoadCounts>> {
        self.sink.attempt("commits a part", &self.context).await?;
        if !self.rejects.is_empty() || self.sink.commits_whole() {
            return Ok(None);
        }
        let too_far = match self.sink.process.world.sabotage {
            Some(Sabotage::PartTooFar) => TimeDelta::days(1),
            Some(Sabotage::PartWithinSecond) => TimeDelta::seconds(1),
            _ => TimeDelta::zero(),
        };
        let read = self.read(summary.read_until.map(|until| until + too_far));
        let merge_and_write = |tables: &mut Tables| {
            let counts = tables.merge(self.context.entity.name, &self.records);
            (counts, tables.write_part(&self.context, read))
        };
        let (counts, at) = merge_and_write(&mut self.sink.tables());
        self.look();
        self.first_part_at = Some(at);
        self.begun_at = None;
        self.records.clear();
        self.sink.attempt(PART_COMMITTED, &self.context).await?;
        Ok(Some(counts))
    }

    fn back_to_part(&mut self) {
        self.begun_at = None;
        self.records.clear();
        self.rejects.clear();
    }

    async fn keep(self) -> Result<LoadCounts> {
        self.sink.attempt("keeps", &self.context).await?;
        let entity = self.context.entity.name;
        Ok(self.sink.tables().merge(entity, &self.records))
    }
}
