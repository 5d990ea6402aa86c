//! The entities with which anything can be wrong: those whose last sync did not succeed, with unfinished
//! windows, or with a run that did not end well. With thousands of companies they are few among many.

use std::collections::HashSet;

use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// A run may have begun with none of its windows, as one of several whose process was killed at the first of them.
macro_rules! open_runs {
    () => {
        concat!(
            "SELECT schema_name, realm_id, entity FROM qbo.runs AS run
WHERE status <> 'ok' AND NOT is_sync AND ",
            $crate::store::unfinished::of_its_schema!("run")
        )
    };
}

const SUSPECTS: &str = concat!(
    "
SELECT schema_name, realm_id, entity FROM qbo.sync_state
WHERE status IN ('failed', 'pending', 'in_progress')
   OR status <> 'unavailable' AND last_success_at_utc IS NULL
UNION SELECT schema_name, realm_id, entity FROM qbo.windows WHERE status <> 'done'
UNION ",
    open_runs!()
);

const OPEN_RUNS: &str = open_runs!();

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
    entities(db, SUSPECTS).await
}

/// Returns the entities of which a run did not end well.
///
/// # Errors
/// [`Error::Database`](crate::error::Error).
pub(crate) async fn with_open_runs(db: &Db) -> Result<HashSet<Suspect>> {
    entities(db, OPEN_RUNS).await
}

async fn entities(db: &Db, select: &str) -> Result<HashSet<Suspect>> {
    let rows = db.rows(select, params![]).await?;
    let suspects = rows.iter().map(|row| {
        Ok(Suspect {
            schema: row.column("schema_name")?,
            realm_id: row.column("realm_id")?,
            entity: row.column("entity")?,
        })
    });
    suspects.collect()
}
