//! The entities of QuickBooks Online (qbo-facts 3.1, 5, 8 and 13), one table row each.
//!
//! Everything that the sandbox answers about an entity follows from its row, sample records
//! included, and from Intuit's tables in `facts.rs`.

mod lists;
mod schema;
mod supporting;
mod transactions;

pub(crate) use self::schema::{Entity, Field, Identity, Kind, Value, Words};

/// Returns every entity that has records with an id and a time.
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
    fn what_can_be_asked_of_an_entity_follows_from_intuits_tables() {
        for entity in all() {
            let facts = entity
                .facts()
                .unwrap_or_else(|| panic!("facts/entities.tsv lacks {}", entity.name));
            assert_eq!(
                facts.has_active,
                entity.kind == Kind::List,
                "{}",
                entity.name
            );
            assert_eq!(entity.property("Active").is_some(), facts.has_active);
        }
        let property = |entity: &str, name| find(entity).unwrap().property(name);
        assert!(property("Customer", "active").is_some());
        assert!(property("Customer", "Notes").is_none());
        assert!(property("ExchangeRate", "Id").is_none());
        let time = property("Invoice", "metadata.lastupdatedtime").unwrap();
        assert_eq!(time.name, "MetaData.LastUpdatedTime");
        assert!(
            !property("Customer", "BalanceWithJobs")
                .unwrap()
                .is_filterable
        );
    }

    #[test]
    fn the_registry_holds_every_entity_that_has_records() {
        let names: HashSet<_> = all().map(|entity| entity.name).collect();
        assert_eq!(names.len(), all().count(), "a name stands twice");
        assert_eq!(all().filter(|entity| entity.kind == Kind::List).count(), 15);
        assert_eq!(
            all()
                .filter(|entity| entity.kind == Kind::Transaction)
                .count(),
            21
        );
        assert_eq!(all().filter(|entity| entity.kind == Kind::Other).count(), 5);
        for absent in ["Entitlements", "TaxClassification", "TaxService"] {
            assert!(!names.contains(absent));
        }
    }

    #[test]
    fn only_what_cdc_leaves_out_is_left_out() {
        let without: HashSet<_> = all()
            .filter(|entity| !entity.has_cdc())
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
