//! How each entity stands with incremental sync.

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};

use super::PostgresSink;
use crate::domain::EntitySpec;
use crate::error::Result;
use crate::postgres::database_error;

/// What is known from earlier syncs.
#[derive(Debug, Clone, Default)]
pub struct SyncState {
    /// Deletions up to this instant are in the table; none: it was never synced.
    pub deletions_until: Option<DateTime<Utc>>,
    /// When ids were last compared.
    pub reconciled_at: Option<DateTime<Utc>>,
}

/// What a sync of one entity came to.
#[derive(Debug, Clone, Default)]
pub struct SyncOutcome {
    /// Everything changed before it is in the table.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<String>,
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl PostgresSink {
    async fn change_sync_state(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<()> {
        self.connection()
            .await?
            .query_typed(statement, parameters)
            .await
            .map(|_| ())
            .map_err(database_error)
    }

    /// What earlier syncs of an entity have left.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn sync_state(&self, realm_id: &str, entity: &EntitySpec) -> Result<SyncState> {
        let statement = "SELECT deletions_until_utc, reconciled_at_utc FROM qbo.sync_state \
                         WHERE schema_name = $1 AND realm_id = $2 AND entity = $3";
        let parameters: [Parameter<'_>; 3] = [
            (&self.schema, Type::TEXT),
            (&realm_id, Type::TEXT),
            (&entity.name, Type::TEXT),
        ];
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        let state = rows.first().map(|row| SyncState {
            deletions_until: row.get(0),
            reconciled_at: row.get(1),
        });
        Ok(state.unwrap_or_default())
    }

    /// Takes note that entities are about to be synced.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn sync_waits(&self, realm_id: &str, entities: &[EntitySpec]) -> Result<()> {
        let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
        let statement = "INSERT INTO qbo.sync_state (schema_name, realm_id, entity, last_attempt_at_utc) \
                         SELECT $1, $2, name, now() FROM unnest($3::text[]) AS name \
                         ON CONFLICT (schema_name, realm_id, entity) DO UPDATE SET status = 'pending', \
                         last_attempt_at_utc = now()";
        let parameters: [Parameter<'_>; 3] = [
            (&self.schema, Type::TEXT),
            (&realm_id, Type::TEXT),
            (&names, Type::TEXT_ARRAY),
        ];
        self.change_sync_state(statement, &parameters).await
    }

    /// Takes note that the turn of entities has come.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn sync_began(&self, realm_id: &str, entities: &[&str]) -> Result<()> {
        let statement = "UPDATE qbo.sync_state SET status = 'in_progress' \
                         WHERE schema_name = $1 AND realm_id = $2 AND entity = ANY($3)";
        let parameters: [Parameter<'_>; 3] = [
            (&self.schema, Type::TEXT),
            (&realm_id, Type::TEXT),
            (&entities, Type::TEXT_ARRAY),
        ];
        self.change_sync_state(statement, &parameters).await
    }

    /// Takes note of what a sync of an entity came to.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn sync_ended(
        &self,
        realm_id: &str,
        entity: &str,
        outcome: &SyncOutcome,
    ) -> Result<()> {
        let statement = "UPDATE qbo.sync_state SET status = CASE WHEN $5::text IS NULL THEN 'success' ELSE 'failed' END, \
                         last_success_at_utc = CASE WHEN $5 IS NULL THEN now() ELSE last_success_at_utc END, \
                         consecutive_failures = CASE WHEN $5 IS NULL THEN 0 ELSE consecutive_failures + 1 END, \
                         message = $5, checkpoint_utc = coalesce($4, checkpoint_utc) \
                         WHERE schema_name = $1 AND realm_id = $2 AND entity = $3";
        let parameters: [Parameter<'_>; 5] = [
            (&self.schema, Type::TEXT),
            (&realm_id, Type::TEXT),
            (&entity, Type::TEXT),
            (&outcome.checkpoint, Type::TIMESTAMPTZ),
            (&outcome.error, Type::TEXT),
        ];
        self.change_sync_state(statement, &parameters).await
    }

    /// The schema that a company's records are in: the one that is bound to it; else `raw`, if it
    /// is nobody's; else one of its own.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn schema_for(&self, realm_id: &str) -> Result<String> {
        let statement = "SELECT min(schema_name) FILTER (WHERE realm_id = $1), \
                         count(*) FILTER (WHERE schema_name = $2) FROM qbo.schema_realms";
        let default = super::DEFAULT_SCHEMA;
        let parameters: [Parameter<'_>; 2] = [(&realm_id, Type::TEXT), (&default, Type::TEXT)];
        let row = self
            .connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        let (bound, taken): (Option<String>, i64) = row
            .first()
            .map(|row| (row.get(0), row.get(1)))
            .unwrap_or_default();
        Ok(match (bound, taken) {
            (Some(schema), _) => schema,
            (None, 0) => default.to_owned(),
            (None, _) => format!("{default}_{realm_id}"),
        })
    }
}
