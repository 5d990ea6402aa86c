//! Single records by their identity, as they are now: what decides whether a record is gone.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::value::RawValue;

use super::QboSource;
use super::batch::{MAX_ITEMS, MAX_RECORDS};
use super::classify::classify_failure;
use super::envelope::QueryAnswer;
use super::fault::Fault;
use crate::domain::query::{IdQuery, KeyQuery, SingleQuery};
use crate::domain::{EntitySpec, Identity, PageSize, Payload, Record};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::port::Meter;
use crate::quickbooks::client::{RetryBehavior, Verdict};

/// Code of the fault that a record does not exist (Intuit's error list).
const NOT_FOUND: &str = "610";

/// Maximum number of ids in one statement.
const MAX_IDS: usize = 100;

impl QboSource {
    /// Fetches records by their ids, as they are now. Records that no longer exist are absent.
    /// Records without an `Id` are asked for by the properties that identify them: a query for
    /// their `Id` is an error (qbo-facts 8).
    ///
    /// # Errors
    /// Errors of the API; [`Error::Decode`] if a record cannot be read, or an answer may be cut
    /// short: a record that was not looked for everywhere is not gone.
    pub(crate) async fn records(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> Result<Vec<Record>> {
        if ids.is_empty() {
            return Ok(Vec::new());
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
        let mut records = Vec::new();
        for statements in statements.chunks(statements_per_request(entity)) {
            for answer in self.look_up(entity, statements, meter).await? {
                if let Some(row) = answer.unreadable.into_iter().next() {
                    return Err(row.error);
                }
                records.extend(answer.records);
            }
        }
        records.retain(|record| wanted.contains(record.id.as_str()));
        Ok(records)
    }

    /// Reads records one by one, for an entity that cannot be queried.
    async fn read_each(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for id in ids {
            let request = self.endpoints.read(entity, id)?;
            let read = |response: &Response| read_record(entity, response);
            let answer = self
                .client
                .send(&request, meter, RetryBehavior::FULL, read)
                .await;
            match answer {
                Ok(record) if record.id == *id => records.push(record),
                Ok(record) => {
                    let found = format!("record {} instead of {id}", record.id);
                    return Err(Error::decode("answer of QuickBooks", found));
                }
                Err(error) if error.code() == Some(NOT_FOUND) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// Sends statements: one by itself, several as a batch.
    async fn look_up(
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
fn read_record(entity: &EntitySpec, response: &Response) -> Verdict<Record> {
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
    let payload = Payload::from_valid_json(response.body.slice_ref(raw.get().as_bytes()));
    match Record::read(entity.identity, payload) {
        Ok(record) => Verdict::Done(record),
        Err(error) => Verdict::Fatal(error),
    }
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
