//! A transaction as its rule reads it: parts that debit or credit something, before accounts are looked up.

use std::sync::Arc;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::amount::{TOO_LARGE, sum};
use super::entry::EntryKind;
use super::problem::Problem;
use super::record::{Record, Reference};

/// `Customer`, `Vendor` or `Employee`, and the id.
pub(super) type Party = (&'static str, String);

/// One debit or credit of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) target: Target,
    /// In the currency of the transaction; a debit is positive.
    pub(super) amount: Decimal,
    pub(super) kind: EntryKind,
    pub(super) memo: Option<String>,
    /// The party of this part, if it is not that of the transaction.
    pub(super) party: Option<Party>,
    /// True if its line has a tax code other than NON.
    pub(super) is_taxed: bool,
}

impl Part {
    pub(super) fn new(target: Target, amount: Decimal, kind: EntryKind) -> Self {
        Self {
            target,
            amount,
            kind,
            memo: None,
            party: None,
            is_taxed: false,
        }
    }

    pub(super) fn taxed_by(mut self, code: Option<&Reference>) -> Self {
        self.is_taxed = code
            .and_then(Reference::id)
            .is_some_and(|code| code != "NON");
        self
    }

    pub(super) fn memo(mut self, memo: Option<&String>) -> Self {
        self.memo = memo.filter(|memo| !memo.is_empty()).cloned();
        self
    }
}

/// The thing that a part debits or credits; the lists tell its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Account(String),
    /// The named account, or the receivable of the currency.
    Receivable(Option<String>),
    /// The named account, or the payable of the currency.
    Payable(Option<String>),
    /// The named account, or Undeposited Funds.
    Deposited(Option<String>),
    /// The named account, or that of discounts.
    Discount(Option<String>),
    /// The account that another transaction has paid into.
    FundsOf {
        entity: &'static str,
        id: String,
    },
    /// An item that is sold, and the account that its line names. A quantity leaves the stock.
    Sold {
        item: Option<String>,
        account: Option<String>,
        quantity: Decimal,
    },
    /// An item that is bought. A quantity comes into the stock.
    Bought {
        item: String,
        quantity: Decimal,
    },
    /// An item that was counted: the quantity that comes into the stock, and the account of the difference.
    Counted {
        item: String,
        quantity: Decimal,
        account: String,
    },
    /// The account of the agency of a tax rate.
    TaxRate(String),
    /// The account of the agency of a tax code, or the only account of tax.
    TaxCode(Option<String>),
    /// The account that holds what was filed and has to be paid.
    FiledTax,
}

impl Target {
    /// Returns the same account, with which no stock moves.
    pub(super) fn without_quantity(&self) -> Self {
        let mut target = self.clone();
        if let Self::Sold { quantity, .. } | Self::Bought { quantity, .. } = &mut target {
            *quantity = Decimal::ZERO;
        }
        target
    }
}

/// A transaction that a payment settles, or whose credit it uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) entity: &'static str,
    pub(super) id: String,
    /// Without a sign.
    pub(super) amount: Decimal,
}

/// The transactions that a payment settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settles {
    pub(super) links: Vec<Link>,
    /// The account of what is not applied.
    pub(super) owed: Target,
}

/// A transaction as its rule reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) entity: &'static str,
    pub(super) id: String,
    pub(super) date: NaiveDate,
    pub(super) currency: Option<String>,
    /// Home units for one unit of the currency, if the record says it.
    pub(super) rate: Option<Decimal>,
    /// Total in the home currency as the record has it.
    pub(super) home_total: Option<Decimal>,
    pub(super) party: Option<Party>,
    pub(super) memo: Option<String>,
    pub(super) number: Option<Arc<str>>,
    pub(super) parts: Vec<Part>,
    /// The transactions that a payment settles; its first part is the money.
    pub(super) settles: Option<Settles>,
}

