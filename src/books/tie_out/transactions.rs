//! Transactions of the reports against those of the records.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::accounts::{Chart, PartyKind};
use super::cause::Cause;
use super::reported::{ReportedLine, ReportedTransaction};
use super::twins::Twins;
use crate::books::{Entry, EntryKind};
use crate::domain::find_entity;
use crate::domain::reports::entity_of_label;

/// Differences up to this amount are rounding: a cent for each of a few lines.
const FEW_CENTS: Decimal = Decimal::from_parts(5, 0, 0, false, 2);

/// Entity and id.
pub(crate) type Key = (String, String);

/// What the tables hold.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    pub(crate) entries: &'a [Entry],
    /// The records that are not deleted, and when each was changed.
    pub(crate) landed: &'a HashMap<Key, DateTime<Utc>>,
    /// Records whose entries are not in balance, or which could not be posted.
    pub(crate) unbalanced: &'a HashSet<Key>,
}

/// A line of a transaction's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SideLine {
    pub(super) account: String,
    pub(super) amount: Decimal,
    pub(super) is_stock: bool,
    kind: EntryKind,
    party: Option<String>,
}

/// A transaction as its record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) date: NaiveDate,
    pub(super) lines: Vec<SideLine>,
    is_foreign: bool,
}

/// A transaction in which reports and records differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionDifference {
    /// Intuit's name of the entity; the report's word if no entity has such transactions.
    pub(crate) entity: String,
    pub(crate) id: String,
    /// The date in the reports, else in the records.
    pub(crate) date: NaiveDate,
    /// `None` if nothing that is known fits.
    pub(crate) cause: Option<Cause>,
    /// Date, account and amount of what the reports have and the records have not. What only the
    /// records have is negative.
    lines: Vec<(NaiveDate, String, Decimal)>,
    /// The same by customer and vendor, on accounts of receivables and payables.
    party_lines: Vec<PartyLine>,
}

/// A difference with a customer or vendor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartyLine {
    pub(crate) date: NaiveDate,
    pub(crate) kind: PartyKind,
    pub(crate) party: String,
    pub(crate) amount: Decimal,
}

impl TransactionDifference {
    /// Returns date, account and amount of each difference, reports less records.
    pub(crate) fn signed_lines(&self) -> impl Iterator<Item = (NaiveDate, &str, Decimal)> {
        let lines = self.lines.iter();
        lines.map(|(day, account, amount)| (*day, account.as_str(), *amount))
    }

    /// Returns a transaction whose accounts agree, and which differs by something else.
    pub(super) fn without_lines((entity, id): Key, date: NaiveDate, cause: Cause) -> Self {
        Self {
            entity,
            id,
            date,
            cause: Some(cause),
            lines: Vec::new(),
            party_lines: Vec::new(),
        }
    }

    /// Returns a difference that an earlier comparison has found.
    pub(crate) fn kept(
        (entity, id): Key,
        (date, cause): (NaiveDate, Cause),
        lines: Vec<(NaiveDate, String, Decimal)>,
        party_lines: Vec<PartyLine>,
    ) -> Self {
        Self {
            entity,
            id,
            date,
            cause: Some(cause),
            lines,
            party_lines,
        }
    }

    /// Returns the differences with customers and vendors.
    pub(crate) fn party_lines(&self) -> &[PartyLine] {
        &self.party_lines
    }
}

/// Compares the transactions of a time. `reported` has all that the reports show in it.
pub(crate) fn compare_transactions(
    chart: &Chart,
    records: &Records<'_>,
    reported: &[ReportedTransaction],
    (from, to): (NaiveDate, NaiveDate),
    reported_at: DateTime<Utc>,
) -> Vec<TransactionDifference> {
    let comparison = Comparison::new(chart, records, reported, reported_at);
    let mut found = Vec::new();
    for transaction in reported {
        comparison.compare(transaction, &mut found);
    }
    let shown: HashSet<&Key> = comparison.matched.values().collect();
    let twins = Twins::of(
        comparison
            .sides
            .iter()
            .filter(|(key, _)| shown.contains(key))
            .map(|(key, side)| (key.0.as_str(), side)),
    );
    for (key, side) in &comparison.sides {
        if (from..=to).contains(&side.date) && !shown.contains(key) {
            found.extend(comparison.only_recorded(key, side, &twins));
        }
    }
    found.sort_by(|one, other| {
        (one.date, &one.entity, &one.id).cmp(&(other.date, &other.entity, &other.id))
    });
    found
}

struct Comparison<'c> {
    chart: &'c Chart,
    records: &'c Records<'c>,
    reported_at: DateTime<Utc>,
    sides: BTreeMap<Key, Side>,
    /// The record of each reported transaction, by its label and id.
    matched: HashMap<(&'c str, &'c str), Key>,
    /// Accounts on which stock and its cost are posted.
    stock_accounts: HashSet<&'c str>,
}

