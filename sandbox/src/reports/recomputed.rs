//! A recomputation of the books from the records that queries serve, for the tests. It shares nothing
//! with the books but the records.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::NaiveDate;
use serde_json::Value;

use super::{Refusal, Request, answer};
use crate::company::Company;

pub(super) const ACCOUNTING: [&str; 15] = [
    "Invoice",
    "CreditMemo",
    "SalesReceipt",
    "RefundReceipt",
    "Payment",
    "Deposit",
    "Bill",
    "VendorCredit",
    "BillPayment",
    "Purchase",
    "CreditCardPayment",
    "Transfer",
    "JournalEntry",
    "InventoryAdjustment",
    "TaxPayment",
];

pub(super) fn try_ask(
    company: &Company,
    name: &str,
    parameters: &[(&str, &str)],
) -> Result<Value, Refusal> {
    let owned = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let parameters: HashMap<String, String> = owned.collect();
    let ledger = company.ledger().unwrap();
    let body = answer(
        name,
        &Request {
            ledger: &ledger,
            parameters: &parameters,
            today: day("2026-03-15"),
            time: "2026-03-15T00:00:00-07:00".to_owned(),
            max_cells: company.max_report_cells(),
            resets_by_year: !parameters.contains_key("inception"),
        },
    )?;
    Ok(serde_json::from_str(&body).unwrap())
}

pub(super) fn ask(company: &Company, name: &str, parameters: &[(&str, &str)]) -> Value {
    try_ask(company, name, parameters).unwrap()
}

pub(super) fn ask_days(
    company: &Company,
    name: &str,
    start: NaiveDate,
    end: NaiveDate,
    more: &[(&str, &str)],
) -> Value {
    let (start, end) = (start.to_string(), end.to_string());
    let mut parameters = vec![("start_date", start.as_str()), ("end_date", end.as_str())];
    parameters.extend(more);
    ask(company, name, &parameters)
}

pub(super) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Parses an amount of a report; nothing is zero.
pub(super) fn cents(value: &Value) -> i64 {
    let text = value["value"].as_str().unwrap_or_default();
    if text.is_empty() {
        0
    } else {
        i64::try_from(units(text) / 10_000_000).unwrap()
    }
}

/// Parses a number into billionths.
pub(super) fn units(text: &str) -> i128 {
    let digits = text.trim_start_matches('-');
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let number: i128 = format!("0{whole}{rest:0<9}").parse().unwrap();
    if text.starts_with('-') {
        -number
    } else {
        number
    }
}

/// Calls a function with the cells of every leaf, and of every header that has an id.
pub(super) fn walk<'v>(rows: &'v Value, visit: &mut dyn FnMut(&'v [Value])) {
    for row in rows["Row"].as_array().into_iter().flatten() {
        let cells = row["ColData"].as_array().or_else(|| {
            let header = row["Header"]["ColData"].as_array()?;
            header[0].get("id").map(|_| header)
        });
        if let Some(cells) = cells {
            visit(cells);
        }
        walk(&row["Rows"], visit);
    }
}

/// Returns the last cells of the sections of a group.
pub(super) fn group(report: &Value, name: &str) -> Option<i64> {
    fn find(rows: &Value, name: &str) -> Option<i64> {
        rows["Row"]
            .as_array()?
            .iter()
            .find_map(|row| match row["group"] == name {
                true => {
                    let cells = row["Summary"]["ColData"]
                        .as_array()
                        .or(row["ColData"].as_array())?;
                    Some(cents(cells.last()?))
                }
                false => find(&row["Rows"], name),
            })
    }
    find(&report["Rows"], name)
}

/// Returns the debit of each account of a trial balance, by its id.
pub(super) fn trial_balance(
    company: &Company,
    end: NaiveDate,
    more: &[(&str, &str)],
) -> BTreeMap<String, i64> {
    let report = ask_days(company, "TrialBalance", end, end, more);
    let mut balances = BTreeMap::new();
    walk(&report["Rows"], &mut |cells| {
        let id = cells[0]["id"].as_str().unwrap().to_owned();
        balances.insert(id, cents(&cells[1]) - cents(&cells[2]));
    });
    balances
}

