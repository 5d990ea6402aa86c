//! Single records by their identity, as they are now: what decides whether a record is gone.
//!
//! A record that cannot be delivered fails every answer that it is in (qbo-facts 3.10). The ids of such
//! a request are halved until that record is alone; it exists, and is set aside.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::DateTime;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::QboSource;
use super::batch::{MAX_ITEMS, MAX_RECORDS};
use super::classify::classify_failure;
use super::envelope::{QueryAnswer, Row, is_deleted, read_rows};
use super::failure_cause::{failure_cause, is_repeated_bad_record};
use super::fault::Fault;
use super::reader::{SpanReader, reject_bad_record};
use crate::domain::query::{IdQuery, KeyQuery, SingleQuery};
use crate::domain::{EntityKind, EntitySpec, Identity, PageSize, Record, Reject, too_many_rejects};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::port::{Meter, Span};
use crate::quickbooks::client::{RetryBehavior, Verdict};

/// Code of the fault that a record does not exist (Intuit's error list).
const NOT_FOUND: &str = "610";

/// Maximum number of ids in one statement.
const MAX_IDS: usize = 100;

/// Maximum number of codes in one statement: the answers to a full batch stay below its limit.
const MAX_CODES: usize = MAX_RECORDS / MAX_ITEMS - 1;

/// Records that were looked up and exist.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The records.
    pub records: Vec<Record>,
    /// Records that cannot be read or delivered. Each has an id; their times are those of the answers.
    pub unreadable: Vec<Reject>,
    /// Ids of list records that are answered as deleted, which was also seen of living ones (qbo-facts
    /// 4).
    called_deleted: Vec<String>,
}

impl Found {
    /// Returns the ids of all of them.
    pub(crate) fn ids(&self) -> HashSet<String> {
        let unreadable = self.unreadable.iter().filter_map(|row| row.id.clone());
        let readable = self.records.iter().map(|record| record.id.clone());
        let called_deleted = self.called_deleted.iter().cloned();
        readable.chain(unreadable).chain(called_deleted).collect()
    }

    /// Adds the answers about some ids. Returns false, and adds nothing, if a row does not say which of
    /// several ids it has.
    fn add(&mut self, entity: &EntitySpec, ids: &[String], answers: Vec<QueryAnswer>) -> bool {
        let mut found = Self::default();
        for answer in answers {
            let at = answer.time.unwrap_or_else(crate::clock::now);
            found.records.extend(answer.records);
            for row in answer.unreadable {
                let is_deleted = std::str::from_utf8(row.row.as_bytes()).is_ok_and(is_deleted);
                if is_deleted && proves_deletion(entity) {
                    continue;
                }
                let row = Reject::unreadable(entity.identity, row.row, &row.error, at);
                let id = match (row.id, ids) {
                    (Some(id), _) => id,
                    (None, [only]) => only.clone(),
                    (None, _) => return false,
                };
                if is_deleted {
                    found.called_deleted.push(id);
                    continue;
                }
                let id = Some(id);
                found.unreadable.push(Reject { id, ..row });
            }
        }
        self.extend(found);
        true
    }

    fn extend(&mut self, other: Self) {
        self.records.extend(other.records);
        self.unreadable.extend(other.unreadable);
        self.called_deleted.extend(other.called_deleted);
    }
}

