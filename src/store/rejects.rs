//! The records that are set aside in `qbo.rejects`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use crate::domain::Window;
use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// A record that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredReject {
    /// Schema of the raw table that lacks it.
    pub schema: String,
    /// The company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
    /// First instant of its window.
    pub window_start: DateTime<Utc>,
    /// First instant after its window.
    pub window_end: DateTime<Utc>,
    /// Id of the record, if known.
    pub id: Option<String>,
    /// Time of its change, or of a neighbour's.
    pub changed_at: DateTime<Utc>,
    /// Reason.
    pub error: String,
    /// Intuit's id of the answer that failed.
    pub intuit_tid: Option<String>,
    /// Id of the run that set it aside.
    pub run_id: String,
    /// When it was set aside.
    pub rejected_at: DateTime<Utc>,
}

/// The rejects to list; what is empty or `None` does not limit them.
#[derive(Debug, Default)]
pub(crate) struct RejectFilter<'f> {
    /// Schema of the raw tables.
    pub schema: Option<&'f str>,
    /// The company.
    pub realm_id: Option<&'f str>,
    /// Names of entities.
    pub entities: Vec<String>,
    /// Time of the records' changes.
    pub range: Option<Window>,
    /// The run that set them aside.
    pub run_id: Option<&'f str>,
    /// The most rejects; the newest are listed.
    pub limit: Option<u64>,
}

const FIND: &str = "
SELECT * FROM (
    SELECT * FROM qbo.rejects
    WHERE ($1::text IS NULL OR schema_name = $1)
      AND ($2::text IS NULL OR realm_id = $2)
      AND (cardinality($3::text[]) = 0 OR entity = ANY($3))
      AND ($4::timestamptz IS NULL OR changed_at_utc >= $4)
      AND ($5::timestamptz IS NULL OR changed_at_utc < $5)
      AND ($6::text IS NULL OR run_id = $6)
    ORDER BY reject_id DESC LIMIT $7
) AS found ORDER BY schema_name, entity, changed_at_utc, id, reject_id";

/// Returns the rejects that a filter lets through, by entity and time of change; none if nothing was
/// ever loaded.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn rejects(db: &Db, filter: &RejectFilter<'_>) -> Result<Vec<StoredReject>> {
    if !db.has_table("qbo", "rejects").await? {
        return Ok(Vec::new());
    }
    let limit = filter
        .limit
        .map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let (start, end) = filter.range.map(|range| (range.start, range.end)).unzip();
    let params = params![
        filter.schema,
        filter.realm_id,
        filter.entities,
        start,
        end,
        filter.run_id,
        limit,
    ];
    let rows = db.rows(FIND, params).await?;
    rows.iter().map(reject).collect()
}

fn reject(row: &Row) -> Result<StoredReject> {
    Ok(StoredReject {
        schema: row.column("schema_name")?,
        realm_id: row.column("realm_id")?,
        entity: row.column("entity")?,
        window_start: row.column("window_start_utc")?,
        window_end: row.column("window_end_utc")?,
        id: row.column("id")?,
        changed_at: row.column("changed_at_utc")?,
        error: row.column("error")?,
        intuit_tid: row.column("intuit_tid")?,
        run_id: row.column("run_id")?,
        rejected_at: row.column("rejected_at_utc")?,
    })
}
