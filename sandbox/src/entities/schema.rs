//! The description of an entity, and of the fields of its sample records.

use crate::facts::{self, EntityFacts, Property};

/// The kind of an entity, which decides how its records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Records have `Active`. They are made inactive, and never deleted.
    List,
    /// Records can be deleted for good.
    Transaction,
    /// Records have no `Active`, and nothing can be filtered but the common properties.
    Other,
}

/// The key that identifies a record of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The record's `Id`.
    Id,
    /// There is one record, with the `Id` "1".
    Single,
    /// These properties together. There is no `Id`.
    Properties(&'static [&'static str]),
    /// The `Id` of the object that the record wraps, whose key is the type of the template.
    Wrapped,
}

/// One entity.
#[derive(Debug)]
pub(crate) struct Entity {
    /// The entity's name in queries and paths.
    pub name: &'static str,
    /// The key of the entity's rows in an answer.
    pub answer_key: &'static str,
    pub kind: Kind,
    pub identity: Identity,
    /// Whether records can be voided.
    pub is_voidable: bool,
    /// Whether one record can be merged into another.
    pub is_mergeable: bool,
    /// Whether webhooks report the entity.
    pub webhook: bool,
    /// The number of records in a sample company.
    pub sample: u32,
    /// The fields of a sample record, in order.
    pub fields: &'static [Field],
}

/// One field of a sample record.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub value: Value,
    /// Whether some records leave the field out, as real records leave out fields without a value.
    pub is_optional: bool,
}

/// The value of a sample record's field.
#[derive(Debug)]
pub(crate) enum Value {
    /// This JSON.
    Json(&'static str),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A name that no other record has. Inactive records' names have a suffix.
    Name(Words),
    /// A random word of this kind.
    Word(Words),
    /// An amount with two decimals, or a bare zero.
    Money,
    /// A number with seven decimals.
    Quantity,
    Flag,
    /// Whether the record is active.
    Active,
    /// A document number. Several records can have the same.
    DocNumber,
    /// The date on which the record was created.
    Date,
    /// The date 30 days after the record was created.
    DueDate,
    Phone,
    Email,
    Address,
    /// Free text, sometimes long or odd.
    Note,
    /// A reference with a name, to one of this many records.
    Ref(u32),
    /// A reference to one of this many accounts, with its full name.
    AccountRef(u32),
    /// A reference without a name, to one of this many records.
    BareRef(u32),
    /// One or two lines of this detail type.
    Lines(&'static str),
    /// The members that all records have: domain, sparse, Id, SyncToken and MetaData.
    Head,
    /// The same for a record without an `Id`.
    HeadWithoutId,
    /// The two parts of an exchange rate's key.
    RateDate,
    RateSource,
}

/// The kinds of words in sample records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Given,
    Family,
    Trade,
    Goods,
    City,
}

/// Returns a field that every sample record has.
pub(super) const fn field(name: &'static str, value: Value) -> Field {
    Field {
        name,
        value,
        is_optional: false,
    }
}

/// Returns a field that some sample records leave out.
pub(super) const fn optional(name: &'static str, value: Value) -> Field {
    Field {
        name,
        value,
        is_optional: true,
    }
}

/// The members that all records have. As in real answers, they come in the middle of a record.
pub(super) const HEAD: Field = field("", Value::Head);

/// The currency of all sample records.
pub(super) const USD: Field = field(
    "CurrencyRef",
    Value::Json(r#"{"value":"USD","name":"United States Dollar"}"#),
);

impl Entity {
    /// Returns what Intuit says about the entity.
    pub(crate) fn facts(&self) -> Option<&'static EntityFacts> {
        facts::of_entity(self.name)
    }

    /// Returns whether queries can ask for the entity.
    pub(crate) fn has_query(&self) -> bool {
        self.facts().is_some_and(|facts| facts.has_query)
    }

    /// Returns whether its records have `Active`.
    pub(crate) fn has_active(&self) -> bool {
        self.facts().is_some_and(|facts| facts.has_active)
    }

    /// Returns whether change data capture reports the entity.
    pub(crate) fn has_cdc(&self) -> bool {
        self.facts().is_some_and(|facts| facts.has_cdc)
    }

    /// Returns a property that queries can filter or sort by.
    pub(crate) fn property(&self, name: &str) -> Option<&'static Property> {
        self.facts()?.property(name)
    }
}
