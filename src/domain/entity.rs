//! The QBO entities (qbo-facts 8). A new entity is one row of [`ENTITIES`].

use crate::error::{Error, Result};

/// Kind of a record type, which determines how QBO deletes and hides records (qbo-facts 3.1 and 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityKind {
    /// Records are never removed, only made inactive. Queries hide inactive records unless `Active` is
    /// requested.
    List,
    /// Deleted records are removed for good. Has no `Active`.
    Transaction,
    /// Anything else: singletons, rates, attachments. Has no `Active`.
    Supporting,
}

/// Location of a record's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The property `Id`.
    Id,
    /// There is one record per company. Not every answer gives it an `Id`; without one it is "1".
    Single,
    /// These properties together, joined by colons. The record has no `Id`.
    Properties(&'static [&'static str]),
    /// The `Id` of the single object with an `Id` inside the row. The object's key is the type of
    /// the template.
    Wrapped,
}

/// Reliability of `ORDERBY` for an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// `ORDERBY MetaData.LastUpdatedTime` is obeyed.
    Reliable,
    /// `ORDERBY` is ignored.
    Unreliable,
}

/// One record type: its names and how QBO treats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntitySpec {
    /// Name in qbo_rs, plural and lower case; also the end of the table's name.
    pub name: &'static str,
    /// Name in queries.
    pub qbo_name: &'static str,
    /// Key of its rows in an answer.
    pub answer_key: &'static str,
    /// List, transaction or other.
    pub kind: EntityKind,
    /// Location of a record's identity.
    pub identity: Identity,
    /// Reliability of `ORDERBY`.
    pub ordering: Ordering,
    /// True if queries can ask for it. Otherwise its records are only known from change data capture,
    /// and can be read by id (qbo-facts 13.6).
    pub has_query: bool,
    /// True if change data capture covers it (qbo-facts 4).
    pub has_cdc: bool,
    /// True if one answer holds all of its records, and none of them says when it was changed
    /// (qbo-facts 13.6).
    pub is_read_whole: bool,
    /// Parts of its records that QBO answers only if the parameter `include` names them.
    pub includes: &'static [&'static str],
}

/// All custom fields, instead of the first three (qbo-facts 13.4).
pub const ALL_CUSTOM_FIELDS: &str = "enhancedAllCustomFields";
/// The address at which a customer pays an invoice (qbo-facts 13.5).
pub const INVOICE_LINK: &str = "invoiceLink";

const fn entity(name: &'static str, qbo_name: &'static str, kind: EntityKind) -> EntitySpec {
    let (identity, ordering) = (Identity::Id, Ordering::Reliable);
    EntitySpec {
        name,
        qbo_name,
        answer_key: qbo_name,
        kind,
        identity,
        ordering,
        has_query: true,
        has_cdc: true,
        is_read_whole: false,
        includes: &[],
    }
}

const fn list(name: &'static str, qbo_name: &'static str) -> EntitySpec {
    entity(name, qbo_name, EntityKind::List)
}

const fn transaction(name: &'static str, qbo_name: &'static str) -> EntitySpec {
    entity(name, qbo_name, EntityKind::Transaction)
}

const fn supporting(name: &'static str, qbo_name: &'static str) -> EntitySpec {
    entity(name, qbo_name, EntityKind::Supporting)
}

const fn single(name: &'static str, qbo_name: &'static str) -> EntitySpec {
    EntitySpec {
        identity: Identity::Single,
        ..supporting(name, qbo_name)
    }
}

const fn with_custom_fields(mut spec: EntitySpec) -> EntitySpec {
    spec.includes = &[ALL_CUSTOM_FIELDS];
    spec
}

const fn without_cdc(mut spec: EntitySpec) -> EntitySpec {
    spec.has_cdc = false;
    spec
}

const fn without_query(mut spec: EntitySpec) -> EntitySpec {
    spec.has_query = false;
    spec
}

const fn read_whole(mut spec: EntitySpec) -> EntitySpec {
    (spec.has_query, spec.has_cdc) = (false, false);
    spec.is_read_whole = true;
    spec
}

/// Entities that a company has in every plan and country.
const IN_EVERY_PLAN: [&str; 7] = [
    "accounts",
    "company_info",
    "customers",
    "invoices",
    "items",
    "preferences",
    "vendors",
];

impl EntitySpec {
    /// Returns true if no plan and no country lacks the entity. QuickBooks refuses it only to a user
    /// who may not read it.
    pub fn is_in_every_plan(&self) -> bool {
        IN_EVERY_PLAN.contains(&self.name)
    }
}

