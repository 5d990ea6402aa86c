//! The inbox of webhook events: stored before the webhook is answered, turned into sync jobs later.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;

use crate::domain::{Delivery, WebhookEvent};
use crate::error::Result;
use crate::postgres::{Columns, Db, Query, params};

/// Decides which events become sync jobs.
#[derive(Debug)]
pub(crate) struct JobRules<'a> {
    /// Companies that can be read. Events of companies in neither list create no job.
    pub connected: &'a [String],
    /// Companies that a person must connect again; their events wait.
    pub needs_reauth: &'a [String],
    /// Names of entities that are synced; events of others create no job.
    pub entities: &'a [String],
    /// How long an event waits, so that the sync sees the change that it announces.
    pub delay: Duration,
}

/// A part that is no event is told apart by its text and the digest of what was cut off, since QuickBooks
/// repeats deliveries.
const STORE_UNREADABLE: &str = "
INSERT INTO qbo.webhook_rejects (text_md5, reason, text)
SELECT md5(part.text || part.digest), part.reason, part.text
FROM unnest($1::text[], $2::text[], $3::text[]) AS part(reason, text, digest)
ON CONFLICT (text_md5) DO UPDATE SET
    deliveries = webhook_rejects.deliveries + 1, received_at_utc = now()";

const STORE_EVENTS: &str = "
INSERT INTO qbo.webhook_events
    (event_id, realm_id, entity, entity_id, operation, occurred_at, event)
SELECT e.id, e.realm_id, e.entity, e.record, e.operation, e.at, e.event::jsonb FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS e(id, realm_id, entity, record, operation, at, event)
ON CONFLICT (event_id) DO NOTHING";

/// Events of a statement: those of a large delivery would take several times its memory once more.
const MAX_EVENTS: usize = 1000;

const PING: &str = "SELECT FROM qbo.webhook_events LIMIT 1";

const REPLAY: &str = "
UPDATE qbo.webhook_events SET processed_at_utc = NULL
WHERE received_at_utc >= $1 AND processed_at_utc IS NOT NULL
  AND (realm_id = ANY($2) OR cardinality($2) = 0)";

const DELETE: &str = "
WITH unreadable AS (
    DELETE FROM qbo.webhook_rejects WHERE received_at_utc < now() - make_interval(secs => $1)
)
DELETE FROM qbo.webhook_events WHERE processed_at_utc < now() - make_interval(secs => $1)";

const CREATE_JOBS: &str = include_str!("sql/create_sync_jobs.sql");

/// The inbox, in `qbo.webhook_events`. All errors are [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub(crate) struct WebhookInbox(Db);

impl WebhookInbox {
    /// Returns the inbox of a database.
    pub(crate) fn new(db: Db) -> Self {
        Self(db)
    }

    /// Checks that the database answers and has the inbox.
    pub(crate) async fn ping(&self) -> Result<()> {
        self.0.execute(PING, params![]).await.map(drop)
    }

    /// Stores a delivery, all of it or nothing. An event that is stored already is left as it is.
    /// Returns how many events are new.
    pub(crate) async fn store(&self, delivery: &Delivery) -> Result<u64> {
        self.0
            .alone(async |connection| {
                store_unreadable(connection, delivery).await?;
                let mut new = 0;
                for events in delivery.events.chunks(MAX_EVENTS) {
                    new += store_events(connection, events).await?;
                }
                Ok(new)
            })
            .await
    }

    /// Marks events as unprocessed again: those received since an instant, of the given companies,
    /// or of all if none is given. Returns how many.
    pub(crate) async fn replay(&self, since: DateTime<Utc>, realm_ids: &[String]) -> Result<u64> {
        self.0.execute(REPLAY, params![since, realm_ids]).await
    }

    /// Deletes events that were processed longer ago than `age`.
    pub(crate) async fn delete_older_than(&self, age: Duration) -> Result<()> {
        let seconds = age.as_secs_f64();
        self.0.execute(DELETE, params![seconds]).await.map(drop)
    }

    /// Turns events that have waited long enough into jobs, one per company, for the entities that
    /// they name. Returns how many jobs were created.
    ///
    /// Events wait while their company has such a job, so that a burst of events is one sync. They
    /// also wait while their entity or a job for it has just failed, longer after each failure, and
    /// while a person must connect their company again.
    pub(crate) async fn create_jobs(&self, rules: &JobRules<'_>) -> Result<u64> {
        let delay = rules.delay.as_secs_f64();
        let params = params![rules.connected, delay, rules.entities, rules.needs_reauth];
        self.0.one(CREATE_JOBS, params).await?.count(0)
    }
}

async fn store_unreadable(connection: &Object, delivery: &Delivery) -> Result<()> {
    let (mut reasons, mut parts, mut digests) = (Vec::new(), Vec::new(), Vec::new());
    // A statement cannot change the same row twice.
    for (at, part) in delivery.unreadable.iter().enumerate() {
        if delivery.unreadable[..at]
            .iter()
            .all(|other| (&other.text, &other.digest) != (&part.text, &part.digest))
        {
            digests.push(part.digest.as_str());
            reasons.push(part.reason.as_str());
            parts.push(part.text.as_str());
        }
    }
    if parts.is_empty() {
        return Ok(());
    }
    let params = params![reasons, parts, digests];
    connection.change(STORE_UNREADABLE, params).await.map(drop)
}

/// Returns how many events are new.
async fn store_events(connection: &Object, events: &[WebhookEvent]) -> Result<u64> {
    let column = |read: fn(&WebhookEvent) -> &str| events.iter().map(read).collect::<Vec<&str>>();
    let entities: Vec<Option<&str>> = events.iter().map(|event| event.entity).collect();
    let (ids, realm_ids) = (column(|event| &event.id), column(|event| &event.realm_id));
    let records = column(|event| &event.entity_id);
    let operations = column(|event| &event.operation);
    let (times, texts) = (
        column(|event| &event.occurred_at),
        column(|event| &event.event),
    );
    let params = params![ids, realm_ids, entities, records, operations, times, texts];
    connection.change(STORE_EVENTS, params).await
}
