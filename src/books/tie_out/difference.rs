//! A transaction in which reports and records differ.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::cause::Cause;
use super::chart::{Chart, PartyKind};
use super::reported::ReportedTransaction;
use super::side::{Key, Side};

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
    pub(super) lines: Vec<(NaiveDate, String, Decimal)>,
    /// The same by customer and vendor, on accounts of receivables and payables.
    pub(super) party_lines: Vec<PartyLine>,
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
    pub(super) fn without_lines(
        (entity, id): Key,
        (date, cause): (NaiveDate, Option<Cause>),
        party_lines: Vec<PartyLine>,
    ) -> Self {
        Self {
            entity,
            id,
            date,
            cause,
            lines: Vec::new(),
            party_lines,
        }
    }

    /// Returns the cause for which its amounts stand under another customer or vendor, if only that was changed.
    pub(super) fn of_another_party(&self) -> Option<Cause> {
        let is_change = |cause: &Cause| {
            matches!(
                cause,
                Cause::ChangedSinceLanding | Cause::ChangedAfterReport
            )
        };
        self.cause
            .filter(is_change)
            .filter(|_| self.lines.is_empty())
    }

    /// Returns whether only a record is missing, and no amount: a payment of zero links documents with credits.
    pub(crate) fn is_lost_without_amounts(&self) -> bool {
        let is_lost = matches!(self.cause, Some(Cause::NotLanded | Cause::Archived));
        self.lines.is_empty() && is_lost
    }

    /// Returns the days on which it changes something, or its own.
    pub(crate) fn days(&self) -> impl Iterator<Item = NaiveDate> {
        let own = self.lines.is_empty().then_some(self.date);
        self.lines.iter().map(|(day, ..)| *day).chain(own)
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

/// Returns the differences by day and account.
pub(super) fn differing_lines(
    reported: &ReportedTransaction,
    side: Option<&Side<'_>>,
) -> Vec<(NaiveDate, String, Decimal)> {
    let mut found: BTreeMap<(NaiveDate, &str), Decimal> = BTreeMap::new();
    for line in &reported.lines {
        *found.entry((reported.date, &line.account)).or_default() += line.amount;
    }
    if let Some(side) = side {
        for line in &side.lines {
            *found.entry((side.date, line.account)).or_default() -= line.amount;
        }
    }
    let found = found.into_iter().filter(|(_, amount)| !amount.is_zero());
    found
        .map(|((day, account), amount)| (day, account.to_owned(), amount))
        .collect()
}

/// Returns the party of a payment that has no amounts: what it settles is open among the documents of this party.
pub(super) fn settling_party(reported: &ReportedTransaction) -> Option<PartyLine> {
    Some(PartyLine {
        date: reported.date,
        kind: PartyKind::paid_by(reported.entity())?,
        party: reported.party.clone()?,
        amount: Decimal::ZERO,
    })
}

/// Returns the differences with customers and vendors.
pub(super) fn differing_parties(
    chart: &Chart,
    reported: Option<&ReportedTransaction>,
    side: Option<&Side<'_>>,
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
            if let Some((kind, party)) = chart.party_kind(line.account).zip(line.party) {
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
