//! Transactions as their records have them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::books::{Entry, EntryKind};

/// Entity and id.
pub(crate) type Key = (String, String);

/// A line of a transaction's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SideLine {
    pub(super) account: String,
    pub(super) amount: Decimal,
    pub(super) is_stock: bool,
    pub(super) kind: EntryKind,
    pub(super) party: Option<String>,
}

/// A transaction as its record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) date: NaiveDate,
    pub(super) lines: Vec<SideLine>,
    pub(super) is_foreign: bool,
}

/// Groups entries of records by transaction.
pub(super) fn sides(entries: &[Entry]) -> BTreeMap<Key, Side> {
    let mut sides: BTreeMap<Key, Side> = BTreeMap::new();
    for entry in entries {
        let side = sides
            .entry((entry.entity.clone(), entry.id.clone()))
            .or_insert_with(|| Side {
                date: entry.date,
                lines: Vec::new(),
                is_foreign: false,
            });
        side.is_foreign |= entry.foreign.is_some();
        side.lines.push(SideLine {
            account: entry.account_id.clone(),
            amount: entry.amount,
            is_stock: entry.kind == EntryKind::Stock,
            kind: entry.kind,
            party: entry.party.as_ref().map(|(_, id)| id.clone()),
        });
    }
    sides
}

/// Returns the sums of accounts that are not zero.
pub(super) fn sums<'a>(
    lines: impl Iterator<Item = (&'a String, Decimal)>,
) -> BTreeMap<String, Decimal> {
    let mut sums: BTreeMap<String, Decimal> = BTreeMap::new();
    for (account, amount) in lines {
        *sums.entry(account.clone()).or_default() += amount;
    }
    sums.retain(|_, sum| !sum.is_zero());
    sums
}
