//! Archives: files into which records of a table were moved, and the records that are still only there.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use super::unfinished::of_its_schema;
use crate::domain::find_entity;
use crate::error::Result;
use crate::postgres::{Columns, Db, params, table_name};

const ARCHIVES: &str = concat!(
    "
SELECT archive_id, realm_id, schema_name, entity, before_utc, file, archived_at_utc, has_emptied
FROM qbo.archives AS archive WHERE ($1::text IS NULL OR schema_name = $1) AND ",
    of_its_schema!("archive"),
    "
ORDER BY realm_id, schema_name, entity, before_utc DESC, archived_at_utc DESC"
);

/// A record that was archived twice counts once, in its newer version. One that others have put back into
/// the table is there.
const ARCHIVED_ROWS: &str = "
SELECT DISTINCT ON (record.id) record.id, changed_at_utc AS at, sync_token AS token, true AS is_archived,
    archive_id
FROM qbo.archived_records AS record WHERE archive_id IN ({archives})
  AND NOT EXISTS (SELECT FROM {table} AS there WHERE there.id = record.id)
ORDER BY record.id, changed_at_utc DESC, sync_token DESC";

/// In place of the table of an entity that has none, as that of a later version.
const NO_TABLE: &str = "(SELECT null::text AS id WHERE false)";

const COUNTS: &str =
    "SELECT archive_id, count(*) FROM ({archived}) AS archived GROUP BY archive_id";

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
    let all: Vec<(i64, Archive)> = rows.iter().map(archive).collect::<Result<_>>()?;
    let mut found = Vec::new();
    for of_table in all.chunk_by(|(_, a), (_, b)| (&a.schema, &a.entity) == (&b.schema, &b.entity))
    {
        let records = records(db, of_table).await?;
        found.extend(of_table.iter().filter_map(|(id, archive)| {
            let records = *records.get(id)?;
            let archive = archive.clone();
            Some(Archive { records, ..archive })
        }));
    }
    Ok(found)
}

/// Returns the numbers of records that are in the files of a table's archives alone, without zeros.
async fn records(db: &Db, of_table: &[(i64, Archive)]) -> Result<HashMap<i64, u64>> {
    let Some((_, Archive { schema, entity, .. })) = of_table.first() else {
        return Ok(HashMap::new());
    };
    let table = match find_entity(entity) {
        Ok(entity) if db.has_table(schema, &entity.table()).await? => table_name(schema, entity),
        _ => NO_TABLE.to_owned(),
    };
    let ids: Vec<i64> = of_table.iter().map(|(id, _)| *id).collect();
    let statement = COUNTS.replace("{archived}", &archived_rows(&ids, &table));
    let rows = db.rows(&statement, params![]).await?;
    let counts = rows.iter().map(|row| Ok((row.column(0)?, row.count(1)?)));
    counts.collect()
}

/// Returns a query of the records that are in the files of a table's archives alone: `id`, `at`, `token`,
/// `is_archived` and `archive_id`.
pub(crate) fn archived_rows(archives: &[i64], table: &str) -> String {
    let ids: Vec<String> = archives.iter().map(i64::to_string).collect();
    ARCHIVED_ROWS
        .replace("{archives}", &ids.join(", "))
        .replace("{table}", table)
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

fn archive(row: &Row) -> Result<(i64, Archive)> {
    let archive = Archive {
        realm_id: row.column("realm_id")?,
        schema: row.column("schema_name")?,
        entity: row.column("entity")?,
        before: row.column("before_utc")?,
        file: row.column("file")?,
        records: 0,
        archived_at: row.column("archived_at_utc")?,
        has_emptied: row.column("has_emptied")?,
    };
    Ok((row.column("archive_id")?, archive))
}
