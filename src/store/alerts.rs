//! Alerts that somebody was told of, in `qbo.alerts`, and the outcomes of comparisons that raise some.
//!
//! Processes share the work: whoever claims an alert tells it, and a claim moves its next try on.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use super::unfinished::of_its_schema;
use crate::domain::{Alert, AlertKind, Verification, VerificationStatus, Window, merged};
use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// Raises what is new. A state that comes back before its end was told is told anew: people may have heard
/// of its end.
const RAISE: &str = "
INSERT INTO qbo.alerts AS old (place, alert_key, kind, realm_id, message)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (place, alert_key) DO UPDATE SET
    seen_utc = now(), message = excluded.message, resolved_utc = NULL,
    raised_utc = CASE WHEN old.resolved_utc IS NULL THEN old.raised_utc ELSE now() END,
    told_utc = CASE WHEN old.resolved_utc IS NULL THEN old.told_utc END,
    attempts = CASE WHEN old.resolved_utc IS NULL THEN old.attempts ELSE 0 END,
    next_try_utc = CASE WHEN old.resolved_utc IS NULL THEN old.next_try_utc ELSE now() END";

/// Ends what is over. A process ends only what it judges itself, and what no process has seen for some
/// looks: another one may have other settings. What nobody judges any more ends after a day. An alert that
/// nobody can have heard of ends without a message.
const RESOLVE: &str = "
WITH over AS (
    SELECT place, alert_key FROM qbo.alerts
    WHERE place = $1 AND resolved_utc IS NULL AND alert_key <> ALL($2)
        AND (seen_utc < now() - interval '1 day' OR seen_utc < now() - interval '40 seconds'
            AND (kind = ANY($3) OR (kind, realm_id) IN (SELECT * FROM unnest($4::text[], $5::text[]))))
), unheard AS (
    DELETE FROM qbo.alerts USING over
    WHERE alerts.place = over.place AND alerts.alert_key = over.alert_key AND told_utc IS NULL AND attempts = 0
)
UPDATE qbo.alerts SET resolved_utc = now(), attempts = 0, next_try_utc = now()
FROM over WHERE alerts.place = over.place AND alerts.alert_key = over.alert_key
    AND (told_utc IS NOT NULL OR attempts > 0)";

/// A place that is gone for a week is told nothing any more.
const FORGET: &str = "DELETE FROM qbo.alerts WHERE seen_utc < now() - interval '7 days'";

/// The wait doubles with every attempt, up to an hour. Whoever dies in between leaves the alert to others.
const CLAIM: &str = "
UPDATE qbo.alerts SET attempts = attempts + 1,
    next_try_utc = now() + least(interval '1 minute' * power(2, least(attempts, 6)), interval '1 hour')
WHERE place = $1 AND next_try_utc <= now() AND (told_utc IS NULL OR resolved_utc IS NOT NULL)
RETURNING alert_key, kind, realm_id, message, resolved_utc IS NOT NULL AS is_resolved";

const TOLD_RAISED: &str = "
UPDATE qbo.alerts SET told_utc = now(), attempts = 0, next_try_utc = now()
WHERE place = $1 AND alert_key = ANY($2) AND told_utc IS NULL";

/// What has come back while its end was told must be told once more.
const TOLD_RESOLVED: &str = "
WITH back AS (
    UPDATE qbo.alerts SET told_utc = NULL, attempts = 0, next_try_utc = now()
    WHERE place = $1 AND alert_key = ANY($2) AND resolved_utc IS NULL
)
DELETE FROM qbo.alerts WHERE place = $1 AND alert_key = ANY($2) AND resolved_utc IS NOT NULL";

const VERIFIED: &str = "
INSERT INTO qbo.verifications (realm_id, schema_name, entity, status, different)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (realm_id, schema_name, entity)
DO UPDATE SET status = excluded.status, different = excluded.different, verified_utc = now()";

/// Takes the compared range out of what was found before, and adds what was found in it. A comparison of
/// numbers ($8) says nothing about contents that differ.
const FOUND: &str = "
WITH touched AS (
    DELETE FROM qbo.differences
    WHERE realm_id = $1 AND schema_name = $2 AND entity = $3 AND start_utc < $5 AND end_utc > $4
      AND ($8 OR NOT is_deep)
    RETURNING start_utc, end_utc, found_utc, is_deep
)
INSERT INTO qbo.differences (realm_id, schema_name, entity, start_utc, end_utc, found_utc, is_deep)
SELECT $1, $2, $3, start_utc, $4, found_utc, is_deep FROM touched WHERE start_utc < $4
UNION ALL SELECT $1, $2, $3, $5, end_utc, found_utc, is_deep FROM touched WHERE end_utc > $5
UNION ALL SELECT $1, $2, $3, found.start_utc, found.end_utc, now(), $8
FROM unnest($6::timestamptz[], $7::timestamptz[]) AS found (start_utc, end_utc)";

/// The depth is read by way of JSON: a database that was not upgraded yet does not know it, and what is not
/// known counts as deep.
const DIFFERENT: &str = concat!(
    "
SELECT realm_id, schema_name, entity, count(*) AS ranges, min(start_utc) AS start_utc,
    max(end_utc) AS end_utc, max(found_utc) AS found_utc,
    bool_or(coalesce((to_jsonb(difference) ->> 'is_deep')::boolean, true)) AS is_deep
FROM qbo.differences AS difference WHERE ($1::text IS NULL OR schema_name = $1) AND ",
    of_its_schema!("difference"),
    "
GROUP BY realm_id, schema_name, entity ORDER BY realm_id, schema_name, entity"
);

