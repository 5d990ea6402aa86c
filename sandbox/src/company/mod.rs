//! The books of one company: what queries find in them, and what changes them.

mod change;
mod collection;
mod fields;
mod record_files;
mod sample;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

pub use self::change::{Blemish, ChangeError};
pub(super) use self::change::{Event, Operation, Poison};
use self::collection::Stored;
pub(super) use self::collection::{Collection, Row};
pub(super) use self::fields::Fields;
pub use self::record_files::RecordsError;
use self::sample::Sample;
use super::entities::{self, Entity};

/// How many records a sample company has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompanySize {
    /// Customers; one in ten is inactive.
    pub customers: u32,
    /// Items; one in ten is inactive.
    pub items: u32,
    /// Invoices.
    pub invoices: u32,
    /// Records of each other entity; none: a plausible number each. Company info and preferences
    /// always have one.
    pub others: Option<u32>,
}

impl Default for CompanySize {
    fn default() -> Self {
        Self {
            customers: 500,
            items: 300,
            invoices: 5000,
            others: None,
        }
    }
}

/// The books.
#[derive(Debug, Default)]
pub struct Company {
    collections: BTreeMap<&'static str, Collection>,
    /// How long a change stays hidden from queries, at most (qbo-facts 3.9).
    pub(super) visibility_delay: Duration,
    pending: Vec<Pending>,
    poison: HashMap<(&'static str, String), Poison>,
    /// Records that were invented after the start, by entity.
    invented: HashMap<&'static str, u32>,
    listener: Option<UnboundedSender<Event>>,
}

/// A change that queries do not see yet.
#[derive(Debug)]
struct Pending {
    visible_at: Instant,
    entity: &'static Entity,
    id: String,
    written: Written,
}

/// What a change leaves of a record.
#[derive(Debug, Clone)]
enum Written {
    Saved(Stored),
    Removed { at: i64 },
}

impl Company {
    /// A sample company; the same seed and size make the same one.
    pub fn generate(seed: u64, size: CompanySize) -> Self {
        let collections = entities::all().map(|entity| {
            (
                entity.name,
                Collection::of_sample(Sample::new(entity, seed, size)),
            )
        });
        Self {
            collections: collections.collect(),
            ..Self::default()
        }
    }

    /// The records found in files and directories of JSON answers or records. Of several versions
    /// of a record the newest is kept.
    ///
    /// # Errors
    /// [`RecordsError`] if a path cannot be read or holds no record.
    pub fn read(paths: &[PathBuf]) -> Result<Self, RecordsError> {
        let mut company = Self::default();
        record_files::read_into(&mut company, paths)?;
        Ok(company)
    }

    pub(super) fn collection(&self, entity: &str) -> Option<&Collection> {
        self.collections.get(entity)
    }

    pub(super) fn poison(&self, entity: &'static str, id: &str) -> Option<Poison> {
        if self.poison.is_empty() {
            None
        } else {
            self.poison.get(&(entity, id.to_owned())).copied()
        }
    }

    /// How many records of each entity there are, by name. Entities without any are left out.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        self.collections
            .iter()
            .map(|(name, rows)| (*name, rows.len()))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// What a correct extract of `[from, until)`, in seconds since 1970, must hold: id and payload,
    /// by id. Changes that queries do not see yet count.
    pub fn truth(&self, entity: &str, from: i64, until: i64) -> Vec<(String, String)> {
        let Some(collection) =
            entities::find(entity).and_then(|entity| self.collection(entity.name))
        else {
            return Vec::new();
        };
        let rows = collection.updated_between(from, until);
        let mut truth: BTreeMap<String, String> = rows
            .map(|row| (row.id().into_owned(), row.payload().into_owned()))
            .collect();
        for pending in self
            .pending
            .iter()
            .filter(|pending| pending.entity.name.eq_ignore_ascii_case(entity))
        {
            truth.remove(&pending.id);
            if let Written::Saved(row) = &pending.written
                && (from..until).contains(&row.updated)
            {
                truth.insert(pending.id.clone(), row.payload.to_string());
            }
        }
        truth.into_iter().collect()
    }

    /// Whether a change is waiting to be seen.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Makes the changes visible whose time has come.
    pub(super) fn settle(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|change| change.visible_at <= now);
        self.pending = later;
        let due: Vec<Pending> = due;
        for change in due {
            self.show(change.entity, &change.id, change.written);
        }
    }

    /// Whom to tell of changes.
    pub(super) fn listen(&mut self, listener: UnboundedSender<Event>) {
        self.listener = Some(listener);
    }

