//! The store: tables and ledger in memory, changed by transactions that can fail before or after
//! they take effect.
//!
//! The rules of the merge and of the ledger's times are written once more in Rust after those of
//! `merge.sql` and `write_ledger.sql`, for one schema of one company; which windows are complete is
//! decided by the code of production. It is simpler than the SQL in this: payloads are compared by
//! their bytes, not as `jsonb`; no row has a time of deletion; the ledger keeps times alone, no counts
//! and no texts. A window of which only the end was read is as new as what was known of the rest,
//! without the five minutes for failures that were being committed then, and also if it was newer
//! before.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde_json::Value;

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
    windows: BTreeMap<(&'static str, Window), LedgerTime>,
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
        let tables = self.0.lock();
        let windows = tables.windows.iter();
        let times = windows.filter(|((of, _), _)| *of == entity);
        complete_parts(&times.map(|(_, time)| *time).collect::<Vec<_>>())
    }

    /// Returns windows as a resumed process reads them.
    pub(super) fn resumed(&self, entity: &str, windows: &[Window]) -> Resumed {
        let known_at = true_time();
        let committed = self.complete_parts(entity);
        let tables = self.0.lock();
        let times = tables
            .windows
            .iter()
            .filter(|((of, _), time)| *of == entity && time.is_part && time.committed_at.is_some());
        let begun = times.map(|((_, window), _)| BegunWindow {
            window: *window,
            parts: PartTotals::default(),
        });
        Resumed::new(windows, &committed, &begun.collect::<Vec<_>>(), known_at)
    }

    pub(super) fn is_set_aside(&self, entity: &str, id: &str, at: DateTime<Utc>) -> bool {
        let tables = self.0.lock();
        let mut rejects = tables.rejects.get(entity).into_iter().flatten();
        rejects.any(|reject| match &reject.id {
            Some(known) => known == id,
            None => reject.at == at,
        })
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

    /// Writes that a window is committed up to an instant (`write_part.sql`).
    fn write_part(
        &mut self,
        context: &WindowContext,
        read_until: Option<DateTime<Utc>>,
        committed_at: DateTime<Utc>,
    ) {
        let WindowContext {
            window, read_start, ..
        } = *context;
        let entity = context.entity.name;
        let rejects = self.rejects.entry(entity).or_default();
        let is_inside = |at| read_start <= at && read_until.is_none_or(|until| at < until);
        rejects.retain(|reject| !is_inside(reject.at));
        let key = (entity, window);
        let known = self.windows.get(&key).copied().unwrap_or(unread(window));
        let time = LedgerTime {
            read_until,
            is_part: true,
            committed_at: Some(committed_at),
            ..known
        };
        self.windows.insert(key, time);
    }

    /// Writes the ledger's row and the rejects of the time that was read (`write_ledger.sql`).
    fn write_ledger(
        &mut self,
        context: &WindowContext,
        (read_until, first_part_at): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
        set_aside: &[Reject],
        has_failed: bool,
    ) {
        let WindowContext {
            window, read_start, ..
        } = *context;
        let entity = context.entity.name;
        let rejects = self.rejects.entry(entity).or_default();
        rejects.retain(|reject| {
            let is_again = |new: &Reject| new.id.is_some() && new.id == reject.id;
            let is_read_again = read_start <= reject.at && reject.at < window.end;
            !(is_read_again || set_aside.iter().any(is_again))
        });
        rejects.extend(set_aside.iter().map(|reject| SetAside {
            id: reject.id.clone(),
            at: reject.at,
        }));
        let known = self.windows.get(&(entity, window)).copied();
        let is_end_only = read_start > window.start;
        let known = known.unwrap_or(unread(window));
        let time = match (has_failed, is_end_only) {
            (false, _) => LedgerTime {
                window,
                read_until,
                is_part: false,
                committed_at: first_part_at.or_else(|| Some(committed_at(context))),
                incomplete_since: None,
            },
            (true, true) => known,
            (true, false) => LedgerTime {
                committed_at: None,
                incomplete_since: Some(true_time()),
                ..known
            },
        };
        self.windows.insert((entity, window), time);
    }
}

/// Returns the row of a window of which nothing is known.
fn unread(window: Window) -> LedgerTime {
    LedgerTime {
        window,
        read_until: None,
        is_part: false,
        committed_at: None,
        incomplete_since: None,
    }
}

/// Returns the instant as of which a window is committed that is committed now.
fn committed_at(context: &WindowContext) -> DateTime<Utc> {
    let is_end_only = context.read_start > context.window.start;
    let known_at = context.known_at.filter(|_| is_end_only);
    known_at.unwrap_or_else(true_time)
}

/// The sink of one process.
pub(super) struct MemorySink {
    process: Arc<Process>,
}

impl MemorySink {
    pub(super) fn new(process: Arc<Process>) -> Self {
        Self { process }
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
        let tables = self.process.world.store.0.lock();
        let key = (context.entity.name, context.window);
        let known = tables.windows.get(&key).copied();
        let parts = known.map(|time| complete_parts(&[time]));
        Ok(parts.and_then(|parts| parts.first().map(|part| part.end)))
    }

    fn is_transient(&self, error: &Error) -> bool {
        error.is_transient_in_database()
    }

    async fn open_window(&self, context: WindowContext) -> Result<MemoryWriter> {
        self.attempt("opens", &context).await?;
        Ok(MemoryWriter {
            sink: Self::new(self.process.clone()),
            context,
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
    records: Vec<Record>,
    rejects: Vec<Reject>,
    first_part_at: Option<DateTime<Utc>>,
}

impl MemoryWriter {
    fn store(&self) -> &Mutex<Tables> {
        &self.sink.process.world.store.0
    }
}

impl WindowWriter for MemoryWriter {
    async fn write(&mut self, page: Page) -> Result<()> {
        self.sink.attempt("writes", &self.context).await?;
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
            let times = (summary.read_until, self.first_part_at);
            tables.write_ledger(context, times, &self.rejects, has_failed);
        };
        let mut counts = match self.sink.process.world.sabotage {
            Some(Sabotage::LedgerFirst) => {
                ledger(&mut self.store().lock());
                self.sink.process.operation("commits the rows").await;
                self.store().lock().merge(entity, &self.records)
            }
            _ => {
                let mut tables = self.store().lock();
                let counts = tables.merge(entity, &self.records);
                ledger(&mut tables);
                counts
            }
        };
        counts.rejected = rejected;
        counts.rows += rejected;
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
        if !self.rejects.is_empty() {
            return Ok(None);
        }
        let at = self.first_part_at.unwrap_or(committed_at(&self.context));
        let too_far = match self.sink.process.world.sabotage {
            Some(Sabotage::PartTooFar) => TimeDelta::days(1),
            _ => TimeDelta::zero(),
        };
        let until = summary.read_until.map(|until| until + too_far);
        let merge_and_write = |tables: &mut Tables| {
            let counts = tables.merge(self.context.entity.name, &self.records);
            tables.write_part(&self.context, until, at);
            counts
        };
        let counts = merge_and_write(&mut self.store().lock());
        self.first_part_at = Some(at);
        self.records.clear();
        self.sink.attempt(PART_COMMITTED, &self.context).await?;
        Ok(Some(counts))
    }

    fn back_to_part(&mut self) {
        self.records.clear();
        self.rejects.clear();
    }

    async fn keep(self) -> Result<LoadCounts> {
        self.sink.attempt("keeps", &self.context).await?;
        let entity = self.context.entity.name;
        Ok(self.store().lock().merge(entity, &self.records))
    }
}
