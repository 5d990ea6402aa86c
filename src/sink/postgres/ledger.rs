//! The ledger: which windows were begun, which are committed, what each run came to.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Pool;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use tracing::warn;

use crate::domain::{EntitySpec, RunReport, Window, WindowStatus};
use crate::error::{Error, Result};
use crate::port::{RunContext, WindowContext};
use crate::postgres::{database_error, migrations, take};

/// What a resumed read begins before the instant that the last one stopped at: fresh writes can
/// become visible late (qbo-facts 3.9).
const LOOK_BACK: TimeDelta = TimeDelta::minutes(5);

/// The ledger of one schema.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    pub pool: Pool,
    pub schema: String,
    /// Attempts in a row that may end without a word; 0: any number.
    pub max_attempts: u32,
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Nobody waits for the disk: these rows say what is going on, not what is done.
const UNSYNCED: &str = "(SELECT set_config('synchronous_commit', 'off', true)) AS unsynced";

/// Committed time, in no order, by schema, company and entity.
pub type Coverage = HashMap<(String, String, String), Vec<Window>>;

/// What of a committed window is complete.
fn complete(row: &Row) -> Option<Window> {
    let (start, end, read_until): (DateTime<Utc>, DateTime<Utc>, Option<DateTime<Utc>>) =
        (row.get(0), row.get(1), row.get(2));
    // Where a read stopped before the end, the next one looks back a little.
    let complete_to = read_until.map_or(end, |read_until| end.min(read_until - LOOK_BACK));
    Window::new(start, complete_to).ok()
}

impl Ledger {
    async fn query(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        take(&self.pool)
            .await?
            .query_typed(statement, parameters)
            .await
            .map_err(database_error)
    }

    /// The time that earlier runs have committed, in no order.
    pub async fn committed(&self, realm_id: &str, entity: &EntitySpec) -> Result<Vec<Window>> {
        let has_ledger =
            migrations::table_exists(&**take(&self.pool).await?, "qbo", "windows").await?;
        if !has_ledger {
            return Ok(Vec::new());
        }
        let statement = "SELECT window_start_utc, window_end_utc, read_until_utc FROM qbo.windows \
                         WHERE schema_name = $1 AND realm_id = $2 AND entity = $3 AND committed_at_utc IS NOT NULL";
        let parameters: [Parameter<'_>; 3] = [
            (&self.schema, Type::TEXT),
            (&realm_id, Type::TEXT),
            (&entity.name, Type::TEXT),
        ];
        Ok(self
            .query(statement, &parameters)
            .await?
            .iter()
            .filter_map(complete)
            .collect())
    }

    /// The time since an instant that is committed of everything, by schema, company and entity.
    pub async fn coverage(&self, since: DateTime<Utc>) -> Result<Coverage> {
        let statement = "SELECT window_start_utc, window_end_utc, read_until_utc, schema_name, realm_id, entity \
                         FROM qbo.windows WHERE committed_at_utc IS NOT NULL AND window_end_utc > $1";
        let mut coverage = Coverage::new();
        for row in self
            .query(statement, &[(&since, Type::TIMESTAMPTZ)])
            .await?
        {
            let windows = coverage
                .entry((row.get(3), row.get(4), row.get(5)))
                .or_default();
            windows.extend(complete(&row));
        }
        Ok(coverage)
    }

    /// Takes note that a window is begun, before anything of it is read or stored.
    ///
    /// # Errors
    /// [`Error::Stuck`] if it has killed its process too often; [`Error::Database`].
    pub async fn begin(&self, context: &WindowContext) -> Result<()> {
        let WindowContext {
            realm_id,
            entity,
            window,
            run_id,
        } = context;
        let most = i32::try_from(self.max_attempts).unwrap_or(i32::MAX);
        let statement = format!(
            "INSERT INTO qbo.windows AS known (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id, \
             status, attempts, started_at_utc) SELECT $1, $2, $3, $4, $5, $6, 'running', 1, now() FROM {UNSYNCED} \
             ON CONFLICT (schema_name, realm_id, entity, window_start_utc, window_end_utc) DO UPDATE SET \
             status = 'running', run_id = EXCLUDED.run_id, started_at_utc = now(), error = NULL, \
             attempts = CASE WHEN known.status NOT IN ('running', 'stuck') THEN 1 \
             WHEN known.run_id = EXCLUDED.run_id THEN known.attempts ELSE known.attempts + 1 END \
             WHERE known.status NOT IN ('running', 'stuck') OR known.run_id = EXCLUDED.run_id OR known.attempts < $7 \
             OR $7 = 0 RETURNING attempts"
        );
        let key = self.key(realm_id, entity, window, run_id);
        let parameters = [&key[..], &[(&most, Type::INT4)]].concat();
        if !self.query(&statement, &parameters).await?.is_empty() {
            return Ok(());
        }
        let error = Error::Stuck {
            attempts: self.max_attempts,
        };
        self.note(context, "stuck", &error.to_string()).await?;
        Err(error)
    }

