//! What QBO knows about its record types (qbo-facts 2.3, 3.1, 4, 5 and 8): one row each, from which
//! everything follows that the sandbox answers about it, sample records included.

mod lists;
mod supporting;
mod transactions;

/// How a record type behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Made inactive, never removed; has `Active`.
    List,
    /// Removed for good when deleted.
    Transaction,
    /// Neither: no `Active`, nothing filterable beyond the common properties.
    Other,
}

/// How its records are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// By `Id`.
    Id,
    /// There is one, with the `Id` "1".
    Single,
    /// By these properties together; there is no `Id`.
    Properties(&'static [&'static str]),
    /// By the `Id` of the one object inside, whose key is the type of the template.
    Wrapped,
}

/// One record type.
#[derive(Debug)]
pub(super) struct Entity {
    /// In queries and paths.
    pub name: &'static str,
    /// The key of its rows in an answer.
    pub answer_key: &'static str,
    pub kind: Kind,
    pub identity: Identity,
    /// Properties of its own that can be filtered and ordered by.
    pub filterable: &'static [&'static str],
    /// Whether change data capture knows it.
    pub has_cdc: bool,
    /// Whether it can be voided.
    pub is_voidable: bool,
    /// Whether two records can be merged into one.
    pub is_mergeable: bool,
    /// The word of webhooks; none if they say nothing of it.
    pub webhook: bool,
    /// Records of it in a sample company.
    pub sample: u32,
    /// What a sample record is made of, in order.
    pub fields: &'static [Field],
}

/// One property of a sample record.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub value: Value,
    /// Left out of some records, as real ones leave out what has no value.
    pub is_optional: bool,
}

/// What a property of a sample record holds.
#[derive(Debug)]
pub(super) enum Value {
    /// JSON as it stands here.
    Json(&'static str),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A name of the record's own; inactive ones carry a suffix.
    Name(Words),
    /// A word of a kind.
    Word(Words),
    /// Two decimals, or a bare zero.
    Money,
    /// Seven decimals.
    Quantity,
    Flag,
    /// Whether the record is active.
    Active,
    /// A document's number; numbers repeat.
    DocNumber,
    /// The day of creation.
    Date,
    /// Thirty days later.
    DueDate,
    Phone,
    Email,
    Address,
    /// Free text, sometimes long or odd.
    Note,
    /// A reference with a name to one of so many records.
    Ref(u32),
    /// A reference by number only.
    BareRef(u32),
    /// Lines of this detail type.
    Lines(&'static str),
    /// The head that all records have: domain, Id, SyncToken, MetaData.
    Head,
    /// The head of a record without an `Id`.
    HeadWithoutId,
    /// Parts of an exchange rate's key.
    RateDate,
    RateSource,
}

/// Kinds of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Given,
    Family,
    Trade,
    Goods,
    City,
}

const fn field(name: &'static str, value: Value) -> Field {
    Field {
        name,
        value,
        is_optional: false,
    }
}

const fn optional(name: &'static str, value: Value) -> Field {
    Field {
        name,
        value,
        is_optional: true,
    }
}

/// The record's head stands where real answers have it: in the middle.
const HEAD: Field = field("", Value::Head);

const USD: Field = field(
    "CurrencyRef",
    Value::Json(r#"{"value":"USD","name":"United States Dollar"}"#),
);

/// Properties that every entity can be filtered by.
const COMMON: [&str; 3] = ["Id", "MetaData.CreateTime", "MetaData.LastUpdatedTime"];
const OF_LISTS: [&str; 3] = ["Active", "Name", "FullyQualifiedName"];
const OF_TRANSACTIONS: [&str; 3] = ["TxnDate", "DocNumber", "TotalAmt"];

impl Entity {
    /// The canonical spelling of a property that this entity can be filtered and ordered by; all
    /// others are a 4001.
    pub fn filterable(&self, property: &str) -> Option<&'static str> {
        let by_kind: &[&str] = match self.kind {
            Kind::List => &OF_LISTS,
            Kind::Transaction => &OF_TRANSACTIONS,
            Kind::Other => &[],
        };
        let has_id = !matches!(self.identity, Identity::Properties(_));
        let common = COMMON.iter().filter(|known| has_id || **known != "Id");
        common
            .chain(by_kind)
            .chain(self.filterable)
            .copied()
            .find(|known| known.eq_ignore_ascii_case(property))
    }
}

/// Every entity that answers queries.
pub(super) fn all() -> impl Iterator<Item = &'static Entity> {
    lists::LISTS
        .iter()
        .chain(transactions::TRANSACTIONS)
        .chain(supporting::SUPPORTING)
}

/// An entity by its name, in any case.
pub(super) fn find(name: &str) -> Option<&'static Entity> {
    all().find(|entity| entity.name.eq_ignore_ascii_case(name))
}

/// An entity by the key of its rows.
pub(super) fn of_answer_key(key: &str) -> Option<&'static Entity> {
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
