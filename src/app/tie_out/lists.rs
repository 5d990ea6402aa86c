//! The lists of a company, in the terms of the tie-out.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::books::tie_out::{Chart, ChartAccount, PartyKind, ReportedTransaction};
use crate::books::{Account, Entry, Lists, OpeningStock};
use crate::domain::reports::STARTING_VALUE;

/// Returns the chart of accounts.
pub(super) fn chart_of(lists: &Lists) -> Chart {
    let accounts = lists.accounts.iter();
    Chart {
        may_have_currencies: lists.may_have_currencies(),
        parents: lists.parents.clone(),
        accounts: accounts
            .map(|account| (account.id.clone(), chart_account(account)))
            .collect(),
    }
}

fn chart_account(account: &Account) -> ChartAccount {
    let of_type = |types: &[&str]| types.contains(&account.account_type.as_str());
    let of_sub_type = |types: &[&str]| types.contains(&account.sub_type.as_str());
    ChartAccount {
        name: account.name.clone(),
        is_of_profit: of_type(&[
            "Income",
            "Other Income",
            "Cost of Goods Sold",
            "Expense",
            "Other Expense",
        ]),
        grows_by_debit: of_type(&[
            "Bank",
            "Accounts Receivable",
            "Other Current Asset",
            "Fixed Asset",
            "Other Asset",
            "Cost of Goods Sold",
            "Expense",
            "Other Expense",
        ]),
        is_retained_earnings: of_sub_type(&["RetainedEarnings"]),
        is_tax: of_sub_type(&["SalesTaxPayable", "GlobalTaxPayable", "GlobalTaxSuspense"]),
        is_exchange: of_sub_type(&["ExchangeGainOrLoss"]),
        party_kind: match account.account_type.as_str() {
            "Accounts Receivable" => Some(PartyKind::Customer),
            "Accounts Payable" => Some(PartyKind::Vendor),
            _ => None,
        },
    }
}

/// Returns the starting stock that earlier tie-outs found in reports.
pub(in crate::app) fn kept_stock(lists: &Lists, kept: &[Entry]) -> Vec<OpeningStock> {
    let values = kept.iter().filter(|entry| entry.entity == STARTING_VALUE);
    stock_of(
        lists,
        values.map(|entry| (entry.id.as_str(), entry.date, entry.amount)),
    )
}

/// Returns the starting stock that reports show.
pub(super) fn starting_stock(lists: &Lists, reported: &[ReportedTransaction]) -> Vec<OpeningStock> {
    let transactions = reported
        .iter()
        .filter(|transaction| transaction.label == STARTING_VALUE);
    let lines = transactions.flat_map(|transaction| {
        let lines = transaction.lines.iter();
        lines.map(|line| (transaction.id.as_str(), transaction.date, line.amount))
    });
    stock_of(lists, lines)
}

/// Finds the items of starting values. Stock comes in as a debit.
fn stock_of<'a>(
    lists: &Lists,
    lines: impl Iterator<Item = (&'a str, NaiveDate, Decimal)>,
) -> Vec<OpeningStock> {
    let mut values: BTreeMap<(&str, NaiveDate), Decimal> = BTreeMap::new();
    for (id, date, amount) in lines.filter(|(.., amount)| amount.is_sign_positive()) {
        *values.entry((id, date)).or_default() += amount;
    }
    let values = values.into_iter();
    values
        .filter_map(|((id, date), value)| lists.opening_stock_of(id, date, value))
        .collect()
}
