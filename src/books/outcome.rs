//! The general ledger, and the list of what is not in it.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::entry::{Entry, Settlement};
use super::problem::{Problem, ProblemKind};

/// A transaction that could not be posted in balance, or a record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unbalanced {
    pub(crate) entity: String,
    /// Empty if the payload cannot be read at all.
    pub(crate) id: String,
    pub(crate) date: Option<NaiveDate>,
    pub(crate) reason: String,
    pub(crate) kind: ProblemKind,
}

/// The longest reason, in characters: a payload may hold a text of any length.
const MAX_REASON: usize = 300;

impl Unbalanced {
    pub(super) fn new(entity: &str, id: &str, date: Option<NaiveDate>, problem: Problem) -> Self {
        let Problem { kind, reason } = problem;
        let cut = reason.char_indices().nth(MAX_REASON);
        let reason = match cut {
            Some((end, _)) => format!("{}…", &reason[..end]),
            None => reason,
        };
        Self {
            entity: entity.to_owned(),
            id: id.to_owned(),
            date,
            reason,
            kind,
        }
    }
}

/// Entity and id.
type Key = (String, String);

/// Payments, each with those documents that its record names and that it does not settle as it says.
pub(crate) type Unsettled = BTreeMap<Key, Vec<Key>>;

/// The general ledger that records tell.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The stock that reports say was there before the first record.
    pub(crate) opening: Vec<Entry>,
    /// The entries of records, by day, then in the order in which transactions were made.
    pub(crate) entries: Vec<Entry>,
    /// The documents that payments settle.
    pub(crate) settlements: Vec<Settlement>,
    /// The payments whose records name documents that are not there, or are smaller than they say.
    pub(crate) unsettled: Unsettled,
    /// None of these have entries.
    pub(crate) unbalanced: Vec<Unbalanced>,
    /// Transactions with entries, by entity.
    pub(crate) posted: BTreeMap<&'static str, usize>,
    /// Transactions without an amount: voided ones, and those of zero.
    pub(crate) empty: usize,
}
