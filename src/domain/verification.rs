//! What a comparison of source and table has found. Serialised, it is the `--json` object of
//! `qbo-rs verify`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::Window;

/// A version of a record: what is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordKey {
    /// Its id.
    pub id: String,
    /// `MetaData.LastUpdatedTime`.
    pub updated_at: DateTime<Utc>,
    /// `SyncToken`.
    pub sync_token: i64,
}

/// One window in which source and table differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowDifference {
    /// First instant inside.
    pub start: DateTime<Utc>,
    /// First instant after.
    pub end: DateTime<Utc>,
    /// Records at the source.
    pub source: u64,
    /// Records in the table.
    pub table: u64,
    /// Ids that the table lacks.
    pub missing: Vec<String>,
    /// Ids of which the table has an older version.
    pub stale: Vec<String>,
    /// Ids that the table has here and the source has not: changed since, or gone.
    pub extra: Vec<String>,
}

impl WindowDifference {
    /// Compares the versions of a window. `held` are the table's versions of the source's ids,
    /// wherever they stand, and of all ids that it has in the window.
    pub fn between(window: Window, source: &[RecordKey], held: &[RecordKey]) -> Self {
        let by_id: HashMap<&str, &RecordKey> =
            held.iter().map(|key| (key.id.as_str(), key)).collect();
        let at_source: HashMap<&str, &RecordKey> =
            source.iter().map(|key| (key.id.as_str(), key)).collect();
        let version = |key: &RecordKey| (key.updated_at, key.sync_token);
        let is_inside =
            |key: &&RecordKey| key.updated_at >= window.start && key.updated_at < window.end;
        let ids = |keys: Vec<&RecordKey>| {
            keys.into_iter()
                .map(|key| key.id.clone())
                .collect::<Vec<_>>()
        };
        let missing = source
            .iter()
            .filter(|key| !by_id.contains_key(key.id.as_str()))
            .collect();
        let stale = source.iter().filter(|key| {
            by_id
                .get(key.id.as_str())
                .is_some_and(|held| version(held) < version(key))
        });
        let inside: Vec<&RecordKey> = held.iter().filter(is_inside).collect();
        let extra = inside
            .iter()
            .copied()
            .filter(|key| !at_source.contains_key(key.id.as_str()))
            .collect();
        Self {
            start: window.start,
            end: window.end,
            source: source.len() as u64,
            table: inside.len() as u64,
            missing: ids(missing),
            stale: ids(stale.collect()),
            extra: ids(extra),
        }
    }

    /// Whether nothing differs after all.
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.stale.is_empty() && self.extra.is_empty()
    }

    /// The window itself.
    pub fn window(&self) -> Window {
        Window {
            start: self.start,
            end: self.end,
        }
    }
}

/// A record that was set aside and still is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownReject {
    /// Its id, where that much is known.
    pub id: Option<String>,
    /// When it was changed, or a neighbour of it.
    pub changed_at: DateTime<Utc>,
    /// What is wrong.
    pub error: String,
    /// Intuit's id of the answer that failed.
    pub intuit_tid: Option<String>,
}

/// One entity compared.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Our name of the entity.
    pub entity: String,
    /// The company.
    pub realm_id: String,
    /// `ok` or `different`.
    pub status: VerificationStatus,
    /// Windows compared.
    pub windows: u64,
    /// Records at the source.
    pub source: u64,
    /// Records in the table.
    pub table: u64,
    /// The windows that differ.
    pub different: Vec<WindowDifference>,
    /// Records set aside.
    pub rejects: Vec<KnownReject>,
    /// Windows that were read again.
    pub repaired: u64,
    /// Compared up to here, a little before the present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_until: Option<DateTime<Utc>>,
    /// HTTP requests for data.
    pub requests: u64,
}

/// How a comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerificationStatus {
    /// Nothing differs and nothing was set aside.
    Ok,
    /// Something does, or was.
    Different,
}

/// Everything one call compared.
#[derive(Debug, Clone, Serialize)]
pub struct VerificationReport {
    /// The entities, in the order asked for.
    pub runs: Vec<Verification>,
}

impl VerificationReport {
    /// Whether nothing differs anywhere.
    pub fn is_ok(&self) -> bool {
        self.runs
            .iter()
            .all(|run| run.status == VerificationStatus::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_stale_and_extra_records_are_told_apart() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let key = |id: &str, second, sync_token| RecordKey {
            id: id.into(),
            updated_at: at(second),
            sync_token,
        };
        let window = Window {
            start: at(100),
            end: at(200),
        };
        let source = [
            key("same", 110, 0),
            key("new", 120, 0),
            key("edited", 130, 1),
            key("moved", 140, 0),
        ];
        let held = [
            key("same", 110, 0),
            key("edited", 130, 0),
            key("moved", 50, 0),
            key("gone", 150, 0),
        ];
        let difference = WindowDifference::between(window, &source, &held);
        assert_eq!((difference.source, difference.table), (4, 3));
        assert_eq!(difference.missing, ["new"]);
        assert_eq!(difference.stale, ["edited", "moved"]);
        assert_eq!(difference.extra, ["gone"]);
        assert!(WindowDifference::between(window, &source[..1], &held[..1]).is_none());
    }
}
