//! Documents with lines, tax and a total: sales, and purchases.

use rust_decimal::Decimal;

use super::amount::{TOO_LARGE, share, sum};
use super::draft::{Draft, Part, Target, required, total_of};
use super::entry::EntryKind;
use super::problem::Problem;
use super::record::{self, Detail, Line, Record};

/// The id of the item that stands for shipping (facts/fields.tsv, salesitemlinedetail).
pub(super) const SHIPPING: &str = "SHIPPING_ITEM_ID";

/// The side of a document's lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Debit,
    Credit,
}

impl Side {
    fn sign(self, amount: Decimal) -> Decimal {
        match self {
            Self::Debit => amount,
            Self::Credit => -amount,
        }
    }
}

pub(super) fn invoice(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let receivable = Target::Receivable(record::id(record.receivable_ref.as_ref()));
    document(record, draft, receivable, Side::Credit)?;
    // What was paid when the invoice was written lessens the receivable (facts/fields.tsv, Deposit).
    let deposit = record.deposit.unwrap_or_default().0;
    if !deposit.is_zero() {
        let account = Target::Deposited(record::id(record.deposit_to_account_ref.as_ref()));
        let Some(control) = draft.parts.first_mut() else {
            return Ok(());
        };
        control.amount = control.amount.checked_sub(deposit).ok_or(TOO_LARGE)?;
        let part = Part::new(account, deposit, EntryKind::Control);
        draft.parts.insert(1, part);
    }
    Ok(())
}

pub(super) fn credit_memo(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let receivable = Target::Receivable(record::id(record.receivable_ref.as_ref()));
    document(record, draft, receivable, Side::Debit)
}

pub(super) fn sales_receipt(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let account = Target::Deposited(record::id(record.deposit_to_account_ref.as_ref()));
    document(record, draft, account, Side::Credit)
}

pub(super) fn refund_receipt(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let account = Target::Deposited(record::id(record.deposit_to_account_ref.as_ref()));
    document(record, draft, account, Side::Debit)
}

pub(super) fn bill(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let payable = Target::Payable(record::id(record.payable_ref.as_ref()));
    document(record, draft, payable, Side::Debit)
}

pub(super) fn vendor_credit(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let payable = Target::Payable(record::id(record.payable_ref.as_ref()));
    document(record, draft, payable, Side::Credit)
}

pub(super) fn purchase(record: &Record, draft: &mut Draft) -> Result<(), Problem> {
    let account = Target::Account(required(record.account_ref.as_ref(), "AccountRef")?);
    let is_credit = record.credit.is_some_and(|credit| credit.0);
    let side = if is_credit { Side::Credit } else { Side::Debit };
    document(record, draft, account, side)
}

fn document(
    record: &Record,
    draft: &mut Draft,
    control: Target,
    side: Side,
) -> Result<(), Problem> {
    let total = record
        .total_amt
        .ok_or_else(|| Problem::lacks("TotalAmt"))?
        .0;
    draft.push(control, -side.sign(total), EntryKind::Control);
    push_lines(record.line.as_deref().unwrap_or_default(), draft, side)?;
    push_taxes(record, draft, side);
    if record.global_tax_calculation.as_deref() == Some("TaxInclusive") {
        take_tax_out(draft)?;
    }
    Ok(())
}

/// Subtotals, and lines that only describe, repeat what other lines say; so does the amount of a group.
fn push_lines(lines: &[Line], draft: &mut Draft, side: Side) -> Result<(), Problem> {
    for line in lines {
        if let Some(group) = &line.group {
            push_lines(group.line.as_deref().unwrap_or_default(), draft, side)?;
        }
        let amount = side.sign(line.amount.unwrap_or_default().0);
        if let Some(detail) = &line.sale {
            let target = sold(detail, side);
            if let Some(target) = target {
                push_line(draft, target, amount, line, detail);
            }
        } else if let Some(detail) = &line.discount {
            // A discount is positive, and lessens the total.
            let account = record::id(detail.discount_account_ref.as_ref());
            draft.push(Target::Discount(account), -amount, EntryKind::Discount);
        } else if let Some(detail) = &line.expense {
            let account = required(detail.account_ref.as_ref(), "AccountRef in a line")?;
            push_line(draft, Target::Account(account), amount, line, detail);
        } else if let Some(detail) = &line.item
            && let Some(item) = record::id(detail.item_ref.as_ref())
        {
            let quantity = side.sign(detail.qty.unwrap_or_default().0);
            let target = Target::Bought { item, quantity };
            push_line(draft, target, amount, line, detail);
        }
    }
    Ok(())
}

