//! Transactions of accounts: purchases, transfers, journal entries, adjustments of stock, and those
//! that leave no record.

use rand::RngExt as _;

use super::generator::Generator;
use super::tables::{self, ITEMS, id};
use crate::books::money;

impl Generator {
    /// A purchase by cash, check or card, or a credit of the card.
    pub(super) fn purchase(&mut self) {
        let head = self.head();
        let vendor = self.rng.random_range(1..=self.vendors);
        let (kind, account) = [
            ("Cash", id::CHECKING),
            ("Check", id::CHECKING),
            ("CreditCard", id::CARD),
            ("CreditCard", id::CARD),
        ][self.rng.random_range(0..4)];
        let is_credit = kind == "CreditCard" && self.one_in(9);
        let is_void = kind == "Check" && self.one_in(15);
        let (mut lines, mut total) = self.purchase_lines(!is_credit && !is_void);
        let mut more = if is_credit { r#","Credit":true"# } else { "" };
        if is_void {
            lines = r#"{"Id":"1","Amount":0,"DetailType":"AccountBasedExpenseLineDetail","AccountBasedExpenseLineDetail":{"AccountRef":{"value":"35"}}}"#.to_owned();
            (total, more) = (0, r#","PrivateNote":"Voided""#);
        }
        if kind == "CreditCard" {
            self.card_due += if is_credit { -total } else { total };
        }
        let body = format!(
            r#""AccountRef":{{"value":"{account}"}},"PaymentType":"{kind}","EntityRef":{{"value":"{vendor}","type":"Vendor"}},"TotalAmt":{},"TxnDate":"{}","CurrencyRef":{{"value":"USD"}},"Line":[{lines}]{more}"#,
            money(total),
            self.date(),
        );
        if self.one_in(80) && !lines.contains("ItemBased") {
            let at = head.updated + 700_000;
            self.deleted
                .push(("Purchase", format!("{{{},{body}}}", head.json()), at));
            return;
        }
        self.add("Purchase", &head, &body);
    }

    pub(super) fn card_payment(&mut self) {
        let (head, amount) = (self.head(), self.card_due.max(0));
        self.card_due -= amount;
        let body = format!(
            r#""TxnDate":"{}","Amount":{},"BankAccountRef":{{"value":"{}"}},"CreditCardAccountRef":{{"value":"{}"}}"#,
            self.date(),
            money(amount),
            id::CHECKING,
            id::CARD,
        );
        self.add("CreditCardPayment", &head, &body);
    }

    pub(super) fn transfer(&mut self) {
        let head = self.head();
        let (from, to) = match self.one_in(2) {
            true => (id::CHECKING, id::SAVINGS),
            false => (id::SAVINGS, id::CHECKING),
        };
        let body = format!(
            r#""FromAccountRef":{{"value":"{from}"}},"ToAccountRef":{{"value":"{to}"}},"Amount":{},"TxnDate":"{}""#,
            money(self.rng.random_range(10_000..300_000)),
            self.date(),
        );
        self.add("Transfer", &head, &body);
    }

    /// Returns the members of a journal entry. Lines are account and debit in cents.
    pub(super) fn journal_body(
        &self,
        note: &str,
        lines: &[(&str, i64)],
        currency: &str,
        customer: Option<u32>,
    ) -> String {
        let lines = lines.iter().enumerate().map(|(number, (account, amount))| {
            let side = if *amount < 0 { "Credit" } else { "Debit" };
            let name = customer.filter(|_| number == 0).map(|customer| {
                format!(r#","Entity":{{"Type":"Customer","EntityRef":{{"value":"{customer}"}}}}"#)
            });
            format!(
                r#"{{"Id":"{number}","Description":"{note}","Amount":{},"DetailType":"JournalEntryLineDetail","JournalEntryLineDetail":{{"PostingType":"{side}"{},"AccountRef":{{"value":"{account}"}}}}}}"#,
                money(amount.abs()),
                name.unwrap_or_default(),
            )
        });
        let rate = match currency {
            "USD" => String::new(),
            _ => format!(
                r#","ExchangeRate":{}"#,
                tables::rate(self.seed, currency, self.day)
            ),
        };
        format!(
            r#""Adjustment":false,"DocNumber":"J{}","TxnDate":"{}","CurrencyRef":{{"value":"{currency}"}}{rate},"PrivateNote":"{note}","Line":[{}],"TxnTaxDetail":{{}},"TotalAmt":0"#,
            self.next_id,
            self.date(),
            lines.collect::<Vec<_>>().join(","),
        )
    }

    pub(super) fn journal_entry(&mut self) {
        let head = self.head();
        let amount = self.rng.random_range(1_000..120_000);
        let body = match self.rng.random_range(0..4) {
            0 => {
                let lines = [(id::WEAR, amount), (id::TRUCK_WEAR, -amount)];
                self.journal_body("Depreciation", &lines, "USD", None)
            }
            1 => {
                let customer = self.rng.random_range(1..4);
                let lines = [("5", amount), (id::OWNER, -amount)];
                self.journal_body("Old debt of a customer", &lines, "USD", Some(customer))
            }
            2 => {
                let lines = [
                    ("35", amount),
                    ("34", -amount / 3),
                    ("30", -(amount - amount / 3)),
                ];
                self.journal_body("Moved between accounts", &lines, "USD", None)
            }
            _ => {
                let lines = [
                    (id::EURO, amount),
                    (id::OWNER, -(amount / 7)),
                    (id::INTEREST, amount / 7 - amount),
                ];
                self.journal_body("Paid in abroad", &lines, "EUR", None)
            }
        };
        self.add("JournalEntry", &head, &body);
    }

    pub(super) fn inventory_adjustment(&mut self) {
        let at = 3 + self.rng.random_range(0..3usize);
        if self.stock[at] < 3 {
            return self.bill();
        }
        let head = self.head();
        let quantity = self.rng.random_range(1..3i64);
        self.stock[at] -= quantity;
        let body = format!(
            r#""DocNumber":"A{}","TxnDate":"{}","AdjustAccountRef":{{"value":"{}"}},"Line":[{{"Id":1,"DetailType":"ItemAdjustmentLineDetail","ItemAdjustmentLineDetail":{{"ItemRef":{{"value":"{}"}},"QtyDiff":-{quantity}}}}}]"#,
            self.next_id,
            self.date(),
            id::SHRINKAGE,
            ITEMS[at].id,
        );
        self.add("InventoryAdjustment", &head, &body);
    }

    /// Wages, or what is owed for them. No entity has payroll.
    pub(super) fn payroll(&mut self) {
        if self.wages_due > 400_000 {
            let due = std::mem::take(&mut self.wages_due);
            let lines = [(id::PAYROLL, due), (id::CHECKING, -due)];
            return self.add_extra("Payroll Tax Payment", "", None, &lines, None);
        }
        let wages = self.rng.random_range(120_000..400_000);
        let withheld = wages * 23 / 100;
        self.wages_due += withheld;
        let lines = [
            (id::WAGES, wages),
            (id::PAYROLL, -withheld),
            (id::CHECKING, withheld - wages),
        ];
        let employee = Some(("Employee", self.rng.random_range(1..3)));
        self.add_extra("Payroll Check", "DD", employee, &lines, None);
    }

    /// A payment of sales tax. In the US no entity has it.
    pub(super) fn tax_payment(&mut self) {
        let amount = self.rng.random_range(5_000..60_000);
        let lines = [(id::STATE_TAX, amount), (id::CHECKING, -amount)];
        self.add_extra("Sales Tax Payment", "", None, &lines, None);
    }

    /// Payments of tax that are records, one after each half year. Where there are such records, there are no
    /// others; the sample has both, because no reader may tell them by the company.
    pub(super) fn tax_records(&mut self) {
        for (number, day) in (180..self.days).step_by(182).enumerate() {
            self.day = day;
            let head = self.head();
            let amount = 40_000 + 1_117 * (number as i64 % 9);
            let is_refund = number % 4 == 3;
            let body = format!(
                r#""PaymentDate":"{}","PaymentAccountRef":{{"value":"{}"}},"PaymentAmount":{},"Refund":"{is_refund}","Description":"Filed""#,
                self.date(),
                id::CHECKING,
                money(amount),
            );
            self.add("TaxPayment", &head, &body);
        }
    }

    /// A revaluation of foreign money at the end of a year.
    pub(super) fn revaluation(&mut self) {
        let amount = self.rng.random_range(-9_000..9_000);
        let lines = [(id::EURO, amount), (id::UNREALIZED, -amount)];
        self.add_extra("Currency Revaluation", "", None, &lines, None);
    }
}
