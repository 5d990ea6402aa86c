//! When each company is synced next. Processes share the schedule: who claims a company has moved
//! its time on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};

use super::PostgresSink;
use crate::error::Result;
use crate::postgres::database_error;

/// A company that fails waits twice as long each time, but no longer than this many intervals.
const MAX_BACKOFF: i32 = 32;

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl PostgresSink {
    /// Up to `most` companies that are due, the longest overdue first; they are not due for anybody
    /// else then. New ones are spread over the interval.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn claim_due(
        &self,
        realms: &[String],
        interval: Duration,
        most: usize,
    ) -> Result<Vec<String>> {
        let connection = self.connection().await?;
        let seconds = interval.as_secs_f64();
        let spread = "INSERT INTO qbo.sync_accounts (realm_id, next_sync_at_utc) \
                      SELECT realm_id, now() + make_interval(secs => $2 * (number - 1) / count(*) OVER ()) \
                      FROM unnest($1::text[]) WITH ORDINALITY AS known(realm_id, number) ON CONFLICT DO NOTHING";
        let parameters: [Parameter<'_>; 2] =
            [(&realms, Type::TEXT_ARRAY), (&seconds, Type::FLOAT8)];
        connection
            .query_typed(spread, &parameters)
            .await
            .map_err(database_error)?;
        // Some more or less each time, so that companies do not march in step.
        let claim = "WITH due AS (SELECT realm_id FROM qbo.sync_accounts WHERE realm_id = ANY($1) \
                     AND next_sync_at_utc <= now() ORDER BY next_sync_at_utc LIMIT $3 FOR UPDATE SKIP LOCKED) \
                     UPDATE qbo.sync_accounts account SET next_sync_at_utc = \
                     now() + make_interval(secs => $2 * (0.9 + 0.2 * random())) FROM due \
                     WHERE account.realm_id = due.realm_id RETURNING account.realm_id";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 3] = [
            (&realms, Type::TEXT_ARRAY),
            (&seconds, Type::FLOAT8),
            (&most, Type::INT8),
        ];
        let rows = connection
            .query_typed(claim, &parameters)
            .await
            .map_err(database_error)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Takes note of what the sync of a company came to; one that failed waits longer.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn account_synced(
        &self,
        realm_id: &str,
        error: Option<&str>,
        interval: Duration,
    ) -> Result<()> {
        let seconds = interval.as_secs_f64();
        let statement = "UPDATE qbo.sync_accounts SET message = $2, \
                         consecutive_failures = CASE WHEN $2::text IS NULL THEN 0 ELSE consecutive_failures + 1 END, \
                         next_sync_at_utc = CASE WHEN $2 IS NULL THEN next_sync_at_utc ELSE now() + make_interval( \
                         secs => $3 * least(power(2, least(consecutive_failures, 30) + 1), $4)) END WHERE realm_id = $1";
        let parameters: [Parameter<'_>; 4] = [
            (&realm_id, Type::TEXT),
            (&error, Type::TEXT),
            (&seconds, Type::FLOAT8),
            (&MAX_BACKOFF, Type::INT4),
        ];
        self.connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map(|_| ())
            .map_err(database_error)
    }

    /// When the next of these companies is due.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn next_due(&self, realms: &[String]) -> Result<Option<DateTime<Utc>>> {
        let statement =
            "SELECT min(next_sync_at_utc) FROM qbo.sync_accounts WHERE realm_id = ANY($1)";
        let parameters: [Parameter<'_>; 1] = [(&realms, Type::TEXT_ARRAY)];
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        Ok(rows.first().and_then(|row| row.get(0)))
    }
}
