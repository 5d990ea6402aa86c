//! One company's records, and the delay with which queries see changes of them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use super::books::Books;
use super::collection::{Collection, Row, Stored};
use super::event::Event;
use super::plan::Plan;
use super::sample::Sample;
use super::size::CompanySize;
use super::view::{Display, View};
use crate::clock::{Clock, end_of};
use crate::entities::{self, Entity};
use crate::hash::hash_id;

/// A defect of a record that fails every page which holds the record (qbo-facts 3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Poison {
    /// HTTP 400, code 4002.
    Processing,
    /// HTTP 500, code 10000.
    Application,
}

/// The numbers that a sample company was generated from.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    pub(super) seed: u64,
    pub(super) size: CompanySize,
}

/// One company: its records, and the changes of them that queries do not see yet.
#[derive(Debug, Default)]
pub struct Company {
    /// `None` for a company whose records were read from files.
    pub(super) origin: Option<Origin>,
    pub(super) collections: BTreeMap<&'static str, Collection>,
    pub(super) poison: HashMap<(&'static str, String), Poison>,
    /// Number of records generated after the start, by entity.
    pub(super) generated: HashMap<&'static str, u32>,
    pub(super) plan: Plan,
    pub(super) display: Display,
    /// The double-entry books; `None` for a company without them.
    pub(super) books: Option<Books>,
    pub(super) listener: Option<UnboundedSender<Event>>,
    pub(super) clock: Clock,
    pub(super) visibility_delay: Duration,
    /// Ordered by the instant at which they become visible.
    pub(super) pending: Vec<PendingChange>,
}

/// A change that queries do not see yet.
#[derive(Debug)]
pub(super) struct PendingChange {
    pub(super) visible_at: DateTime<Utc>,
    pub(super) entity: &'static Entity,
    pub(super) id: String,
    pub(super) change: Change,
}

/// A record's state after a change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    Saved(Stored),
    Removed { at: i64 },
}

impl Company {
    /// Generates a sample company. The same seed and size always make the same company.
    pub fn generate(seed: u64, size: CompanySize) -> Self {
        let collections = entities::all().map(|entity| {
            (
                entity.name,
                Collection::from_sample(Sample::new(entity, seed, size)),
            )
        });
        Self {
            origin: Some(Origin { seed, size }),
            collections: collections.collect(),
            ..Self::default()
        }
    }

    pub(crate) fn collection(&self, entity: &str) -> Option<&Collection> {
        self.collections.get(entity)
    }

    pub(crate) fn poison(&self, entity: &'static str, id: &str) -> Option<Poison> {
        if self.poison.is_empty() {
            None
        } else {
            self.poison.get(&(entity, id.to_owned())).copied()
        }
    }

    /// Returns the number of records of each entity, by the entity's name. Entities without
    /// records are left out.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        self.collections
            .iter()
            .map(|(name, rows)| (*name, rows.len()))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Returns the records that a correct extract of an entity must hold: pairs of id and payload,
    /// ordered by id.
    ///
    /// Payloads are those of a request that includes all that the company serves on request.
    ///
    /// These are the records last changed in `[from, until)`, in seconds since 1970. Changes that
    /// queries do not see yet count. An unknown entity has no records.
    pub fn truth(&self, entity: &str, from: i64, until: i64) -> Vec<(String, String)> {
        let found = entities::find(entity);
        let found = found.and_then(|entity| Some((entity, self.collection(entity.name)?)));
        let Some((entity_type, collection)) = found else {
            return Vec::new();
        };
        let view = self.display.widest_view();
        let rows = collection.updated_between(from, until);
        let mut truth: BTreeMap<String, String> = rows
            .map(|row| {
                let mut payload = String::new();
                self.write_row(entity_type, &row, view, &mut payload);
                (row.id().into_owned(), payload)
            })
            .collect();
        for pending in self
            .pending
            .iter()
            .filter(|pending| pending.entity.name.eq_ignore_ascii_case(entity))
        {
            truth.remove(&pending.id);
            if let Change::Saved(row) = &pending.change
                && (from..until).contains(&row.updated)
            {
                let mut payload = String::new();
                self.write_row(entity_type, &Row::Stored(row), view, &mut payload);
                truth.insert(pending.id.clone(), payload);
            }
        }
        truth.into_iter().collect()
    }