/// All entities that can be copied.
pub const ENTITIES: &[EntitySpec] = &[
    list("accounts", "Account"),
    supporting("attachables", "Attachable"),
    transaction("bill_payments", "BillPayment"),
    transaction("bills", "Bill"),
    list("budgets", "Budget"),
    without_query(transaction("change_orders", "ChangeOrder")),
    list("classes", "Class"),
    list("company_currencies", "CompanyCurrency"),
    single("company_info", "CompanyInfo"),
    // The key in answers differs from the name in queries.
    EntitySpec {
        answer_key: "CreditCardPaymentTxn",
        ..transaction("credit_card_payments", "CreditCardPayment")
    },
    with_custom_fields(transaction("credit_memos", "CreditMemo")),
    list("customer_types", "CustomerType"),
    list("customers", "Customer"),
    list("departments", "Department"),
    transaction("deposits", "Deposit"),
    list("employees", "Employee"),
    read_whole(single("entitlements", "Entitlements")),
    with_custom_fields(transaction("estimates", "Estimate")),
    EntitySpec {
        identity: Identity::Properties(&["AsOfDate", "SourceCurrencyCode", "TargetCurrencyCode"]),
        ..supporting("exchange_rates", "ExchangeRate")
    },
    without_query(transaction("inventory_adjustments", "InventoryAdjustment")),
    EntitySpec {
        includes: &[ALL_CUSTOM_FIELDS, INVOICE_LINK],
        ..transaction("invoices", "Invoice")
    },
    list("items", "Item"),
    without_cdc(list("journal_codes", "JournalCode")),
    transaction("journal_entries", "JournalEntry"),
    list("payment_methods", "PaymentMethod"),
    transaction("payments", "Payment"),
    single("preferences", "Preferences"),
    with_custom_fields(transaction("purchase_orders", "PurchaseOrder")),
    transaction("purchases", "Purchase"),
    EntitySpec {
        identity: Identity::Wrapped,
        ..transaction("recurring_transactions", "RecurringTransaction")
    },
    with_custom_fields(transaction("refund_receipts", "RefundReceipt")),
    transaction("reimburse_charges", "ReimburseCharge"),
    with_custom_fields(transaction("sales_receipts", "SalesReceipt")),
    EntitySpec {
        ordering: Ordering::Unreliable,
        ..without_cdc(supporting("tax_agencies", "TaxAgency"))
    },
    read_whole(supporting("tax_classifications", "TaxClassification")),
    without_cdc(list("tax_codes", "TaxCode")),
    transaction("tax_payments", "TaxPayment"),
    without_cdc(list("tax_rates", "TaxRate")),
    list("terms", "Term"),
    without_cdc(transaction("time_activities", "TimeActivity")),
    transaction("transfers", "Transfer"),
    transaction("vendor_credits", "VendorCredit"),
    list("vendors", "Vendor"),
];

impl EntitySpec {
    /// Returns true if queries hide inactive records unless `Active` is requested. For other entities
    /// a query with `Active` is an error (qbo-facts 3.1).
    pub fn has_active(&self) -> bool {
        self.kind == EntityKind::List
    }

    /// Returns the name of its table without the schema, such as `qb_customers`.
    pub fn table(&self) -> String {
        format!("qb_{}", self.name)
    }
}

/// Finds an entity by our name or QBO's, in any case.
///
/// # Errors
/// [`Error::Config`] that lists the known names.
pub fn find_entity(name: &str) -> Result<&'static EntitySpec> {
    let wanted = name.trim();
    ENTITIES
        .iter()
        .find(|e| e.name.eq_ignore_ascii_case(wanted) || e.qbo_name.eq_ignore_ascii_case(wanted))
        .ok_or_else(|| {
            let known: Vec<_> = ENTITIES.iter().map(|e| e.name).collect();
            Error::config(
                "entity",
                format!("unknown entity '{name}'; known: {}", known.join(", ")),
            )
        })
}

/// Finds several entities, in the order of `names`, each once.
///
/// # Errors
/// [`Error::Config`] if a name is unknown or `names` is empty.
pub fn select_entities<S: AsRef<str>>(names: &[S]) -> Result<Vec<EntitySpec>> {
    let mut selected: Vec<EntitySpec> = Vec::new();
    for name in names {
        let spec = find_entity(name.as_ref())?;
        if !selected.contains(spec) {
            selected.push(*spec);
        }
    }
    if selected.is_empty() {
        return Err(Error::config("entity", "no entity was named"));
    }
    Ok(selected)
}

