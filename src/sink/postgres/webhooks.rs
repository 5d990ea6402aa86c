//! Events of webhooks: kept before they are answered, worked off when their time has come.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::{Json, ToSql, Type};

use super::PostgresSink;
use crate::domain::WebhookEvent;
use crate::error::Result;
use crate::postgres::database_error;

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Which events ask for a sync.
#[derive(Debug)]
pub struct EventAnswer<'a> {
    /// Companies that can be read; of others than these and `dead`, events ask for nothing.
    pub living: &'a [String],
    /// Companies that a person must connect again.
    pub dead: &'a [String],
    /// Names of entities; of others, events ask for nothing.
    pub entities: &'a [String],
    /// How long an event waits, so that the sync sees what it tells of.
    pub wait: Duration,
}

impl PostgresSink {
    /// Keeps events, in one statement; one that came before changes nothing. Returns how many are
    /// new.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database); none is kept then.
    pub async fn store_events(&self, events: &[WebhookEvent]) -> Result<u64> {
        let column =
            |read: fn(&WebhookEvent) -> &str| events.iter().map(read).collect::<Vec<&str>>();
        let (ids, realms) = (column(|event| &event.id), column(|event| &event.realm_id));
        let entities: Vec<Option<&str>> = events.iter().map(|event| event.entity).collect();
        let (records, operations) = (
            column(|event| &event.entity_id),
            column(|event| &event.operation),
        );
        let times = column(|event| &event.occurred_at);
        let texts: Vec<Json<&serde_json::Value>> =
            events.iter().map(|event| Json(&event.event)).collect();
        let statement = "INSERT INTO qbo.webhook_events \
                         (event_id, realm_id, entity, entity_id, operation, occurred_at, event) \
                         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
                         $7::jsonb[]) ON CONFLICT (event_id) DO NOTHING RETURNING 1";
        let parameters: [Parameter<'_>; 7] = [
            (&ids, Type::TEXT_ARRAY),
            (&realms, Type::TEXT_ARRAY),
            (&entities, Type::TEXT_ARRAY),
            (&records, Type::TEXT_ARRAY),
            (&operations, Type::TEXT_ARRAY),
            (&times, Type::TEXT_ARRAY),
            (&texts, Type::JSONB_ARRAY),
        ];
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        Ok(rows.len() as u64)
    }

    /// Makes events wait again that were worked off: those received since an instant, of these
    /// companies; none named: of all.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn replay_events(&self, since: DateTime<Utc>, realms: &[String]) -> Result<u64> {
        let statement = "UPDATE qbo.webhook_events SET processed_at_utc = NULL WHERE received_at_utc >= $1 \
                         AND processed_at_utc IS NOT NULL AND (realm_id = ANY($2) OR cardinality($2) = 0) RETURNING 1";
        let parameters: [Parameter<'_>; 2] =
            [(&since, Type::TIMESTAMPTZ), (&realms, Type::TEXT_ARRAY)];
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        Ok(rows.len() as u64)
    }

    /// Deletes events that were worked off so long ago.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn delete_old_events(&self, age: Duration) -> Result<()> {
        let statement = "DELETE FROM qbo.webhook_events WHERE processed_at_utc < now() - make_interval(secs => $1)";
        let seconds = age.as_secs_f64();
        let parameters: [Parameter<'_>; 1] = [(&seconds, Type::FLOAT8)];
        self.connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map(|_| ())
            .map_err(database_error)
    }

    /// Turns events that have waited long enough into jobs: of each company one, for the entities
    /// that they name. While a company has such a job, its events wait, too, so that a storm of
    /// them is one sync; so do those of an entity that has just failed, the longer the more often
    /// it did, and those of a company that a person must connect again.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn events_to_jobs(&self, answer: &EventAnswer<'_>) -> Result<u64> {
        let EventAnswer {
            living,
            dead,
            entities,
            wait,
        } = answer;
        let statement = "WITH due AS (SELECT event_id FROM qbo.webhook_events event WHERE processed_at_utc IS NULL \
             AND received_at_utc < now() - make_interval(secs => $2) AND realm_id <> ALL($4) \
             AND NOT EXISTS (SELECT 1 FROM qbo.jobs WHERE status IN ('queued', 'running') \
             AND request -> 'accounts' = jsonb_build_array(event.realm_id)) \
             AND NOT EXISTS (SELECT 1 FROM qbo.sync_state state WHERE state.realm_id = event.realm_id \
             AND state.entity = event.entity AND consecutive_failures > 0 AND last_attempt_at_utc > now() \
             - make_interval(secs => least(15 * power(2, least(consecutive_failures, 8)), 3600))) \
             ORDER BY received_at_utc LIMIT 10000 FOR UPDATE SKIP LOCKED), \
             taken AS (UPDATE qbo.webhook_events event SET processed_at_utc = now() FROM due \
             WHERE event.event_id = due.event_id RETURNING event.realm_id, event.entity), \
             asked AS (INSERT INTO qbo.jobs (job_id, request) SELECT gen_random_uuid()::text, \
             jsonb_build_object('accounts', jsonb_build_array(realm_id), 'entities', jsonb_agg(DISTINCT entity)) \
             FROM taken WHERE entity = ANY($3) AND realm_id = ANY($1) GROUP BY realm_id RETURNING 1) \
             SELECT count(*) FROM asked";
        let seconds = wait.as_secs_f64();
        let parameters: [Parameter<'_>; 4] = [
            (living, Type::TEXT_ARRAY),
            (&seconds, Type::FLOAT8),
            (entities, Type::TEXT_ARRAY),
            (dead, Type::TEXT_ARRAY),
        ];
        let rows = self
            .connection()
            .await?
            .query_typed(statement, &parameters)
            .await
            .map_err(database_error)?;
        Ok(rows
            .first()
            .map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }
}
