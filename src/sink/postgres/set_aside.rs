//! Records that are set aside: as columns for a statement, and those that belong to no window's read.

use chrono::{DateTime, Utc};

use super::PostgresSink;
use crate::domain::{EntitySpec, Reject};
use crate::error::Result;
use crate::postgres::{cleaned_json, params};

const SET_ASIDE: &str = include_str!("sql/set_aside.sql");

/// Rejected records, as arrays for `unnest`.
#[derive(Debug, Default)]
pub(super) struct RejectColumns {
    pub ids: Vec<Option<String>>,
    pub changed_at: Vec<DateTime<Utc>>,
    pub errors: Vec<String>,
    pub tids: Vec<Option<String>>,
    pub payloads: Vec<Option<String>>,
    pub requests: Vec<String>,
}

impl RejectColumns {
    pub(super) fn push(&mut self, reject: Reject, request: &str) {
        self.ids.push(reject.id);
        self.changed_at.push(reject.at);
        self.errors.push(reject.error);
        self.tids.push(reject.intuit_tid);
        // `text` cannot hold U+0000 either. In records received as JSON it is escaped.
        self.payloads
            .push(reject.payload.map(|text| text.replace('\0', "\u{fffd}")));
        self.requests.push(cleaned_json(request));
    }

    pub(super) fn count(&self) -> u64 {
        self.errors.len() as u64
    }
}

impl PostgresSink {
    /// Sets records aside that were looked up by id and cannot be read.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub(crate) async fn set_aside(
        &self,
        realm_id: &str,
        entity: &EntitySpec,
        rejects: Vec<Reject>,
    ) -> Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        let mut columns = RejectColumns::default();
        for reject in rejects {
            columns.push(reject, r#"{"method": "GET", "path": "query"}"#);
        }
        let run_id = crate::chance::unique_id().to_string();
        let params = params![
            self.schema,
            realm_id,
            entity.name,
            run_id,
            columns.ids,
            columns.changed_at,
            columns.errors,
            columns.tids,
            columns.payloads,
            columns.requests,
        ];
        self.db.execute(SET_ASIDE, params).await.map(drop)
    }
}
