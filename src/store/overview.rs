//! Facts that the status page shows beside sync states: names of companies, runs, and what needs a
//! person.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::alive::run_is_alive;
use super::other_run::has_ended;
use super::unfinished::unfinished;
use crate::domain::{ENTITIES, LedgerRunStatus, LedgerWindowStatus, find_entity};
use crate::error::Result;
use crate::postgres::{Columns, Db, params, table_name};

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

/// Rows by others may be no object.
const NAME: &str = "SELECT payload ->> 'CompanyName' AS name FROM {table} LIMIT 1";

const ROW_COUNTS: &str = "
SELECT schemaname::text AS schema_name, substr(relname, 4)::text AS entity, n_live_tup AS rows
FROM pg_stat_user_tables
WHERE schemaname IN (SELECT schema_name FROM qbo.schema_realms) AND starts_with(relname, 'qb_')";

/// Windows that a run is at need nobody; a sync that is at some is told by its turn.
const TROUBLES: &str = concat!(
    "
SELECT schema_name, realm_id, entity, status, count(*) AS windows, min(window_start_utc) AS first,
    min(error) AS error
FROM (",
    unfinished!(),
    ") AS odd
WHERE NOT is_under_way
GROUP BY schema_name, realm_id, entity, status ORDER BY schema_name, entity, status"
);

const SET_ASIDE: &str = "
SELECT schema_name, realm_id, entity, count(*) AS records FROM qbo.rejects
GROUP BY schema_name, realm_id, entity ORDER BY schema_name, entity";

/// The last five runs of each entity are few, whatever the table holds. Those that found nothing new
/// would hide the others.
const RUNS: &str = concat!(
    "
SELECT run.*, ",
    run_is_alive!("run"),
    " AS is_alive, coalesce(nullif(run.windows, 0), committed.windows) AS windows_so_far,
    coalesce(nullif(run.rows, 0), committed.rows) AS rows_so_far
FROM (
    SELECT last.* FROM qbo.schema_realms AS bound
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

    /// Returns the schemas with their companies.
    pub(crate) async fn companies(&self) -> Result<Vec<BoundSchema>> {
        let info = find_entity("company_info")?;
        let mut companies = Vec::new();
        for row in self.0.rows(COMPANIES, params![]).await? {
            let schema: String = row.column("schema_name")?;
            let mut name = None;
            if self.0.has_table(&schema, &info.table()).await? {
                let select = NAME.replace("{table}", &table_name(&schema, info));
                // The page is worth more than a name: the role may not be able to read the table.
                let found = self.0.optional(&select, params![]).await.ok().flatten();
                name = found.and_then(|row| row.column("name").ok().flatten());
            }
            companies.push(BoundSchema {
                realm_id: row.column("realm_id")?,
                schema,
                name,
            });
        }
        Ok(companies)
    }

    /// Returns approximate numbers of rows.
    pub(crate) async fn row_counts(&self) -> Result<Vec<RowCount>> {
        let rows = self.0.rows(ROW_COUNTS, params![]).await?;
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

    /// Returns the latest runs that are under way, have failed or have changed rows.
    pub(crate) async fn runs(&self) -> Result<Vec<RecentRun>> {
        let names: Vec<&str> = ENTITIES.iter().map(|entity| entity.name).collect();
        let rows = self.0.rows(RUNS, params![names]).await?;
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
    Ok(WindowTrouble {
        schema: row.column("schema_name")?,
        realm_id: row.column("realm_id")?,
        entity: row.column("entity")?,
        status: row.column("status")?,
        windows: row.count("windows")?,
        first: row.column("first")?,
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
