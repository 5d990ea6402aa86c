//! Causes of differences.

use crate::books::ProblemKind;

/// The reason for which a transaction of the reports differs from its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// QuickBooks shows a record that is not in the tables.
    NotLanded,
    /// QuickBooks shows a record that `db archive` has moved from the tables into a file.
    Archived,
    /// The tables hold a record that QuickBooks does not show any more.
    DeletedAtSource,
    /// The tables hold a record twice: it equals another one in all but its id.
    Duplicate,
    /// No entity has such transactions: payroll, payments of sales tax, revaluations, starting values
    /// of stock (facts: docs/ledger.md).
    ReportOnly,
    /// QuickBooks answers no queries about such records, and this one has not been read by its id yet.
    NotRead,
    /// The record is there, and the ledger could not post it.
    NotPosted,
    /// Both have it, on different dates.
    PeriodMoved,
    /// QuickBooks has voided it; the record still has amounts.
    Void,
    /// QuickBooks changed it after the record was read.
    ChangedSinceLanding,
    /// The record changed after the report was made.
    ChangedAfterReport,
    /// All amounts have the opposite sign.
    WrongSign,
    /// Tax that one side lacks.
    Tax,
    /// A few cents of tax.
    TaxRounding,
    /// Amounts in the home currency, by another exchange rate.
    Fx,
    /// Stock and its cost, which follow from earlier purchases.
    Inventory,
    /// The same amount on another account.
    OtherAccount,
    /// The record lacks a line, or its lines do not make its total.
    IncompleteRecord,
    /// The record does not say what it settles, or names another document.
    LinkMissing,
    /// The amount of a line and the total differ.
    Amount,
    /// A few cents that rounding left on other lines.
    Rounding,
}

impl Cause {
    /// All causes, in the order of the documents.
    pub(crate) const ALL: [Self; 21] = [
        Self::NotLanded,
        Self::Archived,
        Self::DeletedAtSource,
        Self::Duplicate,
        Self::ReportOnly,
        Self::NotRead,
        Self::NotPosted,
        Self::PeriodMoved,
        Self::Void,
        Self::ChangedSinceLanding,
        Self::ChangedAfterReport,
        Self::WrongSign,
        Self::Tax,
        Self::TaxRounding,
        Self::Fx,
        Self::Inventory,
        Self::OtherAccount,
        Self::IncompleteRecord,
        Self::LinkMissing,
        Self::Amount,
        Self::Rounding,
    ];

    /// Returns the cause of a record that has no entries.
    pub(crate) const fn of_missing_entries(problem: ProblemKind) -> Self {
        match problem {
            ProblemKind::Record => Self::IncompleteRecord,
            ProblemKind::Posting => Self::NotPosted,
        }
    }

    /// Returns whether only the reports show the transaction, so that the ledger takes it from there.
    pub(crate) const fn is_only_reported(self) -> bool {
        matches!(self, Self::ReportOnly | Self::NotRead)
    }

    /// Returns the name in JSON and tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotLanded => "not_landed",
            Self::Archived => "archived",
            Self::DeletedAtSource => "deleted_at_source",
            Self::Duplicate => "duplicate",
            Self::ReportOnly => "report_only",
            Self::NotRead => "not_read",
            Self::NotPosted => "not_posted",
            Self::PeriodMoved => "period_moved",
            Self::Void => "void",
            Self::ChangedSinceLanding => "changed_since_landing",
            Self::ChangedAfterReport => "changed_after_report",
            Self::WrongSign => "wrong_sign",
            Self::Tax => "tax",
            Self::TaxRounding => "tax_rounding",
            Self::Fx => "fx",
            Self::Inventory => "inventory",
            Self::OtherAccount => "other_account",
            Self::IncompleteRecord => "incomplete_record",
            Self::LinkMissing => "link_missing",
            Self::Amount => "amount",
            Self::Rounding => "rounding",
        }
    }
}
