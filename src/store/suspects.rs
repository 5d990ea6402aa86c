//! The entities with which anything can be wrong: those whose last sync did not succeed, with unfinished
//! windows, or with a run that did not end well. With thousands of companies they are few among many.

use std::collections::HashSet;

use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// Runs of entities that have no window are told by nothing else, either.
const SUSPECTS: &str = "
SELECT schema_name, realm_id, entity FROM qbo.sync_state
WHERE status IN ('failed', 'pending', 'in_progress')
   OR status <> 'unavailable' AND last_success_at_utc IS NULL
UNION SELECT schema_name, realm_id, entity FROM qbo.windows WHERE status <> 'done'
UNION SELECT schema_name, realm_id, entity FROM qbo.runs AS run
WHERE status <> 'ok' AND NOT is_sync AND EXISTS (
    SELECT FROM qbo.windows AS ledger
    WHERE ledger.schema_name = run.schema_name AND ledger.realm_id = run.realm_id
      AND ledger.entity = run.entity)";

/// An entity of a company in a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Suspect {
    /// The schema.
    pub schema: String,
    /// The company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
}

/// Returns the entities with which anything can be wrong.
///
/// # Errors
/// [`Error::Database`](crate::error::Error).
pub(crate) async fn suspects(db: &Db) -> Result<HashSet<Suspect>> {
    let rows = db.rows(SUSPECTS, params![]).await?;
    let suspects = rows.iter().map(|row| {
        Ok(Suspect {
            schema: row.column("schema_name")?,
            realm_id: row.column("realm_id")?,
            entity: row.column("entity")?,
        })
    });
    suspects.collect()
}
