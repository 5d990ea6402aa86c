//! The members of an answer, by which rows, counters and faults are told from each other.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::rows::{MAX_ROWS, rows_in};
use crate::domain::instant::parse_record_time;
use crate::domain::{ENTITIES, EntitySpec, MAX_SHOWN, Payload, Record, excerpt};

/// Members of a JSON object in their order, names that appear twice included.
#[derive(Debug)]
pub(super) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(super) fn parse(text: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text)
    }

    /// Returns a member that is not null, or `None` without one.
    ///
    /// # Errors
    /// If the name appears twice.
    pub(super) fn only(&self, name: &str) -> Result<Option<&'a RawValue>, String> {
        let mut found = self.all(name);
        match (found.next(), found.next()) {
            (first, None) => Ok(first.filter(|value| value.get() != "null")),
            (_, Some(_)) => Err(format!("it has {name} twice")),
        }
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a RawValue> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| *value)
    }

    /// Returns a small number, or digits as text.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        let value = self.only(name).ok()??;
        value.get().trim_matches('"').parse().ok()
    }

    /// Returns the fault, whatever its name is: the service writes `Fault`, the gateway `fault`.
    pub(super) fn fault(&self) -> Option<&'a RawValue> {
        let names = ["fault", "faults", "error", "errors"];
        let is_fault = |key: &str| names.iter().any(|name| key.eq_ignore_ascii_case(name));
        self.0
            .iter()
            .find(|(key, value)| is_fault(key) && value.get() != "null")
            .map(|(_, value)| *value)
    }

    /// Returns the time of an answer.
    pub(super) fn time(&self) -> Option<DateTime<Utc>> {
        read_time(self.all("time").next()?.get())
    }

    /// Returns a counter. Digits as text are as good as a number.
    ///
    /// # Errors
    /// If it is anything but a count.
    pub(super) fn counter(&self, name: &str) -> Result<Option<u64>, String> {
        self.only(name)?
            .map(|value| read_counter(name, value.get()))
            .transpose()
    }

    /// Returns the sum of the counters of this name: an object with the rows of several entities can
    /// have one for each.
    ///
    /// # Errors
    /// If one of them is anything but a count.
    pub(super) fn sum(&self, name: &str) -> Result<u64, String> {
        self.all(name)
            .map(|value| read_counter(name, value.get()))
            .try_fold(0, |sum: u64, count| Ok(sum.saturating_add(count?)))
    }

    /// Returns true if there is something, but neither rows nor a number of them: QuickBooks says "none"
    /// by an empty object, or by `maxResults` of 0.
    pub(super) fn says_nothing_of_rows(&self) -> bool {
        let has_number = self.all("maxResults").any(|value| value.get() != "null");
        !self.0.is_empty() && !has_number && self.0.iter().all(|(key, _)| is_counter(key))
    }

    /// Returns the rows of a query: those under the entity's key, or, if there are none, those under
    /// the only other key that holds records.
    pub(super) fn rows(&self, entity: &EntitySpec) -> Result<Vec<&'a RawValue>, String> {
        if let Some((key, _)) = self.0.iter().find(|(key, _)| key == entity.answer_key) {
            let mut rows = Vec::new();
            for value in self.all(key) {
                let none = || format!("its {key} holds no rows, or more than {MAX_ROWS}");
                rows.extend(rows_in(value).ok_or_else(none)?);
            }
            return Ok(rows);
        }
        let mut others = self.0.iter().filter(|(key, _)| !is_counter(key));
        match (others.next(), others.next()) {
            (None, _) => Ok(Vec::new()),
            (Some((key, value)), None) if belongs_to(key, entity) => rows_in(value)
                .filter(|rows| {
                    let is_empty = rows.is_empty() && key == entity.qbo_name;
                    is_empty || rows.iter().any(|row| is_record(entity, row))
                })
                .ok_or_else(|| format!("it holds {key} instead of {}", entity.answer_key)),
            (Some((key, _)), _) => Err(format!("it holds {key} instead of {}", entity.answer_key)),
        }
    }
}

/// Reads the JSON of a time.
pub(super) fn read_time(json: &str) -> Option<DateTime<Utc>> {
    let text: String = serde_json::from_str(json).ok()?;
    parse_record_time(&text)
}

/// Reads the JSON of a counter.
///
/// # Errors
/// If it is anything but a count.
pub(super) fn read_counter(name: &str, json: &str) -> Result<u64, String> {
    let text = json.trim_matches('"');
    text.parse()
        .map_err(|_| format!("its {name} is {}", excerpt(text, MAX_SHOWN)))
}

/// Members of an object that is no record. Real ones have less than ten.
pub(super) const MAX_MEMBERS: usize = 1000;

pub(super) fn is_counter(key: &str) -> bool {
    matches!(key, "startPosition" | "maxResults" | "totalCount")
}

/// Returns false if the key is that of another entity.
fn belongs_to(key: &str, entity: &EntitySpec) -> bool {
    let is_key_of = |spec: &EntitySpec| [spec.answer_key, spec.qbo_name].contains(&key);
    is_key_of(entity) || !ENTITIES.iter().any(is_key_of)
}

fn is_record(entity: &EntitySpec, row: &RawValue) -> bool {
    let text = bytes::Bytes::copy_from_slice(row.get().as_bytes());
    Record::read(entity.identity, Payload::from_valid_json(text)).is_ok()
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<Name<'de>>()? {
                    if members.len() == MAX_MEMBERS {
                        let reason = format!("it has more than {MAX_MEMBERS} members");
                        return Err(A::Error::custom(reason));
                    }
                    members.push((key.0, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        #[derive(serde::Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        deserializer.deserialize_map(InOrder)
    }
}
