//! Moves old rows into a landing file, from which `qbo-rs load` restores them.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, pin_mut};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;

use super::PostgresSink;
use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::landing::{LandingLine, LandingWriter};
use crate::postgres::{
    Columns, END_WHEN_IDLE, PIN_SEARCH_PATH, Query, bind, database_error, live_rows, server,
    table_name,
};
use crate::store::Schemas;

/// Number of archived records of one entity.
#[derive(Debug, Clone, Serialize)]
pub struct ArchiveSummary {
    /// Name of the entity.
    pub entity: String,
    /// Rows that were moved from the table to the file.
    pub rows: u64,
}

/// Rows that others have put into the table may lack what a line needs, or hold impossible times.
/// They stay where they are.
const DELETE: &str = "
DELETE FROM {table} WHERE id IN (SELECT live.id FROM ({live_rows}) AS live WHERE live.at < $1)
    AND ingested_at_utc BETWEEN '0001-01-01Z' AND '9999-12-31Z'
    AND extract_window_start_utc BETWEEN '0001-01-01Z' AND '9999-12-31Z'
    AND extract_window_end_utc BETWEEN '0001-01-01Z' AND '9999-12-31Z'
    AND page_number IS NOT NULL AND page_size IS NOT NULL AND request_payload IS NOT NULL
RETURNING id, payload::text AS payload, ingested_at_utc, extract_window_start_utc,
    extract_window_end_utc, page_number, page_size, request_payload::text AS request_payload";

impl PostgresSink {
    /// Moves the records that were last changed before `before` into a new file. The file is on
    /// disk before the rows are deleted, so that a failure loses no row.
    ///
    /// # Errors
    /// [`Error::Config`] if the file exists already, or nothing has been loaded into the schema;
    /// [`Error::Landing`], [`Error::Database`].
    pub(crate) async fn archive(
        &self,
        entities: &[EntitySpec],
        before: DateTime<Utc>,
        path: &Path,
    ) -> Result<Vec<ArchiveSummary>> {
        if path.exists() {
            let reason = format!(
                "'{}' exists; an archive is not written over",
                path.display()
            );
            return Err(Error::config("out", reason));
        }
        let mut connection = self.db.connection().await?;
        let realm_id = Schemas::new(self.db.clone())
            .company_of(&self.schema)
            .await?;
        let realm_id = realm_id.ok_or_else(|| {
            let reason = format!("nothing has been loaded into '{}'", self.schema);
            Error::config("schema", reason)
        })?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(PIN_SEARCH_PATH).await?;
        transaction.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
        transaction.batch(END_WHEN_IDLE).await?;
        let mut writer = LandingWriter::create(path)?;
        let mut archived = Vec::new();
        for entity in entities {
            let statement = DELETE
                .replace("{table}", &table_name(&self.schema, entity))
                .replace("{live_rows}", &live_rows(&self.schema, entity));
            // Streamed: the rows need not fit into memory.
            let rows = transaction
                .query_typed_raw(&statement, [bind(&before)])
                .await
                .map_err(database_error)?;
            pin_mut!(rows);
            let mut count = 0;
            while let Some(row) = rows.next().await {
                let row = row.map_err(database_error)?;
                write_line(&mut writer, &realm_id, entity, &row)?;
                count += 1;
            }
            archived.push(ArchiveSummary {
                entity: entity.name.to_owned(),
                rows: count,
            });
        }
        writer.finish()?;
        transaction.commit().await.map_err(database_error)?;
        Ok(archived)
    }
}

fn write_line(out: &mut impl Write, realm_id: &str, entity: &EntitySpec, row: &Row) -> Result<()> {
    let failed = |e: String| Error::decode("archive", e);
    let json = |column| -> Result<&RawValue> {
        serde_json::from_str(row.column(column)?).map_err(|e| failed(e.to_string()))
    };
    let unsigned = |column| {
        row.column::<i32>(column)
            .map(|value| u32::try_from(value).unwrap_or_default())
    };
    let line = LandingLine {
        entity: Cow::Borrowed(entity.name),
        realm_id: Cow::Borrowed(realm_id),
        id: Cow::Borrowed(row.column("id")?),
        ingested_at_utc: row.column("ingested_at_utc")?,
        extract_window_start_utc: row.column("extract_window_start_utc")?,
        extract_window_end_utc: row.column("extract_window_end_utc")?,
        read_until_utc: None,
        page_number: unsigned("page_number")?,
        page_size: unsigned("page_size")?,
        request_payload: json("request_payload")?,
        payload: Some(json("payload")?),
        rejected: None,
    };
    serde_json::to_writer(&mut *out, &line).map_err(|e| failed(e.to_string()))?;
    out.write_all(b"\n").map_err(|e| failed(e.to_string()))
}
