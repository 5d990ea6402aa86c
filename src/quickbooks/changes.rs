//! Change data capture: changes and deletions of many entities since an instant, with one request
//! (qbo-facts 4).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::QboSource;
use super::classify::classify_failure;
use super::failure_cause::is_repeated_bad_record;
use super::fault::Fault;
use crate::domain::instant::parse_record_time;
use crate::domain::{Deletion, EntitySpec, Identity, Page, Payload, Record, Window};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::port::{Meter, Source, Span};
use crate::quickbooks::client::{RetryBehavior, Verdict};

/// Maximum number of objects in one answer. An answer that holds this many may have been cut short,
/// deletions first.
const MAX_OBJECTS: usize = 1000;

/// Changes of one entity's records.
#[derive(Debug, Clone)]
pub(crate) struct EntityChanges {
    /// The record type.
    pub entity: EntitySpec,
    /// The changed records, complete.
    pub records: Vec<Record>,
    /// Records reported as deleted. For an entity of kind list this does not prove a deletion.
    pub deletions: Vec<Deletion>,
}

/// The changes of several entities.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Entities whose changes are completely known.
    pub complete: Vec<EntityChanges>,
    /// Entities whose changes are not: the answer was cut short, unreadable or refused.
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
        let (captured, others): (Vec<_>, Vec<_>) =
            entities.iter().cloned().partition(EntitySpec::supports_cdc);
        changes.incomplete = others;
        let mut pending = vec![captured];
        while let Some(mut entities) = pending.pop() {
            if entities.is_empty() {
                continue;
            }
            match self.request_changes(&entities, since, meter).await {
                Ok(Some(known)) => changes.complete.extend(known),
                Err(error) if !may_depend_on_entities(&error) => return Err(error),
                Ok(None) | Err(_) if entities.len() == 1 => changes.incomplete.extend(entities),
                Ok(None) | Err(_) => {
                    pending.push(entities.split_off(entities.len() / 2));
                    pending.push(entities);
                }
            }
        }
        Ok(changes)
    }

    /// Sends one request. Returns `None` if the answer may have been cut short or holds a record
    /// that cannot be read.
    async fn request_changes(
        &self,
        entities: &[EntitySpec],
        since: DateTime<Utc>,
        meter: &Meter,
    ) -> Result<Option<Vec<EntityChanges>>> {
        let request = self
            .endpoints
            .changes(entities.iter().map(|entity| entity.qbo_name), since);
        let read = |response: &Response| read_changes(entities, response);
        // One bad record fails the whole answer; the caller then asks for fewer entities.
        let behavior = RetryBehavior {
            returns_early: is_repeated_bad_record,
            is_retry: false,
        };
        let answer = self.client.send(&request, meter, behavior, read).await?;
        self.set_horizon(answer.time);
        Ok(answer.changes)
    }
}

/// Returns true if the request may have failed because of one of the entities that it names.
fn may_depend_on_entities(error: &Error) -> bool {
    matches!(error.last(), Error::Api { .. } | Error::Unavailable { .. })
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
            received_at: Utc::now(),
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
        _meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> Result<Option<DateTime<Utc>>> {
        let horizon = self.source.horizon.get().copied();
        let end = horizon.map_or(span.end(), |horizon| span.end().min(horizon));
        let all = self.records.get(entity.name).into_iter().flatten();
        let page = Page {
            number: 1,
            size: page_size,
            request: Arc::default(),
            ingested_at: self.received_at,
            covered_until: end,
            horizon,
            records: all
                .filter(|record| record.updated_at >= span.start && record.updated_at < end)
                .cloned()
                .collect(),
            rejects: Vec::new(),
        };
        pages.send(page).await.map_err(|_| Error::Cancelled)?;
        Ok(horizon.filter(|horizon| *horizon < span.end()))
    }
}

