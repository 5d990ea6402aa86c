//! The form of a difference, from which its cause is told.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rust_decimal::Decimal;

use super::cause::Cause;
use super::chart::Chart;
use super::reported::ReportedTransaction;
use super::side::Side;
use crate::books::EntryKind;

/// Differences up to this amount are rounding: a cent for each of a few lines.
const FEW_CENTS: Decimal = Decimal::from_parts(5, 0, 0, false, 2);

/// The form of a difference, without stock.
pub(super) struct Shape<'s> {
    /// Reports less records, by account.
    differences: BTreeMap<&'s str, Decimal>,
    is_opposite: bool,
    is_scaled: bool,
    is_only_tax: bool,
    is_only_exchange: bool,
    /// Amounts left some accounts and arrived on others.
    is_moved: bool,
    /// The record has every account that differs.
    has_accounts: bool,
}

impl<'s> Shape<'s> {
    pub(super) fn of(
        chart: &Chart,
        side: &Side<'_>,
        shown: &BTreeMap<&'s str, Decimal>,
        held: &BTreeMap<&'s str, Decimal>,
    ) -> Self {
        let accounts: BTreeSet<&'s str> = shown.keys().chain(held.keys()).copied().collect();
        let amount = |sums: &BTreeMap<&'s str, Decimal>, account: &str| {
            sums.get(account).copied().unwrap_or_default()
        };
        let differences: BTreeMap<&'s str, Decimal> = accounts
            .iter()
            .map(|account| (*account, amount(shown, account) - amount(held, account)))
            .filter(|(_, difference)| !difference.is_zero())
            .collect();
        let of_kind = |kinds: &[EntryKind]| -> HashSet<&str> {
            let lines = side.lines.iter();
            let lines = lines.filter(|line| kinds.contains(&line.kind));
            lines.map(|line| line.account).collect()
        };
        let control = of_kind(&[EntryKind::Control]);
        let mut exchange = of_kind(&[EntryKind::Control, EntryKind::Exchange]);
        exchange.extend(chart.exchange_accounts());
        exchange.extend(chart.owed_accounts());
        let is_tax = |account: &str| chart.is_tax(account);
        Self {
            is_opposite: are_opposite(shown, held),
            is_scaled: side.is_foreign && is_scaled(shown, held),
            is_only_tax: differences
                .keys()
                .all(|account| is_tax(account) || control.contains(account))
                && differences.keys().any(|account| is_tax(account)),
            is_only_exchange: side.is_foreign
                && differences.keys().all(|account| exchange.contains(account)),
            is_moved: gross(shown) == gross(held)
                && !differences.keys().any(|account| control.contains(account)),
            has_accounts: differences.keys().all(|account| held.contains_key(account)),
            differences,
        }
    }

    /// Returns whether one line and the total differ. The last line of a converted document takes what rounding
    /// leaves over, so that it may differ by a few cents, too.
    fn is_of_line_and_total(&self, is_foreign: bool) -> bool {
        let differences = self.differences.values();
        let of_rounding = |amount: &&Decimal| is_foreign && amount.abs() <= FEW_CENTS;
        let rounded = differences.filter(of_rounding).count();
        rounded <= 1 && self.differences.len() - rounded == 2
    }

    pub(super) fn cause(&self, reported: &ReportedTransaction, side: &Side<'_>) -> Option<Cause> {
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
            () if self.is_moved => Cause::OtherAccount,
            () if shown_lines > lines => Cause::IncompleteRecord,
            () if self.has_accounts && self.is_of_line_and_total(side.is_foreign) => Cause::Amount,
            () => return None,
        })
    }
}

/// Returns whether all amounts of both sides have opposite signs.
pub(super) fn are_opposite(
    shown: &BTreeMap<&str, Decimal>,
    held: &BTreeMap<&str, Decimal>,
) -> bool {
    let is_opposite =
        |(account, amount): (&&str, &Decimal)| shown.get(account).copied() == Some(-*amount);
    !held.is_empty() && shown.len() == held.len() && held.iter().all(is_opposite)
}

/// Returns whether all amounts of one side are those of the other times one factor, but for rounding.
fn is_scaled(shown: &BTreeMap<&str, Decimal>, held: &BTreeMap<&str, Decimal>) -> bool {
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

/// Returns the sum of all amounts without their signs.
fn gross(sums: &BTreeMap<&str, Decimal>) -> Decimal {
    sums.values().map(Decimal::abs).sum()
}