/// Recomputes all balances from the records that queries serve, with code of its own. What no record
/// shows comes from the journal.
pub(super) struct Recomputed<'c> {
    company: &'c Company,
    accounts: BTreeMap<String, i64>,
    /// Layers of stock: quantity and cost.
    stock: HashMap<String, Vec<(i128, i128)>>,
    /// Documents: total in its currency and in the home currency, and what was settled of both.
    documents: HashMap<(String, String), [i128; 4]>,
    /// Quantity and cost of the last purchase of each item.
    bought: HashMap<String, (i128, i128)>,
    /// The receivable of each customer; empty if it has none of its own.
    receivables: HashMap<String, String>,
    items: HashMap<String, Value>,
}

fn rounded(number: i128, by: i128) -> i128 {
    let sign = if (number < 0) == (by < 0) { 1 } else { -1 };
    sign * ((number.abs() * 2 + by.abs()) / (by.abs() * 2))
}

fn number(value: &Value) -> i128 {
    value
        .as_number()
        .map_or(0, |number| units(&number.to_string()))
}

fn amount(value: &Value) -> i128 {
    rounded(number(value), 10_000_000)
}

fn reference(record: &Value, name: &str) -> String {
    record[name]["value"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

impl<'c> Recomputed<'c> {
    pub(super) fn of(company: &'c Company) -> BTreeMap<String, i64> {
        let records = |entity: &str| -> Vec<Value> {
            let all = company.truth(entity, i64::MIN, i64::MAX).into_iter();
            all.map(|(_, payload)| serde_json::from_str(&payload).unwrap())
                .collect()
        };
        let items = records("Item")
            .into_iter()
            .map(|item| (item["Id"].as_str().unwrap().to_owned(), item));
        let mut recomputed = Self {
            company,
            accounts: BTreeMap::new(),
            stock: HashMap::new(),
            documents: HashMap::new(),
            bought: HashMap::new(),
            receivables: records("Customer")
                .iter()
                .map(|it| {
                    (
                        it["Id"].as_str().unwrap().to_owned(),
                        reference(it, "ARAccountRef"),
                    )
                })
                .collect(),
            items: items.collect(),
        };
        recomputed.add_journal(&records);
        let mut all: Vec<(String, u64, &str, Value)> = Vec::new();
        for entity in ACCOUNTING {
            for record in records(entity) {
                let id = record["Id"].as_str().unwrap().parse().unwrap();
                let date = record["TxnDate"].as_str();
                let date = date.or(record["PaymentDate"].as_str());
                let date = date.map(str::to_owned);
                all.push((date.unwrap(), id, entity, record));
            }
        }
        all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        for (_, _, entity, record) in &all {
            recomputed.add_document(entity, record);
        }
        for (_, _, entity, record) in &all {
            recomputed.record(entity, record);
        }
        recomputed
            .accounts
            .into_iter()
            .filter(|(_, sum)| *sum != 0)
            .collect()
    }

    fn post(&mut self, account: &str, amount: i128) {
        *self.accounts.entry(account.to_owned()).or_default() += i64::try_from(amount).unwrap();
    }

    /// Takes the transactions without a record from the journal.
    fn add_journal(&mut self, records: &dyn Fn(&str) -> Vec<Value>) {
        let known: HashSet<String> = ACCOUNTING
            .iter()
            .flat_map(|entity| records(entity))
            .map(|record| record["Id"].as_str().unwrap().to_owned())
            .collect();
        let report = ask_days(
            self.company,
            "JournalReport",
            day("2023-01-01"),
            day("2025-12-31"),
            &[],
        );
        let labels = [
            "Payroll Check",
            "Payroll Tax Payment",
            "Sales Tax Payment",
            "Inventory Starting Value",
            "Currency Revaluation",
        ];
        let mut extra = String::new();
        walk(&report["Rows"], &mut |cells| {
            let id = cells[1]["id"].as_str().unwrap_or_default();
            if labels.contains(&cells[1]["value"].as_str().unwrap_or_default()) {
                extra = id.to_owned();
            }
            if id != extra || id.is_empty() {
                return;
            }
            assert!(!known.contains(id));
            let amount = cents(&cells[6]) - cents(&cells[7]);
            self.post(cells[5]["id"].as_str().unwrap(), amount.into());
        });
        // The starting values again, by item: each value is a number of units at the item's cost.
        let ledger = self.company.ledger().unwrap();
        for txn in ledger
            .txns
            .iter()
            .filter(|txn| txn.label == "Inventory Starting Value")
        {
            let value = i128::from(txn.postings[0].amount);
            let cost = |item: &Value| amount(&item["PurchaseCost"]);
            let inventory = self
                .items
                .iter()
                .filter(|(_, item)| item["Type"] == "Inventory");
            let fitting = inventory.filter(|(_, item)| {
                let units = value / cost(item);
                value % cost(item) == 0 && (40..100).contains(&units)
            });
            let fitting: Vec<_> = fitting
                .map(|(id, item)| (id.clone(), value / cost(item)))
                .collect();
            let [(item, units)] = &fitting[..] else {
                panic!("{value} is the value of {fitting:?}");
            };
            self.bought
                .insert(item.clone(), (units * 1_000_000_000, value));
            self.stock
                .insert(item.clone(), vec![(units * 1_000_000_000, value)]);
        }
    }

    fn rate(record: &Value) -> i128 {
        if record["ExchangeRate"].is_null() {
            1_000_000_000
        } else {
            number(&record["ExchangeRate"])
        }
    }

    /// Returns account and amount of each line of a document, its total, and its moves of stock.
    fn lines(&self, entity: &str, record: &Value) -> Vec<(String, i128)> {
        let mut lines = Vec::new();
        let is_sale = ["Invoice", "CreditMemo", "SalesReceipt", "RefundReceipt"].contains(&entity);
        for line in record["Line"].as_array().into_iter().flatten() {
            let sum = amount(&line["Amount"]);
            let item = |detail: &Value| self.items[&reference(detail, "ItemRef")].clone();
            match line["DetailType"].as_str() {
                Some("SalesItemLineDetail") => {
                    let item = item(&line["SalesItemLineDetail"]);
                    lines.push((reference(&item, "IncomeAccountRef"), -sum));
                }
                Some("DiscountLineDetail") => {
                    lines.push((
                        reference(&line["DiscountLineDetail"], "DiscountAccountRef"),
                        sum,
                    ));
                }
                Some("AccountBasedExpenseLineDetail") => {
                    lines.push((
                        reference(&line["AccountBasedExpenseLineDetail"], "AccountRef"),
                        sum,
                    ));
                }
                Some("ItemBasedExpenseLineDetail") => {
                    let item = item(&line["ItemBasedExpenseLineDetail"]);
                    let name = if item["Type"] == "Inventory" {
                        "AssetAccountRef"
                    } else {
                        "ExpenseAccountRef"
                    };
                    lines.push((reference(&item, name), sum));
                }
                _ => {}
            }
        }
        for tax in record["TxnTaxDetail"]["TaxLine"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|_| is_sale)
        {
            let rate = reference(&tax["TaxLineDetail"], "TaxRateRef");
            let account = if rate == "1" { "16" } else { "17" };
            lines.push((account.to_owned(), -amount(&tax["Amount"])));
        }
        lines
    }

    fn add_document(&mut self, entity: &str, record: &Value) {
        if ["Invoice", "CreditMemo", "Bill", "VendorCredit"].contains(&entity) {
            let sum: i128 = self.lines(entity, record).iter().map(|(_, sum)| sum).sum();
            let total = if entity == "Invoice" || entity == "CreditMemo" {
                -sum
            } else {
                sum
            };
            let home = rounded(total * Self::rate(record), 1_000_000_000);
            let key = (entity.to_owned(), record["Id"].as_str().unwrap().to_owned());
            self.documents.insert(key, [total, home, 0, 0]);
        }
    }

    /// Returns the receivable that the record names, or that of its customer.
    fn own_receivable(&self, record: &Value) -> Option<String> {
        let named = reference(record, "ARAccountRef");
        let of_customer = self.receivables.get(&reference(record, "CustomerRef"));
        let own = Some(named).filter(|it| !it.is_empty());
        own.or_else(|| of_customer.cloned())
            .filter(|it| !it.is_empty())
    }

    fn record(&mut self, entity: &str, record: &Value) {
        let rate = Self::rate(record);
        let home = |sum: i128| rounded(sum * rate, 1_000_000_000);
        let currency = record["CurrencyRef"]["value"].as_str().unwrap_or("USD");
        let receivable = match currency {
            "EUR" => "6",
            "CAD" => "7",
            _ => "5",
        };
        let own = self.own_receivable(record);
        let receivable = own.as_deref().unwrap_or(receivable);
        let payable = if currency == "EUR" { "13" } else { "12" };
        let deposit = reference(record, "DepositToAccountRef");
        let (control, sign) = match entity {
            "Invoice" => (receivable.to_owned(), 1),
            "CreditMemo" => (receivable.to_owned(), -1),
            "SalesReceipt" => (deposit, 1),
            "RefundReceipt" => (deposit, -1),
            "Bill" => (payable.to_owned(), 1),
            "VendorCredit" => (payable.to_owned(), -1),
            "Purchase" => (
                reference(record, "AccountRef"),
                if record["Credit"] == true { -1 } else { 1 },
            ),
            "Payment" => return self.payment(record, &deposit, receivable, 1),
            "BillPayment" => {
                let check = reference(&record["CheckPayment"], "BankAccountRef");
                let card = reference(&record["CreditCardPayment"], "CCAccountRef");
                return self.payment(record, &format!("{check}{card}"), payable, -1);
            }
            "TaxPayment" => {
                let paid = amount(&record["PaymentAmount"]);
                let paid = if record["Refund"] == "true" {
                    -paid
                } else {
                    paid
                };
                self.post(&reference(record, "PaymentAccountRef"), -paid);
                return self.post("45", paid);
            }
            "Transfer" | "CreditCardPayment" => {
                let sum = amount(&record["Amount"]);
                let (from, to) = if entity == "Transfer" {
                    ("FromAccountRef", "ToAccountRef")
                } else {
                    ("BankAccountRef", "CreditCardAccountRef")
                };
                self.post(&reference(record, from), -sum);
                return self.post(&reference(record, to), sum);
            }
            "Deposit" => {
                for line in record["Line"].as_array().unwrap() {
                    let account = reference(&line["DepositLineDetail"], "AccountRef");
                    let account = if account.is_empty() {
                        "4".to_owned()
                    } else {
                        account
                    };
                    self.post(&account, -amount(&line["Amount"]));
                    self.post(&deposit, amount(&line["Amount"]));
                }
                return;
            }
            "JournalEntry" => {
                let mut left = 0;
                let mut last = String::new();
                for line in record["Line"].as_array().unwrap() {
                    let detail = &line["JournalEntryLineDetail"];
                    let sign = if detail["PostingType"] == "Credit" {
                        -1
                    } else {
                        1
                    };
                    last = reference(detail, "AccountRef");
                    left += home(amount(&line["Amount"]) * sign);
                    self.post(&last, home(amount(&line["Amount"]) * sign));
                }
                return self.post(&last, -left);
            }
            _ => {
                for line in record["Line"].as_array().unwrap() {
                    let detail = &line["ItemAdjustmentLineDetail"];
                    let cost =
                        self.relieve(&reference(detail, "ItemRef"), -number(&detail["QtyDiff"]));
                    self.post("40", cost);
                    self.post("8", -cost);
                }
                return;
            }
        };
        let lines = self.lines(entity, record);
        let total: i128 = lines.iter().map(|(_, sum)| sum * sign).sum();
        self.post(&control, home(-total));
        let mut left = home(-total);
        for (account, sum) in &lines {
            self.post(account, home(sum * sign));
            left += home(sum * sign);
        }
        if let Some((last, _)) = lines.last() {
            self.post(last, -left);
        }
        self.moves(record, sign, (rate, -left));
    }

    /// Moves stock. `rest` is what rounding leaves over: the last line has it, and so has its stock.
    fn moves(&mut self, record: &Value, sign: i128, (rate, rest): (i128, i128)) {
        let lines = record["Line"].as_array().map_or(&[][..], Vec::as_slice);
        for (place, line) in lines.iter().enumerate() {
            let (sale, purchase) = (
                &line["SalesItemLineDetail"],
                &line["ItemBasedExpenseLineDetail"],
            );
            let detail = if sale.is_object() { sale } else { purchase };
            let item = reference(detail, "ItemRef");
            if self
                .items
                .get(&item)
                .is_none_or(|item| item["Type"] != "Inventory")
            {
                continue;
            }
            let quantity = number(&detail["Qty"]);
            if purchase.is_object() {
                let cost = rounded(amount(&line["Amount"]) * rate, 1_000_000_000);
                let cost = cost + if place + 1 == lines.len() { rest } else { 0 };
                if quantity > 0 && sign > 0 {
                    self.bought.insert(item.clone(), (quantity, cost));
                    self.stock.entry(item).or_default().push((quantity, cost));
                }
                continue;
            }
            let cost = match sign > 0 {
                true => self.relieve(&item, quantity),
                false => -self.take_back(&item, quantity),
            };
            self.post("29", cost);
            self.post("8", -cost);
        }
    }

    /// Returns the cost of what leaves; what is not there has the cost of the last purchase.
    fn relieve(&mut self, item: &str, mut quantity: i128) -> i128 {
        let mut cost = 0;
        while quantity > 0 {
            let layers = self.stock.entry(item.to_owned()).or_default();
            layers.retain(|(units, _)| *units > 0);
            let Some(first) = layers.first_mut() else {
                return cost + self.last_cost(item, quantity);
            };
            let taken = quantity.min(first.0);
            let part = rounded(first.1 * taken, first.0);
            *first = (first.0 - taken, first.1 - part);
            (cost, quantity) = (cost + part, quantity - taken);
        }
        cost
    }

    fn take_back(&mut self, item: &str, quantity: i128) -> i128 {
        let cost = self.last_cost(item, quantity);
        self.stock
            .entry(item.to_owned())
            .or_default()
            .insert(0, (quantity, cost));
        cost
    }

    fn last_cost(&self, item: &str, quantity: i128) -> i128 {
        self.bought
            .get(item)
            .map_or(0, |(units, cost)| rounded(cost * quantity, *units))
    }

    fn payment(&mut self, record: &Value, money: &str, control: &str, sign: i128) {
        let total = amount(&record["TotalAmt"]);
        let rate = Self::rate(record);
        let mut open = total;
        let mut sum = rounded(total * rate, 1_000_000_000);
        self.post(money, sum * sign);
        for line in record["Line"].as_array().into_iter().flatten() {
            let link = &line["LinkedTxn"][0];
            let key = (
                link["TxnType"].as_str().unwrap().to_owned(),
                link["TxnId"].as_str().unwrap().to_owned(),
            );
            let direction = if key.0 == "Invoice" || key.0 == "Bill" {
                1
            } else {
                -1
            };
            let Some([foreign, home, settled, settled_home]) = self.documents.get_mut(&key) else {
                continue;
            };
            if *foreign == 0 {
                continue;
            }
            *settled += amount(&line["Amount"]);
            let now = rounded(*home * *settled, *foreign);
            let part = (now - *settled_home) * direction;
            *settled_home = now;
            self.post(control, -part * sign);
            sum -= part;
            open -= amount(&line["Amount"]) * direction;
        }
        let unapplied = rounded(open * rate, 1_000_000_000);
        self.post(control, -unapplied * sign);
        self.post("39", -(sum - unapplied) * sign);
    }
}
