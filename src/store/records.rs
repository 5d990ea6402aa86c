//! Stored records, page by page, and the sync state of every entity, for the HTTP API and the
//! status page.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;

use crate::domain::{EntitySpec, EntitySyncStatus};
use crate::error::{Error, Result};
use crate::postgres::{Columns, Db, bounded_time, params, table_name};

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
const PAGE: &str = "
SELECT id, coalesce(payload, 'null')::text AS payload, {ingested_at_utc} AS ingested_at_utc,
    {deleted_at_utc} AS deleted_at_utc
FROM {table}
WHERE id > $1 AND ($3 OR deleted_at_utc IS NULL)
ORDER BY id LIMIT $2";

const STATES: &str = "SELECT * FROM qbo.sync_state ORDER BY realm_id, schema_name, entity";

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
        let select = PAGE
            .replace("{ingested_at_utc}", &bounded_time("ingested_at_utc"))
            .replace("{deleted_at_utc}", &bounded_time("deleted_at_utc"))
            .replace("{table}", &table_name(schema, entity));
        let params = params![page.after, page.max_records, page.with_deleted];
        let rows = self.0.rows(&select, params).await?;
        rows.iter().map(stored_record).collect()
    }

    /// Returns the state of every entity of every company.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn entity_states(&self) -> Result<Vec<EntityState>> {
        let rows = self.0.rows(STATES, params![]).await?;
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
