//! Deletions in the tables: a row keeps its last payload and gets the time at which its record was
//! deleted.

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};

use super::PostgresSink;
use crate::domain::{Deletion, EntitySpec};
use crate::error::Result;
use crate::postgres::{database_error, quote_identifier};

/// What a comparison of ids, or an answer of change data capture, makes known.
#[derive(Debug)]
pub struct Deletions<'a> {
    /// The company.
    pub realm_id: &'a str,
    /// The record type.
    pub entity: &'a EntitySpec,
    /// What is gone.
    pub deletions: &'a [Deletion],
    /// Deletions before this instant are all known with it.
    pub until: Option<DateTime<Utc>>,
    /// Ids were compared.
    pub is_reconciled: bool,
    /// The request that made it known, for rows of records that were never seen.
    pub request: &'a str,
}

impl PostgresSink {
    /// Whether an entity's table has no row.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn is_empty(&self, entity: &EntitySpec) -> Result<bool> {
        let table = format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&entity.table())
        );
        let statement = format!("SELECT 1 FROM {table} LIMIT 1");
        let rows = self
            .connection()
            .await?
            .query_typed(&statement, &[])
            .await
            .map_err(database_error)?;
        Ok(rows.is_empty())
    }

    /// Writes deletions, and up to when they are known, together; returns how many were new. A
    /// record that was never seen, since it was made and deleted between two syncs, gets a row with
    /// what is known of it.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database); nothing is written then.
    pub async fn mark_deleted(&self, burial: &Deletions<'_>) -> Result<u64> {
        let Deletions {
            realm_id,
            entity,
            deletions,
            until,
            is_reconciled,
            request,
        } = burial;
        let table = format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&entity.table())
        );
        let ids: Vec<&str> = deletions
            .iter()
            .map(|deletion| deletion.id.as_str())
            .collect();
        let times: Vec<DateTime<Utc>> = deletions.iter().map(|deletion| deletion.at).collect();
        let stubs: Vec<Option<&str>> = deletions
            .iter()
            .map(|deletion| deletion.stub.as_deref())
            .collect();
        let statement = format!(
            "WITH gone AS (SELECT * FROM unnest($4::text[], $5::timestamptz[], $6::text[]) AS gone(id, at, stub)), \
             buried AS (UPDATE {table} known SET deleted_at_utc = gone.at FROM gone WHERE known.id = gone.id \
             AND known.deleted_at_utc IS NULL RETURNING known.id), \
             unseen AS (INSERT INTO {table} (id, payload, ingested_at_utc, extract_window_start_utc, extract_window_end_utc, \
             page_number, page_size, request_payload, deleted_at_utc) \
             SELECT id, stub::jsonb, now(), at, at + interval '1 second', 1, 1, $9::text::jsonb, at FROM gone \
             WHERE stub IS NOT NULL ON CONFLICT (id) DO NOTHING RETURNING id), \
             noted AS (UPDATE qbo.sync_state SET deletions_until_utc = coalesce($7, deletions_until_utc), \
             reconciled_at_utc = CASE WHEN $8 THEN now() ELSE reconciled_at_utc END \
             WHERE schema_name = $1 AND realm_id = $2 AND entity = $3) \
             SELECT (SELECT count(*) FROM buried) + (SELECT count(*) FROM unseen)"
        );
        let parameters: [(&(dyn ToSql + Sync), Type); 9] = [
            (&self.schema, Type::TEXT),
            (realm_id, Type::TEXT),
            (&entity.name, Type::TEXT),
            (&ids, Type::TEXT_ARRAY),
            (&times, Type::TIMESTAMPTZ_ARRAY),
            (&stubs, Type::TEXT_ARRAY),
            (until, Type::TIMESTAMPTZ),
            (is_reconciled, Type::BOOL),
            (request, Type::TEXT),
        ];
        let rows = self
            .connection()
            .await?
            .query_typed(&statement, &parameters)
            .await
            .map_err(database_error)?;
        Ok(rows
            .first()
            .map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }
}
