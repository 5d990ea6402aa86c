//! Accounts and home amounts of a transaction's parts.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::amount::{TOO_LARGE, share, sum};
use super::chart::Chart;
use super::draft::{Draft, Target, total_of};
use super::entry::EntryKind;
use super::problem::Problem;

/// The account of a part, by its place, and its amount in the home currency.
pub(super) type PlacedPart = (usize, Decimal);

/// A transaction whose accounts are known.
#[derive(Debug, Clone, Default)]
pub(super) struct Placed {
    /// One for each part of the draft; none if an account is not known.
    pub(super) parts: Vec<PlacedPart>,
    /// The amounts of the parts that come into stock, by their place in the draft, as far as they can be converted.
    pub(super) values: HashMap<usize, Decimal>,
    /// The exchange difference of a deposit.
    pub(super) exchange: Decimal,
    /// The reason why the transaction cannot be posted.
    pub(super) problem: Option<Problem>,
}

/// Finds the accounts of a draft and converts its amounts. `funds` tells how much another transaction has put
/// into which account.
pub(super) fn place(
    chart: &Chart<'_>,
    draft: &Draft,
    funds: impl Fn(&str, &str) -> Option<(Decimal, PlacedPart)>,
) -> Placed {
    let mut placed = Placed {
        values: values(chart, draft),
        ..Placed::default()
    };
    if let Err(problem) = fill(chart, draft, funds, &mut placed) {
        placed.problem = Some(problem);
    }
    placed
}

/// Returns the values that the accounts of other parts have no say in.
fn values(chart: &Chart<'_>, draft: &Draft) -> HashMap<usize, Decimal> {
    let parts = draft.parts.iter().enumerate();
    let bought = parts.filter(|(_, part)| matches!(part.target, Target::Bought { .. }));
    let values =
        bought.filter_map(|(at, part)| Some((at, chart.at_home(draft, part.amount).ok()?)));
    values.collect()
}

fn fill(
    chart: &Chart<'_>,
    draft: &Draft,
    funds: impl Fn(&str, &str) -> Option<(Decimal, PlacedPart)>,
    placed: &mut Placed,
) -> Result<(), Problem> {
    let is_foreign = chart.is_foreign(draft.currency.as_deref());
    let mut parts = Vec::with_capacity(draft.parts.len());
    for part in &draft.parts {
        let mut home = chart.at_home(draft, part.amount)?;
        let account = match &part.target {
            Target::FundsOf { entity, id } => match funds(entity, id) {
                Some((money, (account, value))) => {
                    if is_foreign && !money.is_zero() {
                        let amount = part.amount.abs();
                        let value = share(value.abs(), amount, money.abs()).ok_or(TOO_LARGE)?;
                        let is_taken = part.amount.is_sign_negative();
                        home = if is_taken { -value } else { value };
                    }
                    account
                }
                None => chart.resolve(&part.target, draft)?,
            },
            target => chart.resolve(target, draft)?,
        };
        parts.push((account, home));
    }
    placed.parts = parts;
    if draft.settles.is_some() {
        return Ok(());
    }
    if is_foreign {
        round(draft, placed)?;
    }
    let rest = total_of(draft)?;
    if !rest.is_zero() {
        return Err(Problem::of_record(difference(draft, rest)));
    }
    Ok(())
}

/// The last line of a foreign transaction takes what rounding leaves over. Money that a deposit takes from
/// payments keeps the value that it came with, and the difference is an exchange difference.
fn round(draft: &Draft, placed: &mut Placed) -> Result<(), String> {
    if let Some(total) = draft.home_total {
        take_home_total(draft, placed, total);
    }
    let rest = sum(placed.parts.iter().map(|(_, home)| *home)).ok_or(TOO_LARGE)?;
    let takes_funds = |target: &Target| matches!(target, Target::FundsOf { .. });
    if draft.parts.iter().any(|part| takes_funds(&part.target)) {
        placed.exchange = -rest;
        return Ok(());
    }
    let last = draft.parts.iter().rposition(|part| !part.amount.is_zero());
    if let (Some(last), true) = (last, total_of(draft)?.is_zero()) {
        placed.parts[last].1 -= rest;
    }
    Ok(())
}

/// Takes the home total of the record, if it is what rounding can make of the total. That of a journal entry
/// is always 0 (qbo-facts 13).
fn take_home_total(draft: &Draft, placed: &mut Placed, total: Decimal) {
    let bound = Decimal::new(draft.parts.len() as i64, 2);
    let is_control = draft
        .parts
        .first()
        .is_some_and(|part| part.kind == EntryKind::Control);
    let Some((_, home)) = placed.parts.first_mut().filter(|_| is_control) else {
        return;
    };
    if (home.abs() - total).abs() <= bound {
        *home = if home.is_sign_negative() {
            -total
        } else {
            total
        };
    }
}

fn difference(draft: &Draft, rest: Decimal) -> String {
    match draft.entity {
        "JournalEntry" => format!("its debits exceed its credits by {rest}"),
        _ => {
            let total = draft.parts.first().map(|part| part.amount.abs());
            let total = total.unwrap_or_default();
            format!(
                "its lines and tax differ from its total of {total} by {}",
                rest.abs()
            )
        }
    }
}
