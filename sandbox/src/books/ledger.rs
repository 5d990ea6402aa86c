//! The general ledger of a company: every transaction with its postings, and the documents that
//! payments settle.

use std::collections::HashMap;
use std::sync::OnceLock;

use chrono::NaiveDate;

use super::cash;
use super::chart::{AccountType, Chart, Records};
use super::decimal::{Decimal, share};
use super::extra::Extra;
use super::posting::{Application, DOCUMENTS, Draft, Posting, Role, Source, StockMove};
use super::record::Record;
use super::rules::{NON_POSTING, RULES, Rule};
use super::stock::Stock;
use super::txn::{OpenItem, Settlement, Txn};

/// All transactions, in the order of their dates and ids.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) chart: Chart,
    pub(crate) txns: Vec<Txn>,
    pub(crate) open_items: Vec<OpenItem>,
    cash: OnceLock<Vec<Txn>>,
}

/// A document while payments are assigned to it.
struct Document {
    /// The number of its transaction in the ledger.
    txn: usize,
    /// Total in its own currency, without a sign.
    foreign: i64,
    /// Total in the home currency, debit positive.
    home: i64,
    settled_foreign: i64,
    settled_home: i64,
}

impl Document {
    /// Settles a part, and returns the change of the receivable or payable. The last part takes what
    /// rounding has left over.
    fn settle(&mut self, foreign: i64) -> i64 {
        self.settled_foreign += foreign;
        let settled = share(self.home, self.settled_foreign, self.foreign);
        let change = self.settled_home - settled;
        self.settled_home = settled;
        change
    }
}

impl Ledger {
    /// Makes the books of a company from its records, and from what no record shows.
    pub(crate) fn build(records: &Records<'_>, extras: &[Extra]) -> Self {
        let chart = Chart::read(records);
        let mut drafts: Vec<(Txn, Draft, i64)> = Vec::new();
        for rule in RULES {
            records(rule.entity, &mut |text| {
                // A record that is damaged on purpose has no place in the books.
                let record = serde_json::from_str::<Record>(text);
                drafts.extend(record.ok().and_then(|record| draft(&chart, rule, &record)));
            });
        }
        drafts.extend(extras.iter().map(|extra| {
            let (txn, moves) = extra.txn(&chart);
            let draft = Draft {
                moves,
                ..Draft::default()
            };
            (txn, draft, 0)
        }));
        drafts.sort_by(|(a, ..), (b, ..)| order(a).cmp(&order(b)));
        let builder = Builder::new(&chart, &drafts);
        let (txns, open_items) = builder.finish(drafts);
        Self {
            chart,
            txns,
            open_items,
            cash: OnceLock::new(),
        }
    }

    /// Returns the transactions with the postings of a basis.
    pub(crate) fn txns(&self, is_cash: bool) -> &[Txn] {
        match is_cash {
            true => self
                .cash
                .get_or_init(|| cash::transactions(&self.chart, &self.txns)),
            false => &self.txns,
        }
    }
}

fn order(txn: &Txn) -> (NaiveDate, usize, &str) {
    (txn.date, txn.id.len(), &txn.id)
}

/// Returns what a record does to the books, with the total of its document in its own currency.
fn draft(chart: &Chart, rule: &Rule, record: &Record) -> Option<(Txn, Draft, i64)> {
    let date = match record.txn_date.is_empty() {
        true => &record.payment_date,
        false => &record.txn_date,
    };
    let date: NaiveDate = date.get(..10)?.parse().ok()?;
    let due = record.due_date.as_ref().and_then(|text| text.parse().ok());
    let name = match (&record.customer_ref, &record.vendor_ref, &record.entity_ref) {
        (Some(customer), ..) => chart.party("Customer", &customer.value),
        (_, Some(vendor), _) => chart.party("Vendor", &vendor.value),
        (.., Some(entity)) => {
            chart.party(entity.kind.as_deref().unwrap_or("Vendor"), &entity.value)
        }
        _ => None,
    };
    let currency = record
        .currency_ref
        .as_ref()
        .map(|currency| currency.value.as_str());
    let source = Source {
        chart,
        record,
        rate: record.exchange_rate.unwrap_or(Decimal::ONE),
        currency: currency.unwrap_or(&chart.home_currency),
        name,
    };
    let draft = (rule.post)(&source);
    let total = document_total(record);
    let txn = Txn {
        entity: rule.entity,
        id: record.id.clone(),
        label: (rule.label)(record).to_owned(),
        date,
        due: due.unwrap_or(date),
        number: record.doc_number.clone().unwrap_or_default(),
        memo: record.private_note.clone().unwrap_or_default(),
        name,
        created: record.meta_data.create_time.clone(),
        changed: record.meta_data.last_updated_time.clone(),
        is_adjustment: record.adjustment,
        postings: Vec::new(),
        unposted: NON_POSTING
            .contains(&rule.entity)
            .then(|| source.rate.convert(total)),
    };
    Some((txn, draft, total))
}

/// Returns the total of a document from its lines, in its own currency.
fn document_total(record: &Record) -> i64 {
    let lines = record.line.iter().map(|line| {
        let amount = line.amount.cents();
        let is_item = line.sales_item_line_detail.is_some()
            || line.item_based_expense_line_detail.is_some()
            || line.account_based_expense_line_detail.is_some();
        match (is_item, line.discount_line_detail.is_some()) {
            (true, _) => amount,
            (_, true) => -amount,
            _ => 0,
        }
    });
    let tax = record
        .txn_tax_detail
        .tax_line
        .iter()
        .map(|tax| tax.amount.cents());
    lines.chain(tax).sum()
}

