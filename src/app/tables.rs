//! Work on the tables themselves: prepare, migrate, archive and print their SQL.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;

#[cfg(feature = "cli")]
use super::calendar;
use super::company::{Company, company_config};
use super::company_schema::Binding;
use super::request::{default_schema, owned, setters};
use super::{App, select_or_all};
#[cfg(feature = "cli")]
use crate::domain::Zone;
use crate::domain::{ENTITIES, select_entities};
use crate::error::{Error, Result};
use crate::landing::{LandingTarget, is_parquet};
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::{ArchiveSummary, PostgresSink, Upgrade, ddl};

/// A request to check that a load can be done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PrepareRequest {
    /// Names of entities.
    pub entities: Vec<String>,
    /// Schema of the raw tables; one company each.
    #[serde(default = "default_schema")]
    pub schema: String,
}

impl PrepareRequest {
    /// Returns a request for entities, with the defaults of the command line.
    pub fn new(entities: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            entities: owned(entities),
            schema: default_schema(),
        }
    }
}

setters!(PrepareRequest { schema: String });

/// A request to move old records out of the tables.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[non_exhaustive]
pub struct ArchiveRequest {
    /// Entities, as customers,invoices or all; see `qbo-rs entities`
    #[cfg_attr(feature = "cli", arg(required = true, value_name = "ENTITY"))]
    pub entities: Vec<String>,
    /// Move the records that were last changed before this instant, UTC; those that are edited
    /// afterwards come back with the next sync
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "INSTANT", allow_hyphen_values = true,
            value_parser = |text: &str| calendar(Zone::default()).instant("before", text))
    )]
    pub before: DateTime<Utc>,
    /// File to create, such as archive.jsonl.zst
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub out: PathBuf,
    /// Schema of the raw tables
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    pub schema: String,
}

impl ArchiveRequest {
    /// Returns a request that moves records changed before an instant into a new file.
    pub fn new(
        entities: impl IntoIterator<Item = impl Into<String>>,
        before: DateTime<Utc>,
        out: impl Into<PathBuf>,
    ) -> Self {
        Self {
            entities: owned(entities),
            before,
            out: out.into(),
            schema: default_schema(),
        }
    }
}

setters!(ArchiveRequest { schema: String });

/// A request to upgrade tables in place.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[non_exhaustive]
pub struct MigrateRequest {
    /// Print the SQL without running it
    #[cfg_attr(feature = "cli", arg(long = "print"))]
    pub dry_run: bool,
    /// Schema of the raw tables
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    pub schema: String,
}

impl Default for MigrateRequest {
    fn default() -> Self {
        Self {
            dry_run: false,
            schema: default_schema(),
        }
    }
}

setters!(MigrateRequest {
    dry_run: bool,
    schema: String,
});

/// A request for the SQL that creates tables.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[non_exhaustive]
pub struct DdlRequest {
    /// Entities; default: all
    #[cfg_attr(feature = "cli", arg(value_name = "ENTITY"))]
    pub entities: Vec<String>,
    /// Schema of the raw tables
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    pub schema: String,
}

impl Default for DdlRequest {
    fn default() -> Self {
        Self {
            entities: Vec::new(),
            schema: default_schema(),
        }
    }
}

setters!(DdlRequest {
    entities: Vec<String>,
    schema: String,
});

impl App {
    /// Checks that a load can be done: settings, database and tables, and that the schema belongs
    /// to this company. Missing tables are created.
    ///
    /// # Errors
    /// Returns what would stop a load before its first window.
    pub async fn prepare(&self, request: &PrepareRequest) -> Result<()> {
        let entities = select_entities(&request.entities)?;
        let config = company_config(&self.settings).await?;
        let postgres = self.settings.postgres()?;
        let sink = PostgresSink::connect(&postgres, &request.schema, 1).await?;
        sink.check_server().await?;
        let (_, connection) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        let mut binding = Binding::begin(&postgres, &sink, (&config.realm_id, &connection)).await?;
        let prepared = sink.prepare(&config.realm_id, &entities).await;
        binding.after(prepared).await?;
        binding.end(false).await;
        Ok(())
    }

    /// Upgrades the tables of a schema in place, or only returns the SQL for it.
    ///
    /// # Errors
    /// Returns errors of the settings, and a table that cannot be upgraded; nothing has been
    /// changed then.
    pub async fn migrate(&self, request: &MigrateRequest) -> Result<Upgrade> {
        let sink = PostgresSink::connect(&self.settings.postgres()?, &request.schema, 1).await?;
        sink.migrate(ENTITIES, request.dry_run).await
    }

    /// Moves records that were last changed before an instant out of the tables and into a landing
    /// file.
    ///
    /// # Errors
    /// Returns errors of the settings, the file and the database. Every row is then still in the
    /// table, in the file or in both.
    pub async fn archive(&self, request: &ArchiveRequest) -> Result<Vec<ArchiveSummary>> {
        let entities = select_entities(&request.entities)?;
        if request.before > crate::clock::now() {
            let reason = "is in the future: all records would leave the tables";
            return Err(Error::config("before", reason));
        }
        let mask = self.settings.mask()?;
        let target = LandingTarget::from_path(&request.out)?;
        let LandingTarget::SingleFile(path) = target else {
            return Err(Error::config(
                "out",
                format!(
                    "'{}' is not one file, as archive.jsonl.zst",
                    request.out.display()
                ),
            ));
        };
        if is_parquet(&path) {
            let reason = "an archive is JSON lines; name a file such as archive.jsonl.zst";
            return Err(Error::config("out", reason));
        }
        let sink = PostgresSink::connect(&self.settings.postgres()?, &request.schema, 2).await?;
        sink.archive(&entities, request.before, &path, &mask).await
    }

    /// Returns the SQL that creates the raw tables of entities, or of all if none is named.
    ///
    /// # Errors
    /// [`Error::Config`] if an entity is unknown or the schema's name cannot be used.
    pub fn ddl(&self, request: &DdlRequest) -> Result<String> {
        ddl(&request.schema, &select_or_all(&request.entities)?)
    }
}
