//! One pass over a record: properties that have columns become values, the others stay JSON.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::value::{Value, read};
use crate::domain::ColumnType;

/// A property, and those of the object that it holds.
#[derive(Debug, Default)]
pub(super) struct Property {
    /// Its column, with the type.
    column: Option<(usize, ColumnType)>,
    members: HashMap<&'static str, Property>,
}

impl Property {
    /// Gives the property at a path a column.
    pub(super) fn set_column(
        &mut self,
        path: &[&'static str],
        column: usize,
        column_type: ColumnType,
    ) {
        self.at(path).column = Some((column, column_type));
    }

    /// Makes a property known. Without a column it is passed over.
    pub(super) fn set_known(&mut self, path: &[&'static str]) {
        self.at(path);
    }

    fn at(&mut self, path: &[&'static str]) -> &mut Self {
        path.iter().fold(self, |property, name| {
            property.members.entry(name).or_default()
        })
    }
}

/// The values of one record.
#[derive(Debug)]
pub(super) struct Values<'r, 'de> {
    /// Values by the number of their column.
    pub row: &'r mut [Value<'de>],
    /// Numbers of values that did not fit, by the number of their column.
    pub misfits: &'r mut [u64],
}

impl<'de> Values<'_, 'de> {
    /// Reads the members of an object. Returns those that are not known or do not fit, as members
    /// of a JSON object without its braces.
    ///
    /// # Errors
    /// Returns the error of serde if the text is no JSON object.
    pub(super) fn read(
        &mut self,
        property: &Property,
        object: &'de str,
    ) -> Result<String, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(object);
        let rest = json.deserialize_map(Members {
            property,
            values: self,
        })?;
        json.end()?;
        Ok(rest)
    }

    /// Reads the value of a known property; returns what is left of it, as JSON.
    fn take(&mut self, property: &Property, json: &'de str) -> Option<String> {
        if let Some((column, column_type)) = property.column {
            match read(json, column_type) {
                Some(value) => self.row[column] = value,
                None => {
                    self.row[column] = Value::Unfit(json);
                    self.misfits[column] += 1;
                    return Some(json.to_owned());
                }
            }
            return None;
        }
        if property.members.is_empty() || json == "null" {
            return None;
        }
        if !json.starts_with('{') {
            return Some(json.to_owned());
        }
        match self.read(property, json) {
            Ok(rest) if rest.is_empty() => None,
            Ok(rest) => Some(format!("{{{rest}}}")),
            Err(_) => Some(json.to_owned()),
        }
    }
}

struct Members<'p, 'v, 'r, 'de> {
    property: &'p Property,
    values: &'v mut Values<'r, 'de>,
}

impl<'de> Visitor<'de> for Members<'_, '_, '_, 'de> {
    type Value = String;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut rest = String::new();
        while let Some(name) = map.next_key_seed(NameIn(self.property))? {
            let json: &'de RawValue = map.next_value()?;
            let json = json.get();
            match name {
                Name::Known(name, property) => {
                    if let Some(left) = self.values.take(property, json) {
                        add_member(&mut rest, name, &left).map_err(A::Error::custom)?;
                    }
                }
                Name::Unknown(name) => {
                    add_member(&mut rest, &name, json).map_err(A::Error::custom)?;
                }
            }
        }
        Ok(rest)
    }
}

/// Adds a member to the text of an object without its braces.
pub(super) fn add_member(members: &mut String, name: &str, json: &str) -> std::fmt::Result {
    if !members.is_empty() {
        members.push(',');
    }
    let name = serde_json::to_string(name).map_err(|_| std::fmt::Error)?;
    write!(members, "{name}:{json}")
}

/// The name of a member, looked up without a copy.
enum Name<'p> {
    Known(&'static str, &'p Property),
    Unknown(String),
}

struct NameIn<'p>(&'p Property);

impl<'de, 'p> DeserializeSeed<'de> for NameIn<'p> {
    type Value = Name<'p>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name<'p>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for NameIn<'p> {
    type Value = Name<'p>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'p>, E> {
        let known = self.0.members.get_key_value(name);
        Ok(known.map_or_else(
            || Name::Unknown(name.to_owned()),
            |(&name, property)| Name::Known(name, property),
        ))
    }
}
