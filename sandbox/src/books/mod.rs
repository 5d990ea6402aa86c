//! Double-entry books: what the records of a company post, with what no record shows.
//!
//! The books follow from the records at the moment of a report, so that every change of a record
//! changes the reports too. `sample/` makes the records of a company with books.

mod cash;
mod chart;
mod decimal;
mod extra;
mod ledger;
mod posting;
mod record;
mod rules;
mod sample;
mod stock;
mod txn;

pub(crate) use self::chart::{AccountType, Chart, Party, month_name};
pub(crate) use self::decimal::{Decimal, list_money, money};
pub(crate) use self::extra::Extra;
pub(crate) use self::ledger::Ledger;
pub(crate) use self::posting::Posting;
pub(crate) use self::sample::generate;
pub(crate) use self::txn::{OpenItem, Txn};
