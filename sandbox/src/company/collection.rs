//! The records of one entity as queries see them: sample records, which are generated on demand,
//! and stored records, which were edited or given.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::iter::Peekable;

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::sample::Sample;
use crate::entities::{Entity, Identity, Kind};
use crate::hash::hash_id;

/// A record that is kept as text. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    pub id: Box<str>,
    pub updated: i64,
    pub created: i64,
    pub is_active: bool,
    pub payload: Box<str>,
}

/// The position of a sample record among the others: its last change, its tie-breaker and its
/// index. Records of one second are in an order that is arbitrary but always the same.
type Position = (i64, u32, u32);

/// One record, generated or stored. Times are seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row<'c> {
    Sample(&'c Sample, Position),
    Stored(&'c Stored),
}

impl<'c> Row<'c> {
    /// Returns `Id`, or the properties that stand in for it.
    pub(crate) fn id(&self) -> Cow<'c, str> {
        match self {
            Self::Sample(sample, (.., index)) => sample.id(*index),
            Self::Stored(stored) => Cow::Borrowed(&stored.id),
        }
    }

    /// Returns `MetaData.LastUpdatedTime`.
    pub(crate) fn updated(&self) -> i64 {
        match self {
            Self::Sample(_, (updated, ..)) => *updated,
            Self::Stored(stored) => stored.updated,
        }
    }

    /// Returns `MetaData.CreateTime`.
    pub(crate) fn created(&self) -> i64 {
        match self {
            Self::Sample(sample, (.., index)) => sample.times(*index).created,
            Self::Stored(stored) => stored.created,
        }
    }

    /// Returns `Active`, or true if the record has none.
    pub(crate) fn is_active(&self) -> bool {
        match self {
            Self::Sample(sample, (.., index)) => sample.is_active(*index),
            Self::Stored(stored) => stored.is_active,
        }
    }

    /// Returns the number that orders records of one second.
    pub(crate) fn tie_breaker(&self) -> u32 {
        match self {
            Self::Sample(_, (_, tie_breaker, _)) => *tie_breaker,
            Self::Stored(stored) => hash_id(&stored.id),
        }
    }

    /// Appends the record's JSON.
    pub(crate) fn write_payload(&self, out: &mut String) {
        match self {
            Self::Sample(sample, (.., index)) => sample.write_payload(*index, out),
            Self::Stored(stored) => out.push_str(&stored.payload),
        }
    }

    /// Returns the record's JSON.
    pub(crate) fn payload(&self) -> Cow<'c, str> {
        match self {
            Self::Sample(sample, (.., index)) => {
                let mut text = String::new();
                sample.write_payload(*index, &mut text);
                Cow::Owned(text)
            }
            Self::Stored(stored) => Cow::Borrowed(&stored.payload),
        }
    }
}

/// The remainder of a deleted record, which change data capture reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stub {
    pub id: String,
    pub deleted_at: i64,
}

/// The changes of a collection since its sample was generated.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedCollection {
    /// Indexes of the sample records that were edited or deleted.
    replaced: Vec<u32>,
    /// Edited, inserted and given records.
    stored: Vec<Stored>,
    /// Deleted records, in the order of their deletion.
    deleted: Vec<Stub>,
}

/// All records of one entity.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    sample: Option<Sample>,
    /// Sample records, oldest change first.
    positions: Vec<Position>,
    /// Indexes of the sample records that were edited or deleted.
    replaced: HashSet<u32>,
    stored: HashMap<Box<str>, Stored>,
    by_update: BTreeSet<(i64, u32, Box<str>)>,
    deleted: Vec<Stub>,
}

impl Collection {
    pub(crate) fn from_sample(sample: Sample) -> Self {
        let position = |index| {
            (
                sample.times(index).updated,
                sample.tie_breaker(index),
                index,
            )
        };
        let mut positions: Vec<Position> = (0..sample.count()).map(position).collect();
        positions.sort_unstable();
        Self {
            positions,
            sample: Some(sample),
            ..Self::default()
        }
    }

