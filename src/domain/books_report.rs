//! The report of a tie-out. Serialised, it is the `--json` object of `qbo-rs verify --books`.

use chrono::NaiveDate;
use serde::Serialize;

use super::books_verdict::{BooksVerdict, Compared, counts};
use super::cause::UNEXPLAINED;

/// The tie-out of the companies that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BooksReport {
    /// One for each company.
    pub books: Vec<CompanyBooks>,
}

/// The outcome of a comparison, by which a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BooksStatus {
    /// Every account agrees, or every difference has a named cause.
    Ok,
    /// An amount is unexplained, or something could not be compared.
    Different,
    /// On cash basis, of which only the reports are compared: they do not contradict each other.
    ReportsAgree,
}

impl BooksStatus {
    /// Returns the name in JSON and tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Different => "different",
            Self::ReportsAgree => "reports_agree",
        }
    }
}

/// The books of a company: its records against its reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CompanyBooks {
    /// Id of the company.
    pub realm_id: String,
    /// `accrual` or `cash`.
    pub basis: &'static str,
    /// The day of the balances.
    pub as_of: NaiveDate,
    /// The first day whose transactions were compared one by one.
    pub from: NaiveDate,
    /// Home currency of all amounts, if a report says it.
    pub currency: Option<String>,
    /// Every account with a balance, a difference or a cause.
    pub accounts: Vec<AccountBooks>,
    /// The customers and vendors whose open amounts differ.
    pub parties: Vec<PartyBooks>,
    /// Accounts whose movement in a month differs, although later months may make up for it.
    pub months: Vec<MonthBooks>,
    /// The transactions that differ, each with its cause.
    pub transactions: Vec<TransactionBooks>,
    /// The things that could not be compared, and why. Nothing of it counts as agreed.
    pub unverified: Vec<String>,
    /// HTTP requests for reports.
    pub requests: u64,
    /// The outcome.
    pub status: BooksStatus,
    /// The verdict, by which `status`, the status page, alerts and metrics judge.
    pub verdict: BooksVerdict,
}

/// A part of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CauseAmount {
    /// Name of the cause, such as `not_landed`.
    pub cause: &'static str,
    /// Decimal text; a debit is positive.
    pub amount: String,
}

/// An account. Amounts are decimal text in the home currency; a debit is positive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccountBooks {
    /// Id of the account.
    pub account_id: String,
    /// Its full name; empty if no record of it has landed.
    pub name: String,
    /// Balance that QuickBooks's trial balance shows.
    pub report: String,
    /// Balance of the postings of the landed records.
    pub records: String,
    /// `report` less `records`.
    pub difference: String,
    /// The parts of the difference that are explained.
    pub causes: Vec<CauseAmount>,
    /// The part that is not.
    pub unexplained: String,
}

/// A customer or vendor with another open amount in the ageing report than in the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartyBooks {
    /// `customer` or `vendor`.
    pub kind: &'static str,
    /// Id of the customer or vendor.
    pub id: String,
    /// Its name in the report, or else in its record; empty if neither has one.
    pub name: String,
    /// Open amount of the ageing report.
    pub report: String,
    /// Open amount of the records.
    pub records: String,
    /// `report` less `records`.
    pub difference: String,
    /// The parts of the difference that are explained.
    pub causes: Vec<CauseAmount>,
    /// The part that is not.
    pub unexplained: String,
}

/// An account in a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MonthBooks {
    /// Year and month, such as `2025-12`.
    pub month: String,
    /// Id of the account.
    pub account_id: String,
    /// Movement in the reports less movement in the records.
    pub difference: String,
    /// The parts of the difference that are explained.
    pub causes: Vec<CauseAmount>,
    /// The part that is not.
    pub unexplained: String,
}

/// A transaction that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TransactionBooks {
    /// Intuit's name of the entity, or the report's word if no entity has such transactions.
    pub entity: String,
    /// Id of the transaction.
    pub id: String,
    /// Its date in the reports, else in the records.
    pub date: NaiveDate,
    /// Name of the cause; `unexplained` if nothing fits.
    pub cause: &'static str,
    /// The file of the archive that has the record, on the machine that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Report less records, by account.
    pub lines: Vec<TransactionLine>,
}

/// The difference of a transaction on an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TransactionLine {
    /// Id of the account.
    pub account_id: String,
    /// The day on which one side has it.
    pub date: NaiveDate,
    /// Decimal text; a debit is positive.
    pub amount: String,
}

impl CompanyBooks {
    /// Returns the books with the verdict that their other fields give.
    pub(crate) fn judged(self) -> Self {
        let causes = self.transactions.iter().map(|it| (it.cause, 1));
        let (unexplained, needing) = counts(causes);
        let verdict = BooksVerdict::of(Compared {
            has_unexplained_amount: self.disagrees(),
            unexplained,
            needing,
            is_whole: self.status != BooksStatus::Different,
        });
        Self { verdict, ..self }
    }

    /// Returns whether something that was compared disagrees, and no cause explains it. What could not be compared
    /// does not disagree.
    pub fn disagrees(&self) -> bool {
        let is_left = |amount: &str| amount != "0.00";
        self.accounts.iter().any(|it| is_left(&it.unexplained))
            || self.parties.iter().any(|it| is_left(&it.unexplained))
            || self.transactions.iter().any(|it| it.cause == UNEXPLAINED)
    }
}

impl BooksReport {
    /// Returns whether every account of every company agrees, or every difference has a named cause.
    pub fn is_ok(&self) -> bool {
        self.books
            .iter()
            .all(|books| books.status == BooksStatus::Ok)
    }
}
