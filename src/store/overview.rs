//! Facts that the status page shows beside sync states: names of companies, runs, and what needs a
//! person.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::alive::run_is_alive;
use super::company_names::company_names;
use super::other_run::has_ended;
use super::unfinished::{of_its_schema, unfinished};
use crate::domain::{ENTITIES, LedgerRunStatus, LedgerWindowStatus, Window};
use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// A schema of raw tables and its company.
#[derive(Debug, Clone)]
pub struct BoundSchema {
    /// The schema.
    pub schema: String,
    /// The company.
    pub realm_id: String,
    /// The company's own name, once its `company_info` is loaded.
    pub name: Option<String>,
}

/// The state of all entities of a company together.
#[derive(Debug, Clone)]
pub(crate) struct CompanyState {
    /// The company.
    pub(crate) realm_id: String,
    /// Whether the last sync of an entity has failed, windows have, records are set aside or differ.
    pub(crate) has_failed: bool,
    /// The oldest checkpoint of its entities; that of one that is read once a day counts as a day younger.
    pub(crate) oldest: Option<DateTime<Utc>>,
}

/// The approximate number of rows of an entity.
#[derive(Debug, Clone)]
pub struct RowCount {
    /// The schema.
    pub schema: String,
    /// Name of the entity.
    pub entity: String,
    /// Rows, as Postgres's statistics count them.
    pub rows: i64,
}

/// The windows of an entity that need a person, of one status.
#[derive(Debug, Clone)]
pub(crate) struct WindowTrouble {
    /// The schema.
    pub schema: String,
    /// The company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
    /// `failed`, `stuck`, or `running` without a sign of life.
    pub status: LedgerWindowStatus,
    /// Number of the windows.
    pub windows: u64,
    /// First instant of the first one.
    pub first: DateTime<Utc>,
    /// The time of those that the next sync does not read, and the length of the longest in seconds.
    pub left: Option<(Window, i64)>,
    /// Error of one of them.
    pub error: Option<String>,
}

/// The records of an entity that are set aside.
#[derive(Debug, Clone)]
pub(crate) struct SetAsideCount {
    /// The schema.
    pub schema: String,
    /// The company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
    /// Number of records.
    pub records: u64,
}

/// A run: one entity's windows in one call.
#[derive(Debug, Clone)]
pub struct RecentRun {
    /// The schema.
    pub schema: String,
    /// The company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
    /// First instant of its range.
    pub start: DateTime<Utc>,
    /// First instant after its range.
    pub end: DateTime<Utc>,
    /// `running` (now, or killed), `ok`, `partial` or `failed`.
    pub status: LedgerRunStatus,
    /// Whether it has died: it should be running, and its process has ended or says nothing.
    pub is_dead: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Rows that it has committed so far.
    pub rows: u64,
    /// Windows that it has committed so far.
    pub windows: u64,
    /// Its first failure.
    pub error: Option<String>,
}

/// The next sync of a company by the schedule.
#[derive(Debug, Clone)]
pub struct ScheduledSync {
    /// The company.
    pub realm_id: String,
    /// When it is due.
    pub next_at: DateTime<Utc>,
    /// Failures in a row.
    pub consecutive_failures: i32,
    /// Error of the last failure.
    pub message: Option<String>,
}

const COMPANIES: &str = "
SELECT schema_name, realm_id FROM qbo.schema_realms ORDER BY realm_id, schema_name";

