//! Soft deletes: a deleted record keeps its last payload and gets the time of its deletion.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{PostgresSink, storable};
use crate::domain::{Deletion, EntitySpec};
use crate::error::Result;
use crate::postgres::{Columns, cleaned_json, params, table_name};

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
    /// [`Error::Database`](crate::error::Error::Database); nothing is written then.
    pub(crate) async fn mark_deleted(&self, deleted: &Deletions<'_>) -> Result<u64> {
        let deletions = deleted.deletions;
        let ids: Vec<&str> = deletions.iter().map(|found| found.id.as_str()).collect();
        let times: Vec<DateTime<Utc>> = deletions.iter().map(|found| found.at).collect();
        let stubs: Vec<Option<String>> = deletions.iter().map(storable_stub).collect();
        let table = table_name(&self.schema, deleted.entity);
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
        ];
        let statement = MARK_DELETED.replace("{table}", &table);
        self.db.one(&statement, params).await?.count(0)
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
