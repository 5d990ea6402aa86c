//! The job queue: kept in Postgres, worked on by any number of processes, each job by one at a
//! time.
//!
//! Written by hand because queue libraries for Postgres bring a second driver and pool, and only a
//! few statements are needed here.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use crate::domain::JobStatus;
use crate::error::Result;
use crate::postgres::{Columns, Db, END_WHEN_IDLE, PIN_SETTINGS, Query, database_error, params};

/// Seconds without a heartbeat after which another worker takes a job over. A worker sends one
/// every second.
const LEASE_TIMEOUT_S: f64 = 15.0;
/// Attempts after which a job that keeps ending its process is given up.
const MAX_ATTEMPTS: i32 = 5;

/// Serialises claims, so that each sees what the one before has taken.
const LOCK_CLAIMS: &str = "SELECT pg_advisory_xact_lock(hashtextextended('qbo_rs claims', 0))";

const GIVE_UP: &str = "
UPDATE qbo.jobs SET
    status = 'failed',
    finished_at_utc = now(),
    error = 'it ended the process that worked on it ' || attempts || ' times'
WHERE status = 'running' AND attempts >= $2
  AND alive_at_utc < now() - make_interval(secs => $1)";

/// Takes the oldest job that is free, unless a job of the same companies is running.
const CLAIM: &str = include_str!("sql/claim_job.sql");

const HEARTBEAT: &str = "
UPDATE qbo.jobs SET alive_at_utc = now()
WHERE job_id = $1 AND attempts = $2 AND status = 'running'
RETURNING cancel_requested";

const FINISH: &str = include_str!("sql/finish_job.sql");

const CANCEL: &str = "
UPDATE qbo.jobs SET
    cancel_requested = true,
    finished_at_utc = CASE WHEN status = 'queued' THEN now() ELSE finished_at_utc END,
    status = CASE WHEN status = 'queued' THEN 'cancelled' ELSE status END
WHERE job_id = $1
RETURNING *";

/// A job and its outcome so far.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Job {
    /// Id of the job.
    pub job_id: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    pub status: JobStatus,
    /// The request, as JSON.
    #[cfg_attr(test, schema(value_type = Object))]
    pub request: Value,
    /// Number of its starts by a worker. A start whose service was stopped properly does not
    /// count.
    pub attempts: i32,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When it was first started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The report of its sync.
    #[cfg_attr(test, schema(value_type = Option<Object>))]
    pub report: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Job {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            job_id: row.column("job_id")?,
            status: row.column("status")?,
            request: row.column::<Json<Value>>("request")?.0,
            attempts: row.column("attempts")?,
            created_at: row.column("created_at_utc")?,
            started_at: row.column("started_at_utc")?,
            finished_at: row.column("finished_at_utc")?,
            report: row
                .column::<Option<Json<Value>>>("report")?
                .map(|report| report.0),
            error: row.column("error")?,
        })
    }
}

/// The answer to a worker's heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Continue.
    Continue,
    /// The job's end was requested.
    Cancel,
    /// Another worker has taken the job over.
    Lost,
}

/// The outcome of a job.
#[derive(Debug, Clone)]
pub(crate) struct JobOutcome<'a> {
    /// The status that it ends with.
    pub status: JobStatus,
    /// The report of its sync.
    pub report: Option<&'a Value>,
    /// Why it failed.
    pub error: Option<&'a str>,
    /// If it failed: the entities that failed, whose webhook events it gives back; `None` means all.
    pub failed_entities: Option<Vec<&'a str>>,
}

/// The queue of jobs, in `qbo.jobs`. All errors are [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub(crate) struct JobQueue(Db);

impl JobQueue {
    /// Returns the queue of a database.
    pub(crate) fn new(db: Db) -> Self {
        Self(db)
    }

    /// Queues a job. If there is one with the same key, that one is returned instead.
    pub(crate) async fn enqueue(&self, request: &Value, key: Option<&str>) -> Result<Option<Job>> {
        let id = crate::chance::unique_id().to_string();
        let insert = "
            INSERT INTO qbo.jobs (job_id, idempotency_key, request) VALUES ($1, $2, $3)
            ON CONFLICT (idempotency_key) DO NOTHING RETURNING *";
        let row = self
            .0
            .optional(insert, params![id, key, Json(request)])
            .await?;
        let row = match row {
            Some(row) => Some(row),
            None => {
                let existing = "SELECT * FROM qbo.jobs WHERE idempotency_key = $1";
                self.0.optional(existing, params![key]).await?
            }
        };
        row.as_ref().map(Job::from_row).transpose()
    }

