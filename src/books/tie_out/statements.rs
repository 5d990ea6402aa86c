//! Profit and loss statement and balance sheet against the trial balance and the general ledger: the
//! reports must not contradict each other.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::cause::Cause;
use super::chart::{Balances, Chart, PartyKind};
use super::difference::TransactionDifference;
use super::open_documents::OpenDocuments;
use super::reported::{ReportedTransaction, can_be_summed, sum};
use crate::domain::reports::{ReportAnswer, RowKind};

/// Reads the amount of each account of a statement, as a debit.
///
/// # Errors
/// The reason, if the statement is cut, names an account that no record knows, or an amount is none.
fn amounts(answer: &ReportAnswer, chart: &Chart) -> Result<Balances, String> {
    if answer.is_cut {
        return Err(format!("{} is cut", answer.name));
    }
    let last = answer.columns.len().checked_sub(1);
    let total = answer.column("total").or(last).filter(|total| *total > 0);
    let total = total.ok_or_else(|| format!("{} has no column of totals", answer.name))?;
    let mut found = Balances::new();
    for row in answer
        .rows
        .iter()
        .filter(|row| row.kind != RowKind::Summary)
    {
        let id = row.cells.first().and_then(|label| label.id.as_ref());
        let text = row.cells.get(total).map_or("", |cell| &cell.value);
        let Some(id) = id.filter(|id| !id.is_empty() && !text.is_empty()) else {
            continue;
        };
        let amount = row.amount(total).filter(can_be_summed);
        let amount = amount.ok_or_else(|| format!("{}: '{text}' is no amount", answer.name))?;
        let held = found.entry(id.clone()).or_default();
        *held = sum(*held, chart.debit(id, amount)?)?;
    }
    Ok(found)
}

/// Returns the accounts of the balance sheet whose balance the trial balance has otherwise.
///
/// Retained earnings are left out: profit of earlier years is in them, and nothing posts it.
///
/// # Errors
/// See [`amounts`].
pub(crate) fn check_balance_sheet(
    answer: &ReportAnswer,
    trial_balance: &Balances,
    chart: &Chart,
) -> Result<Vec<String>, String> {
    let shown = amounts(answer, chart)?;
    let expected = trial_balance.iter().filter(|(account, _)| {
        let known = chart.accounts.get(*account);
        known.is_some_and(|known| !known.is_of_profit && !known.is_retained_earnings)
    });
    let is_retained = |account: &String| {
        let known = chart.accounts.get(account);
        known.is_some_and(|known| known.is_retained_earnings)
    };
    let expected: Balances = expected.map(|(id, amount)| (id.clone(), *amount)).collect();
    let shown: Balances = shown
        .into_iter()
        .filter(|(account, _)| !is_retained(account))
        .collect();
    Ok(contradictions(
        (&answer.name, &shown),
        ("TrialBalance", &expected),
    ))
}

/// Returns the accounts of the profit and loss statement whose movement the general ledger has otherwise.
/// The statement of a long time comes in parts, which add up.
///
/// # Errors
/// See [`amounts`].
pub(crate) fn check_profit_and_loss(
    parts: &[ReportAnswer],
    ledger: &[ReportedTransaction],
    chart: &Chart,
) -> Result<Vec<String>, String> {
    let mut shown = Balances::new();
    for part in parts {
        for (account, amount) in amounts(part, chart)? {
            let held = shown.entry(account).or_default();
            *held = sum(*held, amount)?;
        }
    }
    let mut expected = Balances::new();
    for line in ledger.iter().flat_map(|transaction| &transaction.lines) {
        let known = chart.accounts.get(&line.account);
        if known.is_some_and(|known| known.is_of_profit) {
            let held = expected.entry(line.account.clone()).or_default();
            *held = sum(*held, line.amount)?;
        }
    }
    Ok(contradictions(
        ("ProfitAndLoss", &shown),
        ("GeneralLedger", &expected),
    ))
}

/// Returns the accounts of the balance sheet whose movement in the general ledger is not the difference of
/// two trial balances. A ledger that lacks rows without saying so is found by this.
///
/// # Errors
/// The reason, if an amount is too large.
pub(crate) fn check_movements(
    ledger: &[ReportedTransaction],
    (opening, closing): (&Balances, &Balances),
    chart: &Chart,
) -> Result<Vec<String>, String> {
    let is_kept = |account: &String| {
        let known = chart.accounts.get(account);
        known.is_some_and(|known| !known.is_of_profit && !known.is_retained_earnings)
    };
    let (mut moved, mut expected) = (Balances::new(), Balances::new());
    for line in ledger.iter().flat_map(|transaction| &transaction.lines) {
        if is_kept(&line.account) {
            let held = moved.entry(line.account.clone()).or_default();
            *held = sum(*held, line.amount)?;
        }
    }
    let signed = closing.iter().map(|(id, amount)| (id, *amount));
    for (account, amount) in signed.chain(opening.iter().map(|(id, amount)| (id, -*amount))) {
        if is_kept(account) {
            let held = expected.entry(account.clone()).or_default();
            *held = sum(*held, amount)?;
        }
    }
    Ok(contradictions(
        ("GeneralLedger", &moved),
        ("TrialBalance", &expected),
    ))
}

/// Returns a contradiction if the open documents of a kind of party do not come to the balance of its accounts. What
/// only reports show on these accounts and is of nobody, such as a revaluation, is in no document.
///
/// # Errors
/// The reason, if an amount is too large.
pub(crate) fn check_open_documents(
    (kind, open): (PartyKind, &OpenDocuments),
    (balances, day): (&Balances, NaiveDate),
    chart: &Chart,
    differences: &[TransactionDifference],
) -> Result<Option<String>, String> {
    let owed: BTreeSet<&str> = chart.owed_by(kind).collect();
    let mut balance = Decimal::ZERO;
    for (account, amount) in balances {
        if owed.contains(account.as_str()) {
            balance = sum(balance, *amount)?;
        }
    }
    let reported = differences.iter();
    for it in reported.filter(|it| it.cause.is_some_and(Cause::is_only_reported)) {
        let lines = it.signed_lines();
        let on_accounts = lines.filter(|(_, account, _)| owed.contains(account));
        let of_nobody = on_accounts.map(|(date, _, amount)| (date, -amount));
        let parties = it.party_lines().iter().filter(|line| line.kind == kind);
        let all = of_nobody.chain(parties.map(|line| (line.date, line.amount)));
        for (_, amount) in all.filter(|(date, _)| *date <= day) {
            balance = sum(balance, amount)?;
        }
    }
    if kind == PartyKind::Vendor {
        balance = -balance;
    }
    let mut documents = Decimal::ZERO;
    for document in open.values() {
        documents = sum(documents, document.amount)?;
    }
    Ok((documents != balance).then(|| {
        format!(
            "its open amounts come to {documents}, and TrialBalance says {balance} of what is owed"
        )
    }))
}

fn contradictions(
    (name, shown): (&str, &Balances),
    (other, expected): (&str, &Balances),
) -> Vec<String> {
    let amount = |sums: &Balances, account: &String| -> Decimal {
        sums.get(account).copied().unwrap_or_default()
    };
    let mut accounts: Vec<&String> = shown.keys().chain(expected.keys()).collect();
    accounts.sort();
    accounts.dedup();
    let different = accounts
        .into_iter()
        .filter(|account| amount(shown, account) != amount(expected, account));
    different
        .map(|account| {
            let (shown, expected) = (amount(shown, account), amount(expected, account));
            format!("account {account}: {name} says {shown}, {other} says {expected}")
        })
        .collect()
}