impl Draft {
    /// Reads the properties that every transaction has.
    pub(super) fn new(entity: &'static str, record: &Record) -> Result<Self, Problem> {
        let id = record.id.clone().filter(|id| !id.is_empty());
        let date = record.txn_date.as_deref();
        let date = date.or(record.payment_date.as_deref());
        let date = date.ok_or_else(|| Problem::lacks("TxnDate"))?;
        Ok(Self {
            entity,
            id: id.ok_or_else(|| Problem::lacks("Id"))?,
            date: parse_day(date).ok_or_else(|| format!("its TxnDate {date:?} is no day"))?,
            currency: super::record::id(record.currency_ref.as_ref()),
            rate: record.exchange_rate.map(|rate| rate.0),
            home_total: record.home_total_amt.map(|total| total.0),
            party: party_of(record),
            number: record.doc_number.as_ref().map(|number| number.get().into()),
            memo: record.private_note.clone().filter(|note| !note.is_empty()),
            parts: Vec::new(),
            settles: None,
        })
    }

    pub(super) fn push(&mut self, target: Target, amount: Decimal, kind: EntryKind) {
        self.parts.push(Part::new(target, amount, kind));
    }

    /// Sorts by day, and within a day in the order in which the transactions were made: ids only grow.
    pub(super) fn order(&self) -> (NaiveDate, usize, &str, &'static str) {
        let id = self.id.trim_start_matches('0');
        (self.date, id.len(), id, self.entity)
    }
}

/// Parses a day; a time or an offset after it means nothing.
pub(super) fn parse_day(text: &str) -> Option<NaiveDate> {
    let day = text.get(..10)?;
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d");
    day.or_else(|_| NaiveDate::parse_from_str(&text[..10], "%Y/%m/%d"))
        .ok()
}

fn party_of(record: &Record) -> Option<Party> {
    let named =
        |kind, reference: &Option<Reference>| Some((kind, reference.as_ref()?.id()?.to_owned()));
    named("Customer", &record.customer_ref)
        .or_else(|| named("Vendor", &record.vendor_ref))
        .or_else(|| party(record.entity_ref.as_ref()))
}

/// Reads a reference that names the list of its party.
pub(super) fn party(reference: Option<&Reference>) -> Option<Party> {
    let reference = reference?;
    let kind = reference.kind()?;
    let known = ["Customer", "Vendor", "Employee"];
    let kind = known.into_iter().find(|it| it.eq_ignore_ascii_case(kind))?;
    Some((kind, reference.id()?.to_owned()))
}

/// Returns the entity of a link, whose words for it are those of reports (reports F).
pub(super) fn linked_entity(txn_type: &str) -> &'static str {
    match txn_type {
        "Invoice" => "Invoice",
        "CreditMemo" => "CreditMemo",
        "SalesReceipt" => "SalesReceipt",
        "RefundReceipt" => "RefundReceipt",
        "Payment" => "Payment",
        "Bill" => "Bill",
        "VendorCredit" => "VendorCredit",
        "BillPayment" | "BillPaymentCheck" | "BillPaymentCreditCard" => "BillPayment",
        "Deposit" => "Deposit",
        "Transfer" => "Transfer",
        "JournalEntry" => "JournalEntry",
        "Purchase" | "Expense" | "Check" | "Cheque" | "CashPurchase" | "CreditCardCharge"
        | "CreditCardCredit" => "Purchase",
        _ => "",
    }
}

/// Returns the id of a reference that the entity cannot do without.
pub(super) fn required(reference: Option<&Reference>, property: &str) -> Result<String, Problem> {
    super::record::id(reference).ok_or_else(|| Problem::lacks(property))
}

/// Adds the amounts of the parts.
pub(super) fn total_of(draft: &Draft) -> Result<Decimal, String> {
    let amounts = draft.parts.iter().map(|part| part.amount);
    sum(amounts).ok_or_else(|| TOO_LARGE.to_owned())
}
