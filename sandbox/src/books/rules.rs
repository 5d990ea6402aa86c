//! How each type of transaction posts. One row of [`RULES`] is one type.
//!
//! The rules are those of double-entry bookkeeping as every textbook gives them; what is special to
//! QuickBooks stands in facts/reports.md F and beside the rule.

use super::posting::{Draft, Source};
use super::record::Record;

/// One type of transaction.
pub(super) struct Rule {
    pub(super) entity: &'static str,
    /// The label in reports (facts/reports.md F, "Txn type label").
    pub(super) label: fn(&Record) -> &'static str,
    pub(super) post: fn(&Source<'_>) -> Draft,
}

pub(super) const RULES: &[Rule] = &[
    // Debit receivables; credit income, tax payable. Stock leaves at cost.
    Rule {
        entity: "Invoice",
        label: |_| "Invoice",
        post: |source| source.sale(source.receivable(), 1),
    },
    // An invoice the other way round. Stock comes back.
    Rule {
        entity: "CreditMemo",
        label: |_| "Credit Memo",
        post: |source| source.sale(source.receivable(), -1),
    },
    // A sale that is paid at once: the money is debited in place of receivables.
    Rule {
        entity: "SalesReceipt",
        label: |_| "Sales Receipt",
        post: |source| source.sale(source.deposit_account(), 1),
    },
    Rule {
        entity: "RefundReceipt",
        label: |_| "Refund",
        post: |source| source.sale(source.deposit_account(), -1),
    },
    // Debit money; credit receivables, for each document at the rate of that document. The difference
    // is the realised exchange gain or loss, which no line of the record shows.
    Rule {
        entity: "Payment",
        label: |_| "Payment",
        post: |source| source.payment(source.deposit_account(), source.receivable(), 1),
    },
    // Debit the bank; credit undeposited funds, or the account of a line.
    Rule {
        entity: "Deposit",
        label: |_| "Deposit",
        post: |source| source.deposit(),
    },
    // Debit expenses and stock; credit payables.
    Rule {
        entity: "Bill",
        label: |_| "Bill",
        post: |source| source.purchase(source.payable(), 1),
    },
    Rule {
        entity: "VendorCredit",
        label: |_| "Vendor Credit",
        post: |source| source.purchase(source.payable(), -1),
    },
    // Debit payables, for each bill at its rate; credit the bank or the credit card.
    Rule {
        entity: "BillPayment",
        label: |record| match record.pay_type.as_deref() {
            Some("CreditCard") => "Bill Payment (Credit Card)",
            _ => "Bill Payment (Check)",
        },
        post: |source| source.payment(source.paid_from(), source.payable(), -1),
    },
    // Debit expenses; credit the bank or the card. A credit card credit is the other way round.
    Rule {
        entity: "Purchase",
        label: |record| match (record.payment_type.as_deref(), record.credit) {
            (Some("Check"), _) => "Check",
            (Some("CreditCard"), true) => "Credit Card Credit",
            (Some("CreditCard"), false) => "Credit Card Expense",
            _ => "Expense",
        },
        post: |source| {
            let sign = if source.record.credit { -1 } else { 1 };
            source.purchase(source.account(source.record.account_ref.as_ref()), sign)
        },
    },
    // Debit the card, whose debt shrinks; credit the bank.
    Rule {
        entity: "CreditCardPayment",
        label: |_| "Credit Card Payment",
        post: |source| {
            let record = source.record;
            source.transfer(
                record.credit_card_account_ref.as_ref(),
                record.bank_account_ref.as_ref(),
            )
        },
    },
    Rule {
        entity: "Transfer",
        label: |_| "Transfer",
        post: |source| {
            let record = source.record;
            source.transfer(
                record.to_account_ref.as_ref(),
                record.from_account_ref.as_ref(),
            )
        },
    },
    // As the lines say.
    Rule {
        entity: "JournalEntry",
        label: |_| "Journal Entry",
        post: |source| source.journal_entry(),
    },
    // Debit the account of the adjustment; credit stock at cost.
    Rule {
        entity: "InventoryAdjustment",
        label: |_| "Inventory Qty Adjust",
        post: |source| source.inventory_adjustment(),
    },
    // Debit the tax that was filed; credit the bank. In AU, CA and UK it is a record (facts/reports.md F).
    Rule {
        entity: "TaxPayment",
        label: |_| "GST Payment",
        post: |source| source.tax_payment(),
    },
    // Documents that post nothing.
    Rule {
        entity: "Estimate",
        label: |_| "Estimate",
        post: |_| Draft::default(),
    },
    Rule {
        entity: "PurchaseOrder",
        label: |_| "Purchase Order",
        post: |_| Draft::default(),
    },
];

/// The entities of documents that are listed and post nothing.
pub(crate) const NON_POSTING: [&str; 2] = ["Estimate", "PurchaseOrder"];
