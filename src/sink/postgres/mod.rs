//! Postgres as a sink: COPY into a staging table, one merge, and the ledger row, in one transaction
//! a window.

mod archive;
mod browse;
mod copy_format;
mod deletions;
mod jobs;
mod ledger;
mod record_index;
mod schema;
mod shape;
mod status;
mod storable;
mod sync_schedule;
mod sync_state;
mod webhooks;
mod writer;

use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Pool};

pub use self::archive::ArchiveSummary;
pub use self::browse::{EntityState, StoredRecord};
pub use self::deletions::Deletions;
pub use self::jobs::{Job, Order};
pub use self::ledger::Coverage;
use self::ledger::Ledger;
pub use self::schema::{Upgrade, ddl};
pub use self::status::{Check, EntityStatus, LastRun, UnfinishedWindow};
pub use self::sync_state::{SyncOutcome, SyncState};
pub use self::webhooks::EventAnswer;
use self::writer::PostgresWriter;
use crate::config::{PostgresConfig, TransactionLimits};
use crate::domain::{EntitySpec, RunReport, Window};
use crate::error::{Error, Result};
use crate::port::{RunContext, Sink, WindowContext};
use crate::postgres::{migrations, open_pool, take};

/// The schema of raw tables unless told otherwise.
pub const DEFAULT_SCHEMA: &str = "raw";

/// One schema of raw tables in one database.
#[derive(Debug, Clone)]
pub struct PostgresSink {
    pool: Pool,
    schema: String,
    ledger: Ledger,
    limits: TransactionLimits,
    /// Whether runs are recorded.
    keeps_runs: bool,
}

impl PostgresSink {
    /// Connects, with up to `connections` at a time.
    ///
    /// # Errors
    /// [`Error::Config`] if the settings are unusable or the database cannot be reached with them.
    pub async fn connect(
        config: &PostgresConfig,
        schema: &str,
        connections: usize,
    ) -> Result<Self> {
        schema::check_name(schema)?;
        let pool = open_pool(config, connections).await?;
        let ledger = Ledger {
            pool: pool.clone(),
            schema: schema.to_owned(),
            max_attempts: config.max_attempts,
        };
        Ok(Self {
            pool,
            schema: schema.to_owned(),
            ledger,
            limits: config.limits,
            keeps_runs: true,
        })
    }

    /// Another schema of the same database, over the same connections, for runs so small and
    /// frequent that they are not recorded one by one.
    ///
    /// # Errors
    /// [`Error::Config`] if the schema's name cannot be used.
    pub fn for_sync(&self, schema: &str) -> Result<Self> {
        schema::check_name(schema)?;
        let ledger = Ledger {
            schema: schema.to_owned(),
            ..self.ledger.clone()
        };
        Ok(Self {
            schema: schema.to_owned(),
            ledger,
            keeps_runs: false,
            ..self.clone()
        })
    }

    /// The name of the schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Makes the schema `qbo` ready.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn prepare_operations(&self) -> Result<()> {
        migrations::apply(&mut *self.connection().await?).await
    }

    /// Makes the schema ready: creates what is missing, checks the shape of what is there, and
    /// binds the schema to the company.
    ///
    /// # Errors
    /// [`Error::Config`] if a table has another shape or the schema belongs to another company.
    pub async fn prepare(&self, realm_id: &str, entities: &[EntitySpec]) -> Result<()> {
        let mut connection = self.connection().await?;
        migrations::apply(&mut connection).await?;
        schema::prepare(&mut connection, &self.schema, realm_id, entities).await
    }

    /// Brings the schema `qbo` up to date, and tables that were made by hand in another shape into
    /// the right one, all of them or none. `is_dry`: only says how.
    ///
    /// # Errors
    /// [`Error::Config`] if a table cannot be upgraded; nothing has been changed then.
    pub async fn migrate(&self, entities: &[EntitySpec], is_dry: bool) -> Result<Upgrade> {
        let mut connection = self.connection().await?;
        if !is_dry {
            migrations::apply(&mut connection).await?;
        }
        schema::upgrade(&mut connection, &self.schema, entities, is_dry).await
    }

    /// The time that earlier runs have committed, alone or together, in no order.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn committed(&self, realm_id: &str, entity: &EntitySpec) -> Result<Vec<Window>> {
        self.ledger.committed(realm_id, entity).await
    }

    /// The time since an instant that is committed of every entity of every company.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn coverage(&self, since: DateTime<Utc>) -> Result<Coverage> {
        self.ledger.coverage(since).await
    }

    async fn connection(&self) -> Result<Object> {
        take(&self.pool).await
    }
}

impl Sink for PostgresSink {
    type Writer = PostgresWriter;

    const PHASE: &'static str = "load";

    async fn run_started(&self, run: &RunContext) -> Result<()> {
        if self.keeps_runs {
            self.ledger.begin_run(run).await
        } else {
            Ok(())
        }
    }

    async fn run_finished(&self, report: &RunReport) -> Result<()> {
        if self.keeps_runs {
            self.ledger.end_run(report).await
        } else {
            Ok(())
        }
    }

    async fn window_started(&self, context: &WindowContext) -> Result<()> {
        self.ledger.begin(context).await
    }

    async fn window_failed(&self, context: &WindowContext, error: &Error) {
        self.ledger.fail(context, error).await;
    }

    fn window_abandoned(&self, context: WindowContext) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let ledger = self.ledger.clone();
            runtime.spawn(async move { ledger.fail(&context, &Error::Cancelled).await });
        }
    }

    fn is_transient(&self, error: &Error) -> bool {
        error.is_passing_in_database()
    }

    async fn open_window(&self, context: WindowContext) -> Result<PostgresWriter> {
        Ok(PostgresWriter::new(
            self.pool.clone(),
            self.schema.clone(),
            self.limits,
            context,
        ))
    }
}