/// The state while one transaction after another gets its costs and settlements.
struct Builder<'c> {
    chart: &'c Chart,
    stock: Stock,
    documents: Vec<Document>,
    by_key: HashMap<(String, String), usize>,
    open_items: Vec<OpenItem>,
}

impl<'c> Builder<'c> {
    fn new(chart: &'c Chart, drafts: &[(Txn, Draft, i64)]) -> Self {
        let (mut documents, mut by_key) = (Vec::new(), HashMap::new());
        let mut open_items = Vec::new();
        for (at, (txn, draft, total)) in drafts.iter().enumerate() {
            let control = draft
                .postings
                .iter()
                .find(|posting| posting.role == Role::Control);
            if let Some(control) = control
                && DOCUMENTS.contains(&txn.entity)
            {
                by_key.insert((txn.entity.to_owned(), txn.id.clone()), documents.len());
                documents.push(Document {
                    txn: at,
                    foreign: total.abs(),
                    home: control.amount,
                    settled_foreign: 0,
                    settled_home: 0,
                });
                open_items.push(OpenItem {
                    txn: at,
                    kind: chart.accounts[control.account].kind,
                    name: txn.name,
                    amount: control.amount,
                    settled: Vec::new(),
                });
            }
        }
        Self {
            chart,
            stock: Stock::default(),
            documents,
            by_key,
            open_items,
        }
    }

    fn finish(mut self, drafts: Vec<(Txn, Draft, i64)>) -> (Vec<Txn>, Vec<OpenItem>) {
        let mut txns = Vec::with_capacity(drafts.len());
        for (at, (mut txn, draft, _)) in drafts.into_iter().enumerate() {
            txn.postings.extend(draft.postings);
            for change in &draft.moves {
                self.cost(&mut txn, change);
            }
            if let Some(payment) = draft.payment {
                self.settle(&mut txn, at, payment, &draft.applications);
            } else if !DOCUMENTS.contains(&txn.entity) {
                self.open_other(&txn, at);
            }
            txns.push(txn);
        }
        (txns, self.open_items)
    }

    /// Posts the cost of stock that leaves or comes back. A purchase has posted its own.
    fn cost(&mut self, txn: &mut Txn, change: &StockMove) {
        let quantity = change.quantity;
        let out = Decimal::ZERO.minus(quantity);
        let cost = match change.cost {
            Some(cost) if quantity > Decimal::ZERO => {
                return self.stock.receive(&change.item, quantity, cost);
            }
            Some(_) => {
                self.stock.relieve(&change.item, out);
                return;
            }
            None if quantity > Decimal::ZERO => -self.stock.take_back(&change.item, quantity),
            None => self.stock.relieve(&change.item, out),
        };
        let Some(item) = self.chart.items.get(&change.item) else {
            return;
        };
        let accounts = [
            (change.against.as_str(), cost),
            (item.asset.as_str(), -cost),
        ];
        txn.postings
            .extend(accounts.map(|(account, amount)| Posting {
                account: self.chart.account(account),
                amount,
                name: txn.name,
                memo: item.name.clone(),
                role: Role::Stock,
            }));
    }

    /// Posts what a payment settles, each document at its own rate, and the exchange difference.
    fn settle(
        &mut self,
        txn: &mut Txn,
        at: usize,
        (control, money, rate): (usize, i64, Decimal),
        applications: &[Application],
    ) {
        let (name, memo, date) = (txn.name, txn.memo.clone(), txn.date);
        let post = move |account, amount, role| Posting {
            account,
            amount,
            name,
            memo: memo.clone(),
            role,
        };
        let mut open = -money;
        for application in applications {
            let key = (application.entity.clone(), application.id.clone());
            // A document that was deleted has left its payment unapplied.
            let Some(number) = self.by_key.get(&key).copied() else {
                continue;
            };
            let document = &mut self.documents[number];
            if document.foreign == 0 {
                continue;
            }
            let amount = document.settle(application.foreign);
            open += match document.home < 0 {
                true => -application.foreign,
                false => application.foreign,
            };
            self.open_items[number]
                .settled
                .push(Settlement { date, amount });
            txn.postings
                .push(post(control, amount, Role::Applied(document.txn)));
        }
        if open != 0 {
            let amount = rate.convert(open);
            txn.postings.push(post(control, amount, Role::Unapplied));
            self.open_items.push(OpenItem {
                txn: at,
                kind: self.chart.accounts[control].kind,
                name: txn.name,
                amount,
                settled: Vec::new(),
            });
        }
        let difference: i64 = txn.postings.iter().map(|posting| posting.amount).sum();
        if difference != 0 {
            let account = self.chart.of_sub_type("ExchangeGainOrLoss");
            txn.postings.push(post(account, -difference, Role::Plain));
        }
    }

    /// Opens what a journal entry, or a posting that no record shows, adds to a receivable or payable.
    fn open_other(&mut self, txn: &Txn, at: usize) {
        for posting in &txn.postings {
            let kind = self.chart.accounts[posting.account].kind;
            if matches!(kind, AccountType::Receivable | AccountType::Payable) {
                self.open_items.push(OpenItem {
                    txn: at,
                    kind,
                    name: posting.name,
                    amount: posting.amount,
                    settled: Vec::new(),
                });
            }
        }
    }
}
