//! What the tables hold, for comparison with a source.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::PostgresSink;
use crate::domain::{EntitySpec, KnownReject, RecordKey, Window};
use crate::error::Result;
use crate::port::{Meter, RecordIndex};
use crate::postgres::{database_error, quote_identifier};

/// When a row was changed, by its payload, guarded: a table may hold what others have put in. One
/// in a wrapper has it a level deeper.
const ROWS: &str = "SELECT id, coalesce(payload #>> '{MetaData,LastUpdatedTime}', (SELECT inner_record.value #>> \
     '{MetaData,LastUpdatedTime}' FROM jsonb_each(payload) AS inner_record LIMIT 1)) AS updated, \
     coalesce(substring(payload ->> 'SyncToken' from '^\\d{1,18}$')::bigint, 0) AS token FROM {table} WHERE deleted_at_utc IS NULL";
const TIME: &str = "CASE WHEN updated ~ '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d' THEN updated::timestamptz END";

impl PostgresSink {
    /// The rows of a table that are not deleted: id, time of change, token.
    pub(super) fn rows_of(&self, entity: &EntitySpec) -> String {
        let table = format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&entity.table())
        );
        format!(
            "SELECT id, {TIME} AS at, token FROM ({}) AS found",
            ROWS.replace("{table}", &table)
        )
    }

    /// The records of a range that were set aside and still are.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn rejects(
        &self,
        realm_id: &str,
        entity: &EntitySpec,
        range: Window,
    ) -> Result<Vec<KnownReject>> {
        let statement = "SELECT id, changed_at_utc, error, intuit_tid FROM qbo.rejects WHERE schema_name = $1 \
                         AND realm_id = $2 AND entity = $3 AND changed_at_utc >= $4 AND changed_at_utc < $5 ORDER BY 2, 1";
        let connection = self.connection().await?;
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
            (&self.schema, Type::TEXT),
            (&realm_id, Type::TEXT),
            (&entity.name, Type::TEXT),
            (&range.start, Type::TIMESTAMPTZ),
            (&range.end, Type::TIMESTAMPTZ),
        ];
        let rows = connection
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        let reject = |row: &tokio_postgres::Row| KnownReject {
            id: row.get(0),
            changed_at: row.get(1),
            error: row.get(2),
            intuit_tid: row.get(3),
        };
        Ok(rows.iter().map(reject).collect())
    }
}

impl RecordIndex for PostgresSink {
    async fn counts(
        &self,
        entity: &EntitySpec,
        ranges: &[Window],
        _meter: &Meter,
    ) -> Result<Vec<u64>> {
        let (starts, ends): (Vec<DateTime<Utc>>, Vec<DateTime<Utc>>) =
            ranges.iter().map(|range| (range.start, range.end)).unzip();
        // One pass over the table, whatever the number of ranges.
        let statement = format!(
            "WITH held AS MATERIALIZED ({}), ranges AS (SELECT * FROM unnest($1::timestamptz[], $2::timestamptz[]) \
             WITH ORDINALITY AS r(first, last, number)), \
             counted AS (SELECT width_bucket(at, $1::timestamptz[]) AS number, at FROM held WHERE at IS NOT NULL) \
             SELECT count(counted.at) FROM ranges LEFT JOIN counted ON counted.number = ranges.number \
             AND counted.at < ranges.last GROUP BY ranges.number ORDER BY ranges.number",
            self.rows_of(entity)
        );
        let connection = self.connection().await?;
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] = [
            (&starts, Type::TIMESTAMPTZ_ARRAY),
            (&ends, Type::TIMESTAMPTZ_ARRAY),
        ];
        let rows = connection
            .query_typed(&statement, &parameters)
            .await
            .map_err(database_error)?;
        Ok(rows
            .iter()
            .map(|row| row.get::<_, i64>(0).unsigned_abs())
            .collect())
    }

    async fn keys(
        &self,
        entity: &EntitySpec,
        window: Window,
        ids: &[String],
        _meter: &Meter,
    ) -> Result<Vec<RecordKey>> {
        let statement = format!(
            "SELECT id, at, token FROM ({}) AS held WHERE at >= $1 AND at < $2 OR id = ANY($3)",
            self.rows_of(entity)
        );
        let connection = self.connection().await?;
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
            (&window.start, Type::TIMESTAMPTZ),
            (&window.end, Type::TIMESTAMPTZ),
            (&ids, Type::TEXT_ARRAY),
        ];
        let rows = connection
            .query_typed(&statement, &parameters)
            .await
            .map_err(database_error)?;
        let key = |row: &tokio_postgres::Row| RecordKey {
            id: row.get(0),
            updated_at: row
                .get::<_, Option<DateTime<Utc>>>(1)
                .unwrap_or(DateTime::UNIX_EPOCH),
            sync_token: row.get(2),
        };
        Ok(rows.iter().map(key).collect())
    }
}
