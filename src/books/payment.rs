//! Payments of customers and to vendors: money on one side, what they settle on the other.

use rust_decimal::Decimal;

use super::draft::{Draft, Link, Settles, Target, linked_entity};
use super::entry::EntryKind;
use super::problem::Problem;
use super::record::{self, Record};

/// The account is by default Undeposited Funds (facts/fields.tsv, DepositToAccountRef).
pub(super) fn payment(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let total = record
        .total_amt
        .ok_or_else(|| Problem::lacks("TotalAmt"))?
        .0;
    let account = record::id(record.deposit_to_account_ref.as_ref());
    draft.push(Target::Deposited(account), total, EntryKind::Control);
    draft.settles = Some(Settles {
        links: links(record),
        owed: Target::Receivable(record::id(record.receivable_ref.as_ref())),
    });
    Ok(())
}

pub(super) fn bill_payment(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let total = record
        .total_amt
        .ok_or_else(|| Problem::lacks("TotalAmt"))?
        .0;
    let check = record.check_payment.as_ref();
    let card = record.credit_card_payment.as_ref();
    let account = check
        .and_then(|check| record::id(check.bank_account_ref.as_ref()))
        .or_else(|| record::id(card?.card_ref.as_ref()))
        .ok_or_else(|| Problem::of_record("it names no bank account and no card"))?;
    draft.push(Target::Account(account), -total, EntryKind::Control);
    draft.settles = Some(Settles {
        links: links(record),
        owed: Target::Payable(record::id(record.payable_ref.as_ref())),
    });
    Ok(())
}

/// Amounts of links have no sign: a credit that is used lessens what is paid.
fn links(record: &Record) -> Vec<Link> {
    let mut links = Vec::new();
    for line in record.line.iter().flatten() {
        let Some(linked) = line.linked_txn.iter().flatten().next() else {
            continue;
        };
        let kind = linked.txn_type.as_deref().unwrap_or_default();
        let amount = line.amount.unwrap_or_default().0;
        if amount == Decimal::ZERO {
            continue;
        }
        links.push(Link {
            entity: linked_entity(kind),
            id: linked.txn_id.clone().unwrap_or_default(),
            amount,
        });
    }
    links
}