fn push_line(draft: &mut Draft, target: Target, amount: Decimal, line: &Line, detail: &Detail) {
    let part = Part::new(target, amount, EntryKind::Line).memo(line.description.as_ref());
    draft
        .parts
        .push(part.taxed_by(detail.tax_code_ref.as_ref()));
}

/// Returns what a line of a sale sells. A line without an item only documents, and its amount means nothing
/// (facts/fields.tsv, salesitemlinedetail). The account in the line is the one at the time of the sale.
fn sold(detail: &Detail, side: Side) -> Option<Target> {
    let (item, account) = (
        record::id(detail.item_ref.as_ref()),
        record::id(detail.item_account_ref.as_ref()),
    );
    if item.is_none() && account.is_none() {
        return None;
    }
    let quantity = -side.sign(detail.qty.unwrap_or_default().0);
    Some(Target::Sold {
        item,
        account,
        quantity,
    })
}

/// The tax of each rate goes to the account of its agency (reports F); without lines, all of it to that of
/// the tax code.
fn push_taxes(record: &Record, draft: &mut Draft, side: Side) {
    let Some(detail) = &record.txn_tax_detail else {
        return;
    };
    let lines = detail.tax_line.as_deref().unwrap_or_default();
    for line in lines {
        let rate = line
            .tax
            .as_ref()
            .and_then(|tax| record::id(tax.tax_rate_ref.as_ref()));
        let target = rate.map_or(Target::TaxCode(None), Target::TaxRate);
        let amount = line.amount.unwrap_or_default().0;
        draft.push(target, side.sign(amount), EntryKind::Tax);
    }
    let total = detail.total_tax.unwrap_or_default().0;
    if lines.is_empty() && !total.is_zero() {
        let code = record::id(detail.txn_tax_code_ref.as_ref());
        draft.push(Target::TaxCode(code), side.sign(total), EntryKind::Tax);
    }
}

/// Lines of a document whose prices include tax may hold it, or not. If they do, it is taken out of the
/// taxed ones, in proportion. What rounding leaves over, at most a cent a line, goes to the last line.
fn take_tax_out(draft: &mut Draft) -> Result<(), Problem> {
    let rest = total_of(draft)?;
    let taxes = draft
        .parts
        .iter()
        .filter(|part| part.kind == EntryKind::Tax);
    let tax = sum(taxes.map(|part| part.amount)).ok_or(TOO_LARGE)?;
    if rest == tax && !tax.is_zero() {
        return take_from_taxed(draft, tax);
    }
    let bound = Decimal::new(draft.parts.len() as i64, 2);
    if rest.is_zero() || rest.abs() > bound {
        return Ok(());
    }
    let mut lines = draft.parts.iter_mut().rev();
    match lines.find(|part| part.kind == EntryKind::Line) {
        // The stock of an item has the value that is posted.
        Some(line) if matches!(line.target, Target::Bought { .. }) => line.amount -= rest,
        Some(line) => {
            let target = line.target.without_quantity();
            draft.push(target, -rest, EntryKind::Rounding);
        }
        None => {}
    }
    Ok(())
}

fn take_from_taxed(draft: &mut Draft, tax: Decimal) -> Result<(), Problem> {
    let is_taxed = |part: &&mut Part| part.is_taxed && part.kind == EntryKind::Line;
    let taxed: Vec<_> = draft.parts.iter_mut().filter(is_taxed).collect();
    let base = sum(taxed.iter().map(|part| part.amount)).ok_or(TOO_LARGE)?;
    let (mut left, count) = (tax, taxed.len());
    for (number, part) in (1..).zip(taxed) {
        let taken = match number == count {
            true => left,
            false => share(tax, part.amount, base).ok_or(TOO_LARGE)?,
        };
        part.amount = part.amount.checked_sub(taken).ok_or(TOO_LARGE)?;
        left = left.checked_sub(taken).ok_or(TOO_LARGE)?;
    }
    Ok(())
}
