//! Open amounts of customers and vendors: the ageing reports against receivables and payables.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::accounts::{Chart, PartyKind};
use super::cause::Cause;
use super::reported::sum;
use super::transactions::TransactionDifference;
use crate::books::Entry;
use crate::domain::reports::{ReportAnswer, RowKind};

/// A customer or vendor whose open amounts differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartyTieOut {
    pub(crate) kind: PartyKind,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) report: Decimal,
    pub(crate) records: Decimal,
    pub(crate) causes: BTreeMap<Cause, Decimal>,
}

impl PartyTieOut {
    pub(crate) fn difference(&self) -> Decimal {
        self.report - self.records
    }

    /// Returns what no cause explains.
    pub(crate) fn unexplained(&self) -> Decimal {
        self.difference() - self.causes.values().sum::<Decimal>()
    }
}

/// Names and open amounts by id.
pub(crate) type OpenAmounts = BTreeMap<String, (String, Decimal)>;

/// Reads the open amounts of an ageing report.
///
/// # Errors
/// The reason, if the report is cut or an amount is none.
pub(crate) fn open_amounts_of(answer: &ReportAnswer) -> Result<OpenAmounts, String> {
    if answer.is_cut {
        return Err(format!("{} is cut", answer.name));
    }
    let last = answer.columns.len().checked_sub(1);
    let total = answer.column("total").or(last).filter(|total| *total > 0);
    let total = total.ok_or_else(|| format!("{} has no column of totals", answer.name))?;
    let mut found = OpenAmounts::new();
    for row in answer
        .rows
        .iter()
        .filter(|row| row.kind != RowKind::Summary)
    {
        let Some(label) = row.cells.first() else {
            continue;
        };
        let id = label.id.clone().filter(|id| !id.is_empty());
        let Some(id) = id else { continue };
        let amount = match row.cells.get(total).map(|cell| cell.value.as_str()) {
            None | Some("") => Decimal::ZERO,
            Some(text) => {
                let amount = row.amount(total);
                amount.ok_or_else(|| format!("{}: '{text}' is no amount", answer.name))?
            }
        };
        let held = found
            .entry(id)
            .or_insert_with(|| (label.value.clone(), Decimal::ZERO));
        held.1 = sum(held.1, amount)?;
    }
    Ok(found)
}

/// Compares open amounts of a day. Payables count as positive, as the report shows them.
pub(crate) fn compare_parties(
    chart: &Chart,
    entries: &[Entry],
    (kind, report): (PartyKind, &OpenAmounts),
    day: NaiveDate,
    differences: &[TransactionDifference],
) -> Vec<PartyTieOut> {
    let direction = match kind {
        PartyKind::Customer => Decimal::ONE,
        PartyKind::Vendor => Decimal::NEGATIVE_ONE,
    };
    let mut records: BTreeMap<&str, Decimal> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.date <= day) {
        if chart.party_kind(&entry.account_id) == Some(kind)
            && let Some((_, party)) = &entry.party
        {
            *records.entry(party).or_default() += entry.amount * direction;
        }
    }
    let mut causes: BTreeMap<&str, BTreeMap<Cause, Decimal>> = BTreeMap::new();
    for difference in differences {
        let lines = difference.party_lines().iter();
        for line in lines.filter(|line| line.kind == kind && line.date <= day) {
            if let Some(cause) = difference.cause {
                let by_cause = causes.entry(line.party.as_str()).or_default();
                *by_cause.entry(cause).or_default() += line.amount * direction;
            }
        }
    }
    let parties: BTreeSet<&str> = report
        .keys()
        .map(String::as_str)
        .chain(records.keys().copied())
        .collect();
    let compared = parties.into_iter().map(|id| {
        let (name, shown) = report.get(id).cloned().unwrap_or_default();
        let mut causes = causes.get(id).cloned().unwrap_or_default();
        causes.retain(|_, amount| !amount.is_zero());
        PartyTieOut {
            kind,
            id: id.to_owned(),
            name,
            report: shown,
            records: records.get(id).copied().unwrap_or_default(),
            causes,
        }
    });
    compared
        .filter(|party| !party.difference().is_zero() || !party.causes.is_empty())
        .collect()
}