    /// Takes note that a window has failed. What an earlier run committed of it stays.
    pub async fn fail(&self, context: &WindowContext, error: &Error) {
        if matches!(error, Error::Stuck { .. }) {
            return;
        }
        if let Err(error) = self.note(context, "failed", &error.to_string()).await {
            warn!(
                phase = "load",
                event = "failure_not_recorded",
                entity = context.entity.name,
                "{error}"
            );
        }
    }

    async fn note(&self, context: &WindowContext, status: &str, error: &str) -> Result<()> {
        let WindowContext {
            realm_id,
            entity,
            window,
            run_id,
        } = context;
        let statement = format!(
            "UPDATE qbo.windows SET status = $7, error = $8, run_id = $6 FROM {UNSYNCED} WHERE schema_name = $1 AND \
             realm_id = $2 AND entity = $3 AND window_start_utc = $4 AND window_end_utc = $5"
        );
        let key = self.key(realm_id, entity, window, run_id);
        let parameters = [&key[..], &[(&status, Type::TEXT), (&error, Type::TEXT)]].concat();
        self.query(&statement, &parameters).await.map(|_| ())
    }

    fn key<'a>(
        &'a self,
        realm_id: &'a String,
        entity: &'a EntitySpec,
        window: &'a Window,
        run_id: &'a String,
    ) -> [Parameter<'a>; 6] {
        [
            (&self.schema, Type::TEXT),
            (realm_id, Type::TEXT),
            (&entity.name, Type::TEXT),
            (&window.start, Type::TIMESTAMPTZ),
            (&window.end, Type::TIMESTAMPTZ),
            (run_id, Type::TEXT),
        ]
    }

    /// Takes note that a run has begun.
    pub async fn begin_run(&self, run: &RunContext) -> Result<()> {
        let RunContext {
            run_id,
            realm_id,
            entity,
            range,
        } = run;
        let statement = format!(
            "INSERT INTO qbo.runs (run_id, schema_name, realm_id, entity, range_start_utc, range_end_utc, status) \
             SELECT $1, $2, $3, $4, $5, $6, 'running' FROM {UNSYNCED} ON CONFLICT DO NOTHING"
        );
        let parameters: [Parameter<'_>; 6] = [
            (run_id, Type::TEXT),
            (&self.schema, Type::TEXT),
            (realm_id, Type::TEXT),
            (&entity.name, Type::TEXT),
            (&range.start, Type::TIMESTAMPTZ),
            (&range.end, Type::TIMESTAMPTZ),
        ];
        self.query(&statement, &parameters).await.map(|_| ())
    }

    /// Takes note of what a run came to.
    pub async fn end_run(&self, report: &RunReport) -> Result<()> {
        let totals = &report.totals;
        let failed = report
            .windows
            .iter()
            .filter(|window| window.status == WindowStatus::Failed);
        let error = failed.clone().find_map(|window| window.error.as_deref());
        let status = report.status.as_str();
        let numbers = [
            totals.windows,
            failed.count() as u64,
            totals.pages,
            totals.rows,
            totals.inserted,
            totals.updated,
            totals.unchanged,
            totals.rejected,
            totals.requests,
            totals.retries,
            totals.duration_ms,
        ]
        .map(|number| number as i64);
        let statement = "UPDATE qbo.runs SET status = $2, error = $3, finished_at_utc = now(), windows = $4, \
             failed_windows = $5, pages = $6, rows = $7, inserted = $8, updated = $9, unchanged = $10, rejected = $11, \
             requests = $12, retries = $13, duration_ms = $14 WHERE run_id = $1";
        let mut parameters: Vec<Parameter<'_>> = vec![
            (&report.run_id, Type::TEXT),
            (&status, Type::TEXT),
            (&error, Type::TEXT),
        ];
        parameters.extend(
            numbers
                .iter()
                .map(|number| (number as &(dyn ToSql + Sync), Type::INT8)),
        );
        self.query(statement, &parameters).await.map(|_| ())
    }
}
