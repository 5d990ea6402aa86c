//! The journal and the list of transactions.

use std::collections::BTreeMap;

use super::column::{self, Entry, Key};
use super::report::Report;
use super::request::{Outcome, Refusal, Request};
use super::table::{Cell, Row, Sheet, Table};
use crate::books::{Chart, Txn, list_money};

const JOURNAL: [&str; 8] = [
    "tx_date",
    "txn_type",
    "doc_num",
    "name",
    "memo",
    "account_name",
    "debt_amt",
    "credit_amt",
];
const JOURNAL_MORE: [&str; 3] = ["create_date", "last_mod_date", "due_date"];

const LIST: [&str; 9] = [
    "tx_date",
    "txn_type",
    "doc_num",
    "is_no_post",
    "name",
    "memo",
    "account_name",
    "other_account",
    "subt_nat_home_amount",
];
const LIST_MORE: [&str; 5] = [
    "create_date",
    "last_mod_date",
    "due_date",
    "is_adj",
    "subt_nat_amount",
];

/// Every transaction with its lines. The lines after the first one have no date and no type, but the
/// id of the transaction; a nameless section has its sums, and an empty row follows.
pub(super) fn journal(request: &Request<'_>) -> Outcome<Report> {
    let period = request.period("This Month-to-date")?;
    let (chart, txns) = (&request.ledger.chart, &request.ledger.txns);
    let keys = column::chosen(request, &JOURNAL, &JOURNAL_MORE);
    let mut sheet = Sheet::new(request.max_cells, keys.len());
    let (mut rows, mut total) = (Vec::new(), (0, 0));
    let of_period = txns
        .iter()
        .filter(|txn| (period.start..=period.end).contains(&txn.date) && !txn.postings.is_empty());
    for txn in of_period {
        let mut sums = (0, 0);
        for (number, posting) in txn.postings.iter().enumerate() {
            if !sheet.take() {
                break;
            }
            let entry = Entry {
                chart,
                txn,
                posting: Some(posting),
                running: None,
                goes_on: number > 0,
            };
            rows.push(Row::data(
                keys.iter().map(|key| (key.cell)(&entry)).collect(),
            ));
            sums.0 += posting.amount.max(0);
            sums.1 -= posting.amount.min(0);
        }
        if sheet.is_cut || !sheet.take() {
            break;
        }
        rows.push(Row::computed(sums_line(&keys, "", sums, false)));
        if !sheet.take() {
            break;
        }
        rows.push(Row::data(vec![Cell::default(); keys.len()]));
        total = (total.0 + sums.0, total.1 + sums.1);
    }
    if !rows.is_empty() && !sheet.is_cut {
        rows.push(Row::computed(sums_line(&keys, "TOTAL", total, true)));
    }
    let table = Table::new(column::columns(&keys), rows, &sheet);
    Ok(Report::new("JournalReport", table).of_period(period))
}

/// Returns the sums of a transaction, or of all. Those of a transaction without an amount are `.00` and
/// nothing.
fn sums_line(keys: &[&'static Key], label: &str, sums: (i64, i64), is_total: bool) -> Vec<Cell> {
    let cell = |key: &&'static Key| match key.key {
        "debt_amt" => Cell::text(list_money(sums.0)),
        "credit_amt" if sums.1 != 0 || is_total => Cell::text(list_money(sums.1)),
        _ => Cell::default(),
    };
    let mut cells: Vec<Cell> = keys.iter().map(cell).collect();
    if let Some(first) = cells.first_mut() {
        first.value.push_str(label);
    }
    cells
}

/// The entities of the words of `transaction_type` (facts/reports.md B), with the label of those that
/// are only a part of their entity.
const TYPES: [(&str, &str, &str); 16] = [
    ("Invoice", "Invoice", ""),
    ("ReceivePayment", "Payment", ""),
    ("CreditMemo", "CreditMemo", ""),
    ("SalesReceipt", "SalesReceipt", ""),
    ("CreditRefund", "RefundReceipt", ""),
    ("Bill", "Bill", ""),
    ("VendorCredit", "VendorCredit", ""),
    ("BillPaymentCheck", "BillPayment", "Bill Payment (Check)"),
    (
        "BillPaymentCreditCard",
        "BillPayment",
        "Bill Payment (Credit Card)",
    ),
    ("Check", "Purchase", "Check"),
    ("CashPurchase", "Purchase", "Expense"),
    ("CreditCardCharge", "Purchase", "Credit Card Expense"),
    ("Deposit", "Deposit", ""),
    ("Transfer", "Transfer", ""),
    ("JournalEntry", "JournalEntry", ""),
    ("Estimate", "Estimate", ""),
];

