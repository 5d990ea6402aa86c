//! What QBO knows about its record types (qbo-facts 2.3, 3.1 and 8).

/// Name lists: their records are made inactive, never removed.
const LISTS: [&str; 15] = [
    "Account",
    "Budget",
    "Class",
    "CompanyCurrency",
    "Customer",
    "CustomerType",
    "Department",
    "Employee",
    "Item",
    "JournalCode",
    "PaymentMethod",
    "TaxCode",
    "TaxRate",
    "Term",
    "Vendor",
];

/// Transactions: removed for good when deleted.
const TRANSACTIONS: [&str; 18] = [
    "Bill",
    "BillPayment",
    "CreditCardPayment",
    "CreditMemo",
    "Deposit",
    "Estimate",
    "Invoice",
    "JournalEntry",
    "Payment",
    "Purchase",
    "PurchaseOrder",
    "RefundReceipt",
    "ReimburseCharge",
    "SalesReceipt",
    "TaxPayment",
    "TimeActivity",
    "Transfer",
    "VendorCredit",
];

/// Properties that every entity can be filtered by.
const COMMON: [&str; 3] = ["Id", "MetaData.CreateTime", "MetaData.LastUpdatedTime"];
const OF_LISTS: [&str; 3] = ["Active", "Name", "FullyQualifiedName"];
const OF_TRANSACTIONS: [&str; 3] = ["TxnDate", "DocNumber", "TotalAmt"];

/// Properties of single entities; all others fail with 4001.
const FILTERABLE: [(&str, &[&str]); 6] = [
    ("Customer", &["DisplayName", "GivenName", "FamilyName", "CompanyName", "PrintOnCheckName", "Balance"]),
    ("Vendor", &["DisplayName", "GivenName", "FamilyName", "CompanyName", "PrintOnCheckName", "Balance"]),
    ("Employee", &["DisplayName", "GivenName", "FamilyName", "PrintOnCheckName"]),
    ("Item", &["Type", "Sku", "Taxable", "SubItem"]),
    ("Invoice", &["DueDate", "CustomerRef", "SalesTermRef", "Balance", "ProjectRef"]),
    ("Account", &["AccountType", "AccountSubType", "Classification"]),
];

/// How a record type behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Transaction,
    /// Neither: no `Active`, nothing filterable beyond the common properties.
    Other,
}

/// The canonical name and the kind of an entity that QBO has, found in any case.
pub(super) fn find(name: &str) -> Option<(&'static str, Kind)> {
    let in_list = |list: &'static [&'static str], kind| {
        list.iter().find(|known| known.eq_ignore_ascii_case(name)).map(|known| (*known, kind))
    };
    in_list(&LISTS, Kind::List)
        .or_else(|| in_list(&TRANSACTIONS, Kind::Transaction))
        .or_else(|| in_list(&["CompanyInfo", "Preferences", "TaxAgency", "ExchangeRate", "Attachable"], Kind::Other))
}

/// The canonical spelling of a property that this entity can be filtered and ordered by.
pub(super) fn filterable(entity: &str, property: &str) -> Option<&'static str> {
    let by_kind: &[&str] = match find(entity).map(|(_, kind)| kind) {
        Some(Kind::List) => &OF_LISTS,
        Some(Kind::Transaction) => &OF_TRANSACTIONS,
        _ => &[],
    };
    let own = FILTERABLE.iter().find(|(name, _)| *name == entity).map_or(&[][..], |(_, properties)| properties);
    let all = COMMON.iter().chain(by_kind).chain(own);
    all.copied().find(|known| known.eq_ignore_ascii_case(property))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_belongs_to_lists_only() {
        assert_eq!(filterable("Customer", "active"), Some("Active"));
        assert_eq!(filterable("Invoice", "Active"), None);
    }

    #[test]
    fn contact_fields_are_not_filterable() {
        assert_eq!(filterable("Customer", "PrimaryEmailAddr"), None);
        assert_eq!(filterable("Invoice", "metadata.lastupdatedtime"), Some("MetaData.LastUpdatedTime"));
    }
}
