//! Records that are set aside: as columns for a statement, and those that belong to no window's read.

use chrono::{DateTime, Utc};

use super::PostgresSink;
use crate::domain::{EntitySpec, MAX_REJECT_TEXT, MAX_REJECTS, Record, Reject};
use crate::error::Result;
use crate::postgres::{cleaned_json, params};

const SET_ASIDE: &str = include_str!("sql/set_aside.sql");

/// Bytes that a record takes in the columns beside its texts, with room for lists that grow.
const PER_RECORD: usize = 256;

/// Rejected records, as arrays for `unnest`.
#[derive(Debug, Default)]
pub(super) struct RejectColumns {
    pub ids: Vec<Option<String>>,
    pub changed_at: Vec<DateTime<Utc>>,
    pub errors: Vec<String>,
    pub tids: Vec<Option<String>>,
    pub payloads: Vec<Option<String>>,
    pub requests: Vec<String>,
    /// All records that were set aside, also those that are only counted.
    count: u64,
    /// Bytes that are kept in memory.
    bytes: usize,
}

impl RejectColumns {
    /// Returns false if records are only counted: the window fails with more than [`MAX_REJECTS`], and
    /// their texts fill what is kept.
    fn lists_more(&self) -> bool {
        self.count < MAX_REJECTS || self.bytes < MAX_REJECT_TEXT
    }

    /// Sets a record of a window aside.
    pub(super) fn push_of_window(&mut self, reject: Reject, request: &str) {
        match self.lists_more() {
            true => self.push(reject, request),
            false => self.count += 1,
        }
    }

    /// Like [`push_of_window`](Self::push_of_window), for a record that was received.
    pub(super) fn push_unstorable(&mut self, record: &Record, reason: &str, request: &str) {
        match self.lists_more() {
            true => self.push(Reject::unstorable(record, reason), request),
            false => self.count += 1,
        }
    }

    fn push(&mut self, reject: Reject, request: &str) {
        self.count += 1;
        // `text` cannot hold U+0000 either. In records received as JSON it is escaped.
        let payload = reject.text(MAX_REJECT_TEXT.saturating_sub(self.bytes));
        let texts = [&payload, &reject.id, &reject.intuit_tid];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        self.bytes += PER_RECORD + texts + request.len() + reject.error.len();
        self.ids.push(reject.id);
        self.changed_at.push(reject.at);
        self.errors.push(reject.error);
        self.tids.push(reject.intuit_tid);
        self.payloads.push(payload);
        self.requests.push(cleaned_json(request));
    }

    pub(super) fn count(&self) -> u64 {
        self.count
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

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn records_set_aside_count_with_all_that_is_kept_of_them() {
        let pushed = |id: Option<String>| {
            let mut columns = RejectColumns::default();
            for _ in 0..20_000 {
                let reject = Reject {
                    id: id.clone(),
                    at: DateTime::UNIX_EPOCH,
                    error: String::new(),
                    intuit_tid: id.clone(),
                    payload: None,
                };
                columns.push_of_window(reject, "{}");
            }
            assert_eq!(columns.count(), 20_000);
            columns.ids.len()
        };
        assert!(pushed(None) <= MAX_REJECT_TEXT / PER_RECORD + 1);
        assert!(pushed(Some("7".repeat(1000))) <= MAX_REJECT_TEXT / 2000 + 1);
    }
}
