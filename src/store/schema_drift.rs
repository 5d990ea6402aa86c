//! The differences between records and the table of fields, in `qbo.schema_drift`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// A difference between records and the table of fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaDrift {
    /// The company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
    /// Names of the members, joined by dots.
    pub path: String,
    /// `unknown`, `type`, `unfit` or `enum`.
    pub kind: String,
    /// Type of the value, in the words of the table of fields.
    pub found: String,
    /// Type that the table names.
    pub expected: Option<String>,
    /// Records that were loaded with it.
    pub records: i64,
    /// Id of one of them.
    pub example_id: String,
    /// The time at which it was seen first.
    pub first_seen: DateTime<Utc>,
    /// The time at which it was seen last.
    pub last_seen: DateTime<Utc>,
}

const FIND: &str = "
SELECT realm_id, entity, path, kind, found, expected, records, example_id, first_seen_utc, last_seen_utc
FROM qbo.schema_drift
WHERE ($1::text IS NULL OR realm_id IN (SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $1))
  AND (cardinality($2::text[]) = 0 OR entity = ANY($2))
ORDER BY realm_id, entity, kind, path, found";

/// Returns the differences of the company of a schema, or of all companies; none if nothing was ever
/// loaded.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn schema_drift(
    db: &Db,
    schema: Option<&str>,
    entities: &[&str],
) -> Result<Vec<SchemaDrift>> {
    if !db.has_table("qbo", "schema_drift").await? {
        return Ok(Vec::new());
    }
    let rows = db.rows(FIND, params![schema, entities]).await?;
    rows.iter().map(drift).collect()
}

fn drift(row: &Row) -> Result<SchemaDrift> {
    Ok(SchemaDrift {
        realm_id: row.column("realm_id")?,
        entity: row.column("entity")?,
        path: row.column("path")?,
        kind: row.column("kind")?,
        found: row.column("found")?,
        expected: row.column("expected")?,
        records: row.column("records")?,
        example_id: row.column("example_id")?,
        first_seen: row.column("first_seen_utc")?,
        last_seen: row.column("last_seen_utc")?,
    })
}