impl<'c> Comparison<'c> {
    fn new(
        chart: &'c Chart,
        records: &'c Records<'c>,
        reported: &'c [ReportedTransaction],
        reported_at: DateTime<Utc>,
    ) -> Self {
        let sides = sides(records.entries);
        let mut by_id: HashMap<&str, Vec<&Key>> = HashMap::new();
        for key in sides.keys().chain(records.landed.keys()) {
            let keys = by_id.entry(key.1.as_str()).or_default();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let matched = reported.iter().filter_map(|transaction| {
            let candidates = by_id.get(transaction.id.as_str())?;
            let key = counterpart(transaction, candidates, &sides)?;
            let known = (transaction.label.as_str(), transaction.id.as_str());
            Some((known, key.clone()))
        });
        let matched = matched.collect();
        let stock = records.entries.iter();
        let stock = stock.filter(|entry| entry.kind == EntryKind::Stock);
        Self {
            chart,
            records,
            reported_at,
            matched,
            stock_accounts: stock.map(|entry| entry.account_id.as_str()).collect(),
            sides,
        }
    }

    fn compare(&self, reported: &ReportedTransaction, found: &mut Vec<TransactionDifference>) {
        let known = (reported.label.as_str(), reported.id.as_str());
        let key = self.matched.get(&known);
        let side = key.and_then(|key| self.sides.get(key));
        let entity = match key {
            Some(key) => key.0.clone(),
            None => reported.entity().to_owned(),
        };
        let lines = difference(reported, side);
        if lines.is_empty() {
            return;
        }
        let cause = match (key, side) {
            (Some(key), Some(side)) => self.both(key, reported, side),
            (Some(key), None) => self.without_entries(key, reported),
            (None, _) => Some(match entity_of_label(&reported.label) {
                Some(entity) if has_query(entity) => Cause::NotLanded,
                _ => Cause::ReportOnly,
            }),
        };
        let (stock, other) = self.split_stock(lines, cause);
        let mut party_lines = party_lines(self.chart, Some(reported), side);
        for (lines, cause) in [(other, cause), (stock, Some(Cause::Inventory))] {
            if !lines.is_empty() {
                found.push(TransactionDifference {
                    party_lines: std::mem::take(&mut party_lines),
                    entity: entity.clone(),
                    id: reported.id.clone(),
                    date: reported.date,
                    cause,
                    lines,
                });
            }
        }
    }

    /// Takes the lines of stock apart, if they are a difference of their own.
    #[allow(clippy::type_complexity, reason = "two lists of lines")]
    fn split_stock(
        &self,
        lines: Vec<(NaiveDate, String, Decimal)>,
        cause: Option<Cause>,
    ) -> (
        Vec<(NaiveDate, String, Decimal)>,
        Vec<(NaiveDate, String, Decimal)>,
    ) {
        let is_whole = matches!(
            cause,
            Some(Cause::NotLanded | Cause::ReportOnly | Cause::PeriodMoved | Cause::Void)
        );
        let is_stock = |account: &str| self.stock_accounts.contains(account);
        let (stock, other): (Vec<_>, Vec<_>) = lines
            .into_iter()
            .partition(|(_, account, _)| !is_whole && is_stock(account));
        let sum: Decimal = stock.iter().map(|(_, _, amount)| *amount).sum();
        if sum.is_zero() {
            return (stock, other);
        }
        let mut all = other;
        all.extend(stock);
        (Vec::new(), all)
    }

    fn without_entries(&self, key: &Key, reported: &ReportedTransaction) -> Option<Cause> {
        if self.is_older(key, reported) {
            return Some(Cause::ChangedSinceLanding);
        }
        self.records
            .unbalanced
            .contains(key)
            .then_some(Cause::IncompleteRecord)
    }

    /// Returns whether QuickBooks changed a transaction after its record was read.
    fn is_older(&self, key: &Key, reported: &ReportedTransaction) -> bool {
        let read = self.records.landed.get(key);
        read.zip(reported.changed_at)
            .is_some_and(|(read, changed)| *read < changed)
    }

    /// Names the difference of a transaction that both sides have.
    fn both(&self, key: &Key, reported: &ReportedTransaction, side: &Side) -> Option<Cause> {
        let shown = sums(
            reported
                .lines
                .iter()
                .map(|line| (&line.account, line.amount)),
        );
        let held = sums(side.lines.iter().map(|line| (&line.account, line.amount)));
        if shown == held {
            return Some(Cause::PeriodMoved);
        }
        let changed = self.records.landed.get(key);
        if changed.is_some_and(|changed| *changed > self.reported_at) {
            return Some(Cause::ChangedAfterReport);
        }
        if shown.is_empty() {
            return Some(Cause::Void);
        }
        if self.is_older(key, reported) {
            return Some(Cause::ChangedSinceLanding);
        }
        let without_stock = |sums: &BTreeMap<String, Decimal>| -> BTreeMap<String, Decimal> {
            let kept = sums
                .iter()
                .filter(|(account, _)| !self.stock_accounts.contains(account.as_str()));
            kept.map(|(account, sum)| (account.clone(), *sum)).collect()
        };
        let rest = (without_stock(&shown), without_stock(&held));
        if rest.0 == rest.1 {
            return Some(match reported.date == side.date {
                true => Cause::Inventory,
                // On another day, stock has another cost.
                false => Cause::PeriodMoved,
            });
        }
        // Purchases of stock do not balance without it.
        let total = |sums: &BTreeMap<String, Decimal>| sums.values().sum::<Decimal>();
        let (shown, held) = match total(&rest.0) == total(&rest.1) {
            true => rest,
            false => (shown, held),
        };
        if self.records.unbalanced.contains(key) {
            return Some(Cause::IncompleteRecord);
        }
        Shape::of(self.chart, side, &shown, &held).cause(reported, side)
    }

    fn only_recorded(
        &self,
        key: &'c Key,
        side: &'c Side,
        twins: &Twins<'c>,
    ) -> Option<TransactionDifference> {
        let lines: Vec<_> = sums(side.lines.iter().map(|line| (&line.account, line.amount)))
            .into_iter()
            .map(|(account, amount)| (side.date, account, -amount))
            .collect();
        let changed = self.records.landed.get(key);
        let cause = if twins.has(&key.0, side) {
            Cause::Duplicate
        } else if changed.is_some_and(|changed| *changed > self.reported_at) {
            Cause::ChangedAfterReport
        } else {
            Cause::DeletedAtSource
        };
        (!lines.is_empty()).then(|| TransactionDifference {
            party_lines: party_lines(self.chart, None, Some(side)),
            entity: key.0.clone(),
            id: key.1.clone(),
            date: side.date,
            cause: Some(cause),
            lines,
        })
    }
}

/// How the accounts of a transaction differ, without stock.
struct Shape {
    /// Reports less records, by account.
    differences: BTreeMap<String, Decimal>,
    is_opposite: bool,
    is_scaled: bool,
    is_only_tax: bool,
    is_only_exchange: bool,
    keeps_control: bool,
    /// The record has every account that differs.
    has_accounts: bool,
}

impl Shape {
    fn of(
        chart: &Chart,
        side: &Side,
        shown: &BTreeMap<String, Decimal>,
        held: &BTreeMap<String, Decimal>,
    ) -> Self {
        let accounts: BTreeSet<&String> = shown.keys().chain(held.keys()).collect();
        let amount = |sums: &BTreeMap<String, Decimal>, account: &String| {
            sums.get(account).copied().unwrap_or_default()
        };
        let differences: BTreeMap<String, Decimal> = accounts
            .iter()
            .map(|account| {
                (
                    (*account).clone(),
                    amount(shown, account) - amount(held, account),
                )
            })
            .filter(|(_, difference)| !difference.is_zero())
            .collect();
        let of_kind = |kinds: &[EntryKind]| -> HashSet<&str> {
            let lines = side.lines.iter();
            let lines = lines.filter(|line| kinds.contains(&line.kind));
            lines.map(|line| line.account.as_str()).collect()
        };
        let control = of_kind(&[EntryKind::Control]);
        let mut exchange = of_kind(&[EntryKind::Control, EntryKind::Exchange]);
        exchange.extend(chart.exchange_accounts());
        exchange.extend(chart.owed_accounts());
        let is_tax = |account: &str| chart.is_tax(account);
        Self {
            is_opposite: !held.is_empty()
                && accounts
                    .iter()
                    .all(|account| amount(shown, account) == -amount(held, account)),
            is_scaled: side.is_foreign && is_scaled(shown, held),
            is_only_tax: differences
                .keys()
                .all(|account| is_tax(account) || control.contains(account.as_str()))
                && differences.keys().any(|account| is_tax(account)),
            is_only_exchange: side.is_foreign
                && differences
                    .keys()
                    .all(|account| exchange.contains(account.as_str())),
            keeps_control: !differences
                .keys()
                .any(|account| control.contains(account.as_str())),
            has_accounts: differences.keys().all(|account| held.contains_key(account)),
            differences,
        }
    }

