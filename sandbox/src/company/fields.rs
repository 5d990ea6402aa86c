//! A JSON object whose members keep their order and their text. An edit of one member leaves the
//! numbers of all others as they were written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object in their order, each with its JSON text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    /// Parses an object. Returns `None` if the text is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.get()))
    }

    /// Returns a member's JSON.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Returns a member that is a string, without its quotes and escapes.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// Returns a member that is an object.
    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        Self::parse(self.get(name)?)
    }

    /// Replaces a member's JSON, or adds the member. Text that is not JSON changes nothing.
    pub(crate) fn set(&mut self, name: &str, json: &str) {
        let Ok(value) = RawValue::from_string(json.to_owned()) else {
            return;
        };
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(member) => member.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Replaces a member by a string, or adds the member.
    pub(crate) fn set_text(&mut self, name: &str, text: &str) {
        self.set(name, &serde_json::Value::from(text).to_string());
    }

    /// Sets a string member of an inner object. Does nothing if there is no such object.
    pub(crate) fn set_text_in(&mut self, object: &str, name: &str, text: &str) {
        if let Some(mut inner) = self.object(object) {
            inner.set_text(name, text);
            self.set(object, &inner.to_string());
        }
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, (name, value)) in self.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{}:{value}", serde_json::Value::from(name))?;
        }
        f.write_str("}")
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Fields(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_edited_stays_as_it_was_written() {
        let mut fields = Fields::parse(r#"{"a":1.00,"b":{"c":"x","d":1e2},"e\"":[ 1 ]}"#).unwrap();
        fields.set_text_in("b", "c", "y");
        fields.set("f", "0");
        assert_eq!(
            fields.to_string(),
            r#"{"a":1.00,"b":{"c":"y","d":1e2},"e\"":[ 1 ],"f":0}"#
        );
        assert!(Fields::parse("[]").is_none());
    }
}
