//! Proof that the service delivers records, if one fails: what has arrived.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::domain::EntitySpec;

/// The deliveries of one source.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    by_entity: Mutex<HashMap<&'static str, Delivery>>,
}

#[derive(Debug)]
struct Delivery {
    entity: EntitySpec,
    /// Time of the last row.
    last: Option<DateTime<Utc>>,
    /// The last search for bad records found nothing that the service can deliver. Until something
    /// arrives, no further window of the entity is searched.
    is_failing: bool,
}

impl Deliveries {
    /// Notes that a row of this time has arrived.
    pub(super) fn note(&self, entity: &EntitySpec, at: DateTime<Utc>) {
        let delivery = Delivery {
            entity: *entity,
            last: Some(at),
            is_failing: false,
        };
        self.by_entity.lock().insert(entity.name, delivery);
    }

    /// Returns the time of the last row of an entity.
    pub(super) fn last(&self, entity: &EntitySpec) -> Option<DateTime<Utc>> {
        self.by_entity.lock().get(entity.name)?.last
    }

    /// Notes that a search has found nothing that the service can deliver.
    pub(super) fn note_failing(&self, entity: &EntitySpec) {
        let mut by_entity = self.by_entity.lock();
        let delivery = by_entity.entry(entity.name).or_insert(Delivery {
            entity: *entity,
            last: None,
            is_failing: true,
        });
        delivery.is_failing = true;
    }

    /// Returns true if nothing of the entity has arrived since such a search.
    pub(super) fn is_failing(&self, entity: &EntitySpec) -> bool {
        let by_entity = self.by_entity.lock();
        let delivery = by_entity.get(entity.name);
        delivery.is_some_and(|delivery| delivery.is_failing)
    }

    /// Returns another entity and the time of its last row.
    pub(super) fn last_of_others(
        &self,
        entity: &EntitySpec,
    ) -> Option<(EntitySpec, DateTime<Utc>)> {
        let by_entity = self.by_entity.lock();
        let others = by_entity
            .values()
            .filter(|delivery| delivery.entity != *entity && !delivery.is_failing);
        let times = others.filter_map(|delivery| Some((delivery.entity, delivery.last?)));
        times.max_by_key(|(other, _)| other.name)
    }
}