    fn cause(&self, reported: &ReportedTransaction, side: &Side) -> Option<Cause> {
        let largest = self.differences.values().map(Decimal::abs).max()?;
        let is_small = largest <= FEW_CENTS;
        let lines = side.lines.iter().filter(|line| !line.is_stock).count();
        let shown_lines =
            reported.lines.len() - (side.lines.len() - lines).min(reported.lines.len());
        Some(match () {
            () if self.is_opposite => Cause::WrongSign,
            () if self.is_only_tax && is_small => Cause::TaxRounding,
            () if self.is_only_tax => Cause::Tax,
            () if is_small => Cause::Rounding,
            () if self.is_scaled || self.is_only_exchange => Cause::Fx,
            () if self.keeps_control => Cause::OtherAccount,
            () if shown_lines > lines => Cause::IncompleteRecord,
            // One line and the total.
            () if self.differences.len() == 2 && self.has_accounts => Cause::Amount,
            () => return None,
        })
    }
}

/// Returns whether all amounts of one side are those of the other times one factor, but for rounding.
fn is_scaled(shown: &BTreeMap<String, Decimal>, held: &BTreeMap<String, Decimal>) -> bool {
    let largest = held.iter().max_by_key(|(_, amount)| amount.abs());
    let Some((account, of)) = largest.filter(|(_, amount)| !amount.is_zero()) else {
        return false;
    };
    let Some(factor) = shown
        .get(account)
        .and_then(|amount| amount.checked_div(*of))
    else {
        return false;
    };
    shown.len() == held.len()
        && held.iter().all(|(account, amount)| {
            let expected = amount.checked_mul(factor);
            let found = shown.get(account);
            expected
                .zip(found)
                .is_some_and(|(expected, found)| (expected - found).abs() <= FEW_CENTS)
        })
}

/// Returns whether records of an entity can be found without knowing their ids. Adjustments of stock
/// cannot (qbo-facts 13.7).
fn has_query(entity: &str) -> bool {
    find_entity(entity).is_ok_and(|entity| entity.has_query)
}

/// Groups entries of records by transaction.
fn sides(entries: &[Entry]) -> BTreeMap<Key, Side> {
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

/// Returns the record of a reported transaction. Ids may repeat between entities, and words of reports
/// are translated (reports.md F): a word that is known decides; for another one, a record with the id
/// counts only if a line agrees.
fn counterpart<'k>(
    reported: &ReportedTransaction,
    candidates: &[&'k Key],
    sides: &BTreeMap<Key, Side>,
) -> Option<&'k Key> {
    if let Some(entity) = entity_of_label(&reported.label) {
        let found = candidates.iter().find(|key| key.0 == entity);
        return found.copied();
    }
    let agrees = |key: &&&Key| {
        sides.get(**key).is_some_and(|side| {
            side.date == reported.date
                && side.lines.iter().any(|line| {
                    let same = |other: &ReportedLine| {
                        (&other.account, other.amount) == (&line.account, line.amount)
                    };
                    reported.lines.iter().any(same)
                })
        })
    };
    candidates.iter().find(agrees).copied()
}

fn sums<'a>(lines: impl Iterator<Item = (&'a String, Decimal)>) -> BTreeMap<String, Decimal> {
    let mut sums: BTreeMap<String, Decimal> = BTreeMap::new();
    for (account, amount) in lines {
        *sums.entry(account.clone()).or_default() += amount;
    }
    sums.retain(|_, sum| !sum.is_zero());
    sums
}

