//! The ledger rows of runs and windows. A window's row of its commit is written by the writer, in
//! the transaction of its records.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use tracing::warn;

use crate::domain::{
    Asked, EntitySpec, LedgerWindowStatus, RunReport, RunStatus, Window, WindowStatus,
};
use crate::durable::{ME, Process};
use crate::error::{Error, Result};
use crate::port::{RunContext, WindowContext};
use crate::postgres::{Columns, Db, Query, params};
use crate::store::{LedgerTime, complete_parts};

/// The ledger of one schema.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    pub db: Db,
    pub schema: String,
    /// The maximum number of attempts in a row that crash their process; 0: unlimited.
    pub max_attempts: u32,
}

/// A run that is to be entered into `qbo.runs`.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Its id.
    pub run_id: String,
    /// Its entity.
    pub entity: EntitySpec,
    /// The range from the first to the last instant that it reads.
    pub range: Window,
    /// The times that it reads of that, oldest first.
    pub times: Vec<Window>,
    /// The range that it was asked for, if a command can ask so again.
    pub asked: Option<Asked>,
    /// It reads again what is committed.
    pub reads_again: bool,
    /// Else: it reads again what was committed before this instant.
    pub reads_since: Option<DateTime<Utc>>,
}

impl Claim {
    /// A run that nobody has claimed before it begins.
    fn of_run(run: &RunContext) -> Self {
        Self {
            run_id: run.run_id.clone(),
            entity: run.entity,
            range: run.range,
            times: run.times.clone(),
            asked: None,
            reads_again: false,
            reads_since: None,
        }
    }
}

const BEGIN_WINDOW: &str = include_str!("sql/begin_window.sql");

/// The commit is not awaited on disk, as for the beginning of a window and of a run: these rows say
/// what is going on, not what is done. A window that was read from its start and failed because of its
/// records ($10) is not committed any more: records are missing from it, also if a row of a larger
/// window was committed before. A window that another run has taken over meanwhile stays as that one has it,
/// unless the attempt at it was not allowed to begin ($11).
const END_WINDOW: &str = "
UPDATE qbo.windows SET status = $7, error = $8, run_id = $6, previous_attempt = NULL,
    records_failed = $9,
    committed_at_utc = CASE WHEN NOT $10 THEN committed_at_utc END,
    incomplete_since_utc = CASE WHEN $10 THEN clock_timestamp() ELSE incomplete_since_utc END
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unsynced
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
  AND window_start_utc = $4 AND window_end_utc = $5 AND (run_id = $6 OR $11)";

const RELEASE_WINDOW: &str = include_str!("sql/release_window.sql");

/// Returns the starts and the ends of times.
pub(super) fn bounds_of(times: &[Window]) -> (Vec<DateTime<Utc>>, Vec<DateTime<Utc>>) {
    times.iter().map(|time| (time.start, time.end)).unzip()
}

/// A run that was claimed has its row already, and begins when its turn comes: it may have waited for another run, and read
/// less than it has claimed.
const BEGIN_RUN: &str = "
INSERT INTO qbo.runs
    (run_id, schema_name, realm_id, entity, range_start_utc, range_end_utc, status,
    alive_at_utc, host, pid, owner, asked, reads_since_utc, read_starts_utc, read_ends_utc)
SELECT $1, $2, $3, $4, $5, $6, 'running', clock_timestamp(), $7, $8, $9, $10::text::jsonb,
    CASE WHEN $11::boolean THEN now() ELSE $12::timestamptz END, $13, $14
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unsynced
ON CONFLICT (run_id) DO UPDATE SET
    started_at_utc = EXCLUDED.started_at_utc, alive_at_utc = EXCLUDED.alive_at_utc,
    range_start_utc = EXCLUDED.range_start_utc, range_end_utc = EXCLUDED.range_end_utc,
    read_starts_utc = EXCLUDED.read_starts_utc, read_ends_utc = EXCLUDED.read_ends_utc";

/// Syncs are frequent, so that only the last ones that changed rows stay: enough for who looks what has
/// happened.
const KEEP_SYNC: &str = "
WITH known AS (
    SELECT run_id, row_number() OVER (ORDER BY started_at_utc DESC) AS age
    FROM qbo.runs WHERE schema_name = $2 AND entity = $4 AND is_sync
), forgotten AS (
    DELETE FROM qbo.runs USING known WHERE runs.run_id = known.run_id AND known.age >= 5
)
INSERT INTO qbo.runs
    (run_id, schema_name, realm_id, entity, range_start_utc, range_end_utc, status, is_sync,
    started_at_utc, finished_at_utc)
SELECT $1, $2, $3, $4, $5, $6, 'ok', true,
    clock_timestamp() - make_interval(secs => $7), clock_timestamp()
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unsynced";

const END_RUN: &str = "
UPDATE qbo.runs SET status = $2, error = $3, finished_at_utc = now(), windows = $4,
    failed_windows = $5, pages = $6, rows = $7, inserted = $8, updated = $9, unchanged = $10,
    rejected = $11, requests = $12, retries = $13, duration_ms = $14
WHERE run_id = $1";

fn warn_unless_recorded(context: &WindowContext, outcome: Result<()>) {
    if let Err(error) = outcome {
        warn!(
            phase = "load",
            event = "failure_not_recorded",
            entity = context.entity.name,
            "{error}"
        );
    }
}