    /// Claims the job that has waited longest, or one whose worker has stopped sending heartbeats.
    /// A job is skipped while another job of the same companies is running, so that a company that
    /// does not answer cannot occupy all workers.
    pub(crate) async fn claim(&self) -> Result<Option<Job>> {
        let mut connection = self.0.connection().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(PIN_SETTINGS).await?;
        transaction.batch(END_WHEN_IDLE).await?;
        transaction.batch(LOCK_CLAIMS).await?;
        transaction
            .change(GIVE_UP, params![LEASE_TIMEOUT_S, MAX_ATTEMPTS])
            .await?;
        let rows = transaction.rows(CLAIM, params![LEASE_TIMEOUT_S]).await?;
        transaction.commit().await.map_err(database_error)?;
        rows.first().map(Job::from_row).transpose()
    }

    /// Records that a job is being worked on.
    pub(crate) async fn heartbeat(&self, job: &Job) -> Result<Signal> {
        let params = params![job.job_id, job.attempts];
        let row = self.0.optional(HEARTBEAT, params).await?;
        let is_cancelled = row.map(|row| row.column("cancel_requested")).transpose()?;
        Ok(match is_cancelled {
            None => Signal::Lost,
            Some(true) => Signal::Cancel,
            Some(false) => Signal::Continue,
        })
    }

    /// Returns an unfinished job to the queue. The attempt does not count, because the job did not
    /// end its process. The number stays above those of all workers that have lost the job before,
    /// so that they cannot take the next attempt for theirs.
    pub(crate) async fn release(&self, job: &Job) -> Result<()> {
        let release = "
            UPDATE qbo.jobs SET status = 'queued', attempts = attempts - 1
            WHERE job_id = $1 AND attempts = $2 AND status = 'running'";
        let params = params![job.job_id, job.attempts];
        self.0.execute(release, params).await.map(drop)
    }

    /// Ends a job, unless another worker has taken it over. If it failed, webhook events become
    /// due again. Those of a job that is cancelled or given up do not: a person has ended it, or it
    /// may be what ends its processes.
    pub(crate) async fn finish(&self, job: &Job, outcome: JobOutcome<'_>) -> Result<()> {
        let JobOutcome {
            status,
            report,
            error,
            failed_entities,
        } = outcome;
        let report = report.map(Json);
        let params = params![
            job.job_id,
            job.attempts,
            status,
            report,
            error,
            failed_entities
        ];
        self.0.execute(FINISH, params).await.map(drop)
    }

    /// Requests the end of a job and returns the job. A queued job ends at once.
    pub(crate) async fn cancel(&self, id: &str) -> Result<Option<Job>> {
        let row = self.0.optional(CANCEL, params![id]).await?;
        row.as_ref().map(Job::from_row).transpose()
    }

    /// Returns a job.
    pub(crate) async fn get(&self, id: &str) -> Result<Option<Job>> {
        let select = "SELECT * FROM qbo.jobs WHERE job_id = $1";
        let row = self.0.optional(select, params![id]).await?;
        row.as_ref().map(Job::from_row).transpose()
    }

    /// Returns the latest jobs, newest first.
    pub(crate) async fn recent(&self, max_jobs: i64) -> Result<Vec<Job>> {
        let select = "SELECT * FROM qbo.jobs ORDER BY created_at_utc DESC LIMIT $1";
        let rows = self.0.rows(select, params![max_jobs]).await?;
        rows.iter().map(Job::from_row).collect()
    }

    /// Returns the number of jobs by status.
    pub(crate) async fn counts(&self) -> Result<Vec<(JobStatus, u64)>> {
        let select = "SELECT status, count(*) FROM qbo.jobs GROUP BY status ORDER BY status";
        let rows = self.0.rows(select, params![]).await?;
        rows.iter()
            .map(|row| Ok((row.column("status")?, row.count("count")?)))
            .collect()
    }

    /// Deletes jobs that ended longer ago than `age`.
    pub(crate) async fn delete_older_than(&self, age: Duration) -> Result<()> {
        let delete =
            "DELETE FROM qbo.jobs WHERE finished_at_utc < now() - make_interval(secs => $1)";
        self.0
            .execute(delete, params![age.as_secs_f64()])
            .await
            .map(drop)
    }
}
