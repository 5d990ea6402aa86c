//! What a company with double-entry books keeps beside its records.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::books::{Extra, Ledger};

/// An error that was planted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Planted {
    pub(crate) kind: String,
    pub(crate) entity: String,
    pub(crate) id: String,
    /// The date of the transaction in the books.
    pub(crate) date: String,
    /// The account, document or record that it concerns, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) other: Option<String>,
    /// The items of its lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) items: Vec<String>,
}

/// The books of a company, as a snapshot keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedBooks {
    /// The seed of the company, from which planted errors are chosen.
    pub(super) seed: u64,
    pub(super) next_id: u64,
    pub(super) extras: Vec<Extra>,
    /// What records should say, by entity and id; `None` for a record that should not be there.
    pub(super) truth: BTreeMap<String, BTreeMap<String, Option<String>>>,
    pub(super) planted: Vec<Planted>,
    pub(super) max_cells: Option<usize>,
}

/// The books of a company.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) saved: SavedBooks,
    /// The books as they were when reports began to lag.
    pub(super) frozen: Option<Arc<Ledger>>,
    /// The books of the present records, until one of them changes.
    pub(super) ledger: Mutex<Option<Arc<Ledger>>>,
}

impl Books {
    pub(super) fn new(saved: SavedBooks) -> Self {
        Self {
            saved,
            ..Self::default()
        }
    }

    /// Forgets the ledger, because a record has changed.
    pub(super) fn change(&mut self) {
        *self.ledger.get_mut() = None;
    }

    /// Forgets that a record should say something else, because a user has changed it.
    pub(super) fn forget_truth(&mut self, entity: &str, id: &str) {
        if let Some(truth) = self.saved.truth.get_mut(entity) {
            truth.remove(id);
        }
    }

    pub(super) fn set_truth(&mut self, entity: &str, id: &str, payload: Option<String>) {
        let truth = self.saved.truth.entry(entity.to_owned()).or_default();
        truth.insert(id.to_owned(), payload);
        self.change();
    }
}
