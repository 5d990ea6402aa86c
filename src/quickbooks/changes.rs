//! Change data capture: changes and deletions of many entities since an instant, with one request
//! (qbo-facts 4).

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tracing::debug;

use super::QboSource;
use super::changes_answer::{ChangesAnswer, EntityChanges, read_changes};
use super::failure_cause::is_repeated_bad_record;
use super::horizon::Horizon;
use super::uncaptured::is_lasting;
use crate::domain::{EntitySpec, Held, Identity, Page, Record, Window};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::port::{Meter, Source, Span};
use crate::quickbooks::client::RetryBehavior;

/// The changes of several entities.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Entities whose changes are completely known.
    pub complete: Vec<EntityChanges>,
    /// Entities whose changes are not: the answer was cut short, unreadable, refused, or does not
    /// account for them.
    pub incomplete: Vec<EntitySpec>,
}

impl EntitySpec {
    /// Returns true if change data capture covers this entity. It identifies records by `Id`.
    pub fn supports_cdc(&self) -> bool {
        self.has_cdc && matches!(self.identity, Identity::Id | Identity::Single)
    }
}

impl QboSource {
    /// Fetches the changes and deletions since an instant. If an answer is full or refused, asks
    /// again with half of the entities: one entity without change data capture fails the whole
    /// request (qbo-facts 4).
    ///
    /// # Errors
    /// Errors that would affect any request. Entities whose changes cannot be fetched this way are
    /// in [`Changes::incomplete`].
    pub(crate) async fn changes(
        &self,
        entities: &[EntitySpec],
        since: DateTime<Utc>,
        meter: &Meter,
    ) -> Result<Changes> {
        let mut changes = Changes::default();
        let is_captured =
            |entity: &EntitySpec| entity.supports_cdc() && !self.uncaptured.contains(entity);
        let (captured, others): (Vec<_>, Vec<_>) = entities.iter().cloned().partition(is_captured);
        changes.incomplete = others;
        let mut refused = Vec::new();
        let mut pending = vec![captured];
        while let Some(mut entities) = pending.pop() {
            if entities.is_empty() {
                continue;
            }
            match self.request_changes(&entities, since, meter).await {
                Ok(answer) if !answer.is_full => {
                    changes.complete.extend(answer.complete);
                    changes.incomplete.extend(answer.incomplete);
                }
                // Queries are answered in another form.
                Err(error) if matches!(error.last(), Error::Decode { .. }) => {
                    debug!(
                        phase = "extract",
                        "the changes are read by queries: {error}"
                    );
                    changes.incomplete.extend(entities);
                }
                Err(error) if !may_depend_on_entities(&error) => return Err(error),
                Err(error) if entities.len() == 1 => {
                    if is_lasting(&error) {
                        refused.extend(entities.first().map(|entity| (*entity, error)));
                    }
                    changes.incomplete.extend(entities);
                }
                Ok(_) if entities.len() == 1 => changes.incomplete.extend(entities),
                Ok(_) | Err(_) => {
                    pending.push(entities.split_off(entities.len() / 2));
                    pending.push(entities);
                }
            }
        }
        // If nothing was answered, the cause may be in the request.
        if !changes.complete.is_empty() {
            for (entity, error) in refused {
                self.uncaptured.remember(&entity, &error).await;
            }
        }
        for known in std::mem::take(&mut changes.complete) {
            let entity = known.entity;
            match self.with_includes(known, meter).await {
                Ok(known) => changes.complete.push(known),
                Err(error) if error.ends_run() => return Err(error),
                Err(error) => {
                    debug!(
                        phase = "extract",
                        entity = entity.name,
                        "the changes are read by queries: {error}"
                    );
                    changes.incomplete.push(entity);
                }
            }
        }
        Ok(changes)
    }

    /// Reads changed records again whose complete form is only answered if asked for: whether change
    /// data capture takes `include` is not known (qbo-facts 13.4), and a poorer record must not
    /// replace a fuller one. A change behind the horizon that a query does not see yet is left to a
    /// later read.
    ///
    /// # Errors
    /// Errors of the API; [`Error::Decode`] if a query does not see an earlier change, or answers a
    /// record that cannot be read.
    async fn with_includes(
        &self,
        mut changes: EntityChanges,
        meter: &Meter,
    ) -> Result<EntityChanges> {
        let entity = changes.entity;
        if changes.records.is_empty() || self.includes.value(&entity).is_none() {
            return Ok(changes);
        }
        let records = newest_of_each(std::mem::take(&mut changes.records));
        let end = self.horizon.get().map(|horizon| horizon.reads_until);
        let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
        let fuller = self.records(&entity, &ids, meter).await?;
        let mut by_id: HashMap<String, Record> = fuller
            .into_iter()
            .map(|record| (record.id.clone(), record))
            .collect();
        let mut fullest = Vec::with_capacity(records.len());
        for record in records {
            match by_id.remove(&record.id) {
                Some(fuller) if fuller.updated_at >= record.updated_at => fullest.push(fuller),
                Some(_) if end.is_some_and(|end| record.updated_at >= end) => {}
                Some(_) => {
                    let id = record.id;
                    let reason = format!("a query does not see the change of record {id} yet");
                    return Err(Error::decode(format!("changes of {}", entity.name), reason));
                }
                // It is gone by now, which a later sync finds.
                None => fullest.push(record),
            }
        }
        changes.records = fullest;
        Ok(changes)
    }

