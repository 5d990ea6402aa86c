//! The state of incremental sync of each entity of a company.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::sync_turns::HOLD_TURNS;
use crate::domain::{EntityOutcome, EntitySpec, EntitySync, EntitySyncStatus};
use crate::error::Result;
use crate::postgres::{Columns, Db, Param, Query, params};

/// State left by earlier syncs of an entity.
#[derive(Debug, Clone, Default)]
pub(crate) struct SyncState {
    /// Deletions up to this instant are in the table; `None`: it was never synced.
    pub deletions_until: Option<DateTime<Utc>>,
    /// When ids were last compared.
    pub reconciled_at: Option<DateTime<Utc>>,
    /// The last sync failed, or ended before it had read the entity.
    pub is_unread: bool,
}

/// Outcome of the sync of one entity.
#[derive(Debug, Clone)]
pub(crate) struct SyncOutcome {
    /// `success`, `failed` or `unavailable`.
    pub status: EntitySyncStatus,
    /// Everything changed before it is in the table.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Why the sync failed, or why the company does not have the entity.
    pub message: Option<String>,
}

impl SyncOutcome {
    /// Returns the outcome of a sync that failed before it began.
    pub(crate) fn failed(error: String) -> Self {
        Self {
            status: EntitySyncStatus::Failed,
            checkpoint: None,
            message: Some(error),
        }
    }
}

impl From<&EntitySync> for SyncOutcome {
    fn from(report: &EntitySync) -> Self {
        let (status, message) = match report.status {
            EntityOutcome::Ok => (EntitySyncStatus::Success, None),
            EntityOutcome::Failed => (EntitySyncStatus::Failed, report.error.clone()),
            EntityOutcome::Unavailable => {
                (EntitySyncStatus::Unavailable, report.unavailable.clone())
            }
        };
        Self {
            status,
            checkpoint: report.checkpoint,
            message,
        }
    }
}

/// The condition that a sync ($3) still has the turn of an entity, and its company the schema. Else another sync has
/// taken over, or another company has the schema, and nothing is to be said of either.
macro_rules! in_turn {
    ($entity:literal) => {
        concat!(
            "EXISTS (SELECT FROM qbo.schema_realms WHERE schema_name = $1 AND realm_id = $2)
  AND EXISTS (
      SELECT FROM qbo.sync_turns AS turn
      WHERE turn.schema_name = $1 AND turn.realm_id = $2 AND turn.turn_id = $3 AND turn.entity = ",
            $entity,
            ")"
        )
    };
}

/// The row of an entity that is read as a whole, and was so after $7, stays unless a sync has failed since: it
/// will not be read. Those of $5 are read first, all at once.
const MARK_BEGUN: &str = concat!(
    "
WITH marked AS (
    UPDATE qbo.sync_state AS state SET last_attempt_at_utc = now(),
        status = CASE WHEN entity = ANY($5::text[]) THEN 'in_progress' ELSE 'pending' END
    WHERE schema_name = $1 AND realm_id = $2 AND entity = ANY($4::text[])
      AND NOT (entity = ANY($6::text[]) AND coalesce(reconciled_at_utc >= $7::timestamptz, false)
               AND status IN ('success', 'unavailable'))
      AND ",
    in_turn!("state.entity"),
    "
)
INSERT INTO qbo.sync_state (schema_name, realm_id, entity, last_attempt_at_utc)
SELECT $1, $2, name, now() FROM unnest($4::text[]) AS name
WHERE NOT EXISTS (
    SELECT FROM qbo.sync_state WHERE schema_name = $1 AND realm_id = $2 AND entity = name)
  AND ",
    in_turn!("name"),
    "
ON CONFLICT DO NOTHING"
);

const MARK_IN_PROGRESS: &str = concat!(
    "
UPDATE qbo.sync_state AS state SET status = 'in_progress'
WHERE schema_name = $1 AND realm_id = $2 AND entity = ANY($4)
  AND ",
    in_turn!("state.entity")
);

const RECORD: &str = concat!(
    "
UPDATE qbo.sync_state AS state SET
    status = $6::text,
    last_success_at_utc = CASE WHEN $6 = 'success' THEN now() ELSE last_success_at_utc END,
    consecutive_failures = CASE WHEN $6 = 'failed' THEN consecutive_failures + 1 ELSE 0 END,
    message = $7,
    checkpoint_utc = coalesce($5, checkpoint_utc)
WHERE schema_name = $1 AND realm_id = $2 AND entity = $4
  AND ",
    in_turn!("state.entity")
);

/// One statement for all companies.
const HOW_FAR: &str = "
SELECT realm_id, count(checkpoint_utc) AS synced, min(checkpoint_utc) AS synced_until
FROM unnest($1::text[]) AS asked (realm_id)
LEFT JOIN (SELECT * FROM qbo.sync_state WHERE entity = ANY($2)) AS known USING (realm_id)
GROUP BY realm_id ORDER BY realm_id";

/// Entities that the company was found not to have within the last day, by the database's clock.
const UNAVAILABLE: &str = "
SELECT entity, message FROM qbo.sync_state
WHERE schema_name = $1 AND realm_id = $2 AND entity = ANY($3) AND status = 'unavailable'
  AND last_attempt_at_utc > now() - interval '1 day'";

/// A company, and how far its entities are in step.
#[derive(Debug, Clone)]
pub(crate) struct HowFar {
    /// Id of the company.
    pub realm_id: String,
    /// Number of the entities that were ever synced.
    pub synced: usize,
    /// The earliest instant at which one of them ends.
    pub synced_until: Option<DateTime<Utc>>,
}

/// Returns how far companies are with entities, in the order of their ids.
pub(crate) async fn how_far(
    db: &Db,
    realm_ids: &[String],
    entities: &[&str],
) -> Result<Vec<HowFar>> {
    let rows = db.rows(HOW_FAR, params![realm_ids, entities]).await?;
    let company = |row: &Row| {
        Ok(HowFar {
            realm_id: row.column("realm_id")?,
            synced: usize::try_from(row.count("synced")?).unwrap_or_default(),
            synced_until: row.column("synced_until")?,
        })
    };
    rows.iter().map(company).collect()
}

/// The sync states of one company in one schema, in `qbo.sync_state`, for a sync in its turn. It writes nothing once
/// another sync has taken over. All errors are [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub(crate) struct SyncStates {
    db: Db,
    schema: String,
    realm_id: String,
    turn_id: String,
}

