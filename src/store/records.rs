//! Stored records, page by page, and the sync state of every entity, for the HTTP API and the
//! status page.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use futures_util::{TryStreamExt, pin_mut};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::domain::{EntitySpec, EntitySyncStatus};
use crate::error::{Error, Result};
use crate::postgres::{
    Columns, Db, END_WHEN_IDLE, OpenTransaction, PIN_SETTINGS_OF_SNAPSHOT, Query, bounded_time,
    database_error, params, table_name,
};

/// A record as it is stored.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct StoredRecord {
    /// The record's id at QuickBooks.
    pub id: String,
    /// The complete record, with its numbers as QuickBooks sent them.
    #[cfg_attr(test, schema(value_type = Object))]
    pub payload: Box<RawValue>,
    /// When it was received; `None` for a row of others that does not say so.
    pub ingested_at: Option<DateTime<Utc>>,
    /// When it was deleted at QuickBooks; `None` while it exists.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The sync state of one entity of a company.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct EntityState {
    /// The company.
    pub realm_id: String,
    /// The schema that holds its records.
    pub schema: String,
    /// Name of the entity.
    pub entity: String,
    /// `pending`, `in_progress`, `success`, `failed`, or `unavailable` if the company's plan or
    /// country does not have the entity.
    pub status: EntitySyncStatus,
    /// When a sync was last started.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// When a sync last succeeded.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Everything changed before it is in the table.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Failures since the last success.
    pub consecutive_failures: i32,
    /// Error of the last failure, or why the entity is not available.
    pub message: Option<String>,
}

/// A page of records to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageQuery<'a> {
    /// Only records whose id sorts after this one.
    pub after: &'a str,
    /// Records in the page.
    pub max_records: i64,
    /// Whether deleted records are returned too.
    pub with_deleted: bool,
}

/// Rows that others have put into the table may lack what ours have, or hold impossible times.
const SELECT: &str = "
SELECT id, coalesce(payload, 'null')::text AS payload, {ingested_at_utc} AS ingested_at_utc,
    {deleted_at_utc} AS deleted_at_utc
FROM {table}
";

const PAGE: &str = "WHERE id > $1 AND ($3 OR deleted_at_utc IS NULL)
ORDER BY id LIMIT $2";

const FETCH: &str = "FETCH FORWARD 1000 FROM qbo_records";

fn select_from(schema: &str, entity: &EntitySpec) -> String {
    SELECT
        .replace("{ingested_at_utc}", &bounded_time("ingested_at_utc"))
        .replace("{deleted_at_utc}", &bounded_time("deleted_at_utc"))
        .replace("{table}", &table_name(schema, entity))
}

const STATES: &str = "
SELECT * FROM qbo.sync_state WHERE $1::text[] IS NULL OR realm_id = ANY($1)
ORDER BY realm_id, schema_name, entity";

/// Entities of which changes have not been copied since an instant, and that were never copied.
const OLD_STATES: &str = "
SELECT * FROM qbo.sync_state
WHERE status <> 'unavailable' AND (checkpoint_utc IS NULL OR checkpoint_utc < $1)
ORDER BY realm_id, schema_name, entity";

/// Reads what is stored, of any schema.
#[derive(Debug, Clone)]
pub(crate) struct Records(Db);

impl Records {
    /// Returns the records of a database.
    pub(crate) fn new(db: Db) -> Self {
        Self(db)
    }

    /// Returns a page of an entity's records in the order of their ids.
    ///
    /// # Errors
    /// [`Error::Database`], with SQLSTATE 42P01 if the entity was never loaded.
    pub(crate) async fn page(
        &self,
        schema: &str,
        entity: &EntitySpec,
        page: PageQuery<'_>,
    ) -> Result<Vec<StoredRecord>> {
        let select = select_from(schema, entity) + PAGE;
        let params = params![page.after, page.max_records, page.with_deleted];
        let rows = self.0.rows(&select, params).await?;
        rows.iter().map(stored_record).collect()
    }

    /// Reads all records of an entity, as they are at one instant, in the order of their ids, until
    /// `take` breaks. One record is in memory at a time, beside what has arrived from the network. A
    /// `take` that lasts for half a minute loses the snapshot.
    ///
    /// # Errors
    /// [`Error::Database`], with SQLSTATE 42P01 if the entity was never loaded; those of `take`.
    pub(crate) async fn each(
        &self,
        schema: &str,
        entity: &EntitySpec,
        with_deleted: bool,
        mut take: impl FnMut(StoredRecord) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let select = select_from(schema, entity);
        let filter = match with_deleted {
            true => "",
            false => "WHERE deleted_at_utc IS NULL",
        };
        let open = OpenTransaction::new(self.0.connection().await?);
        let connection = open.connection()?;
        connection
            .batch(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {PIN_SETTINGS_OF_SNAPSHOT}; {END_WHEN_IDLE};
                 DECLARE qbo_records NO SCROLL CURSOR FOR {select} {filter} ORDER BY id"
            ))
            .await?;
        loop {
            let no_params: [(&str, Type); 0] = [];
            let rows = connection.query_typed_raw(FETCH, no_params).await;
            let rows = rows.map_err(database_error)?;
            pin_mut!(rows);
            let mut is_last = true;
            while let Some(row) = rows.try_next().await.map_err(database_error)? {
                is_last = false;
                if take(stored_record(&row)?)?.is_break() {
                    return Ok(());
                }
            }
            if is_last {
                break;
            }
        }
        connection.batch("COMMIT").await?;
        open.end();
        Ok(())
    }

    /// Returns the state of every entity of some companies, or of all.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn entity_states(
        &self,
        realm_ids: Option<&[String]>,
    ) -> Result<Vec<EntityState>> {
        let rows = self.0.rows(STATES, params![realm_ids]).await?;
        rows.iter().map(entity_state).collect()
    }

    /// Returns the states of the entities that companies have and of which changes have not been copied
    /// since an instant.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn old_states(&self, since: DateTime<Utc>) -> Result<Vec<EntityState>> {
        let rows = self.0.rows(OLD_STATES, params![since]).await?;
        rows.iter().map(entity_state).collect()
    }
}

fn stored_record(row: &Row) -> Result<StoredRecord> {
    let payload = RawValue::from_string(row.column("payload")?);
    Ok(StoredRecord {
        id: row.column("id")?,
        payload: payload.map_err(|e| Error::decode("payload", e))?,
        ingested_at: row.column("ingested_at_utc")?,
        deleted_at: row.column("deleted_at_utc")?,
    })
}

fn entity_state(row: &Row) -> Result<EntityState> {
    Ok(EntityState {
        realm_id: row.column("realm_id")?,
        schema: row.column("schema_name")?,
        entity: row.column("entity")?,
        status: row.column("status")?,
        last_attempt_at: row.column("last_attempt_at_utc")?,
        last_success_at: row.column("last_success_at_utc")?,
        checkpoint: row.column("checkpoint_utc")?,
        consecutive_failures: row.column("consecutive_failures")?,
        message: row.column("message")?,
    })
}
