//! The entities of QuickBooks Online (qbo-facts 2.3, 3.1, 4, 5 and 8), one table row each.
//!
//! Everything that the sandbox answers about an entity follows from its row, sample records
//! included.

mod lists;
mod schema;
mod supporting;
mod transactions;

pub(crate) use self::schema::{Entity, Field, Identity, Kind, Value, Words};

/// Returns every entity that can be queried.
pub(crate) fn all() -> impl Iterator<Item = &'static Entity> {
    lists::LISTS
        .iter()
        .chain(transactions::TRANSACTIONS)
        .chain(supporting::SUPPORTING)
}

/// Finds an entity by its name, in upper or lower case.
pub(crate) fn find(name: &str) -> Option<&'static Entity> {
    all().find(|entity| entity.name.eq_ignore_ascii_case(name))
}

/// Finds an entity by the key of its rows in an answer.
pub(crate) fn find_by_answer_key(key: &str) -> Option<&'static Entity> {
    all().find(|entity| entity.answer_key == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn active_belongs_to_lists_only() {
        assert_eq!(
            find("Customer").unwrap().filterable("active"),
            Some("Active")
        );
        assert_eq!(find("Invoice").unwrap().filterable("Active"), None);
    }

    #[test]
    fn contact_fields_are_not_filterable() {
        assert_eq!(
            find("Customer").unwrap().filterable("PrimaryEmailAddr"),
            None
        );
        assert_eq!(
            find("Invoice")
                .unwrap()
                .filterable("metadata.lastupdatedtime"),
            Some("MetaData.LastUpdatedTime")
        );
        assert_eq!(find("ExchangeRate").unwrap().filterable("Id"), None);
    }

    #[test]
    fn the_registry_holds_every_entity_of_section_8_that_answers_queries() {
        let names: HashSet<_> = all().map(|entity| entity.name).collect();
        assert_eq!(names.len(), all().count(), "a name stands twice");
        assert_eq!(all().filter(|entity| entity.kind == Kind::List).count(), 15);
        assert_eq!(
            all()
                .filter(|entity| entity.kind == Kind::Transaction)
                .count(),
            19
        );
        assert_eq!(all().filter(|entity| entity.kind == Kind::Other).count(), 5);
        for absent in [
            "Entitlements",
            "TaxClassification",
            "TaxService",
            "InventoryAdjustment",
        ] {
            assert!(!names.contains(absent));
        }
    }

    #[test]
    fn only_what_cdc_leaves_out_is_left_out() {
        let without: HashSet<_> = all()
            .filter(|entity| !entity.has_cdc)
            .map(|entity| entity.name)
            .collect();
        let documented = [
            "JournalCode",
            "TaxAgency",
            "TimeActivity",
            "TaxCode",
            "TaxRate",
        ];
        assert_eq!(without, documented.into_iter().collect());
    }
}
