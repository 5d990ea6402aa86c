//! Records of the tables, page by page, and how they stand with sync.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::types::{ToSql, Type};

use super::PostgresSink;
use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::postgres::{database_error, quote_identifier};

/// A record as it is stored.
#[derive(Debug, Serialize)]
pub struct StoredRecord {
    /// QBO's id.
    pub id: String,
    /// The whole record, its numbers as they came.
    pub payload: Box<RawValue>,
    /// When it was received.
    pub ingested_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// How an entity of a company stands with sync.
#[derive(Debug, Serialize)]
pub struct EntityState {
    /// The company.
    pub realm_id: String,
    /// Where its records are.
    pub schema: String,
    /// Our name of the entity.
    pub entity: String,
    /// `pending`, `in_progress`, `success` or `failed`.
    pub status: String,
    /// When it was last tried.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// When that last went well.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Everything changed before it is in the table.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Since it last went well.
    pub consecutive_failures: i32,
    /// Of the last failure.
    pub message: Option<String>,
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl PostgresSink {
    /// Up to `limit` records of an entity with ids behind `after`, in the order of ids.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn page_of(
        &self,
        entity: &EntitySpec,
        after: &str,
        limit: i64,
        with_deleted: bool,
    ) -> Result<Vec<StoredRecord>> {
        let table = format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&entity.table())
        );
        let statement = format!(
            "SELECT id, payload::text, ingested_at_utc, deleted_at_utc FROM {table} \
             WHERE id > $1 AND ($3 OR deleted_at_utc IS NULL) ORDER BY id LIMIT $2"
        );
        let parameters: [Parameter<'_>; 3] = [
            (&after, Type::TEXT),
            (&limit, Type::INT8),
            (&with_deleted, Type::BOOL),
        ];
        let rows = self
            .connection()
            .await?
            .query_typed(&statement, &parameters)
            .await
            .map_err(database_error)?;
        rows.iter()
            .map(|row| {
                let payload =
                    RawValue::from_string(row.get(1)).map_err(|e| Error::decode("payload", e))?;
                Ok(StoredRecord {
                    id: row.get(0),
                    payload,
                    ingested_at: row.get(2),
                    deleted_at: row.get(3),
                })
            })
            .collect()
    }

    /// The schema that is bound to a company, if there is one.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn bound_schema(&self, realm_id: &str) -> Result<Option<String>> {
        let statement = "SELECT min(schema_name) FROM qbo.schema_realms WHERE realm_id = $1";
        let parameters: [Parameter<'_>; 1] = [(&realm_id, Type::TEXT)];
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        Ok(rows.first().and_then(|row| row.get(0)))
    }

    /// How every entity of every company stands.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn entity_states(&self) -> Result<Vec<EntityState>> {
        let statement = "SELECT realm_id, schema_name, entity, status, last_attempt_at_utc, last_success_at_utc, \
                         checkpoint_utc, consecutive_failures, message FROM qbo.sync_state ORDER BY 1, 2, 3";
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &[])
            .await
            .map_err(database_error)?;
        let state = |row: &tokio_postgres::Row| EntityState {
            realm_id: row.get(0),
            schema: row.get(1),
            entity: row.get(2),
            status: row.get(3),
            last_attempt_at: row.get(4),
            last_success_at: row.get(5),
            checkpoint: row.get(6),
            consecutive_failures: row.get(7),
            message: row.get(8),
        };
        Ok(rows.iter().map(state).collect())
    }
}
