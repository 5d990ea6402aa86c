//! The turns of syncs, in `qbo.sync_turns`: each entity of a company is synced by one sync at a time,
//! so that two of them cost the quota once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::task::AbortHandle;
use tokio_postgres::Row;

use super::alive::turn_is_alive;
use super::other_run::{OtherRun, RUNNING, has_ended, other_run};
use crate::durable::{ME, Process};
use crate::error::Result;
use crate::postgres::{Columns, Db, END_WHEN_IDLE, PIN_SETTINGS, Query, database_error, params};

/// The time between two beats. A sync counts as dead after four of them: half a minute, which is also the
/// longest that a stopped process holds others up elsewhere.
const BEAT: Duration = Duration::from_millis(7500);

const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('qbo.sync_turns ' || $1, 0))";

/// Keeps everybody from taking a turn in a schema until the end of the transaction. Others may hold it, too.
pub(crate) const HOLD_TURNS: &str =
    "SELECT pg_advisory_xact_lock_shared(hashtextextended('qbo.sync_turns ' || $1, 0))";

const OTHERS: &str = concat!(
    "
SELECT turn_id AS run_id, entity, host, pid, owner, started_at_utc FROM qbo.sync_turns
WHERE schema_name = $1 AND realm_id = $2 AND entity = ANY($3) AND ",
    turn_is_alive!(),
    "
ORDER BY started_at_utc"
);

const TAKE: &str = "
INSERT INTO qbo.sync_turns (schema_name, realm_id, entity, turn_id, host, pid, owner)
SELECT $1, $2, name, $4, $5, $6, $7 FROM unnest($3::text[]) AS name
ON CONFLICT (schema_name, realm_id, entity) DO UPDATE SET
    turn_id = EXCLUDED.turn_id, host = EXCLUDED.host, pid = EXCLUDED.pid, owner = EXCLUDED.owner,
    started_at_utc = EXCLUDED.started_at_utc, alive_at_utc = EXCLUDED.alive_at_utc";

const BEAT_TURN: &str = "
UPDATE qbo.sync_turns SET alive_at_utc = clock_timestamp()
WHERE turn_id = $1";

const END: &str = "DELETE FROM qbo.sync_turns WHERE turn_id = $1";

/// Syncs that go on, and those that died in their turn.
const UNDER_WAY: &str = concat!(
    "
SELECT turn_id AS run_id, schema_name, realm_id, host, pid, owner,
    array_agg(entity ORDER BY entity) AS entities,
    min(started_at_utc) AS started_at_utc, max(alive_at_utc) AS alive_at_utc,
    bool_or(",
    turn_is_alive!(),
    ") AS is_alive
FROM qbo.sync_turns WHERE $1::text IS NULL OR schema_name = $1
GROUP BY turn_id, schema_name, realm_id, host, pid, owner ORDER BY started_at_utc"
);

/// A sync that goes on, or that died in its turn.
#[derive(Debug, Clone, Serialize)]
pub struct SyncUnderWay {
    /// The schema.
    pub schema: String,
    /// The company.
    pub realm_id: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it last said that it is alive.
    pub alive_at: DateTime<Utc>,
    /// Machine of its process.
    pub host: String,
    /// Id of its process.
    pub pid: i64,
    /// Whether it has died: its process has ended, or has said nothing for half a minute, after which
    /// other syncs do not wait for it either.
    pub is_dead: bool,
    /// Its entities.
    pub entities: Vec<String>,
}

impl SyncUnderWay {
    /// Returns true if it goes on, and reads an entity of a schema.
    pub fn reads(&self, schema: &str, entity: &str) -> bool {
        !self.is_dead && self.schema == schema && self.entities.iter().any(|known| known == entity)
    }
}

/// Returns the syncs that go on in a schema, or in all of them, and those that died.
pub(crate) async fn syncs_under_way(db: &Db, schema: Option<&str>) -> Result<Vec<SyncUnderWay>> {
    if !db.has_table("qbo", "sync_turns").await? {
        return Ok(Vec::new());
    }
    let rows = db.rows(UNDER_WAY, params![schema]).await?;
    let sync = |row: &Row| {
        let is_alive: bool = row.column("is_alive")?;
        Ok(SyncUnderWay {
            schema: row.column("schema_name")?,
            realm_id: row.column("realm_id")?,
            started_at: row.column("started_at_utc")?,
            alive_at: row.column("alive_at_utc")?,
            host: row.column("host")?,
            pid: row.column("pid")?,
            is_dead: !is_alive || has_ended(row)?,
            entities: row.column("entities")?,
        })
    };
    rows.iter().map(sync).collect()
}

/// The turns of one company in one schema. All errors are
/// [`Error::Database`](crate::error::Error).
#[derive(Debug)]
pub(crate) struct SyncTurns {
    db: Db,
    schema: String,
    realm_id: String,
}

/// The right to sync entities, which ends with its process. Its pulse goes on until it is dropped.
#[derive(Debug)]
pub(crate) struct SyncTurn {
    db: Db,
    turn_id: String,
    beats: AbortHandle,
    is_over: bool,
}

/// The answer to who asks for a turn.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is theirs.
    Turn(SyncTurn),
    /// Another sync has one of the entities.
    By(OtherRun),
}

