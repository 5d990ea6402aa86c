//! Alerts that somebody was told of, in `qbo.alerts`, and the outcomes of comparisons that raise some.
//!
//! Processes share the work: whoever claims an alert tells it, and a claim moves its next try on.

use tokio_postgres::Row;

use crate::domain::{Alert, Verification, VerificationStatus};
use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// A place that has not taken a message this often is not tried again for it.
const MAX_ATTEMPTS: i32 = 10;

/// Raises what is new, and what was resolved but not told yet.
const RAISE: &str = "
INSERT INTO qbo.alerts (place, alert_key, kind, realm_id, message)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (place, alert_key) DO UPDATE SET resolved_utc = NULL
WHERE qbo.alerts.resolved_utc IS NOT NULL";

/// An alert that nobody was told of ends without a message.
const RESOLVE: &str = "
WITH unheard AS (
    DELETE FROM qbo.alerts WHERE place = $1 AND alert_key <> ALL($2) AND told_utc IS NULL
)
UPDATE qbo.alerts SET resolved_utc = now(), attempts = 0, next_try_utc = now()
WHERE place = $1 AND alert_key <> ALL($2) AND told_utc IS NOT NULL AND resolved_utc IS NULL";

/// The wait doubles with every attempt, up to an hour. Whoever dies in between leaves the alert to others.
const CLAIM: &str = "
UPDATE qbo.alerts SET attempts = attempts + 1,
    next_try_utc = now() + least(interval '1 minute' * power(2, attempts), interval '1 hour')
WHERE place = $1 AND next_try_utc <= now() AND attempts < $2 AND (told_utc IS NULL OR resolved_utc IS NOT NULL)
RETURNING alert_key, kind, realm_id, message, resolved_utc IS NOT NULL AS is_resolved";

const TOLD: &str = "
WITH over AS (
    DELETE FROM qbo.alerts WHERE place = $1 AND alert_key = ANY($2) AND resolved_utc IS NOT NULL AND told_utc IS NOT NULL
)
UPDATE qbo.alerts SET told_utc = now(), attempts = 0, next_try_utc = now()
WHERE place = $1 AND alert_key = ANY($2) AND told_utc IS NULL";

const VERIFIED: &str = "
INSERT INTO qbo.verifications (realm_id, schema_name, entity, status, different)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (realm_id, schema_name, entity)
DO UPDATE SET status = excluded.status, different = excluded.different, verified_utc = now()";

const DIFFERENT: &str = "
SELECT realm_id, schema_name, entity, different FROM qbo.verifications
WHERE status <> 'ok' ORDER BY realm_id, schema_name, entity";

/// An alert that is to be told.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) key: String,
    pub(crate) kind: String,
    pub(crate) realm_id: String,
    pub(crate) text: String,
    pub(crate) is_resolved: bool,
}

/// An entity whose last comparison found differences.
#[derive(Debug, Clone)]
pub(crate) struct Different {
    pub(crate) realm_id: String,
    pub(crate) schema: String,
    pub(crate) entity: String,
    pub(crate) windows: i64,
}

/// Writes which alerts there are now, and claims those that a place must be told of.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn claim_alerts(db: &Db, place: &str, now: &[Alert]) -> Result<Vec<Message>> {
    let keys: Vec<String> = now.iter().map(Alert::key).collect();
    let kinds: Vec<&str> = now.iter().map(|alert| alert.kind.as_str()).collect();
    let realms: Vec<&str> = now.iter().map(|alert| alert.realm_id.as_str()).collect();
    let texts: Vec<&str> = now.iter().map(|alert| alert.text.as_str()).collect();
    db.execute(RAISE, params![place, keys, kinds, realms, texts])
        .await?;
    db.execute(RESOLVE, params![place, keys]).await?;
    let rows = db.rows(CLAIM, params![place, MAX_ATTEMPTS]).await?;
    rows.iter().map(message).collect()
}

/// Records that a place has taken messages.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn alerts_told(db: &Db, place: &str, messages: &[Message]) -> Result<()> {
    let keys: Vec<&str> = messages
        .iter()
        .map(|message| message.key.as_str())
        .collect();
    db.execute(TOLD, params![place, keys]).await.map(drop)
}

/// Records the outcome of a comparison.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn record_verification(
    db: &Db,
    schema: &str,
    outcome: &Verification,
) -> Result<()> {
    let status = match outcome.status {
        VerificationStatus::Ok => "ok",
        VerificationStatus::Different => "different",
    };
    let different = i64::try_from(outcome.different.len()).unwrap_or(i64::MAX);
    let (realm_id, entity) = (outcome.realm_id.as_str(), outcome.entity.as_str());
    let parameters = params![realm_id, schema, entity, status, different];
    db.execute(VERIFIED, parameters).await.map(drop)
}

/// Returns the entities whose last comparison found differences.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn different_entities(db: &Db) -> Result<Vec<Different>> {
    let rows = db.rows(DIFFERENT, params![]).await?;
    let different = |row: &Row| {
        Ok(Different {
            realm_id: row.column("realm_id")?,
            schema: row.column("schema_name")?,
            entity: row.column("entity")?,
            windows: row.column("different")?,
        })
    };
    rows.iter().map(different).collect()
}

fn message(row: &Row) -> Result<Message> {
    Ok(Message {
        key: row.column("alert_key")?,
        kind: row.column("kind")?,
        realm_id: row.column("realm_id")?,
        text: row.column("message")?,
        is_resolved: row.column("is_resolved")?,
    })
}
