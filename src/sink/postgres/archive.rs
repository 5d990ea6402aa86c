//! Old rows out of a table and into a landing file, from which `qbo-rs load` brings them back.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, pin_mut};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::PostgresSink;
use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::landing::{LandingLine, LandingWriter};
use crate::postgres::{database_error, quote_identifier};

/// What was archived of an entity.
#[derive(Debug, Clone, Serialize)]
pub struct ArchiveSummary {
    /// Our name.
    pub entity: String,
    /// Rows that are now in the file and no more in the table.
    pub rows: u64,
}

const COLUMNS: &str = "id, payload::text, ingested_at_utc, extract_window_start_utc, extract_window_end_utc, page_number, \
                       page_size, request_payload::text";

impl PostgresSink {
    /// Moves the records that were last changed before `before` into a new file. The file is
    /// durable before the rows are gone; whatever fails, no row is in neither.
    ///
    /// # Errors
    /// [`Error::Config`] if the file is there already, or nothing has been loaded into the schema;
    /// [`Error::Landing`], [`Error::Database`].
    pub async fn archive(
        &self,
        entities: &[EntitySpec],
        before: DateTime<Utc>,
        path: &Path,
    ) -> Result<Vec<ArchiveSummary>> {
        if path.exists() {
            return Err(Error::config(
                "out",
                format!(
                    "'{}' exists; an archive is not written over",
                    path.display()
                ),
            ));
        }
        let mut connection = self.connection().await?;
        let realm_id = self.bound_realm().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        let mut writer = LandingWriter::create(path)?;
        let mut archived = Vec::new();
        for entity in entities {
            let table = format!(
                "{}.{}",
                quote_identifier(&self.schema),
                quote_identifier(&entity.table())
            );
            let statement = format!(
                "DELETE FROM {table} WHERE id IN (SELECT id FROM ({}) AS held WHERE at < $1) RETURNING {COLUMNS}",
                self.rows_of(entity)
            );
            let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&before, Type::TIMESTAMPTZ)];
            let rows = transaction
                .query_typed_raw(&statement, parameters)
                .await
                .map_err(database_error)?;
            pin_mut!(rows);
            let mut count = 0;
            while let Some(row) = rows.next().await {
                write_line(
                    &mut writer,
                    &realm_id,
                    entity,
                    &row.map_err(database_error)?,
                )?;
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

    async fn bound_realm(&self) -> Result<String> {
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&self.schema, Type::TEXT)];
        let statement = "SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $1";
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        let missing = || {
            Error::config(
                "schema",
                format!("nothing has been loaded into '{}'", self.schema),
            )
        };
        rows.first().map(|row| row.get(0)).ok_or_else(missing)
    }
}

fn write_line(out: &mut impl Write, realm_id: &str, entity: &EntitySpec, row: &Row) -> Result<()> {
    let failed = |e: String| Error::decode("archive", e);
    let json = |column| -> Result<&RawValue> {
        serde_json::from_str(row.get(column)).map_err(|e| failed(e.to_string()))
    };
    let unsigned = |column| u32::try_from(row.get::<_, i32>(column)).unwrap_or_default();
    let line = LandingLine {
        entity: Cow::Borrowed(entity.name),
        realm_id: Cow::Borrowed(realm_id),
        id: Cow::Borrowed(row.get(0)),
        ingested_at_utc: row.get(2),
        extract_window_start_utc: row.get(3),
        extract_window_end_utc: row.get(4),
        read_until_utc: None,
        page_number: unsigned(5),
        page_size: unsigned(6),
        request_payload: json(7)?,
        payload: Some(json(1)?),
        rejected: None,
    };
    serde_json::to_writer(&mut *out, &line).map_err(|e| failed(e.to_string()))?;
    out.write_all(b"\n").map_err(|e| failed(e.to_string()))
}