/// The kinds that a process judges by its settings, of which companies: what it may end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judged {
    /// Kinds that every process judges, of all companies.
    pub(crate) everywhere: Vec<AlertKind>,
    /// Kinds of single companies.
    pub(crate) of_companies: Vec<(AlertKind, String)>,
}

/// An alert that is to be told.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) key: String,
    pub(crate) kind: String,
    pub(crate) realm_id: String,
    pub(crate) text: String,
    pub(crate) is_resolved: bool,
}

/// An entity that differs from QuickBooks, as far as comparisons have found.
#[derive(Debug, Clone, Serialize)]
pub struct Different {
    /// The company.
    pub realm_id: String,
    /// The schema.
    #[serde(skip)]
    pub schema: String,
    /// Name of the entity.
    pub entity: String,
    /// Number of ranges that differ.
    pub ranges: u64,
    /// From the first to the last difference.
    #[serde(flatten)]
    pub range: Window,
    /// When the last one was found.
    pub found_at: DateTime<Utc>,
    /// Whether contents were compared: a comparison of numbers does not find them again.
    pub is_deep: bool,
}

/// Writes which alerts there are now, and claims those that a place must be told of.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn claim_alerts(
    db: &Db,
    place: &str,
    now: &[Alert],
    judged: &Judged,
) -> Result<Vec<Message>> {
    let keys: Vec<String> = now.iter().map(Alert::key).collect();
    let kinds: Vec<&str> = now.iter().map(|alert| alert.kind.as_str()).collect();
    let realms: Vec<&str> = now.iter().map(|alert| alert.realm_id.as_str()).collect();
    let texts: Vec<&str> = now.iter().map(|alert| alert.text.as_str()).collect();
    db.execute(RAISE, params![place, keys, kinds, realms, texts])
        .await?;
    let everywhere: Vec<&str> = judged.everywhere.iter().map(|kind| kind.as_str()).collect();
    let of_companies = judged.of_companies.iter();
    let (kinds, realms): (Vec<&str>, Vec<&str>) = of_companies
        .map(|(kind, realm_id)| (kind.as_str(), realm_id.as_str()))
        .unzip();
    db.execute(RESOLVE, params![place, keys, everywhere, kinds, realms])
        .await?;
    db.execute(FORGET, params![]).await?;
    let rows = db.rows(CLAIM, params![place]).await?;
    rows.iter().map(message).collect()
}

/// Records that a place has taken messages.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn alerts_told(db: &Db, place: &str, messages: &[Message]) -> Result<()> {
    let (resolved, raised): (Vec<&Message>, Vec<&Message>) =
        messages.iter().partition(|message| message.is_resolved);
    for (statement, messages) in [(TOLD_RAISED, raised), (TOLD_RESOLVED, resolved)] {
        let keys: Vec<&str> = messages
            .iter()
            .map(|message| message.key.as_str())
            .collect();
        db.execute(statement, params![place, keys]).await?;
    }
    Ok(())
}

/// Records the outcome of a comparison of a range. What other comparisons have found outside of it stays.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn record_verification(
    db: &Db,
    schema: &str,
    (range, is_deep): (Window, bool),
    outcome: &Verification,
) -> Result<()> {
    let status = match outcome.status {
        VerificationStatus::Ok => "ok",
        VerificationStatus::Different => "different",
    };
    let different = i64::try_from(outcome.different.len()).unwrap_or(i64::MAX);
    let (realm_id, entity) = (outcome.realm_id.as_str(), outcome.entity.as_str());
    let parameters = params![realm_id, schema, entity, status, different];
    db.execute(VERIFIED, parameters).await?;
    let end = outcome.read_until.unwrap_or(range.end).min(range.end);
    if end <= range.start {
        return Ok(());
    }
    let compared = Window { end, ..range };
    let (starts, ends): (Vec<_>, Vec<_>) = differing(compared, outcome)
        .iter()
        .map(|found| (found.start, found.end))
        .unzip();
    let parameters = params![
        realm_id,
        schema,
        entity,
        compared.start,
        compared.end,
        starts,
        ends,
        is_deep
    ];
    db.execute(FOUND, parameters).await.map(drop)
}

/// Returns the parts of a compared range that differ. Records of an entity that the company does not have any more
/// belong to no window that differs: then it is the whole range. Records that are set aside are none of it: no
/// comparison ends them, and they are told of for themselves.
fn differing(compared: Window, outcome: &Verification) -> Vec<Window> {
    let windows = outcome.different.iter().map(|window| Window {
        start: window.start,
        end: window.end,
    });
    match outcome.status {
        VerificationStatus::Ok => Vec::new(),
        VerificationStatus::Different if outcome.different.is_empty() => {
            let is_even = outcome.source == outcome.table + outcome.archived;
            match is_even && !outcome.rejects.is_empty() {
                true => Vec::new(),
                false => vec![compared],
            }
        }
        VerificationStatus::Different => merged(&windows.collect::<Vec<_>>()),
    }
}

/// Returns the entities of a schema, or of all, that differ, as far as comparisons have found.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn different_entities(db: &Db, schema: Option<&str>) -> Result<Vec<Different>> {
    if !db.has_table("qbo", "differences").await? {
        return Ok(Vec::new());
    }
    let rows = db.rows(DIFFERENT, params![schema]).await?;
    let different = |row: &Row| {
        Ok(Different {
            realm_id: row.column("realm_id")?,
            schema: row.column("schema_name")?,
            entity: row.column("entity")?,
            ranges: row.count("ranges")?,
            range: Window {
                start: row.column("start_utc")?,
                end: row.column("end_utc")?,
            },
            found_at: row.column("found_utc")?,
            is_deep: row.column("is_deep")?,
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