/// One row for each transaction, those that post nothing included.
pub(super) fn transaction_list(request: &Request<'_>) -> Outcome<Report> {
    let period = request.period("This Month-to-date")?;
    let chart = &request.ledger.chart;
    let (from, to) = (request.date("start_moddate")?, request.date("end_moddate")?);
    let group = request
        .text("group_by")
        .unwrap_or("None")
        .to_ascii_lowercase();
    let words = request.ids("transaction_type");
    let kinds = words.as_ref().map(|words| {
        let kinds = TYPES.iter().filter(|(word, ..)| words.contains(word));
        kinds.collect::<Vec<_>>()
    });
    let fits = |txn: &&Txn| {
        let is_of = |(_, entity, label): &&(&str, &str, &str)| {
            txn.entity == *entity && (label.is_empty() || txn.label == *label)
        };
        let of_party = |kind: &str, name: &str| {
            request.ids(name).is_none_or(|ids| {
                let party = txn.name.map(|name| &chart.parties[name]);
                party.is_some_and(|party| party.kind == kind && ids.contains(&party.id.as_str()))
            })
        };
        (period.start..=period.end).contains(&txn.date)
            && column::is_between(&txn.changed, from, to)
            && kinds.as_ref().is_none_or(|kinds| kinds.iter().any(is_of))
            && of_party("Customer", "customer")
            && of_party("Vendor", "vendor")
            && request
                .text("docnum")
                .is_none_or(|number| txn.number == number)
    };
    let keys = column::chosen(request, &LIST, &LIST_MORE);
    let mut sheet = Sheet::new(request.max_cells, keys.len());
    let mut groups: BTreeMap<(String, String), (Vec<Row>, i64)> = BTreeMap::new();
    for txn in request.ledger.txns.iter().filter(fits) {
        if !sheet.take() {
            break;
        }
        let label = label_of(chart, txn, &group)
            .ok_or_else(|| Refusal::Parameter(format!("group_by {group} is not supported")))?;
        let entry = Entry {
            chart,
            txn,
            posting: txn.postings.first(),
            running: None,
            goes_on: false,
        };
        let row = Row::data(keys.iter().map(|key| (key.cell)(&entry)).collect());
        let (rows, sum) = groups.entry(label).or_default();
        rows.push(row);
        *sum += natural(chart, txn);
    }
    let mut rows = Vec::new();
    for ((label, id), (children, sum)) in groups {
        if group == "none" {
            rows.extend(children);
            continue;
        }
        // Header and summary are shorter than the columns.
        let summary = [
            Cell::text(format!("Total for {label}")),
            Cell::text(list_money(sum)),
        ];
        rows.push(Row::section(
            vec![Cell::with_id(label, &id)],
            children,
            summary.to_vec(),
        ));
    }
    let table = Table::new(column::columns(&keys), rows, &sheet);
    let report = Report::new("TransactionList", table).of_period(period);
    let report = report.with_filter("Customer", request.ids("customer"));
    Ok(report.with_filter("Vendor", request.ids("vendor")))
}

fn natural(chart: &Chart, txn: &Txn) -> i64 {
    match txn.postings.first() {
        Some(posting) => chart.accounts[posting.account].kind.natural(posting.amount),
        None => txn.unposted.unwrap_or(0),
    }
}

/// Returns the name and the id of a transaction's group.
fn label_of(chart: &Chart, txn: &Txn, group: &str) -> Option<(String, String)> {
    let party = txn.name.map(|name| &chart.parties[name]);
    let of_kind = |kind: &str| {
        let party = party.filter(|party| kind.is_empty() || party.kind == kind);
        let label = party.map(|party| (party.name.clone(), party.id.clone()));
        label.unwrap_or_else(|| ("Not Specified".to_owned(), String::new()))
    };
    Some(match group {
        "none" => (String::new(), String::new()),
        "name" => of_kind(""),
        "customer" => of_kind("Customer"),
        "vendor" => of_kind("Vendor"),
        "transaction type" => (txn.label.clone(), String::new()),
        "month" => (txn.date.format("%Y-%m").to_string(), String::new()),
        "account" => txn.postings.first().map_or_else(
            || ("Not Specified".to_owned(), String::new()),
            |posting| {
                let account = &chart.accounts[posting.account];
                (account.full_name.clone(), account.id.clone())
            },
        ),
        _ => return None,
    })
}
