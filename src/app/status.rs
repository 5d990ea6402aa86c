//! Status: what is committed, what is missing and what failed.

use serde::Serialize;

use super::{App, CompanyReport, select_or_all};
use crate::config::StoreLocation;
use crate::domain::Window;
use crate::error::Result;
use crate::sink::postgres::{EntityStatus, PostgresSink};

/// What is in the tables.
#[derive(Debug, Clone)]
pub struct StatusRequest {
    /// Names of entities; empty: all that the ledger knows.
    pub entities: Vec<String>,
    /// Where to look for gaps.
    pub range: Option<Window>,
    /// Run the checks of `docs/validation.sql`.
    pub validate: bool,
    /// Schema of the raw tables.
    pub schema: String,
}

/// How a schema stands.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// The schema.
    pub schema: String,
    /// Its entities.
    pub entities: Vec<EntityStatus>,
    /// The stored connections, where a store is set.
    pub accounts: Vec<CompanyReport>,
}

impl App {
    /// How a schema stands: what is committed, what is missing, what failed. Asks the database
    /// alone.
    ///
    /// # Errors
    /// Settings, and those of the database.
    pub async fn status(&self, request: &StatusRequest) -> Result<StatusReport> {
        let entities = select_or_all(&request.entities)?;
        let sink = PostgresSink::connect(&self.settings.postgres()?, &request.schema, 2).await?;
        let entities = sink
            .status(&entities, request.range, request.validate)
            .await?;
        let has_store = self
            .settings
            .oauth()
            .is_ok_and(|oauth| oauth.token_store != StoreLocation::Memory);
        let accounts = if has_store {
            self.auth_status().await?.accounts
        } else {
            Vec::new()
        };
        Ok(StatusReport {
            schema: request.schema.clone(),
            entities,
            accounts,
        })
    }
}
