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
/// (reports.md I). The form that leaves fewer accounts unexplained is taken; in the former, retained
/// earnings hold the profit of earlier years.
pub(crate) fn compare_accounts(
    chart: &Chart,
    entries: &[Entry],
    report: &Balances,
    (day, year_start): (NaiveDate, NaiveDate),
    differences: &[TransactionDifference],
) -> Vec<AccountTieOut> {
    let sums = Sums::of(entries, day, year_start);
    let [all_time, year] = [Form::AllTime, Form::Year].map(|form| {
        let records = sums.balances(chart, form);
        let causes = causes(chart, differences, (day, year_start), form);
        beside(chart, report, &records, &causes)
    });
    // Accounts that only the records have count, too. Early in a fiscal year the report shows no
    // income, and the income of all time, which the records would show, speaks against that form.
    let unexplained = |accounts: &[AccountTieOut]| {
        let left = accounts.iter().map(AccountTieOut::unexplained);
        left.filter(|amount| !amount.is_zero()).count()
    };
    match unexplained(&year) < unexplained(&all_time) {
        true => year,
        false => all_time,
    }
}

/// Puts what the report and the records say of each account beside each other.
fn beside(
    chart: &Chart,
    report: &Balances,
    records: &HashMap<&str, Decimal>,
    causes: &BTreeMap<String, BTreeMap<Cause, Decimal>>,
) -> Vec<AccountTieOut> {
    let reported = report.keys().chain(causes.keys()).map(String::as_str);
    let accounts: BTreeSet<&str> = reported.chain(records.keys().copied()).collect();
    let compared = accounts.into_iter().map(|account| AccountTieOut {
        account_id: account.to_owned(),
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
    Year,
}

impl Form {
    /// Returns the account under which an amount is shown that is from before the year, or not.
    fn shown_under<'a>(
        self,
        chart: &Chart,
        retained: Option<&'a str>,
        account: &'a str,
        is_earlier: bool,
    ) -> Option<&'a str> {
        match self {
            Self::Year if is_earlier && chart.is_of_profit(account) => retained,
            _ => Some(account),
        }
    }
}

fn retained_earnings(chart: &Chart) -> Option<&str> {
    let mut accounts = chart.accounts.iter();
    let found = accounts.find(|(_, account)| account.is_retained_earnings);
    found.map(|(id, _)| id.as_str())
}

/// The sums of accounts up to a day, in two parts: before the fiscal year began, and since.
struct Sums<'e> {
    earlier: HashMap<&'e str, Decimal>,
    since: HashMap<&'e str, Decimal>,
}

impl<'e> Sums<'e> {
    fn of(entries: &'e [Entry], day: NaiveDate, year_start: NaiveDate) -> Self {
        let (mut earlier, mut since) = (HashMap::new(), HashMap::new());
        for entry in entries.iter().filter(|entry| entry.date <= day) {
            let part = match entry.date < year_start {
                true => &mut earlier,
                false => &mut since,
            };
            let held: &mut Decimal = part.entry(entry.account_id.as_str()).or_default();
            *held += entry.amount;
        }
        Self { earlier, since }
    }

    fn balances<'b>(&self, chart: &'b Chart, form: Form) -> HashMap<&'b str, Decimal>
    where
        'e: 'b,
    {
        let retained = retained_earnings(chart);
        let mut balances: HashMap<&'b str, Decimal> = HashMap::new();
        for (account, sum) in &self.earlier {
            if let Some(account) = form.shown_under(chart, retained, account, true) {
                *balances.entry(account).or_default() += *sum;
            }
        }
        for (account, sum) in &self.since {
            *balances.entry(account).or_default() += *sum;
        }
        balances
    }
}

/// Sums the differences of transactions up to a day, by account and cause.
fn causes(
    chart: &Chart,
    differences: &[TransactionDifference],
    (day, year_start): (NaiveDate, NaiveDate),
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
            let is_earlier = line_day < year_start;
            if let Some(account) = form.shown_under(chart, retained, account, is_earlier) {
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
