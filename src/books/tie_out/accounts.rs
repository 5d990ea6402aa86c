//! Balances, account by account.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::cause::Cause;
use super::chart::{Balances, Chart};
use super::difference::TransactionDifference;
use crate::books::Entry;

/// One account: what the report says, what the records say, and why they differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountTieOut {
    pub(crate) account_id: String,
    pub(crate) name: String,
    pub(crate) report: Decimal,
    pub(crate) records: Decimal,
    /// The part of `report - records` that each cause makes.
    pub(crate) causes: BTreeMap<Cause, Decimal>,
}

impl AccountTieOut {
    pub(crate) fn difference(&self) -> Decimal {
        self.report - self.records
    }

    /// Returns what no cause explains.
    pub(crate) fn unexplained(&self) -> Decimal {
        self.difference() - self.causes.values().sum::<Decimal>()
    }
}

/// Compares the balances of a day. `year_start` is the first day of the fiscal year.
///
/// QuickBooks shows income and expenses of the year or of all time: no source says which
/// (reports.md I). The form that fits more accounts is taken; in the former, retained earnings hold the
/// profit of earlier years.
pub(crate) fn compare_accounts(
    chart: &Chart,
    entries: &[Entry],
    report: &Balances,
    (day, year_start): (NaiveDate, NaiveDate),
    differences: &[TransactionDifference],
) -> Vec<AccountTieOut> {
    let forms = [Form::AllTime, Form::Year(year_start)].map(|form| {
        let sums = balances(chart, entries, day, form);
        let fits = report
            .iter()
            .filter(|(account, amount)| sums.get(*account).copied().unwrap_or_default() == **amount)
            .count();
        (fits, form, sums)
    });
    let [all_time, year] = forms;
    let (_, form, records) = if year.0 > all_time.0 { year } else { all_time };
    let causes = causes(chart, differences, day, form);
    let accounts: BTreeSet<&String> = report
        .keys()
        .chain(records.keys())
        .chain(causes.keys())
        .collect();
    let compared = accounts.into_iter().map(|account| AccountTieOut {
        account_id: account.clone(),
        name: chart.name(account),
        report: report.get(account).copied().unwrap_or_default(),
        records: records.get(account).copied().unwrap_or_default(),
        causes: causes.get(account).cloned().unwrap_or_default(),
    });
    compared
        .filter(|account| {
            !account.report.is_zero() || !account.records.is_zero() || !account.causes.is_empty()
        })
        .collect()
}

/// The postings that an account of profit has in a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    AllTime,
    /// Since the fiscal year began. What was before is profit that is retained.
    Year(NaiveDate),
}

impl Form {
    /// Returns the account under which an amount of a day is shown.
    fn shown_under<'a>(
        self,
        chart: &Chart,
        retained: Option<&'a str>,
        account: &'a str,
        day: NaiveDate,
    ) -> Option<&'a str> {
        match self {
            Self::Year(start) if day < start && chart.is_of_profit(account) => retained,
            _ => Some(account),
        }
    }
}

fn retained_earnings(chart: &Chart) -> Option<&str> {
    let mut accounts = chart.accounts.iter();
    let found = accounts.find(|(_, account)| account.is_retained_earnings);
    found.map(|(id, _)| id.as_str())
}

fn balances(chart: &Chart, entries: &[Entry], day: NaiveDate, form: Form) -> Balances {
    let retained = retained_earnings(chart);
    let mut sums: HashMap<&str, Decimal> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.date <= day) {
        if let Some(account) = form.shown_under(chart, retained, &entry.account_id, entry.date) {
            *sums.entry(account).or_default() += entry.amount;
        }
    }
    sums.into_iter()
        .map(|(account, sum)| (account.to_owned(), sum))
        .collect()
}

/// Sums the differences of transactions up to a day, by account and cause.
fn causes(
    chart: &Chart,
    differences: &[TransactionDifference],
    day: NaiveDate,
    form: Form,
) -> BTreeMap<String, BTreeMap<Cause, Decimal>> {
    let retained = retained_earnings(chart);
    let mut found: BTreeMap<String, BTreeMap<Cause, Decimal>> = BTreeMap::new();
    for difference in differences {
        let Some(cause) = difference.cause else {
            continue;
        };
        for (line_day, account, amount) in difference.signed_lines() {
            if line_day > day {
                continue;
            }
            if let Some(account) = form.shown_under(chart, retained, account, line_day) {
                let by_cause = found.entry(account.to_owned()).or_default();
                *by_cause.entry(cause).or_default() += amount;
            }
        }
    }
    for by_cause in found.values_mut() {
        by_cause.retain(|_, amount| !amount.is_zero());
    }
    found.retain(|_, by_cause| !by_cause.is_empty());
    found
}
