//! The members of records that have a meaning for the books.

use serde::Deserialize;

use super::decimal::Decimal;

/// A transaction of any entity.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) meta_data: Times,
    pub(crate) doc_number: Option<String>,
    pub(crate) txn_date: String,
    /// The date of a payment of tax.
    pub(crate) payment_date: String,
    pub(crate) payment_account_ref: Option<Ref>,
    pub(crate) payment_amount: Option<Decimal>,
    /// `"true"` of a refund of tax, as text.
    pub(crate) refund: serde_json::Value,
    pub(crate) due_date: Option<String>,
    pub(crate) private_note: Option<String>,
    pub(crate) total_amt: Option<Decimal>,
    /// The amount of a transfer or a credit card payment.
    pub(crate) amount: Option<Decimal>,
    pub(crate) exchange_rate: Option<Decimal>,
    pub(crate) currency_ref: Option<Ref>,
    pub(crate) customer_ref: Option<Ref>,
    pub(crate) vendor_ref: Option<Ref>,
    pub(crate) entity_ref: Option<Ref>,
    pub(crate) account_ref: Option<Ref>,
    #[serde(rename = "ARAccountRef")]
    pub(crate) ar_account_ref: Option<Ref>,
    #[serde(rename = "APAccountRef")]
    pub(crate) ap_account_ref: Option<Ref>,
    pub(crate) deposit_to_account_ref: Option<Ref>,
    pub(crate) bank_account_ref: Option<Ref>,
    pub(crate) credit_card_account_ref: Option<Ref>,
    pub(crate) from_account_ref: Option<Ref>,
    pub(crate) to_account_ref: Option<Ref>,
    pub(crate) adjust_account_ref: Option<Ref>,
    pub(crate) payment_type: Option<String>,
    pub(crate) pay_type: Option<String>,
    pub(crate) credit: bool,
    pub(crate) check_payment: Option<Paid>,
    pub(crate) credit_card_payment: Option<Paid>,
    pub(crate) line: Vec<Line>,
    pub(crate) txn_tax_detail: Tax,
    pub(crate) adjustment: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Times {
    pub(crate) create_time: String,
    pub(crate) last_updated_time: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ref {
    pub(crate) value: String,
    /// The kind of an `EntityRef`: Vendor, Customer or Employee.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
}

/// The account that a bill was paid from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Paid {
    #[serde(rename = "BankAccountRef")]
    pub(crate) bank: Option<Ref>,
    #[serde(rename = "CCAccountRef")]
    pub(crate) card: Option<Ref>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Tax {
    pub(crate) tax_line: Vec<TaxLine>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct TaxLine {
    pub(crate) amount: Decimal,
    pub(crate) tax_line_detail: TaxLineDetail,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct TaxLineDetail {
    pub(crate) tax_rate_ref: Ref,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Line {
    pub(crate) amount: Decimal,
    pub(crate) description: Option<String>,
    pub(crate) linked_txn: Vec<Link>,
    pub(crate) sales_item_line_detail: Option<ItemDetail>,
    pub(crate) item_based_expense_line_detail: Option<ItemDetail>,
    pub(crate) account_based_expense_line_detail: Option<AccountDetail>,
    pub(crate) deposit_line_detail: Option<AccountDetail>,
    pub(crate) journal_entry_line_detail: Option<JournalDetail>,
    pub(crate) discount_line_detail: Option<DiscountDetail>,
    pub(crate) item_adjustment_line_detail: Option<AdjustmentDetail>,
}

/// The transaction that a line settles, or that it was made from.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Link {
    pub(crate) txn_id: String,
    pub(crate) txn_type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ItemDetail {
    pub(crate) item_ref: Ref,
    pub(crate) qty: Option<Decimal>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct AccountDetail {
    pub(crate) account_ref: Ref,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DiscountDetail {
    pub(crate) discount_account_ref: Ref,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct AdjustmentDetail {
    pub(crate) item_ref: Ref,
    pub(crate) qty_diff: Decimal,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct JournalDetail {
    pub(crate) posting_type: String,
    pub(crate) account_ref: Ref,
    pub(crate) entity: Option<JournalName>,
}

/// The name on a line of a journal entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct JournalName {
    #[serde(rename = "Type")]
    pub(crate) kind: String,
    pub(crate) entity_ref: Ref,
}
