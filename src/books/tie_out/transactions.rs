//! Transactions of the reports against those of the records.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::cause::Cause;
use super::chart::{Chart, PartyKind};
use super::difference::{
    TransactionDifference, differing_lines, differing_parties, settling_party,
};
use super::reported::{ReportedLine, ReportedTransaction};
use super::shape::{Shape, are_opposite};
use super::side::{Key, Side, sides, sums};
use super::twins::Twins;
use crate::books::{Entry, EntryKind, TAX_PAYMENT};
use crate::domain::find_entity;
use crate::domain::reports::{entity_of_label, has_no_entity, is_tax_payment};

/// The records of the tables.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    pub(crate) entries: &'a [Entry],
    /// The records that are not deleted, and when each was changed.
    pub(crate) landed: &'a HashMap<Key, DateTime<Utc>>,
    /// Whether payments of tax are records of this company.
    pub(crate) has_tax_payments: bool,
    /// Records without entries, each with the cause: it is incomplete, or could not be posted.
    pub(crate) unbalanced: &'a HashMap<Key, Cause>,
}

/// Compares the transactions of a time. `reported` has all that the reports show in it.
pub(crate) fn compare_transactions(
    chart: &Chart,
    records: &Records<'_>,
    reported: &[ReportedTransaction],
    (from, to): (NaiveDate, NaiveDate),
    reported_at: DateTime<Utc>,
) -> Vec<TransactionDifference> {
    let comparison = Comparison::new(chart, records, reported, (from, to), reported_at);
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
    sides: BTreeMap<Key, Side<'c>>,
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
        (from, to): (NaiveDate, NaiveDate),
        reported_at: DateTime<Utc>,
    ) -> Self {
        let ids: HashSet<&str> = reported.iter().map(|it| it.id.as_str()).collect();
        let entries = records.entries.iter();
        // The others are of no concern: a month of a large company has few of its transactions.
        let sides =
            sides(entries.filter(|entry| {
                (from..=to).contains(&entry.date) || ids.contains(entry.id.as_str())
            }));
        let mut by_id: HashMap<&str, Vec<&Key>> = HashMap::new();
        let landed = records.landed.keys();
        let landed = landed.filter(|key| ids.contains(key.1.as_str()));
        for key in sides.keys().chain(landed) {
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
            None => self.entity_without_record(reported).to_owned(),
        };
        let lines = differing_lines(reported, side);
        if lines.is_empty() {
            let moved = key
                .zip(side)
                .and_then(|(key, side)| self.of_another_party(key, side, reported));
            found.extend(moved.or_else(|| self.without_amounts(key, side, reported)));
            return;
        }
        let cause = match (key, side) {
            (Some(key), Some(side)) => self.both(key, reported, side),
            (Some(key), None) => self.without_entries(key, reported),
            (None, _) => match self.entity_without_record(reported) {
                entity if has_query(entity) => Some(Cause::NotLanded),
                entity if find_entity(entity).is_ok() => Some(Cause::NotRead),
                _ if entity_of_label(&reported.label).is_some() => Some(Cause::ReportOnly),
                _ => has_no_entity(&reported.label).then_some(Cause::ReportOnly),
            },
        };
        let (stock, other) = self.split_stock(lines, cause);
        let mut party_lines = differing_parties(self.chart, Some(reported), side);
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

    /// Returns the entity of a transaction without a record, or the report's word if none has it.
    fn entity_without_record<'r>(&self, reported: &'r ReportedTransaction) -> &'r str {
        match self.records.has_tax_payments && is_tax_payment(&reported.label) {
            true => TAX_PAYMENT,
            false => reported.entity(),
        }
    }

    /// Names a transaction that was changed, and whose amounts stand under another customer or vendor. What
    /// nobody changed is left to the open documents: a report may name a party otherwise than the record does.
    fn of_another_party(
        &self,
        key: &Key,
        side: &Side<'_>,
        reported: &ReportedTransaction,
    ) -> Option<TransactionDifference> {
        let cause = match self.is_newer_than_reports(key) {
            true => Cause::ChangedAfterReport,
            false => self
                .is_older(key, reported)
                .then_some(Cause::ChangedSinceLanding)?,
        };
        let party_lines = differing_parties(self.chart, Some(reported), Some(side));
        let told = (reported.date, Some(cause));
        (!party_lines.is_empty())
            .then(|| TransactionDifference::without_lines(key.clone(), told, party_lines))
    }

    fn is_newer_than_reports(&self, key: &Key) -> bool {
        let changed = self.records.landed.get(key);
        changed.is_some_and(|changed| *changed > self.reported_at)
    }

    /// Names a transaction of which no account says that its record is missing or settles nothing: its amounts are
    /// zero, or cancel out. QuickBooks makes such payments to link invoices with credits (reports.md F).
    fn without_amounts(
        &self,
        key: Option<&Key>,
        side: Option<&Side<'_>>,
        reported: &ReportedTransaction,
    ) -> Option<TransactionDifference> {
        let entity = entity_of_label(&reported.label).filter(|entity| has_query(entity))?;
        let settles = PartyKind::paid_by(entity).is_some() && !reported.lines.is_empty();
        let cause = match (key, side) {
            (None, _) => Cause::NotLanded,
            (Some(_), None) if settles => Cause::LinkMissing,
            (Some(_), _) => return None,
        };
        let mut party_lines = differing_parties(self.chart, Some(reported), side);
        if party_lines.is_empty() {
            party_lines.extend(settling_party(reported));
        }
        let key = (entity.to_owned(), reported.id.clone());
        let told = (reported.date, Some(cause));
        Some(TransactionDifference::without_lines(key, told, party_lines))
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
            Some(
                Cause::NotLanded
                    | Cause::ReportOnly
                    | Cause::NotRead
                    | Cause::NotPosted
                    | Cause::PeriodMoved
                    | Cause::Void
            )
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
        self.records.unbalanced.get(key).copied()
    }

    /// Returns whether QuickBooks changed a transaction after its record was read.
    fn is_older(&self, key: &Key, reported: &ReportedTransaction) -> bool {
        let read = self.records.landed.get(key);
        read.zip(reported.changed_at)
            .is_some_and(|(read, changed)| *read < changed)
    }

    /// Names the difference of a transaction that both sides have.
    fn both(&self, key: &Key, reported: &ReportedTransaction, side: &Side<'_>) -> Option<Cause> {
        let shown = sums(
            reported
                .lines
                .iter()
                .map(|line| (line.account.as_str(), line.amount)),
        );
        let held = sums(side.lines.iter().map(|line| (line.account, line.amount)));
        if shown == held {
            return Some(Cause::PeriodMoved);
        }
        if self.is_newer_than_reports(key) {
            return Some(Cause::ChangedAfterReport);
        }
        if shown.is_empty() {
            return Some(Cause::Void);
        }
        if self.is_older(key, reported) {
            return Some(Cause::ChangedSinceLanding);
        }
        let rest = (self.without_stock(&shown), self.without_stock(&held));
        if rest.0 == rest.1 {
            return Some(match reported.date == side.date {
                true => Cause::Inventory,
                // On another day, stock has another cost.
                false => Cause::PeriodMoved,
            });
        }
        // With the sign of a purchase, the cost of its stock changes by more than the sign.
        let is_opposite = !rest.0.is_empty() && are_opposite(&rest.0, &rest.1);
        // Purchases of stock do not balance without it.
        let total = |sums: &BTreeMap<&str, Decimal>| sums.values().sum::<Decimal>();
        let (shown, held) = match total(&rest.0) == total(&rest.1) {
            true => rest,
            false => (shown, held),
        };
        if let Some(cause) = self.records.unbalanced.get(key) {
            return Some(*cause);
        }
        if is_opposite {
            return Some(Cause::WrongSign);
        }
        Shape::of(self.chart, side, &shown, &held).cause(reported, side)
    }

    fn without_stock<'s>(&self, sums: &BTreeMap<&'s str, Decimal>) -> BTreeMap<&'s str, Decimal> {
        let sums = sums.iter().map(|(account, sum)| (*account, *sum));
        sums.filter(|(account, _)| !self.stock_accounts.contains(account))
            .collect()
    }

    fn only_recorded<'s>(
        &self,
        key: &'s Key,
        side: &'s Side<'s>,
        twins: &Twins<'s>,
    ) -> Option<TransactionDifference> {
        let lines: Vec<_> = sums(side.lines.iter().map(|line| (line.account, line.amount)))
            .into_iter()
            .map(|(account, amount)| (side.date, account.to_owned(), -amount))
            .collect();
        let cause = if twins.has(&key.0, side) {
            Cause::Duplicate
        } else if self.is_newer_than_reports(key) {
            Cause::ChangedAfterReport
        } else {
            Cause::DeletedAtSource
        };
        (!lines.is_empty()).then(|| TransactionDifference {
            party_lines: differing_parties(self.chart, None, Some(side)),
            entity: key.0.clone(),
            id: key.1.clone(),
            date: side.date,
            cause: Some(cause),
            lines,
        })
    }
}

