//! Masking: properties that are removed, or replaced by a keyed hash, before anything is kept.
//!
//! Every answer of QuickBooks goes through [`Mask::answer`] before it is read, and every landing line
//! through [`Mask::record`]. What has no masked property stays as it is, byte for byte.
//!
//! It fails closed: a value of another form than the table says is removed and not left, and an answer
//! in which the records cannot be found is refused.

mod edit;
mod parse;
mod webhook;

use std::borrow::Cow;

use ring::hmac;
use serde_json::{Value, json};

use self::edit::{Edits, mask_answer, mask_anywhere, mask_record};
use crate::domain::{EntitySpec, find_entity};
use crate::error::{Error, Result};

/// The treatment of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// It is removed.
    Drop,
    /// It is replaced by a keyed hash.
    Hash,
}

/// The masked properties below a place.
#[derive(Debug, Default, Clone)]
struct Node {
    /// The treatment of the value here.
    action: Option<Action>,
    /// Masked properties inside it, by their names.
    members: Vec<(String, Node)>,
    /// Custom fields whose values are masked, by the name of the field.
    custom: Vec<(String, Action)>,
}

impl Node {
    fn member(&self, name: &str) -> Option<&Self> {
        let named = |(known, _): &&(String, Self)| known.eq_ignore_ascii_case(name);
        self.members.iter().find(named).map(|(_, node)| node)
    }

    /// Returns the node at a path, which is added if it is not there.
    fn at(&mut self, path: &[&str]) -> &mut Self {
        let Some((first, rest)) = path.split_first() else {
            return self;
        };
        let place = match self.members.iter().position(|(name, _)| name == first) {
            Some(place) => place,
            None => {
                self.members.push(((*first).to_owned(), Self::default()));
                self.members.len() - 1
            }
        };
        self.members[place].1.at(rest)
    }

    fn merge(&mut self, other: &Self) {
        self.action = match (self.action, other.action) {
            (Some(Action::Drop), _) | (_, Some(Action::Drop)) => Some(Action::Drop),
            (mine, theirs) => mine.or(theirs),
        };
        for (name, node) in &other.members {
            self.at(&[name]).merge(node);
        }
        self.custom.extend(other.custom.iter().cloned());
    }
}

/// The masked properties of one entity.
#[derive(Debug)]
struct EntityMask {
    entity: EntitySpec,
    node: Node,
    mark: Value,
}

/// Key of the hashes.
#[derive(Clone)]
struct Hasher {
    key: hmac::Key,
    fingerprint: String,
}

/// Shows nothing of the key.
impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.fingerprint)
    }
}

/// Digits of a key's fingerprint: enough to tell keys apart.
const FINGERPRINT: usize = 8;
/// Digits of a hash.
const DIGITS: usize = 64;
/// Begin of a masked value.
const PREFIX: &str = "hmac:";

impl Hasher {
    fn new(key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let mut fingerprint = hex(hmac::sign(&key, b"fingerprint of a mask key").as_ref());
        fingerprint.truncate(FINGERPRINT);
        Self { key, fingerprint }
    }

    /// Returns the masked form of a text. A text that has it already stays, so that files that were
    /// masked when they were written load like those that were not.
    fn hash<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if is_hash(text) {
            return Cow::Borrowed(text);
        }
        let digest = hex(hmac::sign(&self.key, text.as_bytes()).as_ref());
        Cow::Owned(format!("{PREFIX}{}:{digest}", self.fingerprint))
    }
}

/// Returns true if a text has the form of a masked value: `hmac:`, the key's fingerprint, the hash.
pub(crate) fn is_hash(text: &str) -> bool {
    let is_hex = |part: &str, length| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.len() == length && part.bytes().all(is_digit)
    };
    let parts = text
        .strip_prefix(PREFIX)
        .and_then(|text| text.split_once(':'));
    parts.is_some_and(|(key, digest)| is_hex(key, FINGERPRINT) && is_hex(digest, DIGITS))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The properties that are masked. The default masks nothing.
#[derive(Debug, Default)]
pub struct Mask {
    entities: Vec<EntityMask>,
    /// All of them together, for objects of which it is not known what they are.
    union: Node,
    hasher: Option<Hasher>,
}

/// The words that are written instead of the text of a record that cannot be masked.
pub(crate) const LEFT_OUT: &str = "its text is left out, because properties are masked (QBO_MASK) and it is \
    no JSON object";

impl Mask {
    /// Returns true if nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// Returns what is noted in the request of each row: which properties were masked, and with which
    /// key.
    pub(crate) fn mark(&self, entity: &EntitySpec) -> Option<&Value> {
        self.of(entity).map(|known| &known.mark)
    }

