//! The last run and the last sync of an entity.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use super::other_run::has_ended;
use crate::domain::{EntitySyncStatus, LedgerRunStatus};
use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// The last run of an entity.
#[derive(Debug, Clone, Serialize)]
pub struct LastRun {
    /// Id of the run.
    pub run_id: String,
    /// `running` (now, or killed), `ok`, `partial`, `failed` or `interrupted`.
    pub status: LedgerRunStatus,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its first failure.
    pub error: Option<String>,
    /// First instant of its range.
    pub range_start: DateTime<Utc>,
    /// First instant after its range.
    pub range_end: DateTime<Utc>,
    /// New records.
    pub inserted: i64,
    /// Windows that failed.
    pub failed_windows: i64,
    /// When it last said that it is alive.
    pub alive_at: Option<DateTime<Utc>>,
    /// Machine of its process.
    pub host: Option<String>,
    /// Id of its process.
    pub pid: Option<i64>,
    /// Whether it has died: it should be running, and its process has ended or has said nothing for three
    /// minutes.
    pub is_dead: bool,
}

/// The last sync of an entity.
#[derive(Debug, Clone, Serialize)]
pub struct LastSync {
    /// Its outcome.
    pub status: EntitySyncStatus,
    /// When it was last tried.
    pub attempted_at: Option<DateTime<Utc>>,
    /// When it last succeeded.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Reason of the last failure.
    pub error: Option<String>,
}

/// The pulse is read by way of JSON: a ledger that was not upgraded yet has none. Syncs are told by their
/// own state.
const LAST_RUN: &str = "
SELECT run_id, status, started_at_utc, finished_at_utc, error, range_start_utc, range_end_utc,
    inserted, failed_windows, pulse.at AS alive_at_utc, whole ->> 'host' AS host,
    (whole ->> 'pid')::bigint AS pid, whole ->> 'owner' AS owner,
    status = 'running'
        AND coalesce(pulse.at, started_at_utc) < clock_timestamp() - interval '3 minutes'
        AS is_dead
FROM qbo.runs AS run
CROSS JOIN LATERAL (SELECT to_jsonb(run) AS whole) AS as_json
CROSS JOIN LATERAL (SELECT (whole ->> 'alive_at_utc')::timestamptz AS at) AS pulse
WHERE schema_name = $1 AND entity = $2 AND (whole ->> 'is_sync') IS DISTINCT FROM 'true'
ORDER BY started_at_utc DESC LIMIT 1";

const LAST_SYNC: &str = "
SELECT status, last_attempt_at_utc, last_success_at_utc, message FROM qbo.sync_state
WHERE schema_name = $1 AND entity = $2 ORDER BY last_attempt_at_utc DESC NULLS LAST LIMIT 1";

/// Returns the last run of an entity in a schema.
pub(super) async fn last_run(db: &Db, schema: &str, entity: &str) -> Result<Option<LastRun>> {
    let row = db.optional(LAST_RUN, params![schema, entity]).await?;
    row.as_ref().map(last_run_of).transpose()
}

/// Returns the last sync of an entity in a schema.
pub(super) async fn last_sync(db: &Db, schema: &str, entity: &str) -> Result<Option<LastSync>> {
    let row = db.optional(LAST_SYNC, params![schema, entity]).await?;
    row.as_ref().map(last_sync_of).transpose()
}

fn last_run_of(row: &Row) -> Result<LastRun> {
    Ok(LastRun {
        run_id: row.column("run_id")?,
        status: row.column("status")?,
        started_at: row.column("started_at_utc")?,
        finished_at: row.column("finished_at_utc")?,
        error: row.column("error")?,
        range_start: row.column("range_start_utc")?,
        range_end: row.column("range_end_utc")?,
        inserted: row.column("inserted")?,
        failed_windows: row.column("failed_windows")?,
        alive_at: row.column("alive_at_utc")?,
        host: row.column("host")?,
        pid: row.column("pid")?,
        is_dead: row.column("is_dead")?
            || row.column::<LedgerRunStatus>("status")? == LedgerRunStatus::Running
                && has_ended(row)?,
    })
}

fn last_sync_of(row: &Row) -> Result<LastSync> {
    Ok(LastSync {
        status: row.column("status")?,
        attempted_at: row.column("last_attempt_at_utc")?,
        succeeded_at: row.column("last_success_at_utc")?,
        error: row.column("message")?,
    })
}
