//! The properties of payloads that decide what a transaction posts.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::amount::Amount;

/// A reference to a record of a list. Its name is not read: names change, and references keep old ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    value: Option<String>,
    /// `Vendor` and the like, of references that may name records of several lists.
    #[serde(rename = "type", alias = "Type")]
    kind: Option<String>,
    /// The reference inside the `Entity` of a line of a journal entry.
    #[serde(rename = "EntityRef")]
    inner: Option<Box<Reference>>,
}

impl Reference {
    pub(super) fn id(&self) -> Option<&str> {
        let own = self.value.as_deref().filter(|id| !id.is_empty());
        own.or_else(|| self.inner.as_ref()?.id())
    }

    pub(super) fn kind(&self) -> Option<&str> {
        self.kind.as_deref().or_else(|| self.inner.as_ref()?.kind())
    }
}

/// Returns the id of a reference that may be missing.
pub(super) fn id(reference: Option<&Reference>) -> Option<String> {
    reference?.id().map(str::to_owned)
}

/// A boolean, also one that is written as text (qbo-facts 9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(raw.trim_matches('"').eq_ignore_ascii_case("true")))
    }
}

/// A transaction of any entity.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Record {
    pub(super) id: Option<String>,
    pub(super) txn_date: Option<String>,
    /// The day of a payment of tax.
    pub(super) payment_date: Option<String>,
    /// Its JSON: it is compared, and not read.
    pub(super) doc_number: Option<Box<RawValue>>,
    pub(super) currency_ref: Option<Reference>,
    pub(super) exchange_rate: Option<Amount>,
    pub(super) total_amt: Option<Amount>,
    pub(super) home_total_amt: Option<Amount>,
    pub(super) private_note: Option<String>,
    pub(super) global_tax_calculation: Option<String>,
    pub(super) line: Option<Vec<Line>>,
    pub(super) txn_tax_detail: Option<TaxDetail>,
    pub(super) customer_ref: Option<Reference>,
    pub(super) vendor_ref: Option<Reference>,
    /// The party of a purchase.
    pub(super) entity_ref: Option<Reference>,
    #[serde(rename = "ARAccountRef")]
    pub(super) receivable_ref: Option<Reference>,
    #[serde(rename = "APAccountRef")]
    pub(super) payable_ref: Option<Reference>,
    pub(super) deposit_to_account_ref: Option<Reference>,
    /// The amount that was paid when an invoice was written.
    pub(super) deposit: Option<Amount>,
    pub(super) account_ref: Option<Reference>,
    pub(super) credit: Option<Flag>,
    pub(super) check_payment: Option<Box<PaidFrom>>,
    pub(super) credit_card_payment: Option<Box<PaidFrom>>,
    /// The amount of a transfer or a payment of a credit card.
    pub(super) amount: Option<Amount>,
    pub(super) from_account_ref: Option<Reference>,
    pub(super) to_account_ref: Option<Reference>,
    pub(super) bank_account_ref: Option<Reference>,
    pub(super) credit_card_account_ref: Option<Reference>,
    pub(super) cash_back: Option<Box<CashBack>>,
    pub(super) adjust_account_ref: Option<Reference>,
    /// The bank account of a payment of tax.
    pub(super) payment_account_ref: Option<Reference>,
    pub(super) payment_amount: Option<Amount>,
    pub(super) refund: Option<Flag>,
    pub(super) description: Option<String>,
}

/// The account that a bill payment is paid from.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct PaidFrom {
    pub(super) bank_account_ref: Option<Reference>,
    #[serde(rename = "CCAccountRef")]
    pub(super) card_ref: Option<Reference>,
}

/// The part of a deposit that was taken in cash.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct CashBack {
    pub(super) account_ref: Option<Reference>,
    pub(super) amount: Option<Amount>,
    pub(super) memo: Option<String>,
}

/// The sales tax of a transaction.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct TaxDetail {
    pub(super) txn_tax_code_ref: Option<Reference>,
    pub(super) total_tax: Option<Amount>,
    pub(super) tax_line: Option<Vec<Line>>,
}

/// A line. Its `DetailType` names the one detail that counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Line {
    pub(super) amount: Option<Amount>,
    pub(super) description: Option<String>,
    pub(super) linked_txn: Option<Vec<LinkedTxn>>,
    #[serde(rename = "SalesItemLineDetail")]
    pub(super) sale: Option<Box<Detail>>,
    #[serde(rename = "GroupLineDetail")]
    pub(super) group: Option<Box<Detail>>,
    #[serde(rename = "DiscountLineDetail")]
    pub(super) discount: Option<Box<Detail>>,
    #[serde(rename = "AccountBasedExpenseLineDetail")]
    pub(super) expense: Option<Box<Detail>>,
    #[serde(rename = "ItemBasedExpenseLineDetail")]
    pub(super) item: Option<Box<Detail>>,
    #[serde(rename = "JournalEntryLineDetail")]
    pub(super) journal: Option<Box<Detail>>,
    #[serde(rename = "DepositLineDetail")]
    pub(super) deposit: Option<Box<Detail>>,
    #[serde(rename = "ItemAdjustmentLineDetail")]
    pub(super) adjustment: Option<Box<Detail>>,
    #[serde(rename = "TaxLineDetail")]
    pub(super) tax: Option<Box<Detail>>,
}

/// The detail of a line, of any kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Detail {
    pub(super) item_ref: Option<Reference>,
    pub(super) item_account_ref: Option<Reference>,
    pub(super) qty: Option<Amount>,
    pub(super) account_ref: Option<Reference>,
    pub(super) tax_code_ref: Option<Reference>,
    pub(super) discount_account_ref: Option<Reference>,
    pub(super) tax_rate_ref: Option<Reference>,
    pub(super) posting_type: Option<String>,
    pub(super) entity: Option<Reference>,
    pub(super) qty_diff: Option<Amount>,
    /// The lines of a group.
    pub(super) line: Option<Vec<Line>>,
}

/// A link to another transaction.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct LinkedTxn {
    pub(super) txn_id: Option<String>,
    pub(super) txn_type: Option<String>,
}
