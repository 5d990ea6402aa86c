//! The syncs in their turn, and runs of other verbs, that write records of a schema at this moment.

use tokio_postgres::GenericClient;

use super::other_run::{OtherRun, other_run};
use crate::error::Result;
use crate::postgres::{Query, params};

/// They are silent for half a minute and for a minute at most, as where they take their turns.
const WRITERS: &str = "
SELECT turn_id AS run_id, entity, host, pid, owner, started_at_utc FROM qbo.sync_turns
WHERE schema_name = $1 AND entity = ANY($2) AND alive_at_utc > clock_timestamp() - interval '30 seconds'
UNION ALL
SELECT run_id, entity, host, pid, owner, started_at_utc FROM qbo.runs
WHERE schema_name = $1 AND entity = ANY($2) AND status = 'running'
  AND coalesce(alive_at_utc, started_at_utc) > clock_timestamp() - interval '1 minute'
ORDER BY started_at_utc";

/// Returns a sync or a run that writes records of these entities, as of the client's snapshot.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn writer_of(
    client: &(impl GenericClient + Sync),
    schema: &str,
    entities: &[&str],
) -> Result<Option<OtherRun>> {
    for row in client.rows(WRITERS, params![schema, entities]).await? {
        if let Some(other) = other_run(&row)? {
            return Ok(Some(other));
        }
    }
    Ok(None)
}