/// Finds several entities like [`select_entities`], to read a range of their records.
///
/// # Errors
/// The errors of [`select_entities`]; [`Error::Config`] if only the changes of an entity's last days
/// can be read.
pub fn select_readable<S: AsRef<str>>(names: &[S]) -> Result<Vec<EntitySpec>> {
    let entities = select_entities(names)?;
    let is_readable = |entity: &&EntitySpec| entity.has_query || entity.is_read_whole;
    match entities.iter().find(|entity| !is_readable(entity)) {
        Some(EntitySpec { name, .. }) => Err(Error::config(
            "entity",
            format!(
                "QuickBooks answers no queries about {name}, so no range of them can be read; only `sync` copies them, \
                 from what QuickBooks reports as changed"
            ),
        )),
        None => Ok(entities),
    }
}

/// Finds several entities like [`select_readable`], to compare a range of their records.
///
/// # Errors
/// The errors of [`select_readable`]; [`Error::Config`] if the records of an entity do not say when
/// they were changed, so that no range of them can be compared.
pub fn select_comparable<S: AsRef<str>>(names: &[S]) -> Result<Vec<EntitySpec>> {
    let entities = select_readable(names)?;
    match entities.iter().find(|entity| entity.is_read_whole) {
        Some(EntitySpec { name, .. }) => Err(Error::config(
            "entity",
            format!(
                "QuickBooks does not say when {name} were changed, so no range of them can be compared; `sync {name}` \
                 reads all of them and reports what differed"
            ),
        )),
        None => Ok(entities),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_plain_identifiers() {
        let names: HashSet<_> = ENTITIES.iter().map(|e| e.name).collect();
        let qbo_names: HashSet<_> = ENTITIES.iter().map(|e| e.qbo_name).collect();
        assert_eq!(
            (names.len(), qbo_names.len()),
            (ENTITIES.len(), ENTITIES.len())
        );
        // Table names are built from them, unquoted.
        assert!(
            names
                .iter()
                .all(|n| n.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        );
    }

    #[test]
    fn both_names_find_an_entity_and_unknown_ones_are_listed() {
        assert_eq!(find_entity("Invoice").unwrap().name, "invoices");
        let text = find_entity("invoces").unwrap_err().to_string();
        assert!(
            text.contains("'invoces'") && text.contains("invoices, items, journal_codes"),
            "{text}"
        );
    }

    #[test]
    fn an_entity_named_twice_is_selected_once() {
        let selected = select_entities(&["items", "Item", "customers"]).unwrap();
        assert_eq!(
            selected.iter().map(|e| e.name).collect::<Vec<_>>(),
            ["items", "customers"]
        );
    }

    #[test]
    fn entities_are_asked_for_as_intuits_table_says() {
        let table = include_str!("../../facts/entities.tsv");
        let rows: Vec<Vec<&str>> = table
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split('\t').collect())
            .collect();
        for entity in ENTITIES {
            let row = rows
                .iter()
                .find(|row| row[0] == entity.qbo_name)
                .unwrap_or_else(|| panic!("facts/entities.tsv lacks {}", entity.qbo_name));
            let says = |column: usize| row[column] == "yes";
            let ours = (entity.has_query, entity.has_active(), entity.has_cdc);
            assert_eq!(ours, (says(1), says(3), says(4)), "{}", entity.name);
            assert!(entity.has_query || says(2), "{} can be read", entity.name);
        }
        for row in &rows[1..] {
            assert!(find_entity(row[0]).is_ok(), "{} is not copied", row[0]);
        }
    }

    #[test]
    fn a_range_of_an_entity_without_queries_is_refused() {
        assert_eq!(
            select_readable(&["items", "entitlements"]).unwrap().len(),
            2
        );
        let text = select_readable(&["items", "ChangeOrder"])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("change_orders") && text.contains("`sync`"),
            "{text}"
        );
    }

    #[test]
    fn a_range_of_an_entity_without_times_is_read_and_not_compared() {
        assert_eq!(select_comparable(&["items"]).unwrap().len(), 1);
        for name in ["tax_classifications", "Entitlements"] {
            assert!(select_readable(&[name]).is_ok());
            let text = select_comparable(&["items", name]).unwrap_err().to_string();
            assert!(text.contains("when") && text.contains("`sync "), "{text}");
        }
    }

    #[test]
    fn entities_without_cdc_are_marked() {
        let without: Vec<_> = ENTITIES
            .iter()
            .filter(|entity| !entity.has_cdc && entity.has_query)
            .map(|entity| entity.qbo_name)
            .collect();
        assert_eq!(
            without,
            [
                "JournalCode",
                "TaxAgency",
                "TaxCode",
                "TaxRate",
                "TimeActivity"
            ]
        );
    }
}
