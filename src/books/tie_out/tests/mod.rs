//! Each cause by an example with invented figures, and what must never count as agreed.

mod accounts;
mod families;
mod open_documents;
mod reports;
mod transactions;

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::reported::ReportedLine;
use super::*;
use crate::books::{Entry, EntryKind, EntrySource, Settlement};
use crate::domain::reports::{Cell, Column, ReportAnswer, ReportRow, RowKind, Section};

fn dec(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

const REPORTED_AT: &str = "2031-06-01T00:00:00Z";
const READ_AT: &str = "2031-03-01T00:00:00Z";

/// Bank 1, receivables 2, payables 3, retained earnings 4, stock 5, tax 6, exchange 7, income 10, cost 11,
/// expenses 12 and 13.
fn chart() -> Chart {
    let account = |id: &str, is_of_profit, grows_by_debit| {
        let account = ChartAccount {
            name: format!("Account {id}"),
            is_of_profit,
            grows_by_debit,
            is_retained_earnings: id == "4",
            is_tax: id == "6",
            is_exchange: id == "7",
            party_kind: match id {
                "2" => Some(PartyKind::Customer),
                "3" => Some(PartyKind::Vendor),
                _ => None,
            },
        };
        (id.to_owned(), account)
    };
    let accounts = [
        account("1", false, true),
        account("2", false, true),
        account("3", false, false),
        account("4", false, false),
        account("5", false, true),
        account("6", false, false),
        account("7", true, true),
        account("10", true, false),
        account("11", true, true),
        account("12", true, true),
        account("13", true, true),
    ];
    Chart {
        accounts: HashMap::from(accounts),
        may_have_currencies: false,
        parents: HashMap::from(
            [("78", "77"), ("80", "78")].map(|(part, whole)| (part.to_owned(), whole.to_owned())),
        ),
    }
}

/// The kind that an account usually has.
fn kind(account: &str) -> EntryKind {
    match account {
        "1" | "2" | "3" => EntryKind::Control,
        "5" | "11" => EntryKind::Stock,
        "6" => EntryKind::Tax,
        "7" => EntryKind::Exchange,
        _ => EntryKind::Line,
    }
}

fn record(entity: &str, id: &str, date: &str, lines: &[(&str, &str)]) -> Vec<Entry> {
    let entry = |(number, (account, amount)): (usize, &(&str, &str))| Entry {
        entity: entity.to_owned(),
        id: id.to_owned(),
        line: number as u32 + 1,
        date: day(date),
        account_id: (*account).to_owned(),
        amount: dec(amount),
        foreign: None,
        party: Some(("Customer".to_owned(), "77".to_owned())),
        memo: None,
        number: None,
        kind: kind(account),
        source: EntrySource::Record,
    };
    lines.iter().enumerate().map(entry).collect()
}

fn foreign(mut entries: Vec<Entry>) -> Vec<Entry> {
    for entry in &mut entries {
        entry.foreign = Some(("EUR".to_owned(), entry.amount));
    }
    entries
}

fn reported(label: &str, id: &str, date: &str, lines: &[(&str, &str)]) -> ReportedTransaction {
    let line = |(account, amount): &(&str, &str)| ReportedLine {
        account: (*account).to_owned(),
        amount: dec(amount),
        party: Some("77".to_owned()),
    };
    ReportedTransaction {
        label: label.to_owned(),
        id: id.to_owned(),
        date: day(date),
        lines: lines.iter().map(line).collect(),
        party: Some("77".to_owned()),
        changed_at: None,
    }
}

fn compare(entries: &[Entry], reported: &[ReportedTransaction]) -> Vec<TransactionDifference> {
    compare_with(entries, reported, &[])
}

fn compare_with(
    entries: &[Entry],
    reported: &[ReportedTransaction],
    unbalanced: &[(&str, &str)],
) -> Vec<TransactionDifference> {
    let own = |(entity, id): (&str, &str)| (entity.to_owned(), id.to_owned());
    let keys = entries
        .iter()
        .map(|entry| own((&entry.entity, &entry.id)))
        .chain(unbalanced.iter().map(|key| own(*key)));
    let landed: HashMap<_, _> = keys.map(|key| (key, at(READ_AT))).collect();
    let unbalanced = unbalanced.iter();
    let unbalanced: HashMap<_, _> = unbalanced
        .map(|key| (own(*key), Cause::IncompleteRecord))
        .collect();
    let records = Records {
        entries,
        landed: &landed,
        has_tax_payments: false,
        unbalanced: &unbalanced,
    };
    let range = (day("2031-01-01"), day("2031-12-31"));
    compare_transactions(&chart(), &records, reported, range, at(REPORTED_AT))
}

/// Compares transactions whose records have landed and post nothing.
fn compare_landed(
    landed: &[(&str, &str)],
    reported: &[ReportedTransaction],
) -> Vec<TransactionDifference> {
    let own = |(entity, id): &(&str, &str)| ((*entity).to_owned(), (*id).to_owned());
    let landed: HashMap<_, _> = landed.iter().map(|key| (own(key), at(READ_AT))).collect();
    let records = Records {
        entries: &[],
        landed: &landed,
        has_tax_payments: false,
        unbalanced: &HashMap::new(),
    };
    let range = (day("2031-01-01"), day("2031-12-31"));
    compare_transactions(&chart(), &records, reported, range, at(REPORTED_AT))
}

fn causes(differences: &[TransactionDifference]) -> Vec<Option<Cause>> {
    differences
        .iter()
        .map(|difference| difference.cause)
        .collect()
}

const SALE: [(&str, &str); 3] = [("2", "107.00"), ("10", "-100.00"), ("6", "-7.00")];

fn cell(value: &str, id: Option<&str>) -> Cell {
    Cell {
        value: value.to_owned(),
        id: id.map(str::to_owned),
    }
}

fn answer(keys: &[&str], rows: Vec<ReportRow>) -> ReportAnswer {
    let column = |key: &&str| Column {
        key: (*key).to_owned(),
        title: String::new(),
        kind: String::new(),
    };
    ReportAnswer {
        name: "Invented".to_owned(),
        basis: None,
        start: None,
        end: None,
        currency: None,
        columns: keys.iter().map(column).collect(),
        rows,
        is_cut: false,
    }
}

fn row(kind: RowKind, cells: Vec<Cell>) -> ReportRow {
    ReportRow {
        path: Vec::new(),
        kind,
        group: None,
        cells,
    }
}