impl SyncStates {
    /// Returns the states of the company `realm_id` in `schema`, for the sync that has the turn `turn_id`.
    pub(crate) fn new(db: Db, schema: &str, realm_id: &str, turn_id: &str) -> Self {
        Self {
            db,
            schema: schema.to_owned(),
            realm_id: realm_id.to_owned(),
            turn_id: turn_id.to_owned(),
        }
    }

    /// Writes by a statement that looks at the turn. Nobody takes it between the look and the commit.
    async fn write(&self, statement: &str, params: &[Param<'_>]) -> Result<()> {
        let written = self.db.alone(async |connection| {
            let schema = params![self.schema];
            // Sent together, answered in order.
            let (held, written) = tokio::join!(
                connection.rows(HOLD_TURNS, schema),
                connection.change(statement, params)
            );
            held?;
            written
        });
        written.await.map(drop)
    }

    /// Returns those of the entities that need not be asked for today, because the company does not
    /// have them, with the reasons.
    pub(crate) async fn unavailable(
        &self,
        entities: &[EntitySpec],
    ) -> Result<HashMap<String, String>> {
        let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
        let params = params![self.schema, self.realm_id, names];
        let rows = self.db.rows(UNAVAILABLE, params).await?;
        let entry = |row: &Row| {
            let reason: Option<String> = row.column("message")?;
            Ok((row.column("entity")?, reason.unwrap_or_default()))
        };
        rows.iter().map(entry).collect()
    }

    /// Records that entities are about to be synced, and `first` ones now, except those of `dailies` whose
    /// ids were compared at `since` or later, and that no sync has failed to read since.
    pub(crate) async fn mark_begun(
        &self,
        entities: &[&str],
        first: &[&str],
        dailies: &[&str],
        since: DateTime<Utc>,
    ) -> Result<()> {
        let params = params![
            self.schema,
            self.realm_id,
            self.turn_id,
            entities,
            first,
            dailies,
            since
        ];
        self.write(MARK_BEGUN, params).await
    }

    /// Records that entities are being synced now.
    pub(crate) async fn mark_in_progress(&self, entities: &[&str]) -> Result<()> {
        let params = params![self.schema, self.realm_id, self.turn_id, entities];
        self.write(MARK_IN_PROGRESS, params).await
    }

    /// Records the outcome of an entity's sync.
    pub(crate) async fn record_outcome(&self, entity: &str, outcome: &SyncOutcome) -> Result<()> {
        let SyncOutcome {
            status,
            checkpoint,
            message,
        } = outcome;
        let params = params![
            self.schema,
            self.realm_id,
            self.turn_id,
            entity,
            checkpoint,
            status,
            message
        ];
        self.write(RECORD, params).await
    }
}
