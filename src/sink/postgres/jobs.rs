//! The queue of jobs: kept in Postgres, worked on by any number of processes, each job by one at a
//! time.
//!
//! Queues for Postgres as libraries bring a second driver and pool with them; what is needed here
//! are five statements.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql, Type};

use super::PostgresSink;
use crate::error::Result;
use crate::postgres::database_error;

/// Seconds of silence after which a job is taken over. Its worker speaks every second.
const SILENCE_S: f64 = 15.0;
/// A job that has ended so many processes is given up.
const MAX_ATTEMPTS: i32 = 5;

/// A job as it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// Its id.
    pub job_id: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    pub status: String,
    /// What was asked for.
    pub request: Value,
    /// How often it was begun.
    pub attempts: i32,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was first begun.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What it did.
    pub report: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What a worker hears when it says that it is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Continue,
    /// Somebody has asked for its end.
    Cancel,
    /// Another worker has taken the job over.
    Lost,
}

const COLUMNS: &str = "job_id, status, request, attempts, created_at_utc, started_at_utc, finished_at_utc, report, error";

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

fn job(row: &Row) -> Job {
    Job {
        job_id: row.get(0),
        status: row.get(1),
        request: row.get::<_, Json<Value>>(2).0,
        attempts: row.get(3),
        created_at: row.get(4),
        started_at: row.get(5),
        finished_at: row.get(6),
        report: row.get::<_, Option<Json<Value>>>(7).map(|report| report.0),
        error: row.get(8),
    }
}

impl PostgresSink {
    async fn jobs_where(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Job>> {
        let rows = self
            .connection()
            .await?
            .query_typed(statement, parameters)
            .await
            .map_err(database_error)?;
        Ok(rows.iter().map(job).collect())
    }

    /// Puts a job into the queue, unless there is one with the same key: that one is returned then.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn enqueue(&self, request: &Value, key: Option<&str>) -> Result<Option<Job>> {
        let id = uuid::Uuid::new_v4().to_string();
        let insert = format!(
            "INSERT INTO qbo.jobs (job_id, idempotency_key, request) VALUES ($1, $2, $3) \
             ON CONFLICT (idempotency_key) DO NOTHING RETURNING {COLUMNS}"
        );
        let request = Json(request);
        let parameters: [Parameter<'_>; 3] = [
            (&id, Type::TEXT),
            (&key, Type::TEXT),
            (&request, Type::JSONB),
        ];
        if let Some(job) = self.jobs_where(&insert, &parameters).await?.pop() {
            return Ok(Some(job));
        }
        let known = format!("SELECT {COLUMNS} FROM qbo.jobs WHERE idempotency_key = $1");
        Ok(self.jobs_where(&known, &[(&key, Type::TEXT)]).await?.pop())
    }