impl SyncTurns {
    /// Returns the turns of a company.
    pub(crate) fn new(db: Db, schema: &str, realm_id: &str) -> Self {
        Self {
            db,
            schema: schema.to_owned(),
            realm_id: realm_id.to_owned(),
        }
    }

    /// Takes all of the entities, or none.
    pub(crate) async fn take(&self, entities: &[&str]) -> Result<Taken> {
        let mut connection = self.db.connection().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(PIN_SETTINGS).await?;
        transaction.batch(END_WHEN_IDLE).await?;
        transaction.rows(LOCK, params![self.schema]).await?;
        let asked = params![self.schema, self.realm_id, entities];
        for row in transaction.rows(OTHERS, asked).await? {
            if let Some(other) = other_run(&row)? {
                return Ok(Taken::By(other));
            }
        }
        let turn_id = crate::chance::unique_id().to_string();
        let (host, pid, owner) = (&*ME.host, Process::pid(), &*ME.owner);
        let taken = params![
            self.schema,
            self.realm_id,
            entities,
            turn_id,
            host,
            pid,
            owner
        ];
        transaction.rows(TAKE, taken).await?;
        RUNNING.lock().insert(turn_id.clone());
        let beats = tokio::spawn(beat(self.db.clone(), turn_id.clone())).abort_handle();
        let turn = SyncTurn {
            db: self.db.clone(),
            turn_id,
            beats,
            is_over: false,
        };
        transaction.commit().await.map_err(database_error)?;
        Ok(Taken::Turn(turn))
    }
}

async fn beat(db: Db, turn_id: String) {
    loop {
        tokio::time::sleep(BEAT).await;
        db.beat(BEAT_TURN, params![turn_id]).await;
    }
}

impl SyncTurn {
    /// Returns the id of the turn, by which commits find out that it is still theirs.
    pub(crate) fn id(&self) -> &str {
        &self.turn_id
    }

    /// Lets others have the entities.
    pub(crate) async fn end(mut self) {
        self.is_over = true;
        // A row that stays is no turn any more: this process says so of its own, and other machines
        // miss the pulse.
        let _ = self.db.execute(END, params![self.turn_id]).await;
    }
}

/// Ends the turn of a sync that is dropped, in the background, if the process lives long enough.
impl Drop for SyncTurn {
    fn drop(&mut self) {
        self.beats.abort();
        RUNNING.lock().remove(&self.turn_id);
        if self.is_over {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (db, turn_id) = (self.db.clone(), self.turn_id.clone());
            runtime.spawn(async move {
                let _ = db.execute(END, params![turn_id]).await;
            });
        }
    }
}
