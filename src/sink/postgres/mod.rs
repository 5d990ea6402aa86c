//! The Postgres sink. Each window is one transaction: COPY into a staging table, one merge, and
//! the ledger row.

mod archive;
mod archived;
mod books;
mod copy_format;
mod deletions;
mod drift;
mod ledger;
mod merge;
mod obstacles;
mod page_columns;
mod parts;
mod pulse;
mod quiet;
mod record_index;
mod report_lines;
mod reports;
mod schema;
mod set_aside;
mod shape;
mod storable;
mod survey;
mod turn;
mod window_transaction;
mod writer;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;

pub use self::archive::ArchiveSummary;
pub(crate) use self::books::{Books, DEFAULT_LEDGER_SCHEMA, PostedRecords};
pub(crate) use self::deletions::{Deletions, LOOKED_UP};
pub(crate) use self::ledger::Claim;
use self::ledger::Ledger;
use self::pulse::{Pulses, claim};
pub(crate) use self::quiet::{QuietEntity, QuietSink};
pub(crate) use self::reports::{Landed, LandedAnswer, Landing};
use self::schema::SchemaChoice;
pub(crate) use self::schema::check_name;
pub use self::schema::{Upgrade, ddl};
pub(crate) use self::survey::survey;
use self::writer::PostgresWriter;
use crate::config::{PostgresConfig, TransactionLimits};
use crate::domain::{EntitySpec, Resumed, RunReport, Window};
use crate::error::{Error, Result};
use crate::port::{Held, RunContext, Sink, WindowContext};
use crate::postgres::{Columns, migrations, params, server, table_name};
pub(crate) use crate::postgres::{DEFAULT_SCHEMA, Db};
use crate::store::{CommittedTime, FailedWindow, OtherRun, Standings, end_open_run, standings};

/// Decides whether runs get rows in `qbo.runs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunRecords {
    /// Every run is recorded.
    Write,
    /// Only runs that changed rows are recorded, and the last of them stay: syncs are frequent.
    Changes,
    /// No run is recorded.
    Skip,
}

/// One schema of raw tables in one database.
#[derive(Debug, Clone)]
pub(crate) struct PostgresSink {
    db: Db,
    schema: String,
    ledger: Ledger,
    limits: TransactionLimits,
    run_records: RunRecords,
    pulses: Arc<Pulses>,
    turn: Option<Arc<str>>,
    is_beside_archives: bool,
    /// See [`Self::replacing`].
    replaces_before: Option<DateTime<Utc>>,
}

impl PostgresSink {
    /// Returns the sink of a schema, over the connections of `db`.
    ///
    /// # Errors
    /// [`Error::Config`] if the schema's name cannot be used.
    pub(crate) fn new(
        db: Db,
        schema: &str,
        config: &PostgresConfig,
        run_records: RunRecords,
    ) -> Result<Self> {
        schema::check_name(schema)?;
        let ledger = Ledger {
            db: db.clone(),
            schema: schema.to_owned(),
            max_attempts: config.max_attempts,
        };
        Ok(Self {
            pulses: Pulses::new(db.clone()),
            db,
            schema: schema.to_owned(),
            ledger,
            limits: config.limits,
            run_records,
            turn: None,
            is_beside_archives: false,
            replaces_before: None,
        })
    }

    /// Returns the sink for the repair of windows whose versions were compared: a version of a row from before `until`
    /// gives way, although it is newer, since QuickBooks has shown another one.
    pub(crate) fn replacing(&self, until: DateTime<Utc>) -> Self {
        Self {
            replaces_before: Some(until),
            ..self.clone()
        }
    }

    /// Returns the sink for a sync in its turn: no window is committed once another sync has it.
    #[must_use]
    pub(crate) fn in_turn(self, turn_id: &str) -> Self {
        Self {
            turn: Some(turn_id.into()),
            ..self
        }
    }

    /// Connects, with up to `connections` at a time, to a schema whose runs are recorded.
    ///
    /// # Errors
    /// [`Error::Config`] if the settings are unusable or the database cannot be reached with them.
    pub(crate) async fn connect(
        config: &PostgresConfig,
        schema: &str,
        connections: usize,
    ) -> Result<Self> {
        schema::check_name(schema)?;
        let db = Db::open(config, connections).await?;
        Self::new(db, schema, config, RunRecords::Write)
    }

