//! Schemas of raw tables, and the company that each belongs to.

use crate::error::Result;
use crate::postgres::{Columns, DEFAULT_SCHEMA, Db, migrations, params, server};

/// The binding of schemas to companies, in `qbo.schema_realms`. All errors are
/// [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub struct Schemas(Db);

impl Schemas {
    /// Returns the schemas of a database.
    pub fn new(db: Db) -> Self {
        Self(db)
    }

    /// Creates or upgrades the schema `qbo` of operational tables.
    pub async fn prepare_operations(&self) -> Result<()> {
        let mut connection = self.0.connection().await?;
        server::check(&mut connection).await?;
        migrations::apply(&mut connection).await
    }

    /// Returns the schema for a company's records: the one that is bound to it; otherwise `raw` if
    /// no company has it; otherwise one named after the company.
    pub async fn schema_for(&self, realm_id: &str) -> Result<String> {
        let select = "
            SELECT min(schema_name) FILTER (WHERE realm_id = $1) AS bound,
                count(*) FILTER (WHERE schema_name = $2) AS taken
            FROM qbo.schema_realms";
        let row = self
            .0
            .one(select, params![realm_id, DEFAULT_SCHEMA])
            .await?;
        let bound: Option<String> = row.column("bound")?;
        Ok(match (bound, row.count("taken")?) {
            (Some(schema), _) => schema,
            (None, 0) => DEFAULT_SCHEMA.to_owned(),
            (None, _) => format!("{DEFAULT_SCHEMA}_{realm_id}"),
        })
    }

    /// Returns the schema that is bound to a company, if there is one.
    pub async fn bound_schema(&self, realm_id: &str) -> Result<Option<String>> {
        let select = "
            SELECT min(schema_name) AS schema_name FROM qbo.schema_realms WHERE realm_id = $1";
        self.0
            .one(select, params![realm_id])
            .await?
            .column("schema_name")
    }

    /// Returns the company that a schema is bound to, if it is bound.
    pub async fn company_of(&self, schema: &str) -> Result<Option<String>> {
        let select = "SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $1";
        let row = self.0.optional(select, params![schema]).await?;
        row.map(|row| row.column("realm_id")).transpose()
    }
}
