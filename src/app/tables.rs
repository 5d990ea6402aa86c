//! Work on the tables themselves: prepare, migrate, archive and print their SQL.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::{App, select_or_all};
use crate::domain::{ENTITIES, select_entities};
use crate::error::{Error, Result};
use crate::landing::LandingTarget;
use crate::sink::postgres::{ArchiveSummary, PostgresSink, Upgrade, ddl};

impl App {
    /// Makes sure that a load can be done: settings, database, tables, and that the schema is this
    /// company's.
    ///
    /// # Errors
    /// What would stop a load before its first window.
    pub async fn prepare(&self, names: &[String], schema: &str) -> Result<()> {
        let entities = select_entities(names)?;
        let config = self.settings.qbo()?;
        PostgresSink::connect(&self.settings.postgres()?, schema, 1)
            .await?
            .prepare(&config.realm_id, &entities)
            .await
    }

    /// Upgrades the tables of a schema in place; `is_dry`: only says how.
    ///
    /// # Errors
    /// Settings; a table that cannot be upgraded. Nothing has been changed then.
    pub async fn migrate(&self, schema: &str, is_dry: bool) -> Result<Upgrade> {
        let sink = PostgresSink::connect(&self.settings.postgres()?, schema, 1).await?;
        sink.migrate(ENTITIES, is_dry).await
    }

    /// Moves records that were last changed before an instant out of the tables and into a landing
    /// file.
    ///
    /// # Errors
    /// Settings, the file, and those of the database. No row is in neither then.
    pub async fn archive(
        &self,
        names: &[String],
        before: DateTime<Utc>,
        path: &Path,
        schema: &str,
    ) -> Result<Vec<ArchiveSummary>> {
        let entities = select_entities(names)?;
        let LandingTarget::SingleFile(path) = LandingTarget::from_path(path)? else {
            return Err(Error::config(
                "out",
                format!("'{}' is not one file, as archive.jsonl.zst", path.display()),
            ));
        };
        let sink = PostgresSink::connect(&self.settings.postgres()?, schema, 2).await?;
        sink.archive(&entities, before, &path).await
    }

    /// Returns the SQL that creates the raw tables of entities; all of them if none is named.
    ///
    /// # Errors
    /// [`Error::Config`] if an entity is unknown or the schema's name is unusable.
    pub fn ddl(&self, names: &[String], schema: &str) -> Result<String> {
        ddl(schema, &select_or_all(names)?)
    }
}
