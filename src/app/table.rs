//! Stored records as columns.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;

use super::App;
use super::request::{default_schema, setters};
use crate::columns::{ColumnsBuilder, EntityColumns, Row};
use crate::error::{Error, Result};
use crate::postgres::{Db, rights};
use crate::sink::postgres::check_name;
use crate::store::{Records, Schemas};

/// A request for the stored records of an entity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TableRequest {
    /// Name of the entity.
    pub entity: String,
    /// Schema of the raw tables; one company each.
    #[serde(default = "default_schema")]
    pub schema: String,
    /// Include deleted records.
    #[serde(default)]
    pub with_deleted: bool,
}

impl TableRequest {
    /// Returns a request for the records of an entity that are not deleted.
    pub fn new(entity: impl Into<String>) -> Self {
        Self {
            entity: entity.into(),
            schema: default_schema(),
            with_deleted: false,
        }
    }

    fn never_loaded(&self) -> Error {
        let Self { entity, schema, .. } = self;
        Error::config(
            "entity",
            format!("'{entity}' was never loaded into the schema '{schema}'"),
        )
    }
}

setters!(TableRequest {
    schema: String,
    with_deleted: bool,
});

impl App {
    /// Reads the stored records of an entity in batches, as they are at one instant, in the order of
    /// their ids. One batch is in memory at a time.
    ///
    /// # Errors
    /// Returns errors of the settings and the database, and [`Error::Config`] if the entity was
    /// never loaded.
    pub async fn table(
        &self,
        request: &TableRequest,
        columns: Arc<EntityColumns>,
        mut each: impl FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<()> {
        check_name(&request.schema)?;
        let db = Db::open(&self.settings.postgres()?, 1).await?;
        // Whoever has made the tables by hand has bound no company to them.
        let company = Schemas::new(db.clone()).company_of(&request.schema).await;
        let realm_id = match company {
            Err(error) if rights::is_missing_table(&error) => None,
            company => company?,
        };
        let entity = *columns.entity();
        let mut builder = ColumnsBuilder::new(columns)?;
        let mut is_left = false;
        let records = Records::new(db);
        let read = records.each(&request.schema, &entity, request.with_deleted, |record| {
            let row = Row {
                realm_id: realm_id.as_deref(),
                id: &record.id,
                deleted_at: record.deleted_at,
                payload: Some(record.payload.get()),
            };
            let added = builder.push_each(row, &mut each)?;
            is_left = added.is_break();
            Ok(added)
        });
        read.await
            .map_err(|error| match rights::is_missing_table(&error) {
                true => request.never_loaded(),
                false => error,
            })?;
        if builder.rows() > 0 && !is_left {
            // Nothing comes after it.
            let _ = each(builder.take()?);
        }
        builder.log_misfits("command");
        Ok(())
    }
}
