//! The ledger of the simulated store: the rules of its SQL statements, written once more in Rust, each
//! named after its statement. Left out are counts, texts, and how often an attempt may crash.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::true_time;
use crate::domain::Window;
use crate::port::WindowContext;
use crate::store::LedgerTime;

/// The time for failures that were being committed when the rest of a window was looked up: that of `write_ledger.sql`
/// and `write_part.sql`. It has nothing to do with how far a sync looks back.
const WHILE_COMMITTED: TimeDelta = TimeDelta::minutes(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Running,
    Done,
    Failed,
}

/// One row.
#[derive(Debug, Clone)]
struct Row {
    run_id: String,
    status: Status,
    /// Status and run of the attempt before, as long as an attempt is under way.
    previous: Option<(Status, String)>,
    read_until: Option<DateTime<Utc>>,
    part_until: Option<DateTime<Utc>>,
    committed_at: Option<DateTime<Utc>>,
    incomplete_since: Option<DateTime<Utc>>,
}

impl Row {
    /// Returns the row of a first attempt.
    fn begun(context: &WindowContext) -> Self {
        Self {
            run_id: context.run_id.clone(),
            status: Status::Running,
            previous: None,
            read_until: None,
            part_until: None,
            committed_at: None,
            incomplete_since: None,
        }
    }

    fn is_part(&self) -> bool {
        self.part_until.is_some() && self.part_until == self.read_until
    }
}

/// The read of a window, as its transaction states it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    pub until: Option<DateTime<Utc>>,
    /// Begin of the transaction.
    pub begun_at: DateTime<Utc>,
    /// The instant as of which the first part is committed.
    pub first_part_at: Option<DateTime<Utc>>,
}

/// All rows, by entity and window.
#[derive(Default)]
pub(super) struct Ledger(BTreeMap<(&'static str, Window), Row>);

fn key(context: &WindowContext) -> (&'static str, Window) {
    (context.entity.name, context.window)
}

fn is_end_only(context: &WindowContext) -> bool {
    context.read_start > context.window.start
}

/// Returns the instant as of which a window is committed.
fn committed_at(context: &WindowContext, read: Read) -> DateTime<Utc> {
    let known_at = context.known_at.filter(|_| is_end_only(context));
    let own = known_at.map_or(read.begun_at, |at| at - WHILE_COMMITTED);
    read.first_part_at.unwrap_or(own)
}

impl Ledger {
    /// Returns what the rows of an entity say of time.
    pub(super) fn times(&self, entity: &str) -> Vec<LedgerTime> {
        let rows = self.0.iter().filter(|((of, _), _)| *of == entity);
        let time = |((_, window), row): (&(&str, Window), &Row)| LedgerTime {
            window: *window,
            read_until: row.read_until,
            is_part: row.is_part(),
            committed_at: row.committed_at,
            incomplete_since: row.incomplete_since,
        };
        rows.map(time).collect()
    }

    /// `begin_window.sql`. Returns what the row says.
    pub(super) fn begin(&mut self, context: &WindowContext) -> LedgerTime {
        let run_id = context.run_id.clone();
        let begun = || Row::begun(context);
        let row = self.0.entry(key(context)).or_insert_with(begun);
        if row.status != Status::Running {
            row.previous = Some((row.status, std::mem::take(&mut row.run_id)));
        }
        (row.status, row.run_id) = (Status::Running, run_id);
        LedgerTime {
            window: context.window,
            read_until: row.read_until,
            is_part: row.is_part(),
            committed_at: row.committed_at,
            incomplete_since: None,
        }
    }

    /// `write_part.sql`. A row that another run has begun or committed stays as it is. Returns as of when
    /// the part is committed.
    pub(super) fn write_part(&mut self, context: &WindowContext, read: Read) -> DateTime<Utc> {
        let at = committed_at(context, read);
        let begun = || Row::begun(context);
        let row = self.0.entry(key(context)).or_insert_with(begun);
        if row.run_id != context.run_id || row.status != Status::Running {
            return read.begun_at;
        }
        let known = row.committed_at.filter(|_| is_end_only(context));
        (row.read_until, row.part_until) = (read.until, read.until);
        row.committed_at = known.max(Some(at));
        at.max(known.unwrap_or(at))
    }

    /// `write_ledger.sql`.
    pub(super) fn write(&mut self, context: &WindowContext, read: Read, has_failed: bool) {
        let is_end_only = is_end_only(context);
        let known = self.0.remove(&key(context));
        let known_commit = known.as_ref().and_then(|row| row.committed_at);
        let known_commit = known_commit.filter(|_| is_end_only);
        let mut row = Row {
            run_id: context.run_id.clone(),
            status: Status::Done,
            previous: None,
            read_until: read.until,
            part_until: None,
            committed_at: known_commit.max(Some(committed_at(context, read))),
            incomplete_since: None,
        };
        if has_failed {
            row.status = Status::Failed;
            row.read_until = known.as_ref().and_then(|row| row.read_until);
            row.part_until = known.as_ref().and_then(|row| row.part_until);
            row.committed_at = known_commit;
            row.incomplete_since = match is_end_only {
                true => known.and_then(|row| row.incomplete_since),
                false => Some(true_time()),
            };
        }
        self.0.insert(key(context), row);
    }

    /// The statement `END_WINDOW`.
    pub(super) fn fail(&mut self, context: &WindowContext, is_of_records: bool) {
        let row = self.0.get_mut(&key(context));
        if let Some(row) = row.filter(|row| row.run_id == context.run_id) {
            row.status = Status::Failed;
            row.previous = None;
            if is_of_records && !is_end_only(context) {
                row.committed_at = None;
                row.incomplete_since = Some(true_time());
            }
        }
    }

    /// `release_window.sql`.
    pub(super) fn release(&mut self, context: &WindowContext) {
        let Some(row) = self.0.get_mut(&key(context)) else {
            return;
        };
        if row.run_id != context.run_id || row.status != Status::Running {
            return;
        }
        let before = row.previous.take();
        if before.is_none() && row.committed_at.is_none() {
            self.0.remove(&key(context));
            return;
        }
        match before {
            Some((status, run_id)) => (row.status, row.run_id) = (status, run_id),
            None if row.is_part() => row.status = Status::Failed,
            None => row.status = Status::Done,
        }
    }
}
