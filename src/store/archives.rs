//! Archives: files into which records of a table were moved, and the records that are still only there.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use super::unfinished::of_its_schema;
use crate::domain::find_entity;
use crate::error::Result;
use crate::postgres::{Columns, Db, params};

const ARCHIVES: &str = concat!(
    "
SELECT realm_id, schema_name, entity, before_utc, file, archived_at_utc, has_emptied, (
    SELECT count(*) FROM qbo.archived_records AS record WHERE record.archive_id = archive.archive_id
) AS records
FROM qbo.archives AS archive WHERE ($1::text IS NULL OR schema_name = $1) AND ",
    of_its_schema!("archive"),
    "
ORDER BY realm_id, schema_name, entity, before_utc DESC, archived_at_utc DESC"
);

const ARCHIVED: &str = concat!(
    "
SELECT entity, id, changed_at_utc, file
FROM qbo.archived_records JOIN qbo.archives AS archive USING (archive_id)
WHERE schema_name = $1 AND ",
    of_its_schema!("archive"),
    "
ORDER BY changed_at_utc"
);

/// A file into which records of an entity were moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// The company.
    #[serde(skip)]
    pub realm_id: String,
    /// The schema.
    #[serde(skip)]
    pub schema: String,
    /// Name of the entity.
    #[serde(skip)]
    pub entity: String,
    /// Records that were last changed before this instant were moved.
    pub before: DateTime<Utc>,
    /// The file, on the machine that wrote it.
    pub file: String,
    /// Number of records that are still in the file alone.
    pub records: u64,
    /// When they were moved.
    pub archived_at: DateTime<Utc>,
    /// Whether no row was left in the table.
    #[serde(skip)]
    pub(crate) has_emptied: bool,
}

/// A record that is in the file of an archive, and not in the table.
#[derive(Debug, Clone)]
pub(crate) struct ArchivedRecord {
    /// When QuickBooks had changed it.
    pub(crate) changed_at: DateTime<Utc>,
    /// The file.
    pub(crate) file: Arc<str>,
}

/// Intuit's names of entities, ids, and where the records are.
pub(crate) type ArchivedRecords = HashMap<(String, String), ArchivedRecord>;

/// Returns the archives of a schema, or of all, that still hold what the tables do not.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn archives(db: &Db, schema: Option<&str>) -> Result<Vec<Archive>> {
    // A database that was not upgraded yet has none.
    if !db.has_table("qbo", "archived_records").await? {
        return Ok(Vec::new());
    }
    let rows = db.rows(ARCHIVES, params![schema]).await?;
    let all: Vec<Archive> = rows.iter().map(archive).collect::<Result<_>>()?;
    Ok(all.into_iter().filter(|one| one.records > 0).collect())
}

/// Returns the records of a schema that are in files of archives alone.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn archived_records(db: &Db, schema: &str) -> Result<ArchivedRecords> {
    let rows = db.rows(ARCHIVED, params![schema]).await?;
    let mut files: HashMap<String, Arc<str>> = HashMap::new();
    let mut found = ArchivedRecords::new();
    for row in &rows {
        let name: &str = row.column("entity")?;
        // One of a later version is none of the books.
        let Ok(entity) = find_entity(name) else {
            continue;
        };
        let file: String = row.column("file")?;
        let record = ArchivedRecord {
            changed_at: row.column("changed_at_utc")?,
            file: files
                .entry(file.clone())
                .or_insert_with(|| file.into())
                .clone(),
        };
        found.insert((entity.qbo_name.to_owned(), row.column("id")?), record);
    }
    Ok(found)
}

fn archive(row: &Row) -> Result<Archive> {
    Ok(Archive {
        realm_id: row.column("realm_id")?,
        schema: row.column("schema_name")?,
        entity: row.column("entity")?,
        before: row.column("before_utc")?,
        file: row.column("file")?,
        records: row.count("records")?,
        archived_at: row.column("archived_at_utc")?,
        has_emptied: row.column("has_emptied")?,
    })
}
