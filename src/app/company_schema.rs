//! The schema of a company: the one that a call without a schema means, and one that is given back.

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

/// The schema that a call reads a company into, and whether the call has bound it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    postgres: &'a PostgresConfig,
    realm_id: &'a str,
    schema: &'a str,
    is_new: bool,
}

impl<'a> Binding<'a> {
    /// Looks at the schema of a sink before it is prepared for a company. A company without a token gets none, because it
    /// may not exist.
    ///
    /// # Errors
    /// What is missing if a schema that is not the company's yet would be bound to one without a token.
    pub(super) async fn begin(
        postgres: &'a PostgresConfig,
        (sink, schema): (&PostgresSink, &'a str),
        (realm_id, connection): (&'a str, &ConnectionStatus),
    ) -> Result<Self> {
        let is_new = sink.company().await?.as_deref() != Some(realm_id);
        if is_new {
            connection.has_token().await?;
        }
        Ok(Self {
            postgres,
            realm_id,
            schema,
            is_new,
        })
    }

    /// Gives the schema back after an error if this call has bound it, or if QuickBooks denies the company.
    pub(super) async fn end<T>(self, outcome: Result<T>) -> Result<T> {
        let is_denial = |error: &Error| FailureKind::of(error) == FailureKind::AccessDenied;
        if let Err(error) = &outcome
            && (self.is_new || is_denial(error))
        {
            self.give_back().await;
        }
        outcome
    }

    /// Gives the schema back, unless a record of the company is in it.
    pub(super) async fn give_back(self) {
        let schemas = Db::open(self.postgres, 1).await.map(Schemas::new);
        give_back(schemas, self.realm_id, self.schema).await;
    }
}

/// Gives back the schema of a company of which no record was stored. A failure, also to open `schemas`, is only logged: it
/// costs nobody the report of what was read.
pub(super) async fn give_back(schemas: Result<Schemas>, realm_id: &str, schema: &str) {
    let given_back = async { schemas?.give_back(realm_id, schema).await };
    if let Err(error) = given_back.await {
        // Why nothing was stored is what the caller has to know.
        warn!(
            phase = "load",
            event = "schema_not_given_back",
            "the schema {schema} is kept for company {realm_id}, of which nothing was stored: {error}"
        );
    }
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
