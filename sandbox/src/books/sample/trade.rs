//! Documents of customers, and what settles them.

use std::fmt::Write as _;

use rand::RngExt as _;

use super::generator::{Document, Generator, Head, Open, SEARCHED, link_line, quoted};
use super::tables::{self, ITEMS, TAX_RATES, id};
use crate::books::decimal::{Decimal, record_money, share};
use crate::books::money;

/// The lines of a document, with its total.
struct Lines {
    json: String,
    tax: String,
    total: i64,
}

impl Generator {
    /// Returns the currency, and the members that say it.
    pub(super) fn currency(&self, currency: &'static str) -> String {
        let rate = tables::rate(self.seed, currency, self.day);
        let rate = match currency {
            "USD" => String::new(),
            _ => format!(r#","ExchangeRate":{rate}"#),
        };
        format!(r#""CurrencyRef":{{"value":"{currency}"}}{rate}"#)
    }

    /// Returns a customer that is still active.
    fn customer_number(&mut self) -> u32 {
        loop {
            let number = self.rng.random_range(1..=self.customers);
            // Names that are inactive now have old transactions.
            if !tables::is_inactive(number) || self.day * 2 < self.days {
                return number;
            }
        }
    }

    /// Returns the lines of a sale. `is_out` says that stock leaves; `is_void` makes all zero.
    fn sale_lines(&mut self, is_out: bool, is_taxable: bool, is_void: bool) -> Lines {
        let (mut json, mut net, mut taxed) = (String::new(), 0, 0);
        for line in 1..=self.rng.random_range(1..=3u32) {
            let number = self.rng.random_range(0..ITEMS.len());
            let item = &ITEMS[number];
            let mut quantity = self.rng.random_range(1..=6i64);
            if item.kind == "Inventory" && is_out {
                quantity = quantity.min(self.stock[number] - 1);
                if quantity < 1 {
                    continue;
                }
            }
            let halves = item.kind == "Service" && self.one_in(3);
            let amount = quantity * item.price + if halves { item.price / 2 } else { 0 };
            let quantity_text = if halves {
                format!("{quantity}.5")
            } else {
                quantity.to_string()
            };
            let (amount, quantity_text) = if is_void {
                (0, "0".to_owned())
            } else {
                (amount, quantity_text)
            };
            if item.kind == "Inventory" && !is_void {
                self.stock[number] += if is_out { -quantity } else { quantity };
            }
            let is_taxed = item.is_taxed && is_taxable;
            net += amount;
            taxed += if is_taxed { amount } else { 0 };
            let code = if is_taxed { "TAX" } else { "NON" };
            let comma = if json.is_empty() { "" } else { "," };
            let _ = write!(
                json,
                r#"{comma}{{"Id":"{line}","LineNum":{line},"Description":{},"Amount":{},"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{{"ItemRef":{{"value":"{}"}},"UnitPrice":{},"Qty":{quantity_text},"TaxCodeRef":{{"value":"{code}"}}}}}}"#,
                quoted(item.name),
                record_money(amount),
                item.id,
                money(item.price),
            );
        }
        let comma = if json.is_empty() { "" } else { "," };
        let _ = write!(
            json,
            r#"{comma}{{"Amount":{},"DetailType":"SubTotalLineDetail","SubTotalLineDetail":{{}}}}"#,
            record_money(net)
        );
        if self.one_in(12) && !is_void {
            json.push_str(r#",{"Id":"8","LineNum":8,"Description":"Delivered to the gate","DetailType":"DescriptionOnly","DescriptionLineDetail":{}}"#);
        }
        let mut total = net;
        if self.one_in(10) && net > 0 {
            let discount = net / 20;
            total -= discount;
            taxed -= share(discount, taxed, net);
            let _ = write!(
                json,
                r#",{{"Amount":{},"DetailType":"DiscountLineDetail","DiscountLineDetail":{{"PercentBased":true,"DiscountPercent":5,"DiscountAccountRef":{{"value":"{}"}}}}}}"#,
                record_money(discount),
                id::DISCOUNTS
            );
        }
        let (tax, sum) = tax_detail(taxed, is_taxable);
        Lines {
            json,
            tax,
            total: total + sum,
        }
    }

    /// Returns the members of a sale, without links and balance.
    fn sale_body(&mut self, customer: u32, is_out: bool, is_void: bool) -> (String, i64) {
        let currency = tables::currency_of(customer);
        let lines = self.sale_lines(is_out, currency == "USD", is_void);
        let date = self.date();
        let note = match (is_void, self.one_in(15)) {
            (true, _) => r#","PrivateNote":"Voided""#,
            (_, true) => r#","PrivateNote":"line one\nline \"two\" 🙂""#,
            _ => "",
        };
        let number = self.next_id + 1000;
        let home = Decimal::parse(&tables::rate(self.seed, currency, self.day));
        let home = home.unwrap_or(Decimal::ONE).convert(lines.total);
        let body = format!(
            r#""DocNumber":"{number}","TxnDate":"{date}",{},"Line":[{}],"TxnTaxDetail":{},"CustomerRef":{{"value":"{customer}"}},"TotalAmt":{},"HomeTotalAmt":{}{note}"#,
            self.currency(currency),
            lines.json,
            lines.tax,
            record_money(lines.total),
            record_money(home),
        );
        (body, lines.total)
    }

    pub(super) fn invoice(&mut self) {
        let (customer, head) = (self.customer_number(), self.head());
        let is_void = self.one_in(40);
        let (mut body, total) = self.sale_body(customer, true, is_void);
        let due = self.date_of(self.day + 30);
        let _ = write!(body, r#","SalesTermRef":{{"value":"1"}},"DueDate":"{due}""#);
        self.document(Open::Invoice, head, body, customer, total);
    }

    pub(super) fn credit_memo(&mut self) {
        let (customer, head) = (self.customer_number(), self.head());
        let is_void = self.one_in(40);
        let (body, total) = self.sale_body(customer, false, is_void);
        self.document(Open::CreditMemo, head, body, customer, total);
    }

    /// Keeps a document until it is settled. One in eighty was deleted, of those that bring no stock.
    pub(super) fn document(
        &mut self,
        kind: Open,
        head: Head,
        body: String,
        party: u32,
        total: i64,
    ) {
        let entity = ["Invoice", "CreditMemo", "Bill", "VendorCredit"][kind as usize];
        if matches!(kind, Open::Invoice | Open::VendorCredit) && self.one_in(80) {
            let at = head.updated + 500_000;
            self.deleted
                .push((entity, format!("{{{},{body}}}", head.json()), at));
            return;
        }
        if total > 0 {
            self.open[kind as usize].insert(self.documents.len());
        }
        let currency = match kind {
            Open::Invoice | Open::CreditMemo => tables::currency_of(party),
            _ => tables::currency_of_vendor(party),
        };
        self.documents.push(Document {
            entity,
            head,
            body,
            party,
            currency,
            balance: total,
            links: Vec::new(),
        });
    }

    pub(super) fn sales_receipt(&mut self) {
        self.receipt("SalesReceipt", true);
    }

    pub(super) fn refund_receipt(&mut self) {
        self.receipt("RefundReceipt", false);
    }

    fn receipt(&mut self, entity: &'static str, is_out: bool) {
        let (customer, head) = (self.home_customer(), self.head());
        let is_void = self.one_in(40);
        let (mut body, total) = self.sale_body(customer, is_out, is_void);
        let waits = is_out && self.one_in(2);
        let account = if waits { id::UNDEPOSITED } else { id::CHECKING };
        let _ = write!(
            body,
            r#","DepositToAccountRef":{{"value":"{account}"}},"Balance":0"#
        );
        if waits && total > 0 {
            self.undeposited.push((entity, head.id.clone(), total));
        }
        self.add(entity, &head, &body);
    }

    fn home_customer(&mut self) -> u32 {
        loop {
            let customer = self.customer_number();
            if tables::currency_of(customer) == "USD" {
                return customer;
            }
        }
    }

    /// Takes an open document of a kind, one of the oldest ones.
    pub(super) fn take_open(&mut self, kind: Open) -> Option<usize> {
        let open = &self.open[kind as usize];
        let oldest = open.len().min(40);
        let at = (oldest > 0).then(|| self.rng.random_range(0..oldest))?;
        open.iter().nth(at).copied()
    }

    /// Settles a part of a document.
    pub(super) fn settle(
        &mut self,
        number: usize,
        amount: i64,
        by: (&str, &'static str),
        second: i64,
    ) {
        let document = &mut self.documents[number];
        document.balance -= amount;
        document.links.push((by.0.to_owned(), by.1));
        document.head.updated = document.head.updated.max(second);
        if document.balance == 0 {
            for open in &mut self.open {
                open.remove(&number);
            }
        }
    }

    pub(super) fn payment(&mut self) {
        let Some(first) = self.take_open(Open::Invoice) else {
            return self.invoice();
        };
        let (party, currency) = (self.documents[first].party, self.documents[first].currency);
        let head = self.head();
        let payer = Self::payer_of(party, first);
        let receivable = receivable_member(party);
        let mut settled = vec![first];
        let others = self.open[Open::Invoice as usize].iter().copied();
        let mut others = others.take(SEARCHED);
        let second = others.find(|at| *at != first && self.documents[*at].party == party);
        settled.extend(second.filter(|_| self.rng.random_range(0..3) == 0));
        let (mut lines, mut total) = (Vec::new(), 0);
        for number in settled {
            let balance = self.documents[number].balance;
            let amount = if self.one_in(6) {
                balance - balance / 3
            } else {
                balance
            };
            total += amount;
            lines.push(link_line(
                amount,
                &self.documents[number].head.id,
                "Invoice",
            ));
            self.settle(number, amount, (&head.id, "Payment"), head.updated);
        }
        // Some customers pay more than they owe.
        let unapplied = match self.one_in(25) {
            true => self.rng.random_range(1..9_000),
            // What a parent pays more stays on the receivable that it has named.
            false if payer != party && first.is_multiple_of(4) => 1_205,
            false => 0,
        };
        let account = match currency {
            "EUR" => id::EURO,
            "USD" if !self.one_in(3) => id::UNDEPOSITED,
            _ => id::CHECKING,
        };
        if account == id::UNDEPOSITED {
            self.undeposited
                .push(("Payment", head.id.clone(), total + unapplied));
        }
        let body = format!(
            r#""CustomerRef":{{"value":"{payer}"}}{receivable},"DepositToAccountRef":{{"value":"{account}"}},"TotalAmt":{},"UnappliedAmt":{},"ProcessPayment":false,"TxnDate":"{}",{},"Line":[{}]"#,
            record_money(total + unapplied),
            record_money(unapplied),
            self.date(),
            self.currency(currency),
            lines.join(","),
        );
        self.add("Payment", &head, &body);
    }

    /// Returns the number of the customer that pays: every other invoice of a job is paid by its parent.
    fn payer_of(party: u32, document: usize) -> u32 {
        let parent = tables::parent_of(party).filter(|_| document.is_multiple_of(2));
        parent.unwrap_or(party)
    }

    /// Settles an invoice by a credit memo: a payment of zero that QuickBooks makes.
    pub(super) fn apply_credit(&mut self) {
        let memos = self.open[Open::CreditMemo as usize].iter().copied();
        let invoices = &self.open[Open::Invoice as usize];
        let pair = memos.take(SEARCHED).find_map(|memo| {
            let party = self.documents[memo].party;
            let invoice = invoices
                .iter()
                .take(SEARCHED)
                .find(|at| self.documents[**at].party == party);
            invoice.map(|invoice| (memo, *invoice))
        });
        let Some((memo, invoice)) = pair else {
            return self.sales_receipt();
        };
        let head = self.head();
        let amount = self.documents[memo]
            .balance
            .min(self.documents[invoice].balance);
        let lines = [(invoice, "Invoice"), (memo, "CreditMemo")]
            .map(|(at, kind)| link_line(amount, &self.documents[at].head.id, kind));
        let (party, currency) = (self.documents[memo].party, self.documents[memo].currency);
        for number in [invoice, memo] {
            self.settle(number, amount, (&head.id, "Payment"), head.updated);
        }
        let body = format!(
            r#""CustomerRef":{{"value":"{party}"}}{},"DepositToAccountRef":{{"value":"{}"}},"TotalAmt":0,"UnappliedAmt":0,"ProcessPayment":false,"PrivateNote":"Created by QB Online to link credits to charges.","TxnDate":"{}",{},"Line":[{}]"#,
            receivable_member(party),
            id::UNDEPOSITED,
            self.date(),
            self.currency(currency),
            lines.join(","),
        );
        self.add("Payment", &head, &body);
    }

    pub(super) fn deposit(&mut self) {
        let head = self.head();
        let taken: Vec<_> = self
            .undeposited
            .drain(..self.undeposited.len().min(6))
            .collect();
        let mut lines: Vec<String> = taken
            .iter()
            .map(|(entity, id, amount)| {
                format!(
                    r#"{{"Amount":{},"LinkedTxn":[{{"TxnId":"{id}","TxnLineId":"0","TxnType":"{entity}"}}],"DetailType":"DepositLineDetail","DepositLineDetail":{{}}}}"#,
                    money(*amount)
                )
            })
            .collect();
        let mut total: i64 = taken.iter().map(|(.., amount)| amount).sum();
        if lines.is_empty() || self.one_in(4) {
            let (account, amount) = match self.one_in(3) {
                true => (id::OWNER, 500_000),
                false => (id::INTEREST, self.rng.random_range(100..4_000)),
            };
            total += amount;
            lines.push(format!(
                r#"{{"Id":"1","LineNum":1,"Amount":{},"DetailType":"DepositLineDetail","DepositLineDetail":{{"AccountRef":{{"value":"{account}"}}}}}}"#,
                money(amount)
            ));
        }
        let body = format!(
            r#""DepositToAccountRef":{{"value":"{}"}},"TotalAmt":{},"TxnDate":"{}",{},"Line":[{}]"#,
            id::CHECKING,
            money(total),
            self.date(),
            self.currency("USD"),
            lines.join(","),
        );
        self.add("Deposit", &head, &body);
    }

    pub(super) fn estimate(&mut self) {
        let (customer, head) = (self.home_customer(), self.head());
        let lines = format!(
            r#"{{"Id":"1","LineNum":1,"Amount":{price},"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{{"ItemRef":{{"value":"6"}},"Qty":1,"UnitPrice":{price}}}}}"#,
            price = money(ITEMS[5].price)
        );
        let body = format!(
            r#""TxnDate":"{}",{},"Line":[{lines}],"TxnTaxDetail":{{"TotalTax":0}},"CustomerRef":{{"value":"{customer}"}},"TotalAmt":{},"TxnStatus":"Pending""#,
            self.date(),
            self.currency("USD"),
            money(ITEMS[5].price),
        );
        self.add("Estimate", &head, &body);
    }
}

/// Returns the receivable account of a payment as a member, if its customer has one of its own.
fn receivable_member(party: u32) -> String {
    let account = tables::receivable_of(party);
    account.map_or_else(String::new, |account| {
        format!(r#","ARAccountRef":{{"value":"{account}"}}"#)
    })
}

/// Returns the tax of a document as its record has it, with the sum.
fn tax_detail(taxed: i64, is_taxable: bool) -> (String, i64) {
    if !is_taxable || taxed <= 0 {
        return (r#"{"TotalTax":0}"#.to_owned(), 0);
    }
    let (mut lines, mut sum) = (Vec::new(), 0);
    for (id, _, _, percent) in TAX_RATES {
        let amount = share(taxed, percent, 10_000);
        sum += amount;
        lines.push(format!(
            r#"{{"Amount":{},"DetailType":"TaxLineDetail","TaxLineDetail":{{"TaxRateRef":{{"value":"{id}"}},"PercentBased":true,"TaxPercent":{}.{:02},"NetAmountTaxable":{}}}}}"#,
            record_money(amount),
            percent / 100,
            percent % 100,
            money(taxed),
        ));
    }
    let detail = format!(
        r#"{{"TxnTaxCodeRef":{{"value":"1"}},"TotalTax":{},"TaxLine":[{}]}}"#,
        record_money(sum),
        lines.join(",")
    );
    (detail, sum)
}
