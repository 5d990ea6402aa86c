//! Soft deletes: a deleted record keeps its last payload and gets the time of its deletion.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{PostgresSink, storable, turn};
use crate::domain::{Deletion, EntitySpec};
use crate::error::{Error, Result};
use crate::postgres::{Columns, Query, cleaned_json, params, table_name};
use crate::store::{HOLD_BINDING, HOLD_TURNS};

/// Deletions of one entity, from a comparison of ids or from change data capture.
#[derive(Debug)]
pub(crate) struct Deletions<'a> {
    /// The company.
    pub realm_id: &'a str,
    /// The entity.
    pub entity: &'a EntitySpec,
    /// The deleted records.
    pub deletions: &'a [Deletion],
    /// All deletions before this instant are known now.
    pub until: Option<DateTime<Utc>>,
    /// Whether ids were compared.
    pub is_reconciled: bool,
    /// The request that found the deletions, for rows of records that were never seen.
    pub request: &'a str,
}

/// The request that finds out that a record is gone by looking for it.
pub(crate) const LOOKED_UP: &str = r#"{"method": "GET", "path": "query"}"#;

const MARK_DELETED: &str = include_str!("sql/mark_deleted.sql");

impl PostgresSink {
    /// Marks records as deleted and records up to when deletions are known, in one statement.
    /// Returns how many deletions were new. A record that was created and deleted between two syncs
    /// gets a row with the fields that the deletion carries.
    ///
    /// # Errors
    /// [`Error::Busy`] if another sync has taken over, [`Error::Config`] if the schema is another company's by
    /// now, and [`Error::Database`]; nothing is written then.
    pub(crate) async fn mark_deleted(&self, deleted: &Deletions<'_>) -> Result<u64> {
        let deletions = deleted.deletions;
        let ids: Vec<&str> = deletions.iter().map(|found| found.id.as_str()).collect();
        let times: Vec<DateTime<Utc>> = deletions.iter().map(|found| found.at).collect();
        let stubs: Vec<Option<String>> = deletions.iter().map(storable_stub).collect();
        let table = table_name(&self.schema, deleted.entity);
        let turn = self.turn.as_deref();
        let params = params![
            self.schema,
            deleted.realm_id,
            deleted.entity.name,
            ids,
            times,
            stubs,
            deleted.until,
            deleted.is_reconciled,
            deleted.request,
            turn,
        ];
        let statement = MARK_DELETED.replace("{table}", &table);
        let marked = self.db.alone(async |connection| {
            // Nobody takes the schema or the turn between the look at them and the commit.
            if turn.is_some() {
                connection.rows(HOLD_TURNS, params![self.schema]).await?;
            }
            connection.batch(HOLD_BINDING).await?;
            connection.rows(&statement, params).await
        });
        let rows = marked.await?;
        let Some(row) = rows.first() else {
            return Err(Error::Internal("a query returned no row".to_owned()));
        };
        match (row.column("has_schema")?, row.column("has_turn")?) {
            (false, _) => Err(turn::lost_schema(&self.schema)),
            (true, false) => Err(turn::lost()),
            (true, true) => row.count("deletions"),
        }
    }
}

/// Returns the fields that a deletion carries, or its id alone if Postgres cannot store them: the
/// deletion matters, and it must not keep others from being written.
fn storable_stub(found: &Deletion) -> Option<String> {
    let stub = found.stub.as_deref()?;
    Some(match storable::refusal(&found.id, stub.as_bytes()) {
        None => stub.to_owned(),
        Some(_) => {
            let id = json!({ "Id": found.id, "status": "Deleted" });
            cleaned_json(&id.to_string())
        }
    })
}
