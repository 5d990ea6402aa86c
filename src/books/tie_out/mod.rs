//! The tie-out: the general ledger of the records against the reports of QuickBooks, account by
//! account. Differences are walked down to transactions, and each gets a named cause.
//!
//! Nothing agrees that was not compared: what the reports do not show is unexplained.

mod accounts;
mod archived;
mod cause;
mod chart;
mod difference;
mod links;
mod open_documents;
mod owners;
mod parties;
mod reported;
mod shape;
mod side;
mod statements;
mod transactions;
mod twins;

pub(crate) use self::accounts::{AccountTieOut, compare_accounts};
pub(crate) use self::cause::Cause;
pub(crate) use self::chart::{Balances, Chart, ChartAccount, PartyKind};
pub(crate) use self::difference::{PartyLine, TransactionDifference};
pub(crate) use self::links::name_links;
pub(crate) use self::open_documents::{OpenDocuments, open_documents_of};
pub(crate) use self::parties::{Owed, PartyTieOut, compare_parties};
pub(crate) use self::reported::{ReportedTransaction, postings_of, trial_balance_of};
pub(crate) use self::statements::{
    check_balance_sheet, check_movements, check_open_documents, check_profit_and_loss,
};
pub(crate) use self::transactions::{Records, compare_transactions};

#[cfg(test)]
mod tests;
