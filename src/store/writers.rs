//! The syncs in their turn, and runs of other verbs, that write records of a schema at this moment.

use tokio_postgres::{GenericClient, Row};

use super::alive::{run_is_alive, turn_is_alive};
use super::other_run::{OtherRun, other_run};
use crate::error::Result;
use crate::postgres::{Query, params};

const WRITERS: &str = concat!(
    "
SELECT turn_id AS run_id, entity, host, pid, owner, started_at_utc FROM qbo.sync_turns
WHERE schema_name = $1 AND entity = ANY($2) AND ",
    turn_is_alive!(),
    "
UNION ALL
SELECT run_id, entity, host, pid, owner, started_at_utc FROM qbo.runs AS run
WHERE schema_name = $1 AND entity = ANY($2) AND ",
    run_is_alive!("run"),
    "
ORDER BY started_at_utc"
);

const WRITERS_OF_COMPANY: &str = concat!(
    "
SELECT turn_id AS run_id, entity, host, pid, owner, started_at_utc FROM qbo.sync_turns
WHERE schema_name = $1 AND realm_id = $2 AND ",
    turn_is_alive!(),
    "
UNION ALL
SELECT run_id, entity, host, pid, owner, started_at_utc FROM qbo.runs AS run
WHERE schema_name = $1 AND realm_id = $2 AND ",
    run_is_alive!("run"),
    "
ORDER BY started_at_utc"
);

/// Returns a sync or a run that writes records of these entities, as of the client's snapshot.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn writer_of(
    client: &(impl GenericClient + Sync),
    schema: &str,
    entities: &[&str],
) -> Result<Option<OtherRun>> {
    first_alive(&client.rows(WRITERS, params![schema, entities]).await?)
}

/// Returns a sync or a run that writes records of a company, as of the client's snapshot.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(super) async fn writer_of_company(
    client: &(impl GenericClient + Sync),
    schema: &str,
    realm_id: &str,
) -> Result<Option<OtherRun>> {
    let params = params![schema, realm_id];
    first_alive(&client.rows(WRITERS_OF_COMPANY, params).await?)
}

fn first_alive(rows: &[Row]) -> Result<Option<OtherRun>> {
    for row in rows {
        if let Some(other) = other_run(row)? {
            return Ok(Some(other));
        }
    }
    Ok(None)
}