    /// Returns what has changed since the sample was generated.
    pub(super) fn to_saved(&self) -> SavedCollection {
        let mut saved = SavedCollection::default();
        saved.replaced.extend(&self.replaced);
        saved.replaced.sort_unstable();
        saved.stored.extend(self.stored.values().cloned());
        saved.stored.sort_by(|a, b| a.id.cmp(&b.id));
        saved.deleted.clone_from(&self.deleted);
        saved
    }

    /// Builds a collection again from its sample and what had changed since.
    ///
    /// # Errors
    /// The reason, if a changed record is not one of the sample.
    pub(super) fn restore(sample: Option<Sample>, saved: SavedCollection) -> Result<Self, String> {
        let mut collection = sample.map(Self::from_sample).unwrap_or_default();
        let count = collection.positions.len();
        if let Some(index) = saved
            .replaced
            .iter()
            .find(|index| **index as usize >= count)
        {
            return Err(format!("the sample has no record number {index}"));
        }
        collection.replaced.extend(saved.replaced);
        for row in saved.stored {
            collection.put(row);
        }
        collection.deleted = saved.deleted;
        Ok(collection)
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len() - self.replaced.len() + self.stored.len()
    }

    /// Returns the live rows, oldest change first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.updated_between(i64::MIN, i64::MAX)
    }

    /// Returns the live rows that changed in `[from, until)`, oldest first.
    pub(crate) fn updated_between(&self, from: i64, until: i64) -> impl Iterator<Item = Row<'_>> {
        let until = until.max(from);
        let start = self.positions.partition_point(|position| position.0 < from);
        let end = self
            .positions
            .partition_point(|position| position.0 < until);
        let sample = SampleRows {
            positions: self.positions[start..end].iter(),
            collection: self,
        };
        let range = (from, 0, Box::default())..(until, 0, Box::default());
        let stored = self
            .by_update
            .range(range)
            .filter_map(|(.., id)| self.stored.get(id).map(Row::Stored));
        Merge {
            left: sample.peekable(),
            right: stored.peekable(),
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<Row<'_>> {
        if let Some(stored) = self.stored.get(id) {
            return Some(Row::Stored(stored));
        }
        let sample = self.sample.as_ref()?;
        let index = sample
            .index_of(id)
            .filter(|index| !self.replaced.contains(index))?;
        Some(Row::Sample(
            sample,
            (
                sample.times(index).updated,
                sample.tie_breaker(index),
                index,
            ),
        ))
    }

    /// Returns the deleted records, in the order of their deletion.
    pub(crate) fn deleted(&self) -> &[Stub] {
        &self.deleted
    }

    pub(crate) fn put(&mut self, row: Stored) {
        self.forget(&row.id);
        self.deleted.retain(|stub| *stub.id != *row.id);
        self.by_update
            .insert((row.updated, hash_id(&row.id), row.id.clone()));
        self.stored.insert(row.id.clone(), row);
    }

    /// Deletes a record and keeps its stub. Returns `false` if there is no such record.
    pub(crate) fn remove(&mut self, id: &str, at: i64) -> bool {
        let existed = self.forget(id);
        if existed {
            self.deleted.push(Stub {
                id: id.to_owned(),
                deleted_at: at,
            });
        }
        existed
    }

    /// Removes a record without a stub. Returns whether there was one.
    pub(super) fn forget(&mut self, id: &str) -> bool {
        if let Some(old) = self.stored.remove(id) {
            return self
                .by_update
                .remove(&(old.updated, hash_id(&old.id), old.id));
        }
        let index = self.sample.as_ref().and_then(|sample| sample.index_of(id));
        index.is_some_and(|index| self.replaced.insert(index))
    }

    /// Generates a new record like those of the sample; `number` counts such records from 0.
    /// Returns `None` if the entity has no sample.
    pub(crate) fn generate(&self, number: u32) -> Option<String> {
        let sample = self.sample.as_ref()?;
        let mut payload = String::new();
        sample.write_payload(sample.count() + number, &mut payload);
        Some(payload)
    }
}

