//! Documents of vendors, and what settles them.

use rand::RngExt as _;

use super::generator::{Generator, Open, SEARCHED, link_line};
use super::tables::{self, ITEMS, id};
use crate::books::decimal::record_money;
use crate::books::money;

impl Generator {
    fn vendor_number(&mut self) -> u32 {
        loop {
            let number = self.rng.random_range(1..=self.vendors);
            if !tables::is_inactive(number) || self.day * 2 < self.days {
                return number;
            }
        }
    }

    /// Returns the lines of a purchase: accounts, and items that restock.
    pub(super) fn purchase_lines(&mut self, with_items: bool) -> (String, i64) {
        let (mut lines, mut total) = (Vec::new(), 0);
        for number in 1..=self.rng.random_range(1..=3u32) {
            let at = self.rng.random_range(0..ITEMS.len());
            let item = &ITEMS[at];
            if with_items && item.cost > 0 {
                let quantity = self.rng.random_range(5..40i64);
                let amount = quantity * item.cost + self.rng.random_range(0..40);
                self.stock[at] += if item.kind == "Inventory" {
                    quantity
                } else {
                    0
                };
                total += amount;
                lines.push(format!(
                    r#"{{"Id":"{number}","LineNum":{number},"Amount":{},"DetailType":"ItemBasedExpenseLineDetail","ItemBasedExpenseLineDetail":{{"ItemRef":{{"value":"{}"}},"Qty":{quantity},"UnitPrice":{}}}}}"#,
                    money(amount),
                    item.id,
                    money(item.cost),
                ));
                continue;
            }
            let accounts = ["30", "31", "32", "33", "34", "35"];
            let mut account = accounts[self.rng.random_range(0..accounts.len())];
            if self.day * 3 < self.days && self.one_in(9) {
                account = id::OLD_ADVERTISING;
            }
            let amount = self.rng.random_range(500..90_000);
            total += amount;
            lines.push(format!(
                r#"{{"Id":"{number}","LineNum":{number},"Description":"As agreed","Amount":{},"DetailType":"AccountBasedExpenseLineDetail","AccountBasedExpenseLineDetail":{{"AccountRef":{{"value":"{account}"}},"BillableStatus":"NotBillable","TaxCodeRef":{{"value":"NON"}}}}}}"#,
                money(amount)
            ));
        }
        (lines.join(","), total)
    }

    pub(super) fn bill(&mut self) {
        let (vendor, head) = (self.vendor_number(), self.head());
        let currency = tables::currency_of_vendor(vendor);
        let (lines, total) = self.purchase_lines(true);
        let (body, due) = (
            self.vendor_body(vendor, currency, &lines, total),
            self.day + 30,
        );
        let body = format!(r#"{body},"DueDate":"{}""#, self.date_of(due));
        self.document(Open::Bill, head, body, vendor, total);
    }

    pub(super) fn vendor_credit(&mut self) {
        let (vendor, head) = (self.vendor_number(), self.head());
        let currency = tables::currency_of_vendor(vendor);
        let (lines, total) = self.purchase_lines(false);
        let body = self.vendor_body(vendor, currency, &lines, total);
        self.document(Open::VendorCredit, head, body, vendor, total);
    }

    fn vendor_body(&self, vendor: u32, currency: &'static str, lines: &str, total: i64) -> String {
        let account = if currency == "EUR" { 13 } else { 12 };
        format!(
            r#""TxnDate":"{}",{},"Line":[{lines}],"VendorRef":{{"value":"{vendor}"}},"APAccountRef":{{"value":"{account}"}},"TotalAmt":{}"#,
            self.date(),
            self.currency(currency),
            record_money(total),
        )
    }

    pub(super) fn bill_payment(&mut self) {
        let Some(bill) = self.take_open(Open::Bill) else {
            return self.bill();
        };
        let head = self.head();
        let (party, currency) = (self.documents[bill].party, self.documents[bill].currency);
        let balance = self.documents[bill].balance;
        let amount = if self.one_in(7) {
            balance - balance / 4
        } else {
            balance
        };
        let mut lines = vec![link_line(amount, &self.documents[bill].head.id, "Bill")];
        self.settle(bill, amount, (&head.id, "BillPaymentCheck"), head.updated);
        let mut total = amount;
        let credits = self.open[Open::VendorCredit as usize].iter().copied();
        let credit = credits.take(SEARCHED).find(|at| {
            let credit = &self.documents[*at];
            credit.party == party && credit.balance <= amount
        });
        if let Some(credit) = credit {
            let used = self.documents[credit].balance;
            lines.push(link_line(
                used,
                &self.documents[credit].head.id,
                "VendorCredit",
            ));
            self.settle(credit, used, (&head.id, "BillPaymentCheck"), head.updated);
            total -= used;
        }
        let by_card = currency == "USD" && self.one_in(4);
        let paid = match (by_card, currency) {
            (true, _) => {
                self.card_due += total;
                format!(
                    r#""PayType":"CreditCard","CreditCardPayment":{{"CCAccountRef":{{"value":"{}"}}}}"#,
                    id::CARD
                )
            }
            (_, "EUR") => check(id::EURO),
            _ => check(id::CHECKING),
        };
        let body = format!(
            r#""VendorRef":{{"value":"{party}"}},{paid},"TotalAmt":{},"TxnDate":"{}",{},"Line":[{}]"#,
            record_money(total),
            self.date(),
            self.currency(currency),
            lines.join(","),
        );
        self.add("BillPayment", &head, &body);
    }

    pub(super) fn purchase_order(&mut self) {
        let (vendor, head) = (1, self.head());
        let amount = 10 * ITEMS[3].cost;
        let line = format!(
            r#"{{"Id":"1","LineNum":1,"Amount":{},"DetailType":"ItemBasedExpenseLineDetail","ItemBasedExpenseLineDetail":{{"ItemRef":{{"value":"4"}},"Qty":10,"UnitPrice":{}}}}}"#,
            money(amount),
            money(ITEMS[3].cost)
        );
        let body = self.vendor_body(vendor, "USD", &line, amount);
        self.add(
            "PurchaseOrder",
            &head,
            &format!(r#"{body},"POStatus":"Open""#),
        );
    }
}

fn check(account: &str) -> String {
    format!(r#""PayType":"Check","CheckPayment":{{"BankAccountRef":{{"value":"{account}"}}}}"#)
}
