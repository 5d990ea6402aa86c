//! A transaction in the books, and what stays open until it is settled.

use chrono::NaiveDate;

use super::chart::AccountType;
use super::posting::Posting;

/// One transaction.
#[derive(Debug, Clone)]
pub(crate) struct Txn {
    /// The entity of its record; empty for one that no record shows.
    pub(crate) entity: &'static str,
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) date: NaiveDate,
    pub(crate) due: NaiveDate,
    pub(crate) number: String,
    pub(crate) memo: String,
    pub(crate) name: Option<usize>,
    pub(crate) created: String,
    pub(crate) changed: String,
    pub(crate) is_adjustment: bool,
    pub(crate) postings: Vec<Posting>,
    /// The total of a document that posts nothing.
    pub(crate) unposted: Option<i64>,
}

/// A part of a document that was settled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settlement {
    pub(crate) date: NaiveDate,
    /// The change of the receivable or payable in cents, debit positive.
    pub(crate) amount: i64,
}

/// A document, or a part of a payment, that is open until it is settled.
#[derive(Debug)]
pub(crate) struct OpenItem {
    /// The number of its transaction in the ledger.
    pub(crate) txn: usize,
    pub(crate) kind: AccountType,
    pub(crate) name: Option<usize>,
    /// Debit in cents.
    pub(crate) amount: i64,
    pub(crate) settled: Vec<Settlement>,
}
