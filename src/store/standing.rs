//! The standing of entities before a sync reads them: committed time, windows that failed, and the state
//! of incremental sync, in one statement for all entities of a company.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::committed::{FailedWindow, LedgerTime, complete_parts};
use super::sync_states::SyncState;
use crate::domain::{Continuation, EntitySpec, LedgerWindowStatus, Window};
use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// A row for each window of each entity; one without a window for an entity that has none.
const SELECT: &str = "
SELECT now() AS asked_at, asked.entity, state.deletions_until_utc, state.reconciled_at_utc,
    coalesce(state.status NOT IN ('success', 'unavailable'), false) AS is_unread,
    ledger.window_start_utc, ledger.window_end_utc, ledger.read_until_utc, ledger.committed_at_utc,
    ledger.incomplete_since_utc, ledger.started_at_utc, ledger.records_failed, ledger.status,
    ledger.is_part
FROM unnest($3::text[]) AS asked(entity)
LEFT JOIN qbo.sync_state AS state
    ON state.schema_name = $1 AND state.realm_id = $2 AND state.entity = asked.entity
LEFT JOIN qbo.windows AS ledger
    ON ledger.schema_name = $1 AND ledger.realm_id = $2 AND ledger.entity = asked.entity";

/// The standing of one entity.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// Committed windows, unsorted.
    pub committed: Vec<Window>,
    /// Windows whose last attempt failed, unless the cause was none of their records and they are
    /// committed.
    pub failed: Vec<FailedWindow>,
    /// The state that earlier syncs left.
    pub state: SyncState,
    /// Windows whose last attempt was committed.
    done: Vec<Window>,
}

impl Standing {
    /// Returns true if the last attempt at a window was committed.
    pub(crate) fn is_done(&self, window: Window) -> bool {
        self.done.contains(&window)
    }
}

/// The standing of the entities of a company.
#[derive(Debug)]
pub(crate) struct Standings {
    /// An instant before anything of it was read, by the clock of the database.
    known_at: DateTime<Utc>,
    by_entity: HashMap<String, Standing>,
}

impl Standings {
    /// Returns the beginning of a read that goes on where the committed time ends.
    pub(crate) fn continued(&self, from: DateTime<Utc>) -> Continuation {
        let known_at = self.known_at;
        Continuation {
            from,
            known_at,
            begun: None,
        }
    }

    /// Takes the standing of an entity.
    pub(crate) fn take(&mut self, entity: &EntitySpec) -> Standing {
        self.by_entity.remove(entity.name).unwrap_or_default()
    }
}

/// Reads the standing of entities. The tables of the schema `qbo` are there.
///
/// # Errors
/// [`Error::Database`](crate::error::Error).
pub(crate) async fn standings(
    db: &Db,
    (schema, realm_id): (&str, &str),
    entities: &[EntitySpec],
) -> Result<Standings> {
    let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
    let rows = db.rows(SELECT, params![schema, realm_id, names]).await?;
    let known_at = match rows.first() {
        Some(row) => row.column("asked_at")?,
        // Without entities nothing is read.
        None => crate::clock::now(),
    };
    let mut times: HashMap<String, Vec<LedgerTime>> = HashMap::new();
    let mut by_entity: HashMap<String, Standing> = HashMap::new();
    for row in &rows {
        let name: String = row.column("entity")?;
        let standing = by_entity.entry(name.clone()).or_default();
        standing.state = SyncState {
            deletions_until: row.column("deletions_until_utc")?,
            reconciled_at: row.column("reconciled_at_utc")?,
            is_unread: row.column("is_unread")?,
        };
        if row
            .column::<Option<DateTime<Utc>>>("window_start_utc")?
            .is_some()
        {
            let time = LedgerTime::of(row)?;
            standing.add(row, &time)?;
            times.entry(name).or_default().push(time);
        }
    }
    for (name, standing) in &mut by_entity {
        let times = times.get(name).map_or(&[][..], Vec::as_slice);
        standing.committed = complete_parts(times);
    }
    Ok(Standings {
        known_at,
        by_entity,
    })
}

impl Standing {
    fn add(&mut self, row: &Row, time: &LedgerTime) -> Result<()> {
        let window = time.window;
        match row.column("status")? {
            LedgerWindowStatus::Done => self.done.push(window),
            LedgerWindowStatus::Failed => {
                let is_of_records: bool = row.column("records_failed")?;
                let started_at: Option<DateTime<Utc>> = row.column("started_at_utc")?;
                // One that failed for another reason and is committed to its end needs nothing.
                let is_open = is_of_records || time.committed_at.is_none() || time.is_part;
                self.failed.extend(
                    started_at
                        .filter(|_| is_open)
                        .map(|started_at| FailedWindow {
                            window,
                            started_at,
                            is_of_records,
                        }),
                );
            }
            LedgerWindowStatus::Running | LedgerWindowStatus::Stuck => {}
        }
        Ok(())
    }
}
