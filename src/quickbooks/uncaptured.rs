//! Entities whose changes a company refuses to report, although it answers queries about them. They are
//! not asked for again within a day, by any process: each refusal costs the requests that find out
//! which of many entities is the cause.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use super::QboSource;
use crate::domain::EntitySpec;
use crate::error::Error;
use crate::port::SharedState;

/// Time for which a refusal is remembered.
const REMEMBERED: TimeDelta = TimeDelta::days(1);

/// The entities of a company that change data capture refuses.
#[derive(Debug)]
pub(crate) struct Uncaptured {
    state: Box<dyn SharedState>,
    known: Mutex<BTreeSet<String>>,
}

/// The shared document: when each entity was refused, by the clock of the store.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    #[serde(default)]
    refused: BTreeMap<String, DateTime<Utc>>,
}

impl Document {
    /// Reads the document and forgets what is too old.
    fn at(text: Option<&str>, now: DateTime<Utc>) -> Self {
        let found: Option<Self> = text.and_then(|text| serde_json::from_str(text).ok());
        let mut document = found.unwrap_or_default();
        document.refused.retain(|_, at| *at > now - REMEMBERED);
        document
    }
}

impl Uncaptured {
    /// Creates the knowledge that is shared through `state`.
    pub(crate) fn new(state: Box<dyn SharedState>) -> Self {
        Self {
            state,
            known: Mutex::default(),
        }
    }

    /// Reads what is remembered. If that fails, this process finds it out itself.
    pub(super) async fn load(&self) {
        let mut names = BTreeSet::new();
        let read = |text: Option<&str>, now| {
            names.extend(Document::at(text, now).refused.into_keys());
            None
        };
        match self.state.update(Box::new(read)).await {
            Ok(()) => *self.known.lock() = names,
            Err(error) => debug!(phase = "extract", "refused changes are unknown: {error}"),
        }
    }

    pub(super) fn contains(&self, entity: &EntitySpec) -> bool {
        self.known.lock().contains(entity.name)
    }

    /// Takes note that a request for the changes of this entity alone was refused.
    pub(super) async fn remember(&self, entity: &EntitySpec, error: &Error) {
        if !self.known.lock().insert(entity.name.to_owned()) {
            return;
        }
        info!(
            phase = "extract",
            event = "changes_refused",
            entity = entity.name,
            "QuickBooks does not report changes of {}; for a day they are read by queries: {error}",
            entity.name
        );
        let add = |text: Option<&str>, now| {
            let mut document = Document::at(text, now);
            document.refused.insert(entity.name.to_owned(), now);
            serde_json::to_string(&document).ok()
        };
        if let Err(error) = self.state.update(Box::new(add)).await {
            debug!(
                phase = "extract",
                "refused changes are not remembered: {error}"
            );
        }
    }
}

impl QboSource {
    /// Returns true if the company is known to report no changes of an entity.
    pub(crate) fn refuses_changes(&self, entity: &EntitySpec) -> bool {
        self.uncaptured.contains(entity)
    }
}

/// Returns true if an error says that a request will never be served. A record that cannot be delivered
/// says nothing about its entity (qbo-facts 3.10), nor does an answer that is late or too large.
pub(super) fn is_lasting(error: &Error) -> bool {
    match error.last() {
        Error::Unavailable { .. } => true,
        Error::Api {
            status: 408 | 413, ..
        } => false,
        Error::Api {
            status: 400..=499,
            code,
            ..
        } => !matches!(code.as_deref(), Some("4002" | "10000")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_late_or_too_large_refuses_no_entity() {
        let refused = |status, code: Option<&str>| {
            is_lasting(&Error::Api {
                status,
                code: code.map(str::to_owned),
                message: String::new(),
                intuit_tid: None,
            })
        };
        assert!(refused(400, Some("2010")) && refused(404, None));
        assert!(!refused(408, None) && !refused(413, None) && !refused(400, Some("10000")));
    }

    #[test]
    fn a_refusal_is_remembered_for_a_day() {
        let now = Utc::now();
        let document = |hours| {
            let at = now - TimeDelta::hours(hours);
            Document {
                refused: BTreeMap::from([("budgets".to_owned(), at)]),
            }
        };
        for (hours, remembered) in [(0, 1), (23, 1), (25, 0)] {
            let text = serde_json::to_string(&document(hours)).unwrap();
            assert_eq!(Document::at(Some(&text), now).refused.len(), remembered);
        }
        assert!(Document::at(Some("nonsense"), now).refused.is_empty());
    }
}
