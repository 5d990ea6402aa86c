//! The posting rules: one row for each kind of transaction.
//!
//! They say what double-entry bookkeeping demands of a transaction of that kind. The comments name
//! what else they are based on: `qbo-facts` is docs/qbo-facts.md, and "fields" is facts/fields.tsv.

use rust_decimal::Decimal;

use super::amount::Amount;
use super::deposit::deposit;
use super::document::{
    bill, credit_memo, invoice, purchase, refund_receipt, sales_receipt, vendor_credit,
};
use super::draft::{Draft, Target, party, required};
use super::entry::EntryKind;
use super::payment::{bill_payment, payment};
use super::problem::Problem;
use super::record::{self, Record};
use crate::domain::voided::is_voided;

/// Adds the parts of a record to its draft.
type Parts = fn(&Record, &mut Draft) -> Result<(), Problem>;

/// The posting rule of one entity.
pub(super) struct Rule {
    pub(super) entity: &'static str,
    parts: Parts,
}

const fn rule(entity: &'static str, parts: Parts) -> Rule {
    Rule { entity, parts }
}

/// The entities that post. Debit is named first.
pub(super) const RULES: &[Rule] = &[
    // Receivable: income of each item, tax payable; discounts the other way round.
    rule("Invoice", invoice),
    // An invoice the other way round.
    rule("CreditMemo", credit_memo),
    // Account of the deposit, by default Undeposited Funds (fields, DepositToAccountRef): as an invoice.
    rule("SalesReceipt", sales_receipt),
    // A sales receipt the other way round.
    rule("RefundReceipt", refund_receipt),
    // Account of the deposit, by default Undeposited Funds: receivable of what it settles.
    rule("Payment", payment),
    // Account of the deposit, cash back: the account that each linked payment went to, or that of the line.
    rule("Deposit", deposit),
    // Expense or asset of each line, tax: payable.
    rule("Bill", bill),
    // A bill the other way round.
    rule("VendorCredit", vendor_credit),
    // Payable of what it settles: bank or credit card (fields, PayType).
    rule("BillPayment", bill_payment),
    // Expense or asset of each line: bank or card. The other way round if `Credit` is true (fields).
    rule("Purchase", purchase),
    // Credit card: bank. Always in the home currency (facts/entities.tsv).
    rule("CreditCardPayment", credit_card_payment),
    // The account it goes to: the account it comes from.
    rule("Transfer", transfer),
    // Its lines, by `PostingType`; amounts may be negative. `TotalAmt` is always 0 (qbo-facts 13).
    rule("JournalEntry", journal_entry),
    // Stock, or the account of adjustments, at the cost of the items.
    rule("InventoryAdjustment", inventory_adjustment),
    // What was filed: bank. A refund the other way round (fields). AU, CA and UK only.
    rule(TAX_PAYMENT, tax_payment),
];

/// The entity of payments of tax, in the countries that have such records.
pub(crate) const TAX_PAYMENT: &str = "TaxPayment";

/// The entities of [`RULES`].
pub(crate) const POSTING: [&str; RULES.len()] = {
    let mut names = [""; RULES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = RULES[at].entity;
        at += 1;
    }
    names
};

/// Returns the rule of an entity.
pub(super) fn rule_of(entity: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.entity == entity)
}

impl Rule {
    /// Reads a payload by this rule. The reason of an error is for the list of what did not post.
    pub(super) fn read(&self, payload: &[u8]) -> Result<Draft, Problem> {
        let record: Record = serde_json::from_slice(payload)
            .map_err(|error| format!("it cannot be read: {error}"))?;
        let mut draft = Draft::new(self.entity, &record)?;
        if !is_void(self.entity, &record) {
            (self.parts)(&record, &mut draft)?;
        }
        Ok(draft)
    }
}

