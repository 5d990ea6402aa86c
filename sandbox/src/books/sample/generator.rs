//! The records of a company with books: a pure function of a seed and a number of transactions.
//!
//! The transactions of some years follow each other: what is bought is sold, what is invoiced is
//! paid, in part, late or never. Some are voided or deleted, and some leave no record at all.

use std::collections::BTreeSet;

use chrono::{Datelike as _, NaiveDate};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::tables::{ITEMS, id};
use crate::books::Extra;
use crate::books::decimal::{money, record_money};
use crate::hash::hash;
use crate::pacific;

/// One record.
#[derive(Debug)]
pub(crate) struct SampleRecord {
    pub(crate) entity: &'static str,
    pub(crate) payload: String,
}

/// The content of a company with books.
#[derive(Debug, Default)]
pub(crate) struct SampleBooks {
    pub(crate) records: Vec<SampleRecord>,
    /// Records that were deleted: entity, payload before, second of the deletion.
    pub(crate) deleted: Vec<(&'static str, String, i64)>,
    pub(crate) extras: Vec<Extra>,
}

/// Larger companies have five years, others three.
const LARGE: u32 = 20_000;
/// The last day of the transactions is the day before this one.
const END: (i32, u32, u32) = (2026, 1, 1);

/// Generates the content of a company with about this many transactions.
pub(crate) fn generate(seed: u64, count: u32) -> SampleBooks {
    let years = if count >= LARGE { 5 } else { 3 };
    let start = NaiveDate::from_ymd_opt(END.0 - years, 1, 1).unwrap_or_default();
    let end = NaiveDate::from_ymd_opt(END.0, END.1, END.2).unwrap_or_default();
    let mut generator = Generator {
        seed,
        rng: Pcg64Mcg::seed_from_u64(hash(seed ^ 0xB0_0C5)),
        start,
        // Nine in the morning of Pacific winter time.
        start_second: start
            .and_hms_opt(17, 0, 0)
            .unwrap_or_default()
            .and_utc()
            .timestamp(),
        days: (end - start).num_days(),
        day: 0,
        customers: (count / 60).clamp(12, 2000),
        vendors: (count / 120).clamp(8, 800),
        // Every third company has a fiscal year of its own.
        fiscal_month: if seed.is_multiple_of(3) { 7 } else { 1 },
        next_id: 1,
        records: Vec::new(),
        deleted: Vec::new(),
        extras: Vec::new(),
        documents: Vec::new(),
        open: Default::default(),
        undeposited: Vec::new(),
        stock: [0; ITEMS.len()],
        wages_due: 0,
        card_due: 0,
    };
    generator.lists();
    generator.opening();
    generator.days(count);
    generator.tax_records();
    generator.finish()
}

/// A document that payments settle, until its last payment is known.
pub(super) struct Document {
    pub(super) entity: &'static str,
    pub(super) head: Head,
    /// Its other members, without links and balance.
    pub(super) body: String,
    /// Index of its customer or vendor, from 1.
    pub(super) party: u32,
    pub(super) currency: &'static str,
    pub(super) balance: i64,
    pub(super) links: Vec<(String, &'static str)>,
}

/// The members that all records have.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) token: u32,
}

impl Head {
    pub(super) fn new(id: String, created: i64) -> Self {
        Self {
            id,
            created,
            updated: created,
            token: 0,
        }
    }

