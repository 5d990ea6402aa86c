//! The properties that divide the records of one second, when a page cannot hold them all.
//!
//! QBO sorts no record by `Id` (qbo-facts 13.1), so that such records cannot be paged. They can be
//! filtered by another property, in parts that fit a page.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::domain::entity::EntitySpec;
use crate::domain::instant::{format_instant, parse_record_time};
use crate::domain::record::Record;

/// Properties that divide records well, best first. An entity has those that Intuit's table lets a
/// query filter by.
const CANDIDATES: [&str; 15] = [
    "MetaData.CreateTime",
    "TxnDate",
    "DocNumber",
    "PaymentRefNum",
    "DisplayName",
    "FullyQualifiedName",
    "Name",
    "AsOfDate",
    "SourceCurrencyCode",
    "Sku",
    "FileName",
    "DueDate",
    "CompanyName",
    "FamilyName",
    "Description",
];

static PROPERTIES: LazyLock<HashMap<&'static str, Vec<Divider>>> = LazyLock::new(|| {
    let mut filterable: HashMap<&str, Vec<&str>> = HashMap::new();
    for row in include_str!("../../facts/properties.tsv").lines() {
        if let [entity, property, _, "yes", ..] = row.split('\t').collect::<Vec<_>>()[..] {
            filterable.entry(entity).or_default().push(property);
        }
    }
    filterable
        .into_iter()
        .map(|(entity, found)| {
            let usable = CANDIDATES.into_iter().filter(|name| found.contains(name));
            (entity, usable.map(Divider).collect())
        })
        .collect()
});

/// A property that divides records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Divider(&'static str);

impl Divider {
    /// Returns the property's path in queries.
    pub(crate) fn name(self) -> &'static str {
        self.0
    }

    /// Returns the value of a record as a query names it. Values sort as text.
    pub(crate) fn value(self, record: &Record) -> Option<String> {
        let text = record.payload.text_at(self.0)?;
        match self.0 {
            "MetaData.CreateTime" => parse_record_time(&text).map(format_instant),
            _ => Some(text),
        }
    }
}

impl EntitySpec {
    /// Returns the properties that can divide its records, best first.
    pub(crate) fn dividers(&self) -> &'static [Divider] {
        PROPERTIES
            .get(self.qbo_name)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::{ENTITIES, find_entity};

    fn names(entity: &str) -> Vec<&'static str> {
        let dividers = find_entity(entity).unwrap().dividers();
        dividers.iter().map(|divider| divider.name()).collect()
    }

    #[test]
    fn an_entity_is_divided_by_what_its_queries_can_filter() {
        assert_eq!(
            names("invoices"),
            ["MetaData.CreateTime", "TxnDate", "DocNumber", "DueDate"]
        );
        assert_eq!(names("transfers"), ["MetaData.CreateTime", "TxnDate"]);
        assert_eq!(
            names("items")[..3],
            ["MetaData.CreateTime", "FullyQualifiedName", "Name"]
        );
        // Every entity that answers queries has a time of creation to filter by.
        for entity in ENTITIES.iter().filter(|entity| entity.has_query) {
            assert_eq!(
                entity.dividers().first().map(|divider| divider.name()),
                Some("MetaData.CreateTime"),
                "{}",
                entity.name
            );
        }
    }
}
