//! One line of the general ledger.

use std::sync::Arc;

use chrono::NaiveDate;
use rust_decimal::Decimal;

/// Which part of a transaction an entry is. Causes of differences are told by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EntryKind {
    /// The receivable, payable, bank or card of a document: the other side of its lines.
    Control,
    /// A line of the record.
    Line,
    Discount,
    Tax,
    /// Stock and its cost, which no record shows (first in, first out).
    Stock,
    /// A realised exchange gain or loss, which no line shows.
    Exchange,
    /// The remainder of rounding converted lines.
    Rounding,
}

/// The origin of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EntrySource {
    Record,
    /// A report: no record shows it.
    Report,
}

/// One line of the general ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Intuit's name of the record's entity, such as `Invoice`; a report's own label, such as
    /// `Payroll Check`, if there is none.
    pub(crate) entity: String,
    pub(crate) id: String,
    /// From 1, in the order of the transaction's entries.
    pub(crate) line: u32,
    pub(crate) date: NaiveDate,
    pub(crate) account_id: String,
    /// In the home currency; a debit is positive, a credit negative.
    pub(crate) amount: Decimal,
    /// Currency and amount of the transaction, if it is foreign.
    pub(crate) foreign: Option<(String, Decimal)>,
    /// `Customer`, `Vendor` or `Employee`, and the id.
    pub(crate) party: Option<(String, String)>,
    pub(crate) memo: Option<String>,
    /// The number of the document, as JSON has it; that of an entry that only reports show is not kept.
    pub(crate) number: Option<Arc<str>>,
    pub(crate) kind: EntryKind,
    pub(crate) source: EntrySource,
}

/// A payment, or the part of one, that settles a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settlement {
    /// Entity and id of the transaction that settles.
    pub(crate) payment: (String, String),
    /// Entity and id of the document that it settles.
    pub(crate) document: (String, String),
    /// Id of the customer or vendor of the payment.
    pub(crate) payer: Option<String>,
    /// Id of the customer or vendor of what is settled: a transaction may have several.
    pub(crate) owner: Option<String>,
    /// The receivable or payable account.
    pub(crate) account_id: String,
    /// Day of the payment.
    pub(crate) date: NaiveDate,
    /// The amount at which this part of the document was entered, in the home currency, without a sign.
    pub(crate) home: Decimal,
}