    /// Returns the name of the schema.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// Refuses a database that cannot be loaded into.
    ///
    /// # Errors
    /// [`Error::Config`] with the reason and what helps.
    pub(crate) async fn check_server(&self) -> Result<()> {
        server::check(&mut *self.db.connection().await?).await
    }

    /// Prepares the schema for loading: creates missing tables, checks the shape of existing ones,
    /// and binds the schema to the company.
    ///
    /// # Errors
    /// [`Error::Config`] if a table has another shape or the schema belongs to another company.
    pub(crate) async fn prepare(&self, realm_id: &str, entities: &[EntitySpec]) -> Result<()> {
        let named = self.prepare_chosen(realm_id, entities, SchemaChoice::Named);
        named.await.map(drop)
    }

    /// Prepares a schema that no company seemed to have. Returns false, and changes nothing, if another one
    /// has it by now.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare).
    pub(crate) async fn prepare_if_free(
        &self,
        realm_id: &str,
        entities: &[EntitySpec],
    ) -> Result<bool> {
        self.prepare_chosen(realm_id, entities, SchemaChoice::Free)
            .await
    }

    async fn prepare_chosen(
        &self,
        realm_id: &str,
        entities: &[EntitySpec],
        choice: SchemaChoice,
    ) -> Result<bool> {
        let mut connection = self.db.connection().await?;
        server::check(&mut connection).await?;
        migrations::apply(&mut connection).await?;
        schema::prepare(&mut connection, &self.schema, realm_id, entities, choice).await
    }

    /// Binds the schema to its company again if a call beside this one, which had bound it, has failed and given it back.
    /// To be called in the turn of a run or a sync: from then on nobody gives it back.
    ///
    /// # Errors
    /// [`Error::Config`] if the schema belongs to another company by now; otherwise as for [`prepare`](Self::prepare).
    pub(crate) async fn keep_schema(&self, realm_id: &str, entities: &[EntitySpec]) -> Result<()> {
        let look = async |connection: &Object| {
            turn::holds_company(&***connection, &self.schema, realm_id).await
        };
        let is_kept = self.db.alone(look).await?;
        match is_kept || self.prepare_if_free(realm_id, entities).await? {
            true => Ok(()),
            false => Err(turn::lost_schema(&self.schema)),
        }
    }

    /// Upgrades the schema `qbo`, and tables that were made by hand in another shape, all of them
    /// or none. With `dry_run`, only the statements are returned.
    ///
    /// # Errors
    /// [`Error::Config`] if a table cannot be upgraded; nothing has been changed then.
    pub(crate) async fn migrate(&self, entities: &[EntitySpec], dry_run: bool) -> Result<Upgrade> {
        let mut connection = self.db.connection().await?;
        server::check(&mut connection).await?;
        if !dry_run {
            migrations::apply(&mut connection).await?;
        }
        schema::upgrade(&mut connection, &self.schema, entities, dry_run).await
    }

