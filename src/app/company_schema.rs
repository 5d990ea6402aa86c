//! The schema of a company: the one that a call without a schema means, and one that is given back.

use std::time::Duration;

use tracing::warn;

use super::App;
use super::company::ConnectionStatus;
use crate::config::{PostgresConfig, Settings};
use crate::domain::FailureKind;
use crate::domain::instant::format_instant;
use crate::error::{Error, Result};
use crate::postgres::{DEFAULT_SCHEMA, Db};
use crate::sink::postgres::PostgresSink;
use crate::store::{OtherRun, Schemas};
use crate::unbroken::unbroken;

/// The longest that a call which is stopped takes to give back its schema.
const MOST_FOR_STOPPED: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// The schema that a call reads a company into, and whether the call has bound it. A call that has bound it and is stopped
/// gives it back.
#[derive(Debug)]
pub(super) struct Binding {
    place: Place,
    is_new: bool,
    is_over: bool,
}

/// A schema of a company.
#[derive(Debug, Clone)]
struct Place {
    postgres: PostgresConfig,
    realm_id: String,
    schema: String,
}

impl Place {
    /// Gives the schema back, unless a record of the company is in it, or a run or a sync goes on.
    async fn give_back(&self) {
        let schemas = Db::open(&self.postgres, 1).await.map(Schemas::new);
        give_back(schemas, &self.realm_id, &self.schema).await;
    }