/// Returns whether records of an entity can be found without knowing their ids. Adjustments of stock
/// cannot (qbo-facts 13.7).
fn has_query(entity: &str) -> bool {
    find_entity(entity).is_ok_and(|entity| entity.has_query)
}

/// Returns the record of a reported transaction. Ids may repeat between entities, and words of reports
/// are translated (reports.md F): a word that is known decides; for another one, a record with the id
/// counts only if a line agrees, or if it is the only one and has the same day.
fn counterpart<'k>(
    reported: &ReportedTransaction,
    candidates: &[&'k Key],
    sides: &BTreeMap<Key, Side<'_>>,
) -> Option<&'k Key> {
    let of_entity = |entity: &str| candidates.iter().find(|key| key.0 == entity).copied();
    if let Some(entity) = entity_of_label(&reported.label) {
        return of_entity(entity);
    }
    if is_tax_payment(&reported.label) {
        return of_entity(TAX_PAYMENT);
    }
    let agrees = |key: &&&Key| {
        sides.get(**key).is_some_and(|side| {
            side.date == reported.date
                && side.lines.iter().any(|line| {
                    let same = |other: &ReportedLine| {
                        (other.account.as_str(), other.amount) == (line.account, line.amount)
                    };
                    reported.lines.iter().any(same)
                })
        })
    };
    let is_of_day = |key: &&&Key| {
        let side = sides.get(**key);
        side.is_some_and(|side| side.date == reported.date) && !has_no_entity(&reported.label)
    };
    let only = candidates.first().filter(|_| candidates.len() == 1);
    let found = candidates.iter().find(agrees);
    found.or_else(|| only.filter(is_of_day)).copied()
}