    /// Fetches the changes and deletions of one entity. Returns `None` if the answer may have been cut
    /// short or holds a record that cannot be read.
    ///
    /// # Errors
    /// Errors of the API, also one that refuses this entity alone.
    pub(crate) async fn changes_of_one(
        &self,
        entity: &EntitySpec,
        since: DateTime<Utc>,
        meter: &Meter,
    ) -> Result<Option<EntityChanges>> {
        let entities = std::slice::from_ref(entity);
        let answer = self.request_changes(entities, since, meter).await?;
        match answer.complete.into_iter().next() {
            Some(known) if !answer.is_full => self.with_includes(known, meter).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Sends one request.
    async fn request_changes(
        &self,
        entities: &[EntitySpec],
        since: DateTime<Utc>,
        meter: &Meter,
    ) -> Result<ChangesAnswer> {
        let request = self
            .endpoints
            .changes(entities.iter().map(|entity| entity.qbo_name), since);
        let read = |response: &Response| read_changes(entities, response);
        // One bad record fails every answer that holds it. The caller asks for fewer entities, and in
        // the end its entity is read by queries, which can set it aside.
        let behavior = RetryBehavior {
            returns_early: is_repeated_bad_record,
            is_retry: false,
        };
        let answer = self.client.send(&request, meter, behavior, read).await?;
        self.set_horizon(answer.time);
        Ok(answer)
    }
}

/// Returns the newest version of each record. An answer that lists one twice must not store it as if
/// it were gone when it is looked up for the second time.
fn newest_of_each(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by(|a, b| {
        let version = |record: &Record| (record.updated_at, record.sync_token);
        a.id.cmp(&b.id).then_with(|| version(b).cmp(&version(a)))
    });
    records.dedup_by(|later, first| later.id == first.id);
    records
}

/// Returns true if the request may have failed because of one of the entities that it names.
fn may_depend_on_entities(error: &Error) -> bool {
    matches!(
        error.last(),
        Error::Api { .. } | Error::Unavailable { .. } | Error::TooLarge { .. }
    )
}

/// Places a record within `[start, end)`. The service has reported it as changed, and it can say any
/// other time than the service's: by its own time it would be left out, and never asked for again. To
/// store a record that is known, or that has changed after the end, is harmless.
fn placed_within(record: &Record, start: DateTime<Utc>, end: DateTime<Utc>) -> Record {
    let last = (end - TimeDelta::seconds(1)).max(start);
    Record {
        updated_at: record.updated_at.clamp(start, last),
        ..record.clone()
    }
}

/// A source that hands out the records of fetched changes, as if it read them now.
#[derive(Debug)]
pub(crate) struct ChangesSource {
    source: Arc<QboSource>,
    records: HashMap<&'static str, Vec<Record>>,
    received_at: DateTime<Utc>,
}

impl ChangesSource {
    /// Creates a source from changes that were received just now.
    pub(crate) fn new(source: Arc<QboSource>, changes: &[EntityChanges]) -> Self {
        let records = changes
            .iter()
            .map(|changes| (changes.entity.name, changes.records.clone()))
            .collect();
        Self {
            source,
            records,
            received_at: crate::clock::now(),
        }
    }
}

impl Source for ChangesSource {
    fn realm_id(&self) -> &str {
        self.source.realm_id()
    }

    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    const SHARES_REQUESTS: bool = true;

    fn request(&self, entity: &EntitySpec, window: Window, page_size: u32) -> Option<Arc<str>> {
        self.source.request(entity, window, page_size)
    }

    async fn read_span(
        &self,
        entity: &EntitySpec,
        span: &Span,
        page_size: u32,
        _: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> Result<Option<DateTime<Utc>>> {
        let horizon = self.source.horizon.get().copied();
        let end = Horizon::end_of(horizon, span.end());
        let claimed = horizon.map(|horizon| horizon.claims_until);
        let all = self.records.get(entity.name).into_iter().flatten();
        let placed = all.map(|record| placed_within(record, span.start, end));
        let page = Page {
            number: 1,
            size: page_size,
            request: Arc::default(),
            ingested_at: self.received_at,
            covered_until: end,
            horizon: claimed,
            records: placed.collect(),
            rejects: Vec::new(),
            held: Held::default(),
        };
        pages.send(page).await.map_err(|_| Error::Cancelled)?;
        Ok(claimed.filter(|claimed| *claimed < span.end()))
    }
}
