//! The ways in which a record can say something else than the books.

use super::fields::Fields;
use crate::books::{Decimal, money};

fn lines(record: &Fields) -> Vec<Fields> {
    let lines = record
        .get("Line")
        .and_then(|lines| serde_json::from_str(lines).ok());
    lines.unwrap_or_default()
}

fn set_lines(record: &mut Fields, lines: &[Fields]) {
    let lines: Vec<String> = lines.iter().map(Fields::to_string).collect();
    record.set("Line", &format!("[{}]", lines.join(",")));
}

fn cents(record: &Fields, name: &str) -> Option<i64> {
    Some(Decimal::parse(record.get(name)?)?.cents())
}

/// Adds 10.00 to the first line and to the total.
pub(super) fn more_amount(record: &mut Fields) {
    let mut lines = lines(record);
    for fields in lines.first_mut().into_iter().chain([&mut *record]) {
        for name in ["Amount", "TotalAmt"] {
            if let Some(amount) = cents(fields, name) {
                fields.set(name, &money(amount + 1000));
            }
        }
    }
    set_lines(record, &lines);
}

pub(super) fn voided(record: &mut Fields) {
    let mut lines = lines(record);
    for line in &mut lines {
        line.set("Amount", "0");
        if let Some(mut detail) = line.object("SalesItemLineDetail") {
            detail.set("Qty", "0");
            line.set("SalesItemLineDetail", &detail.to_string());
        }
        if let Some(mut detail) = line.object("ItemBasedExpenseLineDetail") {
            detail.set("Qty", "0");
            line.set("ItemBasedExpenseLineDetail", &detail.to_string());
        }
    }
    set_lines(record, &lines);
    record.set("TotalAmt", "0");
    record.set("TxnTaxDetail", r#"{"TotalTax":0}"#);
    record.set_text("PrivateNote", "Voided");
}

pub(super) fn earlier(record: &mut Fields) {
    let date = record
        .text("TxnDate")
        .and_then(|date| date.parse::<chrono::NaiveDate>().ok());
    if let Some(date) = date {
        record.set_text("TxnDate", &(date - chrono::Days::new(35)).to_string());
    }
}

pub(super) fn negated(record: &mut Fields) {
    let negate = |fields: &mut Fields, name: &str| {
        if let Some(amount) = cents(fields, name) {
            fields.set(name, &money(-amount));
        }
    };
    let mut lines = lines(record);
    lines.iter_mut().for_each(|line| negate(line, "Amount"));
    set_lines(record, &lines);
    negate(record, "TotalAmt");
    if let Some(mut tax) = record.object("TxnTaxDetail") {
        let tax_lines = tax
            .get("TaxLine")
            .and_then(|lines| serde_json::from_str(lines).ok());
        let mut tax_lines: Vec<Fields> = tax_lines.unwrap_or_default();
        tax_lines.iter_mut().for_each(|line| negate(line, "Amount"));
        let texts: Vec<String> = tax_lines.iter().map(Fields::to_string).collect();
        tax.set("TaxLine", &format!("[{}]", texts.join(",")));
        negate(&mut tax, "TotalTax");
        record.set("TxnTaxDetail", &tax.to_string());
    }
}

pub(super) fn other_account(record: &mut Fields) {
    let mut lines = lines(record);
    let detail = lines.iter_mut().find_map(|line| {
        line.object("AccountBasedExpenseLineDetail")
            .map(|detail| (line, detail))
    });
    if let Some((line, mut detail)) = detail {
        let known = detail
            .object("AccountRef")
            .and_then(|account| account.text("value"));
        let other = if known.as_deref() == Some("34") {
            "30"
        } else {
            "34"
        };
        detail.set("AccountRef", &format!(r#"{{"value":"{other}"}}"#));
        line.set("AccountBasedExpenseLineDetail", &detail.to_string());
    }
    set_lines(record, &lines);
}

pub(super) fn without_line(record: &mut Fields) {
    let mut lines = lines(record);
    if !lines.is_empty() {
        lines.remove(0);
    }
    set_lines(record, &lines);
}

pub(super) fn without_tax(record: &mut Fields) {
    record.set("TxnTaxDetail", r#"{"TotalTax":0}"#);
}

pub(super) fn other_rate(record: &mut Fields) {
    record.set("ExchangeRate", "1.5");
}
