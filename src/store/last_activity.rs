//! The last run and the last sync of an entity.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use super::alive::run_is_alive;
use super::committed::CommittedTime;
use super::other_run::has_ended;
use crate::domain::{Asked, EntitySyncStatus, LedgerRunStatus, Window, find_entity};
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
    /// Whether it has died: it should be running, and its process has ended or has said nothing for a
    /// minute, after which other runs do not wait for it either.
    pub is_dead: bool,
    /// Whether all of its range was committed since it began, so that nobody has to run it again.
    pub is_superseded: bool,
    /// The range that it was asked for; unknown of runs of earlier versions, and of those of other verbs.
    #[serde(skip)]
    pub asked: Option<Asked>,
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

/// Syncs are told by their own state.
const LAST_RUNS: &str = concat!(
    "
SELECT last.* FROM unnest($1::text[], $2::text[]) AS asked (schema_name, entity)
CROSS JOIN LATERAL (
    SELECT run_id, schema_name, realm_id, entity, status, started_at_utc, finished_at_utc, error,
        range_start_utc, range_end_utc, inserted, failed_windows,
        (whole ->> 'alive_at_utc')::timestamptz AS alive_at_utc, whole ->> 'host' AS host,
        (whole ->> 'pid')::bigint AS pid, whole ->> 'owner' AS owner, whole ->> 'asked' AS asked, ",
    run_is_alive!("run"),
    " AS is_alive
    FROM qbo.runs AS run CROSS JOIN LATERAL (SELECT to_jsonb(run) AS whole) AS as_json
    WHERE schema_name = asked.schema_name AND entity = asked.entity
      AND (whole ->> 'is_sync') IS DISTINCT FROM 'true'
    ORDER BY started_at_utc DESC LIMIT 1
) AS last"
);

const END_OPEN_RUN: &str = "
UPDATE qbo.runs SET status = 'ok', error = NULL, failed_windows = 0,
    finished_at_utc = coalesce(finished_at_utc, now())
WHERE run_id = $1";

const LAST_SYNC: &str = "
SELECT status, last_attempt_at_utc, last_success_at_utc, message FROM qbo.sync_state
WHERE schema_name = $1 AND entity = $2 ORDER BY last_attempt_at_utc DESC NULLS LAST LIMIT 1";

/// The last run of an entity of a company.
#[derive(Debug, Clone)]
pub(crate) struct EntityRun {
    /// The schema.
    pub schema: String,
    /// Name of the entity.
    pub entity: String,
    /// The run.
    pub run: LastRun,
}

/// Returns the last run of an entity in a schema.
pub(super) async fn last_run(db: &Db, schema: &str, entity: &str) -> Result<Option<LastRun>> {
    let mut runs = last_runs(db, &[(schema, entity)]).await?;
    Ok(runs.pop().map(|last| last.run))
}

/// Returns the last run of each of these entities in these schemas.
pub(crate) async fn last_runs(db: &Db, asked: &[(&str, &str)]) -> Result<Vec<EntityRun>> {
    let (schemas, entities): (Vec<&str>, Vec<&str>) = asked.iter().copied().unzip();
    let mut runs = Vec::new();
    for row in db.rows(LAST_RUNS, params![schemas, entities]).await? {
        let mut last = EntityRun {
            schema: row.column("schema_name")?,
            entity: row.column("entity")?,
            run: last_run_of(&row)?,
        };
        last.run.is_superseded = last.run.status != LedgerRunStatus::Ok
            && is_superseded(db, row.column("realm_id")?, &last).await?;
        runs.push(last);
    }
    Ok(runs)
}

/// Returns true if the whole range of a run was committed since it began.
async fn is_superseded(db: &Db, realm_id: &str, last: &EntityRun) -> Result<bool> {
    let range = Window {
        start: last.run.range_start,
        end: last.run.range_end,
    };
    // Of an entity of a later version nothing is known, and it is no reason to say nothing of the others.
    let Ok(entity) = find_entity(&last.entity) else {
        return Ok(false);
    };
    CommittedTime::new(db.clone())
        .covers_since(&last.schema, realm_id, entity, range, last.run.started_at)
        .await
}

/// Ends the last run of an entity, if it has not ended well and lies in a range of which nothing is left to
/// read: no other run would ever follow it.
pub(crate) async fn end_open_run(db: &Db, schema: &str, entity: &str, range: Window) -> Result<()> {
    let Some(run) = last_run(db, schema, entity).await? else {
        return Ok(());
    };
    let is_open = match run.status {
        LedgerRunStatus::Ok => false,
        LedgerRunStatus::Running => run.is_dead,
        LedgerRunStatus::Partial | LedgerRunStatus::Failed | LedgerRunStatus::Interrupted => true,
    };
    if is_open && range.start <= run.range_start && run.range_end <= range.end {
        db.execute(END_OPEN_RUN, params![run.run_id]).await?;
    }
    Ok(())
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
        is_dead: row.column::<LedgerRunStatus>("status")? == LedgerRunStatus::Running
            && (!row.column::<bool>("is_alive")? || has_ended(row)?),
        is_superseded: false,
        // What a later version has written there may be unknown.
        asked: row
            .column::<Option<String>>("asked")?
            .and_then(|asked| serde_json::from_str(&asked).ok()),
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