/// Reads a record with its keys. Returns `None` if the text is not a record of this entity, or is
/// the stub of a deleted one.
pub(super) fn read(entity: &Entity, payload: &str) -> Option<Stored> {
    let outer = Fields::parse(payload)?;
    let fields = inner(entity, &outer)?;
    if fields.text("status").as_deref() == Some("Deleted") {
        return None;
    }
    let id = match entity.identity {
        Identity::Properties(names) => names
            .iter()
            .map(|name| fields.text(name))
            .collect::<Option<Vec<_>>>()?
            .join(":"),
        // Intuit's description of Preferences has no `Id`.
        Identity::Single => fields.text("Id").unwrap_or_else(|| "1".to_owned()),
        Identity::Id | Identity::Wrapped => fields.text("Id")?,
    };
    let meta = fields.object("MetaData")?;
    let second = |name| {
        Some(
            DateTime::parse_from_rfc3339(&meta.text(name)?)
                .ok()?
                .timestamp(),
        )
    };
    let updated = second("LastUpdatedTime")?;
    Some(Stored {
        id: id.into(),
        updated,
        created: second("CreateTime").unwrap_or(updated),
        is_active: entity.kind != Kind::List || fields.get("Active") != Some("false"),
        payload: payload.into(),
    })
}

/// Returns the object that holds `Id` and `MetaData`: the record itself, or the object that it
/// wraps.
pub(super) fn inner(entity: &Entity, record: &Fields) -> Option<Fields> {
    match entity.identity {
        Identity::Wrapped => record
            .iter()
            .next()
            .and_then(|(_, inner)| Fields::parse(inner)),
        _ => Some(record.clone()),
    }
}

/// Returns the text of a record with some members changed. In a wrapped record these are the
/// members of the object inside.
pub(super) fn change_text(
    entity: &Entity,
    payload: &str,
    change: impl FnOnce(&mut Fields),
) -> Option<String> {
    let mut outer = Fields::parse(payload)?;
    let mut record = inner(entity, &outer)?;
    change(&mut record);
    if entity.identity != Identity::Wrapped {
        return Some(record.to_string());
    }
    let wrapper = outer.iter().next().map(|(name, _)| name.to_owned())?;
    outer.set(&wrapper, &record.to_string());
    Some(outer.to_string())
}

/// The sample rows of a range that were neither edited nor deleted.
struct SampleRows<'c> {
    positions: std::slice::Iter<'c, Position>,
    collection: &'c Collection,
}

impl<'c> Iterator for SampleRows<'c> {
    type Item = Row<'c>;

    fn next(&mut self) -> Option<Row<'c>> {
        let Collection {
            sample, replaced, ..
        } = self.collection;
        let position = self
            .positions
            .find(|(.., index)| replaced.is_empty() || !replaced.contains(index))?;
        Some(Row::Sample(sample.as_ref()?, *position))
    }

    /// Skips rows in one step while no sample record was edited, so that a page deep in a large
    /// company is reached fast.
    fn nth(&mut self, n: usize) -> Option<Row<'c>> {
        match self.collection.replaced.is_empty() {
            true => Some(Row::Sample(
                self.collection.sample.as_ref()?,
                *self.positions.nth(n)?,
            )),
            false => (0..n)
                .try_for_each(|_| self.next().map(|_| ()))
                .and_then(|()| self.next()),
        }
    }
}

/// Two ordered iterators of rows, merged into one.
struct Merge<L: Iterator, R: Iterator> {
    left: Peekable<L>,
    right: Peekable<R>,
}

impl<'c, L: Iterator<Item = Row<'c>>, R: Iterator<Item = Row<'c>>> Iterator for Merge<L, R> {
    type Item = Row<'c>;

    fn next(&mut self) -> Option<Row<'c>> {
        let key = |row: &Row<'c>| (row.updated(), row.tie_breaker());
        match (self.left.peek(), self.right.peek()) {
            (Some(left), Some(right)) if key(right) < key(left) => self.right.next(),
            (None, _) => self.right.next(),
            _ => self.left.next(),
        }
    }

    fn nth(&mut self, n: usize) -> Option<Row<'c>> {
        match self.right.peek() {
            None => self.left.nth(n),
            Some(_) => (0..n)
                .try_for_each(|_| self.next().map(|_| ()))
                .and_then(|()| self.next()),
        }
    }
}