    /// Adds the mark to a request, which is a JSON object.
    pub(crate) fn mark_request(&self, entity: &EntitySpec, request: &str) -> Option<String> {
        let mark = self.mark(entity)?;
        let mut request: Value = serde_json::from_str(request).ok()?;
        request
            .as_object_mut()?
            .insert("masked".to_owned(), mark.clone());
        Some(request.to_string())
    }

    /// Returns the text of a record with its properties masked, or `None` if that changes nothing.
    ///
    /// # Errors
    /// [`Error::Decode`] if the text is no JSON object.
    pub(crate) fn record(&self, entity: &EntitySpec, text: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(known) = self.of(entity) else {
            return Ok(None);
        };
        let edits = mask_record(&known.node, text, self.hasher.as_ref());
        let edits = edits.ok_or_else(|| Error::decode("record", "no JSON object to mask"))?;
        Ok(edits.apply(text))
    }

    /// Returns the text of a record that was set aside, masked, and `None` in place of a text that
    /// cannot be masked.
    pub(crate) fn reject_text(&self, entity: &EntitySpec, text: String) -> Option<String> {
        match self.record(entity, text.as_bytes()) {
            // The scanner trusts that it is JSON.
            _ if self.of(entity).is_some() && !is_json(&text) => None,
            Ok(None) => Some(text),
            Ok(Some(masked)) => String::from_utf8(masked).ok(),
            Err(_) => None,
        }
    }

    /// Returns an answer of the API with the properties of all records in it masked, or `None` if that
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::Decode`] if it is not JSON as answers are.
    pub(crate) fn answer(&self, body: &[u8]) -> Result<Option<Vec<u8>>> {
        if self.is_empty() || matches!(body.trim_ascii().first(), None | Some(b'<')) {
            return Ok(None);
        }
        let edits = mask_answer(self, body).ok_or_else(|| {
            let what = "answer of QuickBooks is not the JSON expected";
            Error::decode(what, "it cannot be masked (QBO_MASK)")
        })?;
        Ok(edits.apply(body))
    }

    /// Returns JSON of any kind with every property masked that has the name of a masked one.
    pub(crate) fn anywhere(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut edits = Edits::default();
        mask_anywhere(&self.union, text, self.hasher.as_ref(), &mut edits)?;
        edits.apply(text)
    }

    fn of(&self, entity: &EntitySpec) -> Option<&EntityMask> {
        let is_it = |known: &&EntityMask| known.entity.name == entity.name;
        self.entities.iter().find(is_it)
    }

    /// Returns what is masked in the records below a key of an answer, and whether it is the key of an
    /// entity at all.
    fn below(&self, key: &str) -> (bool, Option<&Node>) {
        let is_key = |spec: &EntitySpec| {
            [spec.answer_key, spec.qbo_name]
                .iter()
                .any(|name| name.eq_ignore_ascii_case(key))
        };
        let masked = self.entities.iter().find(|known| is_key(&known.entity));
        let is_known = masked.is_some() || crate::domain::ENTITIES.iter().any(is_key);
        (is_known, masked.map(|known| &known.node))
    }

    /// Adds a masked property.
    fn add(&mut self, entity: EntitySpec, path: &[&str], apply: impl Fn(&mut Node)) {
        let place = match self
            .entities
            .iter()
            .position(|known| known.entity == entity)
        {
            Some(place) => place,
            None => {
                self.entities.push(EntityMask {
                    entity,
                    node: Node::default(),
                    mark: Value::Null,
                });
                self.entities.len() - 1
            }
        };
        apply(self.entities[place].node.at(path));
    }

    /// Completes what was added: marks, and all entities together.
    fn complete(&mut self, rules: &[parse::Rule]) {
        for known in &mut self.entities {
            let names = |action| -> Vec<&str> {
                let of_entity = rules.iter().filter(|rule| rule.applies_to(&known.entity));
                let of_action = of_entity.filter(|rule| rule.action == action);
                of_action.map(|rule| rule.text.as_str()).collect()
            };
            let (dropped, hashed) = (names(Action::Drop), names(Action::Hash));
            known.mark = json!({});
            if !dropped.is_empty() {
                known.mark["dropped"] = json!(dropped);
            }
            if let Some(hasher) = self.hasher.as_ref().filter(|_| !hashed.is_empty()) {
                known.mark["hashed"] = json!(hashed);
                known.mark["key"] = json!(hasher.fingerprint);
            }
            self.union.merge(&known.node);
        }
    }
}

/// Returns true if a text is a JSON object to the last byte.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
        && serde_json::from_str::<&serde_json::value::RawValue>(text.trim()).is_ok()
}

/// Finds an entity of a rule by its name in QuickBooks.
fn entity_named(name: &str) -> Option<EntitySpec> {
    find_entity(name)
        .ok()
        .copied()
        .filter(|spec| spec.qbo_name == name)
}

#[cfg(test)]
mod tests;