    /// Appends a record's JSON as a view shows it.
    pub(crate) fn write_row(&self, entity: &Entity, row: &Row<'_>, view: View, out: &mut String) {
        let start = out.len();
        row.write_payload(out);
        self.display.restrict(entity, view, out, start);
    }

    /// Sets the longest time that a change stays hidden from queries (qbo-facts 3.9).
    pub(crate) fn set_visibility_delay(&mut self, delay: Duration) {
        self.visibility_delay = delay;
    }

    /// Sets the receiver of the company's events.
    pub(crate) fn set_listener(&mut self, listener: UnboundedSender<Event>) {
        self.listener = Some(listener);
    }

    /// Sets the clock by which changes become visible and webhooks are dated.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Takes the place of another company, with its listener and its clock.
    pub(crate) fn take_place_of(mut self, other: &mut Self) {
        self.listener = other.listener.take();
        self.clock = other.clock.clone();
        *other = self;
    }

    /// Returns the time that the company's clock shows.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns whether queries do not see some changes yet.
    pub(crate) fn has_pending_changes(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Applies the changes that have become visible by `now`.
    pub(crate) fn apply_visible_changes(&mut self, now: DateTime<Utc>) {
        let (visible, hidden): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.visible_at <= now);
        self.pending = hidden;
        for pending in visible {
            self.apply(pending.entity, &pending.id, pending.change);
        }
    }

    /// Returns the payload of a record's newest version, even if queries do not see it yet.
    pub(super) fn newest_version(&self, entity: &'static Entity, id: &str) -> Option<String> {
        let is_of_record =
            |pending: &&PendingChange| pending.entity.name == entity.name && pending.id == id;
        let newest = self.pending.iter().rev().find(is_of_record);
        match newest.map(|pending| &pending.change) {
            Some(Change::Saved(row)) => Some(row.payload.to_string()),
            Some(Change::Removed { .. }) => None,
            None => {
                let row = self.collection(entity.name)?.get(id)?;
                Some(row.payload().into_owned())
            }
        }
    }

    /// Makes a change, which queries see at once or after a part of the visibility delay.
    pub(super) fn write(&mut self, entity: &'static Entity, id: &str, change: Change) {
        if let Some(books) = &mut self.books {
            books.forget_truth(entity.name, id);
        }
        if self.visibility_delay.is_zero() {
            return self.apply(entity, id, change);
        }
        // Each change has a delay of its own, but the changes of one record keep their order.
        let share = (hash_id(id) ^ self.pending.len() as u32) % 1000;
        let due = end_of(self.now(), self.visibility_delay / 1000 * share);
        let earlier = self
            .pending
            .iter()
            .filter(|pending| pending.id == id && pending.entity.name == entity.name);
        let visible_at = earlier
            .map(|pending| pending.visible_at)
            .max()
            .unwrap_or(due)
            .max(due);
        self.pending.push(PendingChange {
            visible_at,
            entity,
            id: id.to_owned(),
            change,
        });
        self.pending.sort_by_key(|pending| pending.visible_at);
    }

    /// Makes a change that queries see at once.
    pub(super) fn apply(&mut self, entity: &'static Entity, id: &str, change: Change) {
        if let Some(books) = &mut self.books {
            books.change();
        }
        let collection = self.collections.entry(entity.name).or_default();
        match change {
            Change::Saved(row) => collection.put(row),
            Change::Removed { at } => {
                collection.remove(id, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::company::collection::{self, Row};

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
    fn the_same_seed_makes_the_same_company_and_another_seed_another_one() {
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
            .map(|row| (row.updated(), row.tie_breaker()))
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