/// Returns the differences by day and account.
fn difference(
    reported: &ReportedTransaction,
    side: Option<&Side>,
) -> Vec<(NaiveDate, String, Decimal)> {
    let mut found: BTreeMap<(NaiveDate, &str), Decimal> = BTreeMap::new();
    for line in &reported.lines {
        *found.entry((reported.date, &line.account)).or_default() += line.amount;
    }
    if let Some(side) = side {
        for line in &side.lines {
            *found.entry((side.date, &line.account)).or_default() -= line.amount;
        }
    }
    let found = found.into_iter().filter(|(_, amount)| !amount.is_zero());
    found
        .map(|((day, account), amount)| (day, account.to_owned(), amount))
        .collect()
}

/// Returns the differences with customers and vendors.
fn party_lines(
    chart: &Chart,
    reported: Option<&ReportedTransaction>,
    side: Option<&Side>,
) -> Vec<PartyLine> {
    let mut found: BTreeMap<(NaiveDate, PartyKind, &str), Decimal> = BTreeMap::new();
    if let Some(transaction) = reported {
        for line in &transaction.lines {
            if let Some((kind, party)) = chart.party_kind(&line.account).zip(line.party.as_deref())
            {
                *found.entry((transaction.date, kind, party)).or_default() += line.amount;
            }
        }
    }
    if let Some(side) = side {
        for line in &side.lines {
            if let Some((kind, party)) = chart.party_kind(&line.account).zip(line.party.as_deref())
            {
                *found.entry((side.date, kind, party)).or_default() -= line.amount;
            }
        }
    }
    let found = found.into_iter().filter(|(_, amount)| !amount.is_zero());
    found
        .map(|((date, kind, party), amount)| PartyLine {
            date,
            kind,
            party: party.to_owned(),
            amount,
        })
        .collect()
}