    /// Takes the job that has waited longest, or one whose worker has fallen silent. While a job of
    /// the same companies is worked on, one waits: a company that does not answer must not keep all
    /// workers waiting.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn claim_job(&self) -> Result<Option<Job>> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        // One claim at a time sees what the one before has taken.
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('qbo_rs claims', 0))";
        transaction
            .batch_execute(lock)
            .await
            .map_err(database_error)?;
        let give_up = "UPDATE qbo.jobs SET status = 'failed', finished_at_utc = now(), \
                       error = 'it ended the process that worked on it ' || attempts || ' times' \
                       WHERE status = 'running' AND attempts >= $2 AND alive_at_utc < now() - make_interval(secs => $1)";
        let parameters: [Parameter<'_>; 2] =
            [(&SILENCE_S, Type::FLOAT8), (&MAX_ATTEMPTS, Type::INT4)];
        transaction
            .query_typed(give_up, &parameters)
            .await
            .map_err(database_error)?;
        let claim = format!(
            "UPDATE qbo.jobs SET status = 'running', attempts = attempts + 1, alive_at_utc = now(), \
             started_at_utc = coalesce(started_at_utc, now()) WHERE job_id = (SELECT job_id FROM qbo.jobs job \
             WHERE (status = 'queued' OR status = 'running' AND alive_at_utc < now() - make_interval(secs => $1)) \
             AND NOT EXISTS (SELECT 1 FROM qbo.jobs other WHERE other.status = 'running' AND other.job_id <> job.job_id \
             AND other.alive_at_utc >= now() - make_interval(secs => $1) \
             AND other.request -> 'accounts' = job.request -> 'accounts') \
             ORDER BY created_at_utc LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING {COLUMNS}"
        );
        let rows = transaction
            .query_typed(&claim, &parameters[..1])
            .await
            .map_err(database_error)?;
        transaction.commit().await.map_err(database_error)?;
        Ok(rows.first().map(job))
    }

    /// Says that a job is being worked on.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn heartbeat(&self, job: &Job) -> Result<Order> {
        let statement = "UPDATE qbo.jobs SET alive_at_utc = now() WHERE job_id = $1 AND attempts = $2 \
                         AND status = 'running' RETURNING cancel_requested";
        let parameters: [Parameter<'_>; 2] =
            [(&job.job_id, Type::TEXT), (&job.attempts, Type::INT4)];
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        Ok(match rows.first().map(|row| row.get::<_, bool>(0)) {
            None => Order::Lost,
            Some(true) => Order::Cancel,
            Some(false) => Order::Continue,
        })
    }

    /// Gives a job back that is not done.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn release_job(&self, job: &Job) -> Result<()> {
        let statement = "UPDATE qbo.jobs SET status = 'queued' WHERE job_id = $1 AND attempts = $2 AND status = 'running'";
        let parameters: [Parameter<'_>; 2] =
            [(&job.job_id, Type::TEXT), (&job.attempts, Type::INT4)];
        self.connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map(|_| ())
            .map_err(database_error)
    }

    /// Ends a job, unless another worker has taken it over.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn end_job(
        &self,
        job: &Job,
        status: &str,
        report: Option<&Value>,
        error: Option<&str>,
    ) -> Result<()> {
        let statement = "UPDATE qbo.jobs SET status = $3, report = $4, error = $5, finished_at_utc = now() \
                         WHERE job_id = $1 AND attempts = $2 AND status = 'running'";
        let report = report.map(Json);
        let parameters: [Parameter<'_>; 5] = [
            (&job.job_id, Type::TEXT),
            (&job.attempts, Type::INT4),
            (&status, Type::TEXT),
            (&report, Type::JSONB),
            (&error, Type::TEXT),
        ];
        self.connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map(|_| ())
            .map_err(database_error)
    }

    /// Asks for the end of a job; returns it. One that nobody has begun ends at once.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn cancel_job(&self, id: &str) -> Result<Option<Job>> {
        let statement = format!(
            "UPDATE qbo.jobs SET cancel_requested = true, \
             finished_at_utc = CASE WHEN status = 'queued' THEN now() ELSE finished_at_utc END, \
             status = CASE WHEN status = 'queued' THEN 'cancelled' ELSE status END WHERE job_id = $1 RETURNING {COLUMNS}"
        );
        Ok(self
            .jobs_where(&statement, &[(&id, Type::TEXT)])
            .await?
            .pop())
    }

    /// A job.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn job(&self, id: &str) -> Result<Option<Job>> {
        let statement = format!("SELECT {COLUMNS} FROM qbo.jobs WHERE job_id = $1");
        Ok(self
            .jobs_where(&statement, &[(&id, Type::TEXT)])
            .await?
            .pop())
    }

    /// The latest jobs, newest first.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn recent_jobs(&self, most: i64) -> Result<Vec<Job>> {
        let statement =
            format!("SELECT {COLUMNS} FROM qbo.jobs ORDER BY created_at_utc DESC LIMIT $1");
        self.jobs_where(&statement, &[(&most, Type::INT8)]).await
    }

    /// Deletes jobs that ended so long ago.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn delete_old_jobs(&self, age: Duration) -> Result<()> {
        let statement =
            "DELETE FROM qbo.jobs WHERE finished_at_utc < now() - make_interval(secs => $1)";
        let seconds = age.as_secs_f64();
        let parameters: [Parameter<'_>; 1] = [(&seconds, Type::FLOAT8)];
        self.connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map(|_| ())
            .map_err(database_error)
    }

    /// How many jobs there are, by status.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn job_counts(&self) -> Result<Vec<(String, i64)>> {
        let statement = "SELECT status, count(*) FROM qbo.jobs GROUP BY status ORDER BY status";
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &[])
            .await
            .map_err(database_error)?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}