impl QboSource {
    /// Fetches records by their ids, as they are now.
    ///
    /// # Errors
    /// Those of [`look_up`](Self::look_up); [`Error::Decode`] if a record cannot be read.
    pub(crate) async fn records(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> Result<Vec<Record>> {
        let found = self.look_up_readable(entity, ids, meter).await?;
        Ok(found.records)
    }

    /// Looks for records, all of which must be readable.
    ///
    /// # Errors
    /// Those of [`look_up`](Self::look_up); [`Error::Decode`] if a record cannot be read.
    pub(crate) async fn look_up_readable(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> Result<Found> {
        let found = self.look_up(entity, ids, meter).await?;
        match found.unreadable.first() {
            Some(row) => Err(Error::decode("record", &row.error)),
            None => Ok(found),
        }
    }

    /// Looks for records by their ids. Records that no longer exist are absent. Records without an
    /// `Id` are asked for by the properties that identify them: a query for their `Id` is an error
    /// (qbo-facts 8).
    ///
    /// # Errors
    /// Errors of the API; [`Error::Decode`] if an answer may be cut short: a record that was not looked
    /// for everywhere is not gone. An error if more records of a request fail than may be set aside of
    /// a window, or nothing shows that the service delivers others.
    pub(crate) async fn look_up(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> Result<Found> {
        if ids.is_empty() {
            return Ok(Found::default());
        }
        if !entity.has_query {
            return self.read_each(entity, ids, meter).await;
        }
        let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut found = Found::default();
        for ids in groups(entity, ids) {
            found.extend(self.look_up_group(entity, &ids, meter).await?);
        }
        let is_wanted = |id: &str| wanted.contains(id);
        found.records.retain(|record| is_wanted(&record.id));
        let unreadable = &mut found.unreadable;
        unreadable.retain(|row| row.id.as_deref().is_some_and(is_wanted));
        Ok(found)
    }

    /// Looks for the records of one request. Halves the ids if a record fails the request, or if a row
    /// does not say which record it is.
    async fn look_up_group(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> Result<Found> {
        let mut found = Found::default();
        let (mut pending, mut is_search, mut failing) = (vec![ids], false, 0);
        while let Some(ids) = pending.pop() {
            let behavior = RetryBehavior {
                returns_early: match (is_search, ids.len()) {
                    (true, 2..) => |error, _| failure_cause(error).is_of_record(),
                    _ => is_repeated_bad_record,
                },
                is_retry: is_search,
            };
            let known = found.unreadable.len();
            let added = match self.answers(entity, ids, behavior, meter).await {
                Ok(answers) => Ok(found.add(entity, ids, answers)),
                Err(error) if failure_cause(&error).is_of_record() => Err(error),
                Err(error) => return Err(error),
            };
            match (added, ids) {
                (Ok(true), _) => {}
                (Err(error), [id]) => {
                    self.check_delivery(entity, &error, meter).await?;
                    found.unreadable.push(undelivered(id, &error));
                }
                (Ok(false) | Err(_), _) => {
                    let (first, second) = ids.split_at(ids.len() / 2);
                    pending.extend([second, first]);
                    is_search = true;
                }
            }
            if ids.len() == 1 {
                let new = &found.unreadable[known..];
                failing += new.len() as u64;
                let reason = new.first().map_or("", |row| &row.error);
                if let Some(error) = too_many_rejects(failing, reason) {
                    return Err(error);
                }
            }
        }
        Ok(found)
    }

    /// Checks that a record, and not the service, is the cause of a failure.
    ///
    /// # Errors
    /// See [`SpanReader::check_delivery`].
    async fn check_delivery(
        &self,
        entity: &EntitySpec,
        error: &Error,
        meter: &Meter,
    ) -> Result<()> {
        let all = Span::of_windows(DateTime::UNIX_EPOCH, [crate::clock::now()]);
        let (pages, _) = mpsc::channel(1);
        let mut reader = SpanReader::new(self, entity, &all, PageSize::MAX, meter, pages);
        reader.start_charge();
        reader.check_delivery(error).await
    }

    /// Reads records one by one, for an entity that cannot be queried.
    async fn read_each(&self, entity: &EntitySpec, ids: &[String], meter: &Meter) -> Result<Found> {
        let (mut found, mut failed) = (Found::default(), Vec::new());
        for id in ids {
            match self.read_one(entity, id, meter).await {
                Ok(Some(answer)) => _ = found.add(entity, std::slice::from_ref(id), vec![answer]),
                Ok(None) => {}
                Err(error) if failure_cause(&error).is_of_record() => failed.push((id, error)),
                Err(error) => return Err(error),
            }
            let reason = failed.first().map(|(_, error)| error.to_string());
            let reason = reason.unwrap_or_default();
            if let Some(error) = too_many_rejects(failed.len() as u64, &reason) {
                return Err(error);
            }
        }
        if failed.is_empty() {
            return Ok(found);
        }
        // The service must still deliver another record after one has failed.
        let delivers = match found.records.last() {
            Some(known) => self.read_one(entity, &known.id, meter).await?.is_some(),
            None => false,
        };
        match failed.pop() {
            Some((_, error)) if !delivers => return Err(error),
            last => failed.extend(last),
        }
        let failed = failed.iter().map(|(id, error)| undelivered(id, error));
        found.unreadable.extend(failed);
        Ok(found)
    }

    /// Reads one record. Returns `None` if there is none with this id.
    async fn read_one(
        &self,
        entity: &EntitySpec,
        id: &str,
        meter: &Meter,
    ) -> Result<Option<QueryAnswer>> {
        let request = self.endpoints.read(entity, id)?;
        let read = |response: &Response| read_record(entity, response);
        let behavior = RetryBehavior {
            returns_early: is_repeated_bad_record,
            is_retry: false,
        };
        match self.client.send(&request, meter, behavior, read).await {
            Ok(answer) => match answer.records.first() {
                Some(other) if other.id != *id => {
                    let found = format!("record {} instead of {id}", other.id);
                    Err(Error::decode("answer of QuickBooks", found))
                }
                _ => Ok(Some(answer)),
            },
            Err(error) if error.code() == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for records: with one statement by itself, with several as a batch.
    async fn answers(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        behavior: RetryBehavior,
        meter: &Meter,
    ) -> Result<Vec<QueryAnswer>> {
        let statements = statements(entity, ids)?;
        if let [statement] = &statements[..] {
            let answer = self.query(entity, statement, meter, behavior).await?;
            return whole(vec![answer], PageSize::MAX as usize);
        }
        let items: Vec<_> = statements
            .into_iter()
            .map(|statement| (entity, statement))
            .collect();
        let answers = self.batch(&items, meter, behavior).await?;
        whole(answers.into_iter().collect::<Result<_>>()?, MAX_RECORDS)
    }
}

/// Returns true if a row that says that its record is deleted can be believed.
fn proves_deletion(entity: &EntitySpec) -> bool {
    entity.kind == EntityKind::Transaction || !entity.has_query
}

/// Makes a reject of a record that exists and cannot be delivered.
fn undelivered(id: &str, error: &Error) -> Reject {
    Reject {
        id: Some(id.to_owned()),
        ..reject_bad_record(error, crate::clock::now())
    }
}

/// Reads the answer to a request for one record: `{"ChangeOrder": {...}, "time": "..."}`.
fn read_record(entity: &EntitySpec, response: &Response) -> Verdict<QueryAnswer> {
    let fault = Fault::parse(&response.body);
    if !(200..300).contains(&response.status) || fault.is_some() {
        return classify_failure(response, fault, Some(entity));
    }
    let missing = |e: &dyn std::fmt::Display| {
        let context = format!("answer of QuickBooks about a record of {}", entity.name);
        Verdict::Retry(Error::decode(context, e.to_string()))
    };
    let members: HashMap<Cow<'_, str>, &RawValue> = match serde_json::from_slice(&response.body) {
        Ok(members) => members,
        Err(e) => return missing(&e),
    };
    let Some(raw) = members.get(entity.answer_key) else {
        return missing(&"it holds no record");
    };
    Verdict::Done(read_rows(entity, [Row::unread(raw)].into_iter(), response))
}

/// Refuses answers that hold as many rows as fit: more may have been left out.
fn whole(answers: Vec<QueryAnswer>, limit: usize) -> Result<Vec<QueryAnswer>> {
    let rows: usize = answers
        .iter()
        .map(|answer| answer.records.len() + answer.unreadable.len())
        .sum();
    match rows < limit {
        true => Ok(answers),
        false => Err(Error::decode(
            "answer of QuickBooks",
            "it is full, so records that were asked for may be missing",
        )),
    }
}

/// Divides ids into those of one request each. Statements by `Id` name up to a hundred records each, so
/// several of them could overfill a batch.
fn groups(entity: &EntitySpec, ids: &[String]) -> Vec<Vec<String>> {
    match entity.identity {
        Identity::Id | Identity::Wrapped => ids.chunks(MAX_IDS).map(<[_]>::to_vec).collect(),
        Identity::Single => vec![ids.to_vec()],
        Identity::Properties(_) => {
            let mut sorted = ids.to_vec();
            sorted.sort_unstable();
            let days = sorted.chunk_by(|a, b| first_part(a) == first_part(b));
            let statements: Vec<_> = days.flat_map(|ids| ids.chunks(MAX_CODES)).collect();
            let requests = statements.chunks(MAX_ITEMS);
            requests.map(<[&[String]]>::concat).collect()
        }
    }
}

/// Returns the first of the properties that an id joins.
fn first_part(id: &str) -> &str {
    id.split(':').next().unwrap_or(id)
}

/// Returns the statements that ask for ids.
fn statements(entity: &EntitySpec, ids: &[String]) -> Result<Vec<String>> {
    match entity.identity {
        Identity::Id | Identity::Wrapped => Ok(vec![IdQuery { entity, ids }.to_string()]),
        Identity::Single => Ok(vec![SingleQuery { entity }.to_string()]),
        Identity::Properties(names) => key_statements(entity, names, ids),
    }
}

/// Returns statements for ids that are joined properties: one for each value of the first property,
/// and no more codes together than fit into a batch. The form is the one that Intuit documents for
/// exchange rates: one date, several currencies.
fn key_statements(
    entity: &EntitySpec,
    names: &'static [&'static str],
    ids: &[String],
) -> Result<Vec<String>> {
    let [first_name, second_name, ..] = names else {
        return Err(Error::Internal(format!(
            "{} has an identity of fewer than two properties",
            entity.name
        )));
    };
    let mut by_first: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for id in ids {
        let mut parts = id.splitn(names.len(), ':');
        let (Some(first), Some(second)) = (parts.next(), parts.next()) else {
            return Err(Error::decode(
                "table",
                format!("'{id}' is not an id of {}", entity.name),
            ));
        };
        by_first.entry(first).or_default().insert(second);
    }
    let statements = by_first.iter().flat_map(|(first, seconds)| {
        let seconds: Vec<&str> = seconds.iter().copied().collect();
        let texts = seconds.chunks(MAX_CODES).map(|seconds| {
            KeyQuery {
                entity,
                first: (first_name, first),
                second: (second_name, seconds),
                max_results: PageSize::MAX,
            }
            .to_string()
        });
        texts.collect::<Vec<_>>()
    });
    Ok(statements.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::find_entity;

    #[test]
    fn rates_are_asked_for_by_date_and_currencies() {
        let rates = find_entity("exchange_rates").unwrap();
        let Identity::Properties(names) = rates.identity else {
            panic!("rates have no id")
        };
        let ids = [
            "2024-01-04:EUR:USD",
            "2024-01-03:JPY:USD",
            "2024-01-03:EUR:USD",
        ]
        .map(str::to_owned);
        assert_eq!(
            key_statements(rates, names, &ids).unwrap(),
            [
                "SELECT * FROM ExchangeRate WHERE AsOfDate = '2024-01-03' AND SourceCurrencyCode IN ('EUR', 'JPY') \
                 STARTPOSITION 1 MAXRESULTS 1000",
                "SELECT * FROM ExchangeRate WHERE AsOfDate = '2024-01-04' AND SourceCurrencyCode IN ('EUR') \
                 STARTPOSITION 1 MAXRESULTS 1000",
            ]
        );
        assert!(key_statements(rates, names, &["nonsense".to_owned()]).is_err());
        let many: Vec<String> = (0..100)
            .map(|n| format!("2024-01-03:X{n:02}:USD"))
            .collect();
        assert_eq!(key_statements(rates, names, &many).unwrap().len(), 4);
    }
}
