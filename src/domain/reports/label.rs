//! The words of reports for types of transactions, and the entities that have them (reports.md F).

/// Word and entity. The English words of all editions; others are found by id.
const LABELS: &[(&str, &str)] = &[
    ("Invoice", "Invoice"),
    ("Payment", "Payment"),
    ("Credit Memo", "CreditMemo"),
    ("Adjustment Note", "CreditMemo"),
    ("Credit Note", "CreditMemo"),
    ("Sales Receipt", "SalesReceipt"),
    ("Refund", "RefundReceipt"),
    ("Credit Refund", "RefundReceipt"),
    ("Refund Receipt", "RefundReceipt"),
    ("Bill", "Bill"),
    ("Vendor Credit", "VendorCredit"),
    ("Supplier Credit", "VendorCredit"),
    ("Bill Payment (Check)", "BillPayment"),
    ("Bill Payment (Cheque)", "BillPayment"),
    ("Bill Payment (Credit Card)", "BillPayment"),
    ("Bill Payment", "BillPayment"),
    ("Bill Pmt -Check", "BillPayment"),
    ("Bill Pmt CC", "BillPayment"),
    ("Expense", "Purchase"),
    ("Cash Expense", "Purchase"),
    ("Credit Card Expense", "Purchase"),
    ("Cheque Expense", "Purchase"),
    ("Check", "Purchase"),
    ("Cheque", "Purchase"),
    ("Cash Purchase", "Purchase"),
    ("Credit Card Charge", "Purchase"),
    ("Credit Card Credit", "Purchase"),
    ("Credit Card Payment", "CreditCardPayment"),
    ("Deposit", "Deposit"),
    ("Transfer", "Transfer"),
    ("Journal Entry", "JournalEntry"),
    ("General Journal", "JournalEntry"),
    ("Inventory Qty Adjust", "InventoryAdjustment"),
    ("Estimate", "Estimate"),
    ("Purchase Order", "PurchaseOrder"),
    ("Time Activity", "TimeActivity"),
    ("Time Charge", "TimeActivity"),
];

/// Returns the entity whose transactions reports call so.
pub(crate) fn entity_of_label(label: &str) -> Option<&'static str> {
    let found = LABELS.iter().find(|(known, _)| *known == label);
    found.map(|(_, entity)| *entity)
}

/// The word for stock that was there when the records began.
pub(crate) const STARTING_VALUE: &str = "Inventory Starting Value";

/// Words for transactions that no entity has, or that begin so (reports.md F). Words of payroll come from
/// another service, and so does a revaluation.
const WITHOUT_ENTITY: &[&str] = &[
    "Payroll",
    "Paycheck",
    "Liability Payment",
    "Sales Tax",
    "Tax Payment",
    "GST Payment",
    "Global Tax",
    "Service Tax",
    "Reverse Charge",
    STARTING_VALUE,
    "Inventory Desktop Starting Value",
    "Currency Revaluation",
    "Home Currency Adjustment",
];

/// Words for payments of tax. Where the company has such records, they are of the entity TaxPayment.
const TAX_PAYMENTS: &[&str] = &["Tax Payment", "GST Payment", "Global Tax Payment"];

/// Returns whether reports call payments of tax so.
pub(crate) fn is_tax_payment(label: &str) -> bool {
    TAX_PAYMENTS.iter().any(|known| label.starts_with(known))
}

/// Returns whether no entity has the transactions that reports call so. A word that is not known may be that of
/// a record in another language.
pub(crate) fn has_no_entity(label: &str) -> bool {
    WITHOUT_ENTITY.iter().any(|known| label.starts_with(known))
}
