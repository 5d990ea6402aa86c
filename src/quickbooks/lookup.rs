//! Single records by their identity, as they are now: what decides whether a record is gone.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::value::RawValue;

use super::QboSource;
use super::batch::{MAX_ITEMS, MAX_RECORDS};
use super::classify::classify_failure;
use super::envelope::{QueryAnswer, read_rows};
use super::fault::Fault;
use crate::domain::query::{IdQuery, KeyQuery, SingleQuery};
use crate::domain::{EntitySpec, Identity, PageSize, Payload, Record, Reject};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::port::Meter;
use crate::quickbooks::client::{RetryBehavior, Verdict};

/// Code of the fault that a record does not exist (Intuit's error list).
const NOT_FOUND: &str = "610";

/// Maximum number of ids in one statement.
const MAX_IDS: usize = 100;

/// Records that were looked up and exist.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The records.
    pub records: Vec<Record>,
    /// Records that cannot be read. Each has an id; their times are those of the answers.
    pub unreadable: Vec<Reject>,
}

impl Found {
    /// Returns the ids of all of them.
    pub(crate) fn ids(&self) -> HashSet<String> {
        let unreadable = self.unreadable.iter().filter_map(|row| row.id.clone());
        let readable = self.records.iter().map(|record| record.id.clone());
        readable.chain(unreadable).collect()
    }

    /// Adds an answer.
    ///
    /// # Errors
    /// The error of a row whose id is unreadable too: it may be any of those that were asked for.
    fn add(&mut self, entity: &EntitySpec, answer: QueryAnswer) -> Result<()> {
        self.records.extend(answer.records);
        for row in answer.unreadable {
            let payload = Payload::from_valid_json(row.text.clone().into());
            let Ok(id) = Record::read_id(entity.identity, &payload) else {
                return Err(row.error);
            };
            let at = answer.time.unwrap_or_else(crate::clock::now);
            self.unreadable.push(Reject {
                id: Some(id),
                ..Reject::unreadable(row.text, &row.error, at)
            });
        }
        Ok(())
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
        let found = self.look_up(entity, ids, meter).await?;
        match found.unreadable.into_iter().next() {
            Some(row) => Err(Error::decode("record", row.error)),
            None => Ok(found.records),
        }
    }

    /// Looks for records by their ids. Records that no longer exist are absent. Records without an
    /// `Id` are asked for by the properties that identify them: a query for their `Id` is an error
    /// (qbo-facts 8).
    ///
    /// # Errors
    /// Errors of the API; [`Error::Decode`] if a row has no id, or an answer may be cut short: a
    /// record that was not looked for everywhere is not gone.
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
        let statements = match entity.identity {
            Identity::Id | Identity::Wrapped => ids
                .chunks(MAX_IDS)
                .map(|ids| IdQuery { entity, ids }.to_string())
                .collect(),
            Identity::Single => vec![SingleQuery { entity }.to_string()],
            Identity::Properties(names) => key_statements(entity, names, ids)?,
        };
        let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut found = Found::default();
        for statements in statements.chunks(statements_per_request(entity)) {
            for answer in self.answers(entity, statements, meter).await? {
                found.add(entity, answer)?;
            }
        }
        let is_wanted = |id: &str| wanted.contains(id);
        found.records.retain(|record| is_wanted(&record.id));
        let unreadable = &mut found.unreadable;
        unreadable.retain(|row| row.id.as_deref().is_some_and(is_wanted));
        Ok(found)
    }

    /// Reads records one by one, for an entity that cannot be queried.
    async fn read_each(&self, entity: &EntitySpec, ids: &[String], meter: &Meter) -> Result<Found> {
        let mut found = Found::default();
        for id in ids {
            let request = self.endpoints.read(entity, id)?;
            let read = |response: &Response| read_record(entity, response);
            let answer = self
                .client
                .send(&request, meter, RetryBehavior::FULL, read)
                .await;
            match answer {
                Ok(answer) => match answer.records.first() {
                    Some(other) if other.id != *id => {
                        let found = format!("record {} instead of {id}", other.id);
                        return Err(Error::decode("answer of QuickBooks", found));
                    }
                    _ => found.add(entity, answer)?,
                },
                Err(error) if error.code() == Some(NOT_FOUND) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Sends statements: one by itself, several as a batch.
    async fn answers(
        &self,
        entity: &EntitySpec,
        statements: &[String],
        meter: &Meter,
    ) -> Result<Vec<QueryAnswer>> {
        if let [statement] = statements {
            let answer = self
                .query(entity, statement, meter, RetryBehavior::FULL)
                .await?;
            return whole(vec![answer], PageSize::MAX as usize);
        }
        let items: Vec<_> = statements
            .iter()
            .map(|statement| (entity, statement.clone()))
            .collect();
        let answers = self.batch(&items, meter, RetryBehavior::FULL).await?;
        whole(answers.into_iter().collect::<Result<_>>()?, MAX_RECORDS)
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
    Verdict::Done(read_rows(entity, vec![*raw], response))
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

/// Returns the number of statements in one request. Statements by `Id` name up to a hundred
/// records each, so several of them could overfill a batch.
fn statements_per_request(entity: &EntitySpec) -> usize {
    match entity.identity {
        Identity::Properties(_) => MAX_ITEMS,
        _ => 1,
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
    let per_statement = MAX_RECORDS / MAX_ITEMS - 1;
    let statements = by_first.iter().flat_map(|(first, seconds)| {
        let seconds: Vec<&str> = seconds.iter().copied().collect();
        let texts = seconds.chunks(per_statement).map(|seconds| {
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