struct ChangesAnswer {
    changes: Option<Vec<EntityChanges>>,
    time: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "CDCResponse", borrow)]
    responses: Vec<CdcResponse<'a>>,
    time: Option<String>,
}

#[derive(Deserialize)]
struct CdcResponse<'a> {
    #[serde(rename = "QueryResponse", borrow, default)]
    entities: Vec<HashMap<Cow<'a, str>, &'a RawValue>>,
    #[serde(rename = "Fault")]
    fault: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Stub<'a> {
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(rename = "Id", borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(rename = "MetaData", borrow)]
    meta_data: Option<StubTime<'a>>,
}

#[derive(Deserialize)]
struct StubTime<'a> {
    #[serde(rename = "LastUpdatedTime", borrow)]
    last_updated_time: Cow<'a, str>,
}

fn read_changes(entities: &[EntitySpec], response: &Response) -> Verdict<ChangesAnswer> {
    if !(200..300).contains(&response.status) {
        return classify_failure(response, Fault::parse(&response.body));
    }
    let envelope: Envelope<'_> = match serde_json::from_slice(&response.body) {
        Ok(envelope) => envelope,
        Err(e) => {
            return match Fault::parse(&response.body) {
                Some(fault) => classify_failure(response, Some(fault)),
                None => Verdict::Retry(Error::decode(
                    "answer of QuickBooks is not the JSON expected",
                    e,
                )),
            };
        }
    };
    if let Some(fault) = envelope
        .responses
        .iter()
        .find_map(|response| response.fault.as_ref())
    {
        return classify_failure(response, Fault::from_json(fault));
    }
    let time = envelope.time.as_deref().and_then(parse_record_time);
    let answered: Vec<_> = envelope
        .responses
        .iter()
        .flat_map(|response| &response.entities)
        .collect();
    let mut changes = Vec::with_capacity(entities.len());
    let mut objects = 0;
    for (position, entity) in entities.iter().enumerate() {
        // An entity without changes is an empty object, identified by its position alone. If
        // nothing has changed at all, one empty object stands for all entities.
        let rows = answered
            .get(position)
            .and_then(|answer| answer.get(entity.answer_key));
        match read_rows(entity, rows.copied(), response) {
            Ok(known) => {
                objects += known.records.len() + known.deletions.len();
                changes.push(known);
            }
            Err(_) => {
                return Verdict::Done(ChangesAnswer {
                    changes: None,
                    time,
                });
            }
        }
    }
    let is_complete = objects < MAX_OBJECTS;
    Verdict::Done(ChangesAnswer {
        changes: is_complete.then_some(changes),
        time,
    })
}

fn read_rows(
    entity: &EntitySpec,
    rows: Option<&RawValue>,
    response: &Response,
) -> Result<EntityChanges> {
    let mut changes = EntityChanges {
        entity: *entity,
        records: Vec::new(),
        deletions: Vec::new(),
    };
    let Some(rows) = rows else { return Ok(changes) };
    let failed = |e| Error::decode(format!("changes of {}", entity.name), e);
    let rows: Vec<&RawValue> = serde_json::from_str(rows.get()).map_err(failed)?;
    for row in rows {
        let stub: Stub<'_> = serde_json::from_str(row.get()).map_err(failed)?;
        if stub.status.as_deref() == Some("Deleted") {
            let at = stub
                .meta_data
                .and_then(|meta| parse_record_time(&meta.last_updated_time));
            let (Some(id), Some(at)) = (stub.id, at) else {
                return Err(Error::decode(
                    format!("changes of {}", entity.name),
                    "a deletion without an id or a time",
                ));
            };
            changes.deletions.push(Deletion {
                id: id.into_owned(),
                at,
                stub: Some(row.get().to_owned()),
            });
        } else {
            let payload = Payload::from_valid_json(response.body.slice_ref(row.get().as_bytes()));
            changes
                .records
                .push(Record::read(entity.identity, payload)?);
        }
    }
    Ok(changes)
}
