//! Transactions as their records have them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::books::{Entry, EntryKind};

/// Entity and id.
pub(crate) type Key = (String, String);

/// A line of a transaction's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SideLine<'e> {
    pub(super) account: &'e str,
    pub(super) amount: Decimal,
    pub(super) is_stock: bool,
    pub(super) kind: EntryKind,
    pub(super) party: Option<&'e str>,
    pub(super) memo: Option<&'e str>,
}

/// A transaction as its record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side<'e> {
    pub(super) date: NaiveDate,
    pub(super) lines: Vec<SideLine<'e>>,
    pub(super) is_foreign: bool,
    /// The number of the document, as JSON has it.
    pub(super) number: Option<&'e str>,
}

/// Groups entries of records by transaction. The entries of a transaction follow each other.
pub(super) fn sides<'e>(entries: impl Iterator<Item = &'e Entry>) -> BTreeMap<Key, Side<'e>> {
    let mut sides: BTreeMap<Key, Side<'e>> = BTreeMap::new();
    let mut last: Option<(Key, Side<'e>)> = None;
    for entry in entries {
        let is_same = |(entity, id): &Key| (entity, id) == (&entry.entity, &entry.id);
        if !last.as_ref().is_some_and(|(key, _)| is_same(key)) {
            sides.extend(last.take());
        }
        let (_, side) = last.get_or_insert_with(|| {
            let key = (entry.entity.clone(), entry.id.clone());
            let side = sides.remove(&key).unwrap_or_else(|| Side {
                date: entry.date,
                lines: Vec::new(),
                is_foreign: false,
                number: entry.number.as_deref(),
            });
            (key, side)
        });
        side.is_foreign |= entry.foreign.is_some();
        side.lines.push(SideLine {
            account: &entry.account_id,
            amount: entry.amount,
            is_stock: entry.kind == EntryKind::Stock,
            kind: entry.kind,
            party: entry.party.as_ref().map(|(_, id)| id.as_str()),
            memo: entry.memo.as_deref(),
        });
    }
    sides.extend(last);
    sides
}

/// Returns the sums of accounts that are not zero.
pub(super) fn sums<'a>(
    lines: impl Iterator<Item = (&'a str, Decimal)>,
) -> BTreeMap<&'a str, Decimal> {
    let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
    for (account, amount) in lines {
        *sums.entry(account).or_default() += amount;
    }
    sums.retain(|_, sum| !sum.is_zero());
    sums
}
