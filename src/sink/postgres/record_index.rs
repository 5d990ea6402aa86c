//! Counts and keys of stored records, for comparison with a source.

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, pin_mut};
use tokio_postgres::Row;

use super::PostgresSink;
use crate::domain::{Content, EntitySpec, KnownReject, RecordKey, Reject, Window};
use crate::error::Result;
use crate::port::{Meter, RecordIndex};
use crate::postgres::{Columns, PIN_SETTINGS, Query, bind, database_error, params, table_name};

const REJECTS: &str = "
SELECT id, changed_at_utc, error, intuit_tid FROM qbo.rejects
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
  AND changed_at_utc >= $4 AND changed_at_utc < $5
ORDER BY changed_at_utc, id";

/// Counts the rows of every range in one pass over the table, whatever the number of ranges.
const COUNTS: &str = "
WITH live AS MATERIALIZED ({counted_rows}
), ranges AS (
    SELECT * FROM unnest($1::timestamptz[], $2::timestamptz[])
        WITH ORDINALITY AS r(first, last, number)
), counted AS (
    SELECT width_bucket(at, $1::timestamptz[]) AS number, at FROM live WHERE at IS NOT NULL
)
SELECT count(counted.at)
FROM ranges LEFT JOIN counted
    ON counted.number = ranges.number AND counted.at < ranges.last
GROUP BY ranges.number ORDER BY ranges.number";

const KEYS: &str = "
SELECT live.id, live.at, live.token, live.is_archived FROM ({counted_rows}) AS live
WHERE live.at >= $1 AND live.at < $2 OR live.id = ANY($3)";

/// The same with the payloads, which are looked up by id: `counted_rows` reads all rows. Every column is
/// qualified, because the table may have columns of the same names. An archived record has no payload.
const KEYS_WITH_CONTENT: &str = "
SELECT live.id, live.at, live.token, live.is_archived, known.payload::text FROM ({counted_rows}) AS live
LEFT JOIN {table} AS known ON known.id = live.id AND NOT live.is_archived
WHERE live.at >= $1 AND live.at < $2 OR live.id = ANY($3)";

impl PostgresSink {
    /// Returns the records of a range that are set aside as rejects.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub(crate) async fn rejects(
        &self,
        realm_id: &str,
        entity: &EntitySpec,
        range: Window,
    ) -> Result<Vec<KnownReject>> {
        let params = params![self.schema, realm_id, entity.name, range.start, range.end];
        let rows = self.db.rows(REJECTS, params).await?;
        rows.iter().map(reject).collect()
    }
}

fn reject(row: &Row) -> Result<KnownReject> {
    Ok(KnownReject {
        id: row.column("id")?,
        changed_at: row.column("changed_at_utc")?,
        error: row.column("error")?,
        intuit_tid: row.column("intuit_tid")?,
    })
}

/// Reads columns by position: there can be millions of keys.
pub(super) fn record_key(row: &Row) -> Result<RecordKey> {
    let updated_at: Option<DateTime<Utc>> = row.column(1)?;
    Ok(RecordKey {
        id: row.column(0)?,
        place: updated_at.unwrap_or(DateTime::UNIX_EPOCH),
        updated_at: updated_at.unwrap_or(DateTime::UNIX_EPOCH),
        sync_token: row.column(2)?,
        is_archived: row.column(3)?,
        content: None,
    })
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
        let statement = COUNTS.replace("{counted_rows}", &self.counted_rows(entity).await?);
        let rows = self.db.rows(&statement, params![starts, ends]).await?;
        rows.iter().map(|row| row.count(0)).collect()
    }

    async fn keys(
        &self,
        entity: &EntitySpec,
        window: Window,
        ids: &[String],
        _meter: &Meter,
    ) -> Result<Vec<RecordKey>> {
        let statement = KEYS.replace("{counted_rows}", &self.counted_rows(entity).await?);
        let params = params![window.start, window.end, ids];
        let rows = self.db.rows(&statement, params).await?;
        rows.iter().map(record_key).collect()
    }

    async fn living(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> Result<(Vec<RecordKey>, Vec<Reject>)> {
        let start = DateTime::UNIX_EPOCH;
        let nothing = Window { start, end: start };
        Ok((self.keys(entity, nothing, ids, meter).await?, Vec::new()))
    }

    async fn keys_with_content(
        &self,
        entity: &EntitySpec,
        window: Window,
        ids: &[String],
        _meter: &Meter,
    ) -> Result<Vec<RecordKey>> {
        let statement = KEYS_WITH_CONTENT
            .replace("{table}", &table_name(&self.schema, entity))
            .replace("{counted_rows}", &self.counted_rows(entity).await?);
        let mut connection = self.db.connection().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(PIN_SETTINGS).await?;
        // Streamed: the payloads of a window need not fit into memory.
        let rows = transaction
            .query_typed_raw(
                &statement,
                [bind(&window.start), bind(&window.end), bind(&ids)],
            )
            .await
            .map_err(database_error)?;
        pin_mut!(rows);
        let mut keys = Vec::new();
        while let Some(row) = rows.next().await {
            let row = row.map_err(database_error)?;
            let payload: Option<&str> = row.column(4)?;
            let content = payload.map(Content::of);
            keys.push(RecordKey {
                content,
                ..record_key(&row)?
            });
        }
        Ok(keys)
    }
}