    /// The newest version of a record, seen by queries or not.
    fn latest(&self, entity: &'static Entity, id: &str) -> Option<String> {
        let is_it = |pending: &&Pending| pending.entity.name == entity.name && pending.id == id;
        match self
            .pending
            .iter()
            .rev()
            .find(is_it)
            .map(|pending| &pending.written)
        {
            Some(Written::Saved(row)) => Some(row.payload.to_string()),
            Some(Written::Removed { .. }) => None,
            None => Some(
                self.collection(entity.name)?
                    .get(id)?
                    .payload()
                    .into_owned(),
            ),
        }
    }

    fn write(&mut self, entity: &'static Entity, id: &str, written: Written) {
        if self.visibility_delay.is_zero() {
            return self.show(entity, id, written);
        }
        // Each change has a delay of its own, but a record's changes keep their order.
        let share = (tie(id) ^ self.pending.len() as u32) % 1000;
        let due = Instant::now() + self.visibility_delay * share / 1000;
        let earlier = self
            .pending
            .iter()
            .filter(|pending| pending.id == id && pending.entity.name == entity.name);
        let visible_at = earlier
            .map(|pending| pending.visible_at)
            .max()
            .unwrap_or(due)
            .max(due);
        self.pending.push(Pending {
            visible_at,
            entity,
            id: id.to_owned(),
            written,
        });
        self.pending.sort_by_key(|pending| pending.visible_at);
    }

    fn show(&mut self, entity: &'static Entity, id: &str, written: Written) {
        let collection = self.collections.entry(entity.name).or_default();
        match written {
            Written::Saved(row) => collection.put(row),
            Written::Removed { at } => {
                collection.remove(id, at);
            }
        }
    }
}

/// A number that looks random and depends on nothing but `value`: the finaliser of SplitMix64
/// (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
pub(super) fn scatter(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Orders records of one second by their ids, scattered.
fn tie(id: &str) -> u32 {
    id.bytes()
        .fold(17u64, |hash, byte| scatter(hash ^ u64::from(byte))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn company() -> Company {
        Company::generate(
            1,
            CompanySize {
                customers: 50,
                items: 20,
                invoices: 400,
                others: None,
            },
        )
    }

    #[test]
    fn a_seed_makes_the_same_books_and_another_seed_others() {
        let all = |company: &Company| company.truth("Invoice", i64::MIN, i64::MAX);
        assert_eq!(all(&company()), all(&company()));
        let other = Company::generate(
            2,
            CompanySize {
                customers: 50,
                items: 20,
                invoices: 400,
                others: None,
            },
        );
        assert_ne!(all(&company()), all(&other));
    }

    #[test]
    fn every_sample_payload_is_json_whose_keys_agree_with_its_row() {
        let company = company();
        assert_eq!(company.counts().len(), entities::all().count());
        for entity in entities::all() {
            let collection = company.collection(entity.name).unwrap();
            for row in collection.rows() {
                let payload = row.payload();
                let read = collection::read(entity, &payload)
                    .unwrap_or_else(|| panic!("{}: {payload}", entity.name));
                assert_eq!(
                    (&*read.id, read.updated, read.is_active),
                    (&*row.id(), row.updated(), row.is_active())
                );
                assert!(
                    entity.name == "ExchangeRate" || read.created == row.created(),
                    "{payload}"
                );
                assert_eq!(
                    collection.get(&row.id()).map(|found| found.payload()),
                    Some(payload)
                );
            }
        }
    }

    #[test]
    fn a_million_invoices_are_not_held_as_text() {
        let company = Company::generate(
            1,
            CompanySize {
                customers: 10,
                items: 10,
                invoices: 100_000,
                others: Some(0),
            },
        );
        let collection = company.collection("Invoice").unwrap();
        assert!(collection.rows().all(|row| matches!(row, Row::Sample(..))));
        let bytes: usize = collection
            .rows()
            .take(5000)
            .map(|row| row.payload().len())
            .sum();
        let average = bytes / 5000;
        assert!((1400..1800).contains(&average), "{average}");
    }

    #[test]
    fn rows_come_in_order_with_edited_ones_among_them() {
        let mut company = company();
        for (id, _) in company
            .truth("Invoice", i64::MIN, i64::MAX)
            .into_iter()
            .step_by(3)
        {
            company.edit("Invoice", &id, 1_720_000_000).unwrap();
        }
        let keys: Vec<_> = company
            .collection("Invoice")
            .unwrap()
            .rows()
            .map(|row| (row.updated(), row.tie()))
            .collect();
        assert!(keys.is_sorted() && keys.len() == 400);
        assert_eq!(
            company
                .collection("Invoice")
                .unwrap()
                .updated_between(1_720_000_000, 1_720_000_001)
                .count(),
            134
        );
    }
}