fn is_void(entity: &str, record: &Record) -> bool {
    let is_zero = |amount: Option<Amount>| amount.is_none_or(|amount| amount.0.is_zero());
    let note = record.private_note.as_deref().unwrap_or_default();
    let total = record.total_amt.or(record.amount);
    is_voided(entity, note, is_zero(total), || {
        let mut lines = record.line.iter().flatten();
        lines.all(|line| is_zero(line.amount))
    })
}

/// Moves an amount from one account to another.
fn moved(
    draft: &mut Draft,
    (from, to): (String, String),
    amount: Option<Amount>,
    property: &str,
) -> Result<(), Problem> {
    let amount = amount.ok_or_else(|| Problem::lacks(property))?.0;
    draft.push(Target::Account(to), amount, EntryKind::Line);
    draft.push(Target::Account(from), -amount, EntryKind::Control);
    Ok(())
}

fn credit_card_payment(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let bank = required(record.bank_account_ref.as_ref(), "BankAccountRef")?;
    let card = required(
        record.credit_card_account_ref.as_ref(),
        "CreditCardAccountRef",
    )?;
    moved(draft, (bank, card), record.amount, "Amount")
}

fn transfer(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let from = required(record.from_account_ref.as_ref(), "FromAccountRef")?;
    let to = required(record.to_account_ref.as_ref(), "ToAccountRef")?;
    moved(draft, (from, to), record.amount, "Amount")
}

/// Lines without an account only describe (dbt_quickbooks 113). Tax lines are negative if they are credits
/// (facts/fields.tsv, taxline).
fn journal_entry(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    for line in record.line.iter().flatten() {
        let Some(detail) = &line.journal else {
            continue;
        };
        let Some(account) = record::id(detail.account_ref.as_ref()) else {
            continue;
        };
        let amount = line.amount.unwrap_or_default().0;
        let amount = match detail.posting_type.as_deref() {
            Some("Debit") => amount,
            Some("Credit") => -amount,
            other => return Err(format!("a line has the PostingType {other:?}").into()),
        };
        draft.push(Target::Account(account), amount, EntryKind::Line);
        if let Some(part) = draft.parts.last_mut() {
            part.memo = line.description.clone().filter(|memo| !memo.is_empty());
            part.party = party(detail.entity.as_ref());
        }
    }
    let taxes = record.txn_tax_detail.iter().flat_map(|tax| &tax.tax_line);
    for line in taxes.flatten() {
        let rate = line
            .tax
            .as_ref()
            .and_then(|tax| record::id(tax.tax_rate_ref.as_ref()));
        let target = rate.map_or(Target::TaxCode(None), Target::TaxRate);
        draft.push(target, line.amount.unwrap_or_default().0, EntryKind::Tax);
    }
    Ok(())
}

/// A quantity that comes in has the cost of the last purchase, one that leaves that of the oldest stock.
fn inventory_adjustment(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let account = required(record.adjust_account_ref.as_ref(), "AdjustAccountRef")?;
    for line in record.line.iter().flatten() {
        let Some(detail) = &line.adjustment else {
            continue;
        };
        let target = Target::Counted {
            item: required(detail.item_ref.as_ref(), "ItemRef")?,
            quantity: detail.qty_diff.unwrap_or_default().0,
            account: account.clone(),
        };
        draft.push(target, Decimal::ZERO, EntryKind::Stock);
    }
    Ok(())
}

fn tax_payment(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let bank = required(record.payment_account_ref.as_ref(), "PaymentAccountRef")?;
    let amount = record
        .payment_amount
        .ok_or_else(|| Problem::lacks("PaymentAmount"))?
        .0;
    let is_refund = record.refund.is_some_and(|refund| refund.0);
    let amount = if is_refund { -amount } else { amount };
    draft.push(Target::FiledTax, amount, EntryKind::Tax);
    draft.push(Target::Account(bank), -amount, EntryKind::Control);
    draft.memo = draft.memo.take().or_else(|| record.description.clone());
    Ok(())
}
