//! A company as data that can be kept in a file: what it was generated from, and everything that has
//! changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::books::{Books, SavedBooks};
use super::collection::{Collection, SavedCollection};
use super::plan::{Closure, Plan, Refusal};
use super::records::{Change, Company, Origin, PendingChange, Poison};
use super::sample::Sample;
use super::view::Display;
use crate::entities::{self, Entity};

/// A company, without the parts that belong to its sandbox: clock, listener, limits and tokens.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedCompany {
    /// Seed and size of the sample company. Absent for a company that was read from files.
    sample: Option<Origin>,
    /// The changed records of each entity, by the entity's name.
    entities: BTreeMap<String, SavedEntity>,
    poison: Vec<SavedPoison>,
    /// The entities that the company does not have, each with the answer to requests for it.
    unavailable: BTreeMap<String, Refusal>,
    /// The answer to every request, if the company is closed.
    closure: Option<Closure>,
    #[serde(default)]
    withdrawn_classifications: BTreeSet<String>,
    #[serde(default)]
    plan_name: Option<String>,
    display: Display,
    /// Absent for a company without double-entry books.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    books: Option<SavedBooks>,
    visibility_delay_ms: u64,
    /// Changes that queries do not see yet.
    pending: Vec<SavedPending>,
}

/// The changes of one entity's records.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedEntity {
    /// Number of records generated after the start.
    generated: u32,
    records: SavedCollection,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedPoison {
    entity: String,
    id: String,
    poison: Poison,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedPending {
    entity: String,
    id: String,
    visible_at: chrono::DateTime<chrono::Utc>,
    change: Change,
}

impl Company {
    /// Returns the company as data.
    pub(crate) fn to_saved(&self) -> SavedCompany {
        // Every field is named, so that a new one is not forgotten here.
        let Self {
            origin,
            collections,
            poison,
            generated,
            plan:
                Plan {
                    refused,
                    closure,
                    withdrawn,
                    name,
                },
            display,
            books,
            listener: _,
            clock: _,
            visibility_delay,
            pending,
        } = self;
        let entities = collections.iter().map(|(name, collection)| {
            let saved = SavedEntity {
                generated: generated.get(name).copied().unwrap_or(0),
                records: collection.to_saved(),
            };
            ((*name).to_owned(), saved)
        });
        let entities = entities.filter(|(_, saved)| *saved != SavedEntity::default());
        let mut poison: Vec<SavedPoison> = poison
            .iter()
            .map(|((entity, id), poison)| SavedPoison {
                entity: (*entity).to_owned(),
                id: id.clone(),
                poison: *poison,
            })
            .collect();
        poison.sort_by(|a, b| (&a.entity, &a.id).cmp(&(&b.entity, &b.id)));
        let pending = pending.iter().map(|pending| SavedPending {
            entity: pending.entity.name.to_owned(),
            id: pending.id.clone(),
            visible_at: pending.visible_at,
            change: pending.change.clone(),
        });
        SavedCompany {
            sample: *origin,
            entities: entities.collect(),
            poison,
            unavailable: refused
                .iter()
                .map(|(entity, refusal)| ((*entity).to_owned(), *refusal))
                .collect(),
            closure: closure.clone(),
            withdrawn_classifications: withdrawn.clone(),
            plan_name: name.clone(),
            display: *display,
            books: books.as_ref().map(|books| books.saved.clone()),
            visibility_delay_ms: u64::try_from(visibility_delay.as_millis()).unwrap_or(u64::MAX),
            pending: pending.collect(),
        }
    }
}

impl SavedCompany {
    /// Builds the company again.
    ///
    /// # Errors
    /// The reason, if it names an entity or a sample record that does not exist.
    pub(crate) fn restore(self) -> Result<Company, String> {
        let mut company = match self.sample {
            Some(Origin { seed, size }) => Company::generate(seed, size),
            None => Company::default(),
        };
        for (name, saved) in self.entities {
            let entity = find(&name)?;
            company.generated.insert(entity.name, saved.generated);
            let sample = self
                .sample
                .map(|Origin { seed, size }| Sample::new(entity, seed, size));
            let collection = Collection::restore(sample, saved.records)
                .map_err(|reason| format!("{}: {reason}", entity.name))?;
            company.collections.insert(entity.name, collection);
        }
        for SavedPoison { entity, id, poison } in self.poison {
            company.poison.insert((find(&entity)?.name, id), poison);
        }
        for (entity, refusal) in self.unavailable {
            let entity = find(&entity)?;
            company.plan.refused.insert(entity.name, refusal);
        }
        company.plan.closure = self.closure;
        company.plan.withdrawn = self.withdrawn_classifications;
        company.plan.name = self.plan_name;
        company.display = self.display;
        company.books = self.books.map(Books::new);
        company.visibility_delay = Duration::from_millis(self.visibility_delay_ms);
        for saved in self.pending {
            company.pending.push(PendingChange {
                visible_at: saved.visible_at,
                entity: find(&saved.entity)?,
                id: saved.id,
                change: saved.change,
            });
        }
        Ok(company)
    }
}

fn find(name: &str) -> Result<&'static Entity, String> {
    entities::find(name).ok_or_else(|| format!("there is no entity '{name}'"))
}