    pub(super) fn json(&self) -> String {
        let mut out = format!(
            r#""domain":"QBO","sparse":false,"Id":"{}","SyncToken":"{}","MetaData":{{"CreateTime":""#,
            self.id, self.token,
        );
        pacific::write(self.created, &mut out);
        out.push_str(r#"","LastUpdatedTime":""#);
        pacific::write(self.updated, &mut out);
        out.push_str("\"}");
        out
    }
}

/// Returns a text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns a line that settles a document.
pub(super) fn link_line(amount: i64, id: &str, kind: &str) -> String {
    format!(
        r#"{{"Amount":{},"LinkedTxn":[{{"TxnId":"{id}","TxnType":"{kind}"}}]}}"#,
        money(amount)
    )
}

/// The number of open documents that are looked through for one of the same name.
pub(super) const SEARCHED: usize = 100;

/// The kinds of open documents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    Invoice,
    CreditMemo,
    Bill,
    VendorCredit,
}

pub(super) struct Generator {
    pub(super) seed: u64,
    pub(super) rng: Pcg64Mcg,
    pub(super) start: NaiveDate,
    pub(super) start_second: i64,
    /// Number of days of all transactions.
    pub(super) days: i64,
    /// The day of the present transaction, from 0.
    pub(super) day: i64,
    pub(super) customers: u32,
    pub(super) vendors: u32,
    pub(super) fiscal_month: u32,
    pub(super) next_id: u64,
    pub(super) records: Vec<SampleRecord>,
    pub(super) deleted: Vec<(&'static str, String, i64)>,
    pub(super) extras: Vec<Extra>,
    pub(super) documents: Vec<Document>,
    /// Numbers of the open documents of each kind.
    pub(super) open: [BTreeSet<usize>; 4],
    /// Money that waits to be deposited: entity, id, amount.
    pub(super) undeposited: Vec<(&'static str, String, i64)>,
    /// Quantity of each item.
    pub(super) stock: [i64; ITEMS.len()],
    /// The debts of payroll and of the card.
    pub(super) wages_due: i64,
    pub(super) card_due: i64,
}

/// A kind of transaction with its frequency.
type Kind = (u32, fn(&mut Generator));

#[rustfmt::skip]
const KINDS: [Kind; 19] = [
    (240, Generator::invoice),
    (80, Generator::sales_receipt),
    (25, Generator::credit_memo),
    (20, Generator::refund_receipt),
    (190, Generator::payment),
    (10, Generator::apply_credit),
    (60, Generator::deposit),
    (110, Generator::bill),
    (15, Generator::vendor_credit),
    (80, Generator::bill_payment),
    (90, Generator::purchase),
    (8, Generator::card_payment),
    (8, Generator::transfer),
    (15, Generator::journal_entry),
    (10, Generator::inventory_adjustment),
    (10, Generator::estimate),
    (8, Generator::purchase_order),
    (15, Generator::payroll),
    (6, Generator::tax_payment),
];

impl Generator {
    fn days(&mut self, count: u32) {
        let total: u32 = KINDS.iter().map(|(weight, _)| weight).sum();
        let mut year = self.start.year();
        for number in 0..i64::from(count) {
            // The first days hold the opening balances.
            self.day = 2 + number * (self.days - 3) / i64::from(count);
            if self.date_of(self.day).year() > year {
                year += 1;
                self.revaluation();
            }
            let mut pick = self.rng.random_range(0..total);
            for (weight, make) in KINDS {
                if pick < weight {
                    make(self);
                    break;
                }
                pick -= weight;
            }
        }
    }

    pub(super) fn date_of(&self, day: i64) -> NaiveDate {
        self.start + chrono::Days::new(day.max(0).unsigned_abs())
    }

    pub(super) fn date(&self) -> NaiveDate {
        self.date_of(self.day)
    }

    pub(super) fn take_id(&mut self) -> String {
        self.next_id += 1;
        (self.next_id - 1).to_string()
    }

    /// Returns the second of the present transaction.
    pub(super) fn second(&mut self) -> i64 {
        self.start_second + self.day * 86_400 + self.rng.random_range(0..20_000)
    }

    pub(super) fn head(&mut self) -> Head {
        let id = self.take_id();
        let mut head = Head::new(id, self.second());
        // One in five was edited a while later.
        if self.one_in(5) {
            head.updated += self.rng.random_range(3_600..3_000_000);
            head.token = self.rng.random_range(1..4);
        }
        head
    }

    pub(super) fn one_in(&mut self, count: u32) -> bool {
        self.rng.random_range(0..count) == 0
    }

    /// Adds a transaction.
    pub(super) fn add(&mut self, entity: &'static str, head: &Head, body: &str) {
        let payload = format!("{{{},{body}}}", head.json());
        self.records.push(SampleRecord { entity, payload });
    }

    /// Adds a report-only transaction.
    pub(super) fn add_extra(
        &mut self,
        label: &str,
        number: &str,
        name: Option<(&str, u32)>,
        lines: &[(&str, i64)],
        stock: Option<(u32, i64)>,
    ) {
        let extra = Extra {
            id: self.take_id(),
            label: label.to_owned(),
            date: self.date(),
            number: number.to_owned(),
            memo: label.to_owned(),
            name: name.map(|(kind, id)| (kind.to_owned(), id.to_string())),
            lines: lines
                .iter()
                .map(|(at, amount)| ((*at).to_owned(), *amount))
                .collect(),
            stock: stock.map(|(item, quantity)| (item.to_string(), quantity)),
        };
        self.extras.push(extra);
    }

    /// Writes the documents with their last links and balances.
    fn finish(mut self) -> SampleBooks {
        for document in std::mem::take(&mut self.documents) {
            let links = document
                .links
                .iter()
                .map(|(id, kind)| format!(r#"{{"TxnId":"{id}","TxnType":"{kind}"}}"#));
            let links = links.collect::<Vec<_>>().join(",");
            let balance = record_money(document.balance);
            let body = format!(
                r#"{},"LinkedTxn":[{links}],"Balance":{balance}"#,
                document.body
            );
            self.add(document.entity, &document.head, &body);
        }
        SampleBooks {
            records: self.records,
            deleted: self.deleted,
            extras: self.extras,
        }
    }

    /// The opening balances: a journal entry, and starting values of stock that no record shows.
    fn opening(&mut self) {
        self.day = 0;
        let lines = [
            (id::CHECKING, 4_500_000),
            (id::SAVINGS, 2_000_000),
            (id::TRUCK_COST, 1_349_500),
            (id::CARD, -84_017),
            (id::LOAN, -2_500_000),
        ];
        let total: i64 = lines.iter().map(|(_, amount)| amount).sum();
        let mut all = lines.to_vec();
        all.push((id::OPENING, -total));
        let head = self.head();
        let body = self.journal_body("Opening Balance", &all, "USD", None);
        self.add("JournalEntry", &head, &body);
        for (number, item) in ITEMS
            .iter()
            .enumerate()
            .filter(|(_, item)| item.kind == "Inventory")
        {
            let quantity = 40 + self.rng.random_range(0..60);
            self.stock[number] = quantity;
            let value = quantity * item.cost;
            let lines = [(id::STOCK, value), (id::OPENING, -value)];
            let stock = Some((item.id, quantity));
            self.add_extra("Inventory Starting Value", "START", None, &lines, stock);
        }
    }
}