const COMPANY_STATES: &str = concat!(
    "
WITH needs AS (
    SELECT realm_id FROM (",
    unfinished!(),
    ") AS odd WHERE status IN ('failed', 'stuck')
    UNION SELECT realm_id FROM qbo.rejects AS reject WHERE ",
    of_its_schema!("reject"),
    "
    UNION SELECT realm_id FROM qbo.differences AS difference WHERE ",
    of_its_schema!("difference"),
    "
), synced AS (
    SELECT realm_id, bool_or(status = 'failed') AS has_failed,
        min(least(now(), checkpoint_utc + CASE WHEN entity = ANY($1) THEN interval '1 day' ELSE interval '0' END))
            FILTER (WHERE status <> 'unavailable') AS oldest
    FROM qbo.sync_state GROUP BY realm_id
)
SELECT realm_id, needs.realm_id IS NOT NULL OR coalesce(has_failed, false) AS has_failed, oldest
FROM synced FULL JOIN needs USING (realm_id)"
);

const ROW_COUNTS: &str = "
SELECT schemaname::text AS schema_name, substr(relname, 4)::text AS entity, n_live_tup AS rows
FROM pg_stat_user_tables
WHERE schemaname = ANY($1) AND starts_with(relname, 'qb_')";

/// Windows that a run is at need nobody; a sync that is at some is told by its turn.
const TROUBLES: &str = concat!(
    "
SELECT schema_name, realm_id, entity, status, count(*) AS windows, min(window_start_utc) AS first,
    min(error) AS error, min(window_start_utc) FILTER (WHERE NOT is_of_sync) AS left_from,
    max(window_end_utc) FILTER (WHERE NOT is_of_sync) AS left_to,
    (extract(epoch FROM max(window_end_utc - window_start_utc) FILTER (WHERE NOT is_of_sync)))::bigint AS longest_s
FROM (",
    unfinished!(),
    ") AS odd
WHERE NOT is_under_way
GROUP BY schema_name, realm_id, entity, status ORDER BY schema_name, entity, status"
);

const SET_ASIDE: &str = concat!(
    "
SELECT schema_name, realm_id, entity, count(*) AS records FROM qbo.rejects AS reject
WHERE ",
    of_its_schema!("reject"),
    "
GROUP BY schema_name, realm_id, entity ORDER BY schema_name, entity"
);

/// The last five runs of each entity are few, whatever the table holds. Those that found nothing new
/// would hide the others.
const RUNS: &str = concat!(
    "
SELECT run.*, ",
    run_is_alive!("run"),
    " AS is_alive, coalesce(nullif(run.windows, 0), committed.windows) AS windows_so_far,
    coalesce(nullif(run.rows, 0), committed.rows) AS rows_so_far
FROM (
    SELECT last.* FROM unnest($2::text[]) AS bound(schema_name)
    CROSS JOIN unnest($1::text[]) AS name
    CROSS JOIN LATERAL (
        SELECT * FROM qbo.runs
        WHERE schema_name = bound.schema_name AND entity = name
        ORDER BY started_at_utc DESC LIMIT 5
    ) AS last
    WHERE last.status <> 'ok' OR last.inserted + last.updated + last.rejected > 0
    ORDER BY last.started_at_utc DESC LIMIT 15
) AS run
CROSS JOIN LATERAL (
    SELECT count(*) AS windows, coalesce(sum(done.rows), 0)::bigint AS rows FROM qbo.windows AS done
    WHERE run.status = 'running' AND done.schema_name = run.schema_name
      AND done.entity = run.entity AND done.run_id = run.run_id AND done.status = 'done'
) AS committed
ORDER BY run.started_at_utc DESC"
);

/// A company that was due long ago is synced by nobody any more.
const SCHEDULE: &str = "
SELECT realm_id, next_sync_at_utc, consecutive_failures, message FROM qbo.sync_accounts
WHERE next_sync_at_utc > now() - interval '1 hour'";

/// Reads what the status page shows, of any schema. All errors are
/// [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub(crate) struct OverviewReader(Db);

impl OverviewReader {
    /// Returns a reader of a database.
    pub(crate) fn new(db: Db) -> Self {
        Self(db)
    }

    /// Returns the schemas with their companies, whose names are not looked up.
    pub(crate) async fn schemas(&self) -> Result<Vec<BoundSchema>> {
        let rows = self.0.rows(COMPANIES, params![]).await?;
        let schemas = rows.iter().map(|row| {
            Ok(BoundSchema {
                schema: row.column("schema_name")?,
                realm_id: row.column("realm_id")?,
                name: None,
            })
        });
        schemas.collect()
    }

    /// Returns the schemas with the names of their companies.
    pub(crate) async fn named(&self, mut schemas: Vec<BoundSchema>) -> Result<Vec<BoundSchema>> {
        let names: Vec<String> = schemas.iter().map(|one| one.schema.clone()).collect();
        let mut found = company_names(&self.0, &names).await?;
        for one in &mut schemas {
            one.name = found.remove(&one.schema);
        }
        Ok(schemas)
    }

    /// Returns how each company stands that was ever synced.
    pub(crate) async fn company_states(&self) -> Result<Vec<CompanyState>> {
        let dailies: Vec<&str> = ENTITIES
            .iter()
            .filter(|entity| entity.is_read_whole)
            .map(|entity| entity.name)
            .collect();
        let rows = self.0.rows(COMPANY_STATES, params![dailies]).await?;
        let states = rows.iter().map(|row| {
            Ok(CompanyState {
                realm_id: row.column("realm_id")?,
                has_failed: row.column("has_failed")?,
                oldest: row.column("oldest")?,
            })
        });
        states.collect()
    }

    /// Returns approximate numbers of rows in the tables of `schemas`.
    pub(crate) async fn row_counts(&self, schemas: &[String]) -> Result<Vec<RowCount>> {
        let rows = self.0.rows(ROW_COUNTS, params![schemas]).await?;
        let counts = rows.iter().map(|row| {
            Ok(RowCount {
                schema: row.column("schema_name")?,
                entity: row.column("entity")?,
                rows: row.column("rows")?,
            })
        });
        counts.collect()
    }

    /// Returns the windows that need a person.
    pub(crate) async fn troubles(&self) -> Result<Vec<WindowTrouble>> {
        let rows = self.0.rows(TROUBLES, params![]).await?;
        rows.iter().map(trouble).collect()
    }

    /// Returns the numbers of records that are set aside.
    pub(crate) async fn set_aside(&self) -> Result<Vec<SetAsideCount>> {
        let rows = self.0.rows(SET_ASIDE, params![]).await?;
        let counts = rows.iter().map(|row| {
            Ok(SetAsideCount {
                schema: row.column("schema_name")?,
                realm_id: row.column("realm_id")?,
                entity: row.column("entity")?,
                records: row.count("records")?,
            })
        });
        counts.collect()
    }

    /// Returns the latest runs into `schemas` that are under way, have failed or have changed rows.
    pub(crate) async fn runs(&self, schemas: &[String]) -> Result<Vec<RecentRun>> {
        let names: Vec<&str> = ENTITIES.iter().map(|entity| entity.name).collect();
        let rows = self.0.rows(RUNS, params![names, schemas]).await?;
        rows.iter().map(run).collect()
    }

    /// Returns the next syncs by the schedule; none if nobody syncs by it.
    pub(crate) async fn schedule(&self) -> Result<Vec<ScheduledSync>> {
        let rows = self.0.rows(SCHEDULE, params![]).await?;
        let schedule = rows.iter().map(|row| {
            Ok(ScheduledSync {
                realm_id: row.column("realm_id")?,
                next_at: row.column("next_sync_at_utc")?,
                consecutive_failures: row.column("consecutive_failures")?,
                message: row.column("message")?,
            })
        });
        schedule.collect()
    }
}

fn trouble(row: &Row) -> Result<WindowTrouble> {
    let from: Option<DateTime<Utc>> = row.column("left_from")?;
    let to: Option<DateTime<Utc>> = row.column("left_to")?;
    let range = from.zip(to).map(|(start, end)| Window { start, end });
    Ok(WindowTrouble {
        schema: row.column("schema_name")?,
        realm_id: row.column("realm_id")?,
        entity: row.column("entity")?,
        status: row.column("status")?,
        windows: row.count("windows")?,
        first: row.column("first")?,
        left: range.zip(row.column("longest_s")?),
        error: row.column("error")?,
    })
}

fn run(row: &Row) -> Result<RecentRun> {
    Ok(RecentRun {
        schema: row.column("schema_name")?,
        realm_id: row.column("realm_id")?,
        entity: row.column("entity")?,
        start: row.column("range_start_utc")?,
        end: row.column("range_end_utc")?,
        status: row.column("status")?,
        is_dead: row.column::<LedgerRunStatus>("status")? == LedgerRunStatus::Running
            && (!row.column::<bool>("is_alive")? || has_ended(row)?),
        started_at: row.column("started_at_utc")?,
        finished_at: row.column("finished_at_utc")?,
        rows: row.count("rows_so_far")?,
        windows: row.count("windows_so_far")?,
        error: row.column("error")?,
    })
}
