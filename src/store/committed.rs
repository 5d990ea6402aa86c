//! Committed time: which windows of an entity earlier runs have loaded.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::Row;

use crate::domain::{EntitySpec, Window};
use crate::error::Result;
use crate::postgres::{Columns, Db, Query, migrations, params};

/// The time by which a resumed read begins before the instant at which the last one stopped: fresh
/// writes can become visible late (qbo-facts 3.9).
const LOOK_BACK: TimeDelta = TimeDelta::minutes(5);

/// Committed windows, unsorted, by schema, company and entity.
pub(crate) type Coverage = HashMap<(String, String, String), Vec<Window>>;

const OF_ENTITY: &str = "
SELECT window_start_utc, window_end_utc, read_until_utc FROM qbo.windows
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3 AND committed_at_utc IS NOT NULL";

const SINCE: &str = "
SELECT schema_name, realm_id, entity, window_start_utc, window_end_utc, read_until_utc
FROM qbo.windows
WHERE committed_at_utc IS NOT NULL AND window_end_utc > $1";

/// Reads committed time from the ledger, `qbo.windows`. All errors are
/// [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub(crate) struct CommittedTime(Db);

impl CommittedTime {
    /// Returns the committed time of a database.
    pub(crate) fn new(db: Db) -> Self {
        Self(db)
    }

    /// Returns the committed windows of an entity, unsorted; none if there is no ledger yet.
    pub(crate) async fn of_entity(
        &self,
        schema: &str,
        realm_id: &str,
        entity: &EntitySpec,
    ) -> Result<Vec<Window>> {
        let connection = self.0.connection().await?;
        if !migrations::table_exists(&**connection, "qbo", "windows").await? {
            return Ok(Vec::new());
        }
        let rows = connection
            .rows(OF_ENTITY, params![schema, realm_id, entity.name])
            .await?;
        rows.iter()
            .filter_map(|row| complete_part(row).transpose())
            .collect()
    }

    /// Returns the committed windows that end after an instant, of every entity of every company.
    pub(crate) async fn since(&self, instant: DateTime<Utc>) -> Result<Coverage> {
        let mut coverage = Coverage::new();
        for row in self.0.rows(SINCE, params![instant]).await? {
            let key = (
                row.column("schema_name")?,
                row.column("realm_id")?,
                row.column("entity")?,
            );
            let windows = coverage.entry(key).or_default();
            windows.extend(complete_part(&row)?);
        }
        Ok(coverage)
    }
}

/// Returns the part of a committed window that is complete. If the read stopped before the window's
/// end, the part ends a little before that instant.
fn complete_part(row: &Row) -> Result<Option<Window>> {
    let start: DateTime<Utc> = row.column("window_start_utc")?;
    let end: DateTime<Utc> = row.column("window_end_utc")?;
    let read_until: Option<DateTime<Utc>> = row.column("read_until_utc")?;
    let complete_to = read_until.map_or(end, |read_until| end.min(read_until - LOOK_BACK));
    Ok(Window::new(start, complete_to).ok())
}