impl Ledger {
    /// Records the attempt at a window before anything of it is read or stored, so that an attempt
    /// that crashes the process is known to the next run. Returns the instant up to which the window is
    /// committed.
    ///
    /// # Errors
    /// [`Error::Stuck`] if the window has crashed its process too often; [`Error::Database`].
    pub(super) async fn begin(&self, context: &WindowContext) -> Result<Option<DateTime<Utc>>> {
        let max_attempts = i32::try_from(self.max_attempts).unwrap_or(i32::MAX);
        let params = params![
            self.schema,
            context.realm_id,
            context.entity.name,
            context.window.start,
            context.window.end,
            context.run_id,
            max_attempts,
        ];
        if let Some(row) = self.db.optional(BEGIN_WINDOW, params).await? {
            let time = LedgerTime {
                window: context.window,
                read_until: row.column("read_until_utc")?,
                is_part: row.column("is_part")?,
                committed_at: row.column("committed_at_utc")?,
                incomplete_since: None,
            };
            return Ok(complete_parts(&[time]).first().map(|part| part.end));
        }
        let error = Error::Stuck {
            attempts: self.max_attempts,
        };
        self.end(context, LedgerWindowStatus::Stuck, &error).await?;
        Err(error)
    }

    /// Records that a window has failed. What an earlier run committed of it stays.
    pub(super) async fn fail(&self, context: &WindowContext, error: &Error) {
        if matches!(error, Error::Stuck { .. }) {
            return;
        }
        let ended = self.end(context, LedgerWindowStatus::Failed, error).await;
        warn_unless_recorded(context, ended);
    }

    /// Records that a run has begun a window and left it as it was.
    pub(super) async fn release(&self, context: &WindowContext) {
        let params = params![
            self.schema,
            context.realm_id,
            context.entity.name,
            context.window.start,
            context.window.end,
            context.run_id,
        ];
        let released = self.db.execute(RELEASE_WINDOW, params).await;
        warn_unless_recorded(context, released.map(drop));
    }

    async fn end(
        &self,
        context: &WindowContext,
        status: LedgerWindowStatus,
        error: &Error,
    ) -> Result<()> {
        let text = error.to_string();
        let is_of_records = error.is_of_records();
        let is_refused = status == LedgerWindowStatus::Stuck;
        let lacks_records = is_of_records && context.read_start <= context.window.start;
        let params = params![
            self.schema,
            context.realm_id,
            context.entity.name,
            context.window.start,
            context.window.end,
            context.run_id,
            status,
            text,
            is_of_records,
            lacks_records,
            is_refused,
        ];
        self.db.execute(END_WINDOW, params).await.map(drop)
    }

    /// Records that a run has begun.
    pub(super) async fn begin_run(&self, run: &RunContext) -> Result<()> {
        let claim = Claim::of_run(run);
        let begin = async |connection: &Object| {
            self.begin_run_in(&***connection, &claim, &run.realm_id)
                .await
        };
        self.db.alone(begin).await
    }

    /// Records that a run has begun, in a transaction.
    pub(super) async fn begin_run_in(
        &self,
        client: &(impl Query + Sync),
        claim: &Claim,
        realm_id: &str,
    ) -> Result<()> {
        let pid = Process::pid();
        let asked = claim.asked.as_ref();
        let asked = asked.and_then(|asked| serde_json::to_string(asked).ok());
        let (starts, ends) = bounds_of(&claim.times);
        let params = params![
            claim.run_id,
            self.schema,
            realm_id,
            claim.entity.name,
            claim.range.start,
            claim.range.end,
            ME.host,
            pid,
            ME.owner,
            asked,
            claim.reads_again,
            claim.reads_since,
            starts,
            ends,
        ];
        client.change(BEGIN_RUN, params).await.map(drop)
    }

    /// Records a run of a sync, if it has changed rows.
    pub(super) async fn keep_sync(&self, report: &RunReport) -> Result<()> {
        let (windows, totals) = (&report.windows, &report.totals);
        let bounds = (
            windows.iter().map(|window| window.start).min(),
            windows.iter().map(|window| window.end).max(),
        );
        let is_ok = report.status == RunStatus::Ok && totals.inserted + totals.updated > 0;
        let (true, (Some(start), Some(end))) = (is_ok, bounds) else {
            return Ok(());
        };
        let seconds = Duration::from_millis(totals.duration_ms).as_secs_f64();
        let params = params![
            report.run_id,
            self.schema,
            report.realm_id,
            report.entity,
            start,
            end,
            seconds,
        ];
        self.db.execute(KEEP_SYNC, params).await?;
        self.end_run(report).await
    }

    /// Records the outcome of a run.
    pub(super) async fn end_run(&self, report: &RunReport) -> Result<()> {
        let totals = &report.totals;
        let failed = report
            .windows
            .iter()
            .filter(|window| window.status == WindowStatus::Failed);
        let error = failed.clone().find_map(|window| window.error.as_deref());
        let status = report.status.as_str();
        let [windows, pages, rows, inserted, updated, unchanged] = [
            totals.windows,
            totals.pages,
            totals.rows,
            totals.inserted,
            totals.updated,
            totals.unchanged,
        ]
        .map(|count| count as i64);
        let [rejected, requests, retries, duration_ms] = [
            totals.rejected,
            totals.requests,
            totals.retries,
            totals.duration_ms,
        ]
        .map(|count| count as i64);
        let failed_windows = failed.count() as i64;
        let params = params![
            report.run_id,
            status,
            error,
            windows,
            failed_windows,
            pages,
            rows,
            inserted,
            updated,
            unchanged,
            rejected,
            requests,
            retries,
            duration_ms,
        ];
        self.db.execute(END_RUN, params).await.map(drop)
    }
}