    /// Returns the company that the schema is bound to, if there is one.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn company(&self) -> Result<Option<String>> {
        if !self.db.has_table("qbo", "schema_realms").await? {
            return Ok(None);
        }
        let select = "SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $1";
        let row = self.db.optional(select, params![self.schema]).await?;
        row.map(|row| row.column("realm_id")).transpose()
    }

    /// Returns the windows that earlier runs have committed, unsorted.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn committed(
        &self,
        realm_id: &str,
        entity: &EntitySpec,
    ) -> Result<Vec<Window>> {
        CommittedTime::new(self.db.clone())
            .of_entity(&self.schema, realm_id, entity)
            .await
    }

    /// Returns windows of an entity as a resumed run reads them: without what is committed, or without what
    /// was committed at an instant or after it.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn resumed(
        &self,
        realm_id: &str,
        entity: &EntitySpec,
        windows: &[Window],
        since: Option<DateTime<Utc>>,
    ) -> Result<Resumed> {
        CommittedTime::new(self.db.clone())
            .resumed(&self.schema, realm_id, entity, windows, since)
            .await
    }

    /// Enters runs into the ledger, all or none: none if another run reads what lies within
    /// the time of one of them.
    /// Returns that one.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn claim(&self, realm_id: &str, runs: &[Claim]) -> Result<Option<OtherRun>> {
        // Before others see the runs: they would take them for those of an earlier process.
        runs.iter().for_each(|run| self.pulses.add(&run.run_id));
        let claimed = claim(&self.ledger, realm_id, runs).await;
        if !matches!(claimed, Ok(None)) {
            runs.iter().for_each(|run| self.pulses.remove(&run.run_id));
        }
        claimed
    }

    /// Ends the last run of an entity, if it has not ended well and nothing of its range is left to read.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn end_open_run(&self, entity: &EntitySpec, range: Window) -> Result<()> {
        end_open_run(&self.db, &self.schema, entity.name, range).await
    }

    /// Returns what is known of entities before they are read.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn standings(
        &self,
        realm_id: &str,
        entities: &[EntitySpec],
    ) -> Result<Standings> {
        standings(&self.db, (&self.schema, realm_id), entities).await
    }

    /// Ends the failure of windows whose time other windows have committed since.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn settle(
        &self,
        realm_id: &str,
        entity: &EntitySpec,
        failed: &[FailedWindow],
    ) -> Result<()> {
        CommittedTime::new(self.db.clone())
            .settle(&self.schema, realm_id, entity, failed)
            .await
    }

    /// Returns the ids of all rows of an entity that are not deleted.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn ids(&self, entity: &EntitySpec) -> Result<Vec<String>> {
        let table = table_name(&self.schema, entity);
        let select = format!("SELECT id FROM {table} WHERE deleted_at_utc IS NULL");
        let rows = self.db.rows(&select, params![]).await?;
        rows.iter().map(|row| row.column(0)).collect()
    }

    /// Returns whether an entity's table has no row.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn is_empty(&self, entity: &EntitySpec) -> Result<bool> {
        let table = table_name(&self.schema, entity);
        let row = self
            .db
            .optional(&format!("SELECT 1 FROM {table} LIMIT 1"), params![])
            .await?;
        Ok(row.is_none())
    }
}

impl Sink for PostgresSink {
    type Writer = PostgresWriter;

    const PHASE: &'static str = "load";

    async fn run_started(&self, run: &RunContext) -> Result<()> {
        match self.run_records {
            RunRecords::Write => {
                self.pulses.add(&run.run_id);
                self.ledger.begin_run(run).await?;
                self.keep_schema(&run.realm_id, &[run.entity]).await
            }
            RunRecords::Changes | RunRecords::Skip => Ok(()),
        }
    }

    async fn run_finished(&self, report: &RunReport) -> Result<()> {
        match self.run_records {
            RunRecords::Write => {
                let ended = self.ledger.end_run(report).await;
                self.pulses.remove(&report.run_id);
                ended
            }
            RunRecords::Changes => self.ledger.keep_sync(report).await,
            RunRecords::Skip => Ok(()),
        }
    }

    async fn admit_window(&self) -> Held {
        self.db.admit_window().await
    }

    async fn window_started(&self, context: &WindowContext) -> Result<Option<DateTime<Utc>>> {
        self.ledger.begin(context).await
    }

    async fn window_failed(&self, context: &WindowContext, error: &Error) {
        match turn::is_lost(error) {
            true => self.ledger.release(context).await,
            false => self.ledger.fail(context, error).await,
        }
    }

    async fn window_released(&self, context: &WindowContext) {
        self.ledger.release(context).await;
    }

    fn window_abandoned(&self, context: WindowContext) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (ledger, is_sync) = (self.ledger.clone(), self.turn.is_some());
            runtime.spawn(async move {
                match is_sync {
                    // The next sync reads it, as the state of its entity says.
                    true => ledger.release(&context).await,
                    false => ledger.fail(&context, &Error::Cancelled).await,
                }
            });
        }
    }

    fn is_transient(&self, error: &Error) -> bool {
        error.is_transient_in_database()
    }

    async fn open_window(&self, context: WindowContext) -> Result<PostgresWriter> {
        Ok(PostgresWriter::new(
            self.db.clone(),
            self.schema.clone(),
            self.limits,
            context,
            self.turn.clone(),
            self.is_beside_archives,
            self.replaces_before,
        ))
    }
}

#[cfg(test)]
mod sql_snapshots;
