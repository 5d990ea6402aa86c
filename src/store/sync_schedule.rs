//! The schedule of syncs: when each company is synced next. Processes share it; claiming a company
//! moves its next time on.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// Upper limit of the backoff of a company that fails, in intervals.
const MAX_BACKOFF_INTERVALS: i32 = 32;

/// Adds companies that are new, spread over the interval.
const ADD: &str = "
INSERT INTO qbo.sync_accounts (realm_id, next_sync_at_utc)
SELECT realm_id, now() + make_interval(secs => $2 * (number - 1) / count(*) OVER ())
FROM unnest($1::text[]) WITH ORDINALITY AS known(realm_id, number)
ON CONFLICT DO NOTHING";

/// The interval varies by a tenth each time, so that companies do not all become due together.
const CLAIM: &str = "
WITH due AS (
    SELECT realm_id FROM qbo.sync_accounts
    WHERE realm_id = ANY($1) AND next_sync_at_utc <= now()
    ORDER BY next_sync_at_utc LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE qbo.sync_accounts account
SET next_sync_at_utc = now() + make_interval(secs => $2 * (0.9 + 0.2 * random()))
FROM due WHERE account.realm_id = due.realm_id
RETURNING account.realm_id";

/// Doubles the wait with every failure in a row. A company that QuickBooks has asked to wait for is due
/// when that is over.
const RECORD: &str = "
UPDATE qbo.sync_accounts SET
    message = $2,
    consecutive_failures = CASE WHEN $2::text IS NULL THEN 0 ELSE consecutive_failures + 1 END,
    next_sync_at_utc = CASE
        WHEN $2 IS NULL THEN next_sync_at_utc
        WHEN $5::timestamptz IS NOT NULL THEN greatest(next_sync_at_utc, $5)
        ELSE now() + make_interval(
            secs => $3 * least(power(2, least(consecutive_failures, 30) + 1), $4)) END
WHERE realm_id = $1";

const HASTEN: &str = "
UPDATE qbo.sync_accounts SET next_sync_at_utc = now() WHERE realm_id = $1 AND next_sync_at_utc > now()";

const NEXT_DUE: &str = "
SELECT min(next_sync_at_utc) AS next FROM qbo.sync_accounts WHERE realm_id = ANY($1)";

/// The schedule, in `qbo.sync_accounts`. All errors are [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub struct SyncSchedule(Db);

impl SyncSchedule {
    /// Returns the schedule of a database.
    pub fn new(db: Db) -> Self {
        Self(db)
    }

    /// Adds the companies that the schedule does not have yet, spread over the interval.
    pub async fn add(&self, realm_ids: &[String], interval: Duration) -> Result<()> {
        let seconds = interval.as_secs_f64();
        self.0
            .execute(ADD, params![realm_ids, seconds])
            .await
            .map(drop)
    }

    /// Claims up to `max_companies` companies that are due, the longest overdue first. A claimed
    /// company is not due again for any process until `interval` has passed.
    pub async fn claim_due(
        &self,
        realm_ids: &[String],
        interval: Duration,
        max_companies: usize,
    ) -> Result<Vec<String>> {
        let seconds = interval.as_secs_f64();
        let max_companies = i64::try_from(max_companies).unwrap_or(i64::MAX);
        let rows = self
            .0
            .rows(CLAIM, params![realm_ids, seconds, max_companies])
            .await?;
        rows.iter().map(|row| row.column("realm_id")).collect()
    }

    /// Records the outcome of a company's sync. After a failure its next sync is put off, until
    /// `paused_until` if QuickBooks has asked for a pause.
    pub async fn record_outcome(
        &self,
        realm_id: &str,
        error: Option<&str>,
        interval: Duration,
        paused_until: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let seconds = interval.as_secs_f64();
        let params = params![
            realm_id,
            error,
            seconds,
            MAX_BACKOFF_INTERVALS,
            paused_until
        ];
        self.0.execute(RECORD, params).await.map(drop)
    }

    /// Makes a company due now, if it is in the schedule.
    pub async fn hasten(&self, realm_id: &str) -> Result<()> {
        if !self.0.has_table("qbo", "sync_accounts").await? {
            return Ok(());
        }
        self.0.execute(HASTEN, params![realm_id]).await.map(drop)
    }

    /// Returns when the next of these companies is due.
    pub async fn next_due(&self, realm_ids: &[String]) -> Result<Option<DateTime<Utc>>> {
        self.0
            .one(NEXT_DUE, params![realm_ids])
            .await?
            .column("next")
    }
}
