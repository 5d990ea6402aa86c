//! Status: what is committed, what is missing and what failed.

use serde::{Deserialize, Serialize};

use super::request::{default_schema, setters};
use super::{App, CompanyReport, select_or_all};
use crate::domain::Window;
use crate::error::Result;
use crate::postgres::Db;
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::check_name;
use crate::store::{
    EntityStatus, SchemaDrift, StatusReader, SyncUnderWay, TieOut, UnavailableEntity, UnreadEntity,
    latest_tie_outs, schema_drift, syncs_under_way,
};

/// A request for the state of a schema.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StatusRequest {
    /// Entities; default: all in the ledger
    #[cfg_attr(feature = "cli", arg(value_name = "ENTITY"))]
    pub entities: Vec<String>,
    /// The range to look for gaps in; by default from the first committed instant on.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub range: Option<Window>,
    /// Check the tables with docs/validation.sql; the exit code is 1 if anything is wrong
    #[cfg_attr(feature = "cli", arg(long))]
    pub validate: bool,
    /// Schema of the raw tables
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    pub schema: String,
}

impl Default for StatusRequest {
    fn default() -> Self {
        Self {
            entities: Vec::new(),
            range: None,
            validate: false,
            schema: default_schema(),
        }
    }
}

setters!(StatusRequest {
    entities: Vec<String>,
    range: Option<Window>,
    validate: bool,
    schema: String,
});

/// The state of a schema.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// The schema.
    pub schema: String,
    /// Name of the company, if its records say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Its entities.
    pub entities: Vec<EntityStatus>,
    /// Entities that the company does not have, as far as syncs have found out.
    pub unavailable: Vec<UnavailableEntity>,
    /// Entities that syncs have begun with, and never read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never_read: Vec<UnreadEntity>,
    /// Syncs that go on, and those that died.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub syncs: Vec<SyncUnderWay>,
    /// The differences between their records and the table of fields.
    pub schema_drift: Vec<SchemaDrift>,
    /// The last comparison of the books with QuickBooks's reports, by basis.
    pub books: Vec<TieOut>,
    /// The stored connections; empty without settings of an app.
    pub accounts: Vec<CompanyReport>,
}

impl App {
    /// Returns what is committed, missing and failed in a schema. Only the database is asked.
    ///
    /// # Errors
    /// Returns errors of the settings, if those of an app are set, and of the database.
    pub async fn status(&self, request: &StatusRequest) -> Result<StatusReport> {
        let entities = select_or_all(&request.entities)?;
        let postgres = self.settings.postgres()?;
        check_name(&request.schema)?;
        let db = Db::open(&postgres, 2).await?;
        let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
        let schema_drift = schema_drift(&db, Some(&request.schema), &names).await?;
        let books = latest_tie_outs(&db, Some(&request.schema)).await?;
        let syncs = syncs_under_way(&db, &request.schema).await?;
        let reader = StatusReader::new(db, &request.schema);
        let never_read = reader.unread(&entities).await?;
        let unavailable = reader.unavailable(&entities).await?;
        let company = reader.company_name().await?;
        let entities = reader
            .status(&entities, request.range, request.validate)
            .await?;
        // The state of the tables needs no settings of an app.
        let accounts = match self.settings.has_app() {
            true => self.auth_status().await?.accounts,
            false => Vec::new(),
        };
        Ok(StatusReport {
            schema: request.schema.clone(),
            company,
            entities,
            unavailable,
            never_read,
            syncs,
            schema_drift,
            books,
            accounts,
        })
    }
}