    /// Gives the schema of a stopped call back. Its runs go on until its tasks have ended, which are stopped with it; those
    /// of other processes are not waited for.
    async fn give_back_after_stop(&self) -> Result<()> {
        let schemas = Schemas::new(Db::open(&self.postgres, 1).await?);
        while let Some(run) = schemas.give_back(&self.realm_id, &self.schema).await? {
            if !run.is_of_this_process {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

impl Binding {
    /// Looks at the schema of a sink before it is prepared for a company. A company without a token gets none, because it
    /// may not exist.
    ///
    /// # Errors
    /// What is missing if a schema that is not the company's yet would be bound to one without a token.
    pub(super) async fn begin(
        postgres: &PostgresConfig,
        sink: &PostgresSink,
        (realm_id, connection): (&str, &ConnectionStatus),
    ) -> Result<Self> {
        let is_new = sink.company().await?.as_deref() != Some(realm_id);
        if is_new {
            connection.has_token().await?;
        }
        Ok(Self::of(postgres, sink, realm_id, is_new))
    }

    /// Returns the binding of a sink that is prepared for a company. It `is_new` if the company had no schema before.
    pub(super) fn of(
        postgres: &PostgresConfig,
        sink: &PostgresSink,
        realm_id: &str,
        is_new: bool,
    ) -> Self {
        Self {
            place: Place {
                postgres: postgres.clone(),
                realm_id: realm_id.to_owned(),
                schema: sink.schema().to_owned(),
            },
            is_new,
            is_over: false,
        }
    }

    /// Gives the schema back after an error if this call has bound it, or if QuickBooks denies the company.
    pub(super) async fn after<T>(&mut self, outcome: Result<T>) -> Result<T> {
        let is_denial = |error: &Error| FailureKind::of(error) == FailureKind::AccessDenied;
        if let Err(error) = &outcome {
            if self.is_new || is_denial(error) {
                self.place.give_back().await;
            }
            self.is_over = true;
        }
        outcome
    }

    /// Ends a call. The company keeps its schema, unless QuickBooks denies the company and no record of it is stored.
    pub(super) async fn end(mut self, is_denied: bool) {
        if is_denied {
            self.place.give_back().await;
        }
        self.is_over = true;
    }
}

/// Gives the schema back in the background, for which the end of the process waits.
impl Drop for Binding {
    fn drop(&mut self) {
        if self.is_over || !self.is_new {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let place = self.place.clone();
            runtime.spawn(unbroken(async move {
                let given_back = place.give_back_after_stop();
                let outcome = tokio::time::timeout(MOST_FOR_STOPPED, given_back).await;
                let outcome = outcome.unwrap_or_else(|_| {
                    let reason = format!("no answer within {} s", MOST_FOR_STOPPED.as_secs());
                    Err(Error::config("schema", reason))
                });
                if let Err(error) = outcome {
                    warn_of_kept(&place.realm_id, &place.schema, &error);
                }
                Ok(())
            }));
        }
    }
}

/// Gives back the schema of a company of which no record was stored. A failure, also to open `schemas`, is only logged: it
/// costs nobody the report of what was read.
pub(super) async fn give_back(schemas: Result<Schemas>, realm_id: &str, schema: &str) {
    let given_back = async { schemas?.give_back(realm_id, schema).await };
    if let Err(error) = given_back.await {
        warn_of_kept(realm_id, schema, &error);
    }
}

/// Logs that a schema stays bound. Why nothing was stored is what the caller has to know.
fn warn_of_kept(realm_id: &str, schema: &str, error: &Error) {
    warn!(
        phase = "load",
        event = "schema_not_given_back",
        "the schema {schema} is kept for company {realm_id}, of which nothing was stored: {error}"
    );
}

/// Gives back what a company that is forgotten has in the database of the settings, if they name one: schemas without a
/// record, and syncs and runs that have failed. Its records stay. Returns false if there was nothing to forget.
///
/// # Errors
/// Those of the database, with what helps.
pub(super) async fn forget(settings: &Settings, realm_id: &str) -> Result<bool> {
    if !settings.has_database() {
        return Ok(false);
    }
    let forgotten = async {
        let db = Db::open(&settings.postgres()?, 1).await?;
        if !db.has_table("qbo", "sync_state").await? {
            return Ok(Default::default());
        }
        let schemas = Schemas::new(db);
        schemas.prepare_operations().await?;
        schemas.forget(realm_id).await
    };
    let forgotten = forgotten.await.map_err(|error: Error| {
        let note = format!(
            "no connection of company {realm_id} is stored any more, but the database may still tell of its syncs: \
             `qbo-rs auth forget` once more, with a database that answers, ends that"
        );
        error.with_note(&note)
    })?;
    if let Some(OtherRun {
        entity,
        place,
        since,
        ..
    }) = &forgotten.writer
    {
        let since = format_instant(*since);
        warn!(
            phase = "load",
            event = "company_not_forgotten",
            realm_id,
            entity,
            "a sync or run ({place}, since {since}) of company {realm_id} goes on, which keeps its schema; if it ends without a \
             record, `qbo-rs auth forget` once more gives the schema back"
        );
    }
    Ok(forgotten.rows > 0)
}

impl App {
    /// Returns the schema that the company of the settings is synced into; `None` if the settings name no
    /// company, or if it may still get the default one.
    ///
    /// # Errors
    /// [`Error::Config`] if the company is in no schema, and the default one holds another.
    pub async fn schema_of_company(&self) -> Result<Option<String>> {
        let Some(realm_id) = self.settings.realm_id()? else {
            return Ok(None);
        };
        let db = Db::open(&self.settings.postgres()?, 1).await?;
        let schemas = Schemas::new(db.clone());
        // Who may read the records and not the ledger names the schema, or reads the default one.
        if !db.has_table("qbo", "sync_state").await.unwrap_or_default() {
            return Ok(None);
        }
        let Ok(bound) = schemas.bound_schema(&realm_id).await else {
            return Ok(None);
        };
        if bound.is_some() {
            return Ok(bound);
        }
        match schemas.company_of(DEFAULT_SCHEMA).await? {
            Some(other) => Err(Error::config(
                "QBO_REALM_ID",
                format!(
                    "no schema holds company {realm_id}, and {DEFAULT_SCHEMA} holds {other}; check QBO_REALM_ID first: if \
                     {realm_id} is right and connected, `qbo-rs sync --realm-id {realm_id}` loads it into a schema of \
                     its own"
                ),
            )),
            None => Ok(None),
        }
    }
}
