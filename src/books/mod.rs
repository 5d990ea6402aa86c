//! The general ledger, rebuilt from records, and its comparison with QuickBooks's own reports. Pure.

mod amount;
mod chart;
mod deposit;
mod document;
mod draft;
mod entry;
mod ledger;
mod lists;
mod open_items;
mod outcome;
mod payment;
mod place;
mod posting;
mod problem;
mod record;
mod rules;
mod stock;
pub(crate) mod tie_out;

pub(crate) use self::amount::parse_amount;
pub(crate) use self::entry::{Entry, EntryKind, EntrySource, Settlement};
pub(crate) use self::ledger::Drafts;
#[cfg(test)]
pub(crate) use self::ledger::post;
pub(crate) use self::lists::{Account, LISTS, Lists, OpeningStock};
pub(crate) use self::outcome::{Ledger, Unbalanced, Unsettled};
pub(crate) use self::problem::ProblemKind;
pub(crate) use self::rules::{POSTING, TAX_PAYMENT};
