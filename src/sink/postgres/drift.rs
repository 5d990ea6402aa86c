//! Writes what a window's records have that the table of fields does not say.

use tokio_postgres::Client;

use crate::domain::DriftWatch;
use crate::error::Result;
use crate::port::WindowContext;
use crate::postgres::{Query, params};

/// The rows come in the order of their key, so that windows that write the same ones wait for each other
/// and never lock each other out.
const WRITE: &str = "
INSERT INTO qbo.schema_drift AS known (realm_id, entity, path, kind, found, expected, records, example_id)
SELECT $1, $2, new.path, new.kind, new.found, new.expected, new.records, new.example_id
FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[])
    AS new(path, kind, found, expected, records, example_id)
ON CONFLICT (realm_id, entity, path, kind, found) DO UPDATE SET
    expected = EXCLUDED.expected, records = known.records + EXCLUDED.records,
    example_id = EXCLUDED.example_id, last_seen_utc = EXCLUDED.last_seen_utc";

/// Writes it, as the last statement of the window's transaction: others may wait for the same rows.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(super) async fn write(
    client: &Client,
    context: &WindowContext,
    watch: &DriftWatch,
) -> Result<()> {
    let found = watch.found();
    if found.is_empty() {
        return Ok(());
    }
    let paths: Vec<&str> = found.keys().map(|drift| drift.path.as_str()).collect();
    let kinds: Vec<&str> = found.keys().map(|drift| drift.kind.as_str()).collect();
    let types: Vec<&str> = found.keys().map(|drift| drift.found).collect();
    let expected: Vec<Option<&str>> = found.keys().map(|drift| drift.expected).collect();
    let records: Vec<i64> = found.values().map(|seen| seen.records).collect();
    let examples: Vec<&str> = found
        .values()
        .map(|seen| seen.example_id.as_str())
        .collect();
    let params = params![
        context.realm_id,
        context.entity.name,
        paths,
        kinds,
        types,
        expected,
        records,
        examples,
    ];
    client.rows(WRITE, params).await.map(drop)
}
