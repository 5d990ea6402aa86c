//! Deposits: money from Undeposited Funds and from elsewhere, put into a bank account.

use super::amount::{TOO_LARGE, sum};
use super::draft::{Draft, Part, Target, linked_entity, party, required};
use super::entry::EntryKind;
use super::problem::Problem;
use super::record::{self, Line, LinkedTxn, Record};

/// The bank gets what the lines come to, less what was taken in cash.
pub(super) fn deposit(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let bank = required(
        record.deposit_to_account_ref.as_ref(),
        "DepositToAccountRef",
    )?;
    let mut parts = Vec::new();
    for line in record.line.iter().flatten() {
        parts.extend(part(line)?);
    }
    let lines = sum(parts.iter().map(|part| -part.amount)).ok_or(TOO_LARGE)?;
    let mut net = lines;
    if let Some(cash) = &record.cash_back {
        let amount = cash.amount.unwrap_or_default().0;
        if !amount.is_zero() {
            let account = required(cash.account_ref.as_ref(), "CashBack.AccountRef")?;
            let part = Part::new(Target::Account(account), amount, EntryKind::Line);
            parts.push(part.memo(cash.memo.as_ref()));
            net = lines.checked_sub(amount).ok_or(TOO_LARGE)?;
        }
    }
    // `TotalAmt` is with or without the cash; anything else is not the sum of these lines.
    let total = record
        .total_amt
        .ok_or_else(|| Problem::lacks("TotalAmt"))?
        .0;
    let total = if total == lines { net } else { total };
    draft.push(Target::Account(bank), total, EntryKind::Control);
    draft.parts.extend(parts);
    Ok(())
}

/// A line takes money from the account that the payment it links to was put into, or from the one it names.
fn part(line: &Line) -> Result<Option<Part>, Problem> {
    let amount = line.amount.unwrap_or_default().0;
    let detail = line.deposit.as_ref();
    let account = detail.and_then(|detail| record::id(detail.account_ref.as_ref()));
    let linked = line.linked_txn.iter().flatten().next();
    let target = match (account, linked) {
        (Some(account), _) => Target::Account(account),
        (None, Some(linked)) => funds_of(linked),
        (None, None) if amount.is_zero() => return Ok(None),
        (None, None) => {
            let reason = "a line has neither an account nor a link";
            return Err(Problem::of_record(reason));
        }
    };
    let mut part = Part::new(target, -amount, EntryKind::Line).memo(line.description.as_ref());
    part.party = detail.and_then(|detail| party(detail.entity.as_ref()));
    Ok(Some(part))
}

/// Payments and the like say which account they were put into. Of others only Undeposited Funds can be
/// deposited.
fn funds_of(linked: &LinkedTxn) -> Target {
    let entity = linked_entity(linked.txn_type.as_deref().unwrap_or_default());
    match entity {
        "Payment" | "SalesReceipt" | "RefundReceipt" | "Transfer" => Target::FundsOf {
            entity,
            id: linked.txn_id.clone().unwrap_or_default(),
        },
        _ => Target::Deposited(None),
    }
}
