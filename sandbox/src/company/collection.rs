//! The records of one entity as queries see them: the sample by index, and over it what was edited
//! or given.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::iter::Peekable;

use super::fields::Fields;
use super::sample::Sample;
use super::tie;
use crate::entities::{Entity, Identity, Kind};
use chrono::DateTime;

/// One record that is kept as text.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub id: Box<str>,
    pub updated: i64,
    pub created: i64,
    pub is_active: bool,
    pub payload: Box<str>,
}

/// Where a sample record stands: oldest change first, records of one second in an order that is
/// arbitrary but the same every time.
type Place = (i64, u32, u32);

/// One record. Times are seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row<'c> {
    Sample(&'c Sample, Place),
    Stored(&'c Stored),
}

impl<'c> Row<'c> {
    /// `Id`, or the properties that stand in for it.
    pub fn id(&self) -> Cow<'c, str> {
        match self {
            Self::Sample(sample, (.., index)) => sample.id(*index),
            Self::Stored(stored) => Cow::Borrowed(&stored.id),
        }
    }

    /// `MetaData.LastUpdatedTime`.
    pub fn updated(&self) -> i64 {
        match self {
            Self::Sample(_, (updated, ..)) => *updated,
            Self::Stored(stored) => stored.updated,
        }
    }

    /// `MetaData.CreateTime`.
    pub fn created(&self) -> i64 {
        match self {
            Self::Sample(sample, (.., index)) => sample.times(*index).created,
            Self::Stored(stored) => stored.created,
        }
    }

    /// `Active`; true for records without it.
    pub fn is_active(&self) -> bool {
        match self {
            Self::Sample(sample, (.., index)) => sample.is_active(*index),
            Self::Stored(stored) => stored.is_active,
        }
    }

    /// Orders records of one second.
    pub fn tie(&self) -> u32 {
        match self {
            Self::Sample(_, (_, tie, _)) => *tie,
            Self::Stored(stored) => tie(&stored.id),
        }
    }

    /// Appends the record's JSON.
    pub fn write_payload(&self, out: &mut String) {
        match self {
            Self::Sample(sample, (.., index)) => sample.write_payload(*index, out),
            Self::Stored(stored) => out.push_str(&stored.payload),
        }
    }

    /// The record's JSON.
    pub fn payload(&self) -> Cow<'c, str> {
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

/// What is left of a deleted record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stub {
    pub id: String,
    pub deleted_at: i64,
}

/// All records of one entity.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    sample: Option<Sample>,
    /// Sample records in their order.
    places: Vec<Place>,
    /// Sample records that were edited or deleted since.
    replaced: HashSet<u32>,
    stored: HashMap<Box<str>, Stored>,
    by_update: BTreeSet<(i64, u32, Box<str>)>,
    deleted: Vec<Stub>,
}

impl Collection {
    pub fn of_sample(sample: Sample) -> Self {
        let place = |index| (sample.times(index).updated, sample.tie(index), index);
        let mut places: Vec<Place> = (0..sample.count()).map(place).collect();
        places.sort_unstable();
        Self {
            places,
            sample: Some(sample),
            ..Self::default()
        }
    }

    pub fn len(&self) -> usize {
        self.places.len() - self.replaced.len() + self.stored.len()
    }

    /// The live rows, oldest change first.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.updated_between(i64::MIN, i64::MAX)
    }

    /// The live rows changed in `[from, until)`, oldest first.
    pub fn updated_between(&self, from: i64, until: i64) -> impl Iterator<Item = Row<'_>> {
        let until = until.max(from);
        let start = self.places.partition_point(|place| place.0 < from);
        let end = self.places.partition_point(|place| place.0 < until);
        let sample = SampleRows {
            places: self.places[start..end].iter(),
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

    pub fn get(&self, id: &str) -> Option<Row<'_>> {
        if let Some(stored) = self.stored.get(id) {
            return Some(Row::Stored(stored));
        }
        let sample = self.sample.as_ref()?;
        let index = sample
            .index_of(id)
            .filter(|index| !self.replaced.contains(index))?;
        Some(Row::Sample(
            sample,
            (sample.times(index).updated, sample.tie(index), index),
        ))
    }

    /// What was removed, in the order of removal.
    pub fn deleted(&self) -> &[Stub] {
        &self.deleted
    }

    pub fn put(&mut self, row: Stored) {
        self.take(&row.id);
        self.deleted.retain(|stub| *stub.id != *row.id);
        self.by_update
            .insert((row.updated, tie(&row.id), row.id.clone()));
        self.stored.insert(row.id.clone(), row);
    }

    /// Removes a record and leaves its stub; `false` if there is none.
    pub fn remove(&mut self, id: &str, at: i64) -> bool {
        let was_there = self.take(id);
        if was_there {
            self.deleted.push(Stub {
                id: id.to_owned(),
                deleted_at: at,
            });
        }
        was_there
    }

    fn take(&mut self, id: &str) -> bool {
        if let Some(old) = self.stored.remove(id) {
            return self.by_update.remove(&(old.updated, tie(&old.id), old.id));
        }
        let index = self.sample.as_ref().and_then(|sample| sample.index_of(id));
        index.is_some_and(|index| self.replaced.insert(index))
    }

    /// A record that has never been, made like those of the sample; `number` counts such records
    /// from 0.
    pub fn invent(&self, number: u32) -> Option<String> {
        let sample = self.sample.as_ref()?;
        let mut payload = String::new();
        sample.write_payload(sample.count() + number, &mut payload);
        Some(payload)
    }
}

/// The keys of a record. `None` if the text is not one of this entity, or the stub of a deleted
/// one.
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
        _ => fields.text("Id")?,
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

/// The object that has `Id` and `MetaData`: the record itself, or the one inside.
pub(super) fn inner(entity: &Entity, record: &Fields) -> Option<Fields> {
    match entity.identity {
        Identity::Wrapped => record
            .iter()
            .next()
            .and_then(|(_, inner)| Fields::parse(inner)),
        _ => Some(record.clone()),
    }
}

/// Sample rows that were not edited since.
struct SampleRows<'c> {
    places: std::slice::Iter<'c, Place>,
    collection: &'c Collection,
}

impl<'c> Iterator for SampleRows<'c> {
    type Item = Row<'c>;

    fn next(&mut self) -> Option<Row<'c>> {
        let Collection {
            sample, replaced, ..
        } = self.collection;
        let place = self
            .places
            .find(|(.., index)| replaced.is_empty() || !replaced.contains(index))?;
        Some(Row::Sample(sample.as_ref()?, *place))
    }

    /// A page deep in a large company is reached in one step while nothing was edited.
    fn nth(&mut self, n: usize) -> Option<Row<'c>> {
        match self.collection.replaced.is_empty() {
            true => Some(Row::Sample(
                self.collection.sample.as_ref()?,
                *self.places.nth(n)?,
            )),
            false => (0..n)
                .try_for_each(|_| self.next().map(|_| ()))
                .and_then(|()| self.next()),
        }
    }
}

/// Two ordered runs of rows as one.
struct Merge<L: Iterator, R: Iterator> {
    left: Peekable<L>,
    right: Peekable<R>,
}

impl<'c, L: Iterator<Item = Row<'c>>, R: Iterator<Item = Row<'c>>> Iterator for Merge<L, R> {
    type Item = Row<'c>;

    fn next(&mut self) -> Option<Row<'c>> {
        let key = |row: &Row<'c>| (row.updated(), row.tie());
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
