//! Each rule with figures by hand, and what holds whatever the records are.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::super::entry::{EntryKind, EntrySource};
use super::super::{Entry, Ledger, Lists, parse_amount, post};

mod accounts;
mod documents;
mod exchange;
mod properties;
mod settlements;
mod stock;

/// The invented chart of accounts: id, name, type, subtype, currency.
const ACCOUNTS: &[[&str; 5]] = &[
    ["1", "Bank", "Bank", "Checking", "USD"],
    ["2", "Euro bank", "Bank", "Checking", "EUR"],
    [
        "3",
        "Drawer",
        "Other Current Asset",
        "UndepositedFunds",
        "USD",
    ],
    [
        "4",
        "Receivable",
        "Accounts Receivable",
        "AccountsReceivable",
        "USD",
    ],
    [
        "5",
        "Receivable EUR",
        "Accounts Receivable",
        "AccountsReceivable",
        "EUR",
    ],
    ["6", "Payable", "Accounts Payable", "AccountsPayable", "USD"],
    [
        "7",
        "Payable EUR",
        "Accounts Payable",
        "AccountsPayable",
        "EUR",
    ],
    ["8", "Card", "Credit Card", "CreditCard", "USD"],
    ["9", "Sales", "Income", "SalesOfProductIncome", "USD"],
    ["10", "Discounts", "Income", "DiscountsRefundsGiven", "USD"],
    [
        "11",
        "Lake County Payable",
        "Other Current Liability",
        "SalesTaxPayable",
        "USD",
    ],
    [
        "12",
        "Hill City Payable",
        "Other Current Liability",
        "SalesTaxPayable",
        "USD",
    ],
    ["13", "Stock", "Other Current Asset", "Inventory", "USD"],
    [
        "14",
        "Cost",
        "Cost of Goods Sold",
        "SuppliesMaterialsCogs",
        "USD",
    ],
    ["15", "Rent", "Expense", "RentOrLeaseOfBuildings", "USD"],
    [
        "16",
        "Exchange",
        "Other Expense",
        "ExchangeGainOrLoss",
        "USD",
    ],
    ["17", "Opening", "Equity", "OpeningBalanceEquity", "USD"],
    [
        "18",
        "Shrinkage",
        "Cost of Goods Sold",
        "SuppliesMaterialsCogs",
        "USD",
    ],
    ["19", "Freight", "Income", "ShippingDeliveryIncome", "USD"],
    ["20", "Cash", "Bank", "CashOnHand", "USD"],
    [
        "21",
        "Filed tax",
        "Other Current Liability",
        "GlobalTaxSuspense",
        "USD",
    ],
];

/// The lists of the invented company.
fn lists() -> Lists {
    let mut lists = Lists::default();
    let mut add = |entity: &str, payload: Value| {
        assert!(lists.add(entity, payload.to_string().as_bytes()).unwrap());
    };
    for [id, name, account_type, sub_type, currency] in ACCOUNTS {
        add(
            "Account",
            json!({"Id": id, "Name": name, "FullyQualifiedName": name, "AccountType": account_type,
                "AccountSubType": sub_type, "CurrencyRef": {"value": currency}, "Active": true}),
        );
    }
    add(
        "Item",
        json!({"Id": "1", "Name": "Advice", "Type": "Service", "IncomeAccountRef": {"value": "9"}}),
    );
    add(
        "Item",
        json!({"Id": "2", "Name": "Lamp", "Type": "Inventory", "IncomeAccountRef": {"value": "9"},
            "ExpenseAccountRef": {"value": "14"}, "AssetAccountRef": {"value": "13"},
            "PurchaseCost": 7.5, "InvStartDate": "2031-01-01"}),
    );
    add(
        "Item",
        json!({"Id": "3", "Name": "Paper", "Type": "NonInventory", "ExpenseAccountRef": {"value": "15"}}),
    );
    add("Item", json!({"Id": "4", "Name": "Set", "Type": "Group"}));
    for (id, name) in [("1", "Lake County"), ("2", "Hill City")] {
        add("TaxAgency", json!({"Id": id, "DisplayName": name}));
        add("TaxRate", json!({"Id": id, "AgencyRef": {"value": id}}));
    }
    let rate = json!({"TaxRateRef": {"value": "1"}});
    add(
        "TaxCode",
        json!({"Id": "5", "SalesTaxRateList": {"TaxRateDetail": [rate]}}),
    );
    add(
        "Preferences",
        json!({"CurrencyPrefs": {"HomeCurrency": {"value": "USD"}},
            "SalesFormsPrefs": {"DefaultShippingAccount": "19", "DefaultDiscountAccount": true}}),
    );
    add("CompanyInfo", json!({"FiscalYearStartMonth": "July"}));
    lists
}

