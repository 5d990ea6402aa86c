//! Events of webhooks: kept before they are answered, worked off when their time has come.

use std::time::Duration;

use tokio_postgres::types::{Json, ToSql, Type};

use super::PostgresSink;
use crate::domain::WebhookEvent;
use crate::error::Result;
use crate::postgres::database_error;

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl PostgresSink {
    /// Keeps events, in one statement; one that came before changes nothing. Returns how many are new.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database); none is kept then.
    pub async fn keep_events(&self, events: &[WebhookEvent]) -> Result<u64> {
        let column = |read: fn(&WebhookEvent) -> &str| events.iter().map(read).collect::<Vec<&str>>();
        let (ids, realms) = (column(|event| &event.id), column(|event| &event.realm_id));
        let entities: Vec<Option<&str>> = events.iter().map(|event| event.entity).collect();
        let (records, operations) = (column(|event| &event.entity_id), column(|event| &event.operation));
        let times = column(|event| &event.occurred_at);
        let texts: Vec<Json<&serde_json::Value>> = events.iter().map(|event| Json(&event.event)).collect();
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
        let rows = self.connection().await?.query_typed(statement, &parameters).await.map_err(database_error)?;
        Ok(rows.len() as u64)
    }

    /// Turns events that have waited long enough into jobs: of each company one, for the entities that they name. While a company
    /// has such a job waiting, its events wait, too, so that a storm of them is one sync. Events of other companies than `realms`
    /// ask for nothing.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn events_to_jobs(&self, realms: &[String], wait: Duration) -> Result<u64> {
        let statement = "WITH due AS (SELECT event_id FROM qbo.webhook_events event WHERE processed_at_utc IS NULL \
             AND received_at_utc < now() - make_interval(secs => $2) AND NOT EXISTS (SELECT 1 FROM qbo.jobs \
             WHERE status = 'queued' AND request -> 'accounts' = jsonb_build_array(event.realm_id)) \
             ORDER BY received_at_utc LIMIT 10000 FOR UPDATE SKIP LOCKED), \
             taken AS (UPDATE qbo.webhook_events event SET processed_at_utc = now() FROM due \
             WHERE event.event_id = due.event_id RETURNING event.realm_id, event.entity), \
             asked AS (INSERT INTO qbo.jobs (job_id, request) SELECT gen_random_uuid()::text, \
             jsonb_build_object('accounts', jsonb_build_array(realm_id), 'entities', jsonb_agg(DISTINCT entity)) \
             FROM taken WHERE entity IS NOT NULL AND realm_id = ANY($1) GROUP BY realm_id RETURNING 1) \
             SELECT count(*) FROM asked";
        let seconds = wait.as_secs_f64();
        let parameters: [Parameter<'_>; 2] = [(&realms, Type::TEXT_ARRAY), (&seconds, Type::FLOAT8)];
        let rows = self.connection().await?.query_typed(statement, &parameters).await.map_err(database_error)?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }
}