fn posted(records: &[(&str, Value)]) -> Ledger {
    posted_with(&lists(), records)
}

fn posted_with(lists: &Lists, records: &[(&str, Value)]) -> Ledger {
    post(
        lists,
        records
            .iter()
            .map(|(entity, payload)| (*entity, payload.to_string())),
    )
}

/// Entries of a transaction as `Account debit`, with credits negative; also checks that they balance.
fn of(ledger: &Ledger, id: &str) -> Vec<String> {
    assert_eq!(ledger.unbalanced, [], "nothing may be left out");
    let entries: Vec<_> = ledger
        .entries
        .iter()
        .filter(|entry| entry.id == id)
        .collect();
    let total: Decimal = entries.iter().map(|entry| entry.amount).sum();
    assert_eq!(total, Decimal::ZERO, "{entries:?}");
    let lines: Vec<u32> = entries.iter().map(|entry| entry.line).collect();
    assert_eq!(lines, (1..=entries.len() as u32).collect::<Vec<_>>());
    let name = |id: &str| ACCOUNTS.iter().find(|account| account[0] == id).unwrap()[1];
    let text =
        |entry: &&super::super::Entry| format!("{} {:.2}", name(&entry.account_id), entry.amount);
    entries.iter().map(text).collect()
}

/// The reasons why transactions were not posted.
fn reasons(ledger: &Ledger) -> Vec<&str> {
    ledger
        .unbalanced
        .iter()
        .map(|it| it.reason.as_str())
        .collect()
}

fn decimal(text: &str) -> Decimal {
    parse_amount(text).unwrap()
}

/// A line that sells a quantity of an item.
fn sold(item: &str, quantity: i32, amount: f64) -> Value {
    json!({"Amount": amount, "DetailType": "SalesItemLineDetail", "Description": "A line",
        "SalesItemLineDetail": {"ItemRef": {"value": item}, "Qty": quantity, "TaxCodeRef": {"value": "TAX"}}})
}

/// A line that buys a quantity of an item.
fn bought(item: &str, quantity: i32, amount: f64) -> Value {
    json!({"Amount": amount, "DetailType": "ItemBasedExpenseLineDetail",
        "ItemBasedExpenseLineDetail": {"ItemRef": {"value": item}, "Qty": quantity}})
}

fn spent(account: &str, amount: f64) -> Value {
    json!({"Amount": amount, "DetailType": "AccountBasedExpenseLineDetail",
        "AccountBasedExpenseLineDetail": {"AccountRef": {"value": account}}})
}

fn tax(rate: &str, amount: f64) -> Value {
    json!({"Amount": amount, "DetailType": "TaxLineDetail", "TaxLineDetail": {"TaxRateRef": {"value": rate}}})
}

fn linked(kind: &str, id: &str, amount: f64) -> Value {
    json!({"Amount": amount, "LinkedTxn": [{"TxnId": id, "TxnType": kind}]})
}

/// A transaction with the members that all have.
fn record(id: &str, date: &str, total: f64, lines: Vec<Value>, more: Value) -> Value {
    let mut record = json!({"Id": id, "TxnDate": date, "TotalAmt": total, "Line": lines});
    let members = record.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    record
}
