//! Entities that are read as a whole (qbo-facts 13.6): one answer holds all of their records, and none
//! of them says when it was changed. What was read counts as changed at the end of the read.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::QboSource;
use super::classify::classify_failure;
use super::endpoint::ENTITLEMENTS;
use super::entitlements::read_entitlements;
use super::envelope::{check_ids, check_length, misunderstood, rows_in, unreadable_body};
use super::fault::Fault;
use super::horizon::Horizon;
use super::members::{Members, is_counter};
use crate::domain::{EntitySpec, Held, Page, Payload, Record, Reject};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::port::{Meter, Span};
use crate::quickbooks::client::{RetryBehavior, Verdict};

/// Answers that were fetched ahead of their readers, by the name of the entity.
pub(super) type WholeAnswers = HashMap<&'static str, WholeAnswer>;

/// All records of an entity.
#[derive(Debug)]
pub(super) struct WholeAnswer {
    records: Vec<Record>,
    rejects: Vec<Reject>,
    received_at: DateTime<Utc>,
}

impl WholeAnswer {
    /// Returns the ids of all records, or `None` if a row does not say its id.
    fn ids(&self) -> Option<Vec<String>> {
        let rejected = self.rejects.iter().map(|reject| reject.id.clone());
        let read = self.records.iter().map(|record| Some(record.id.clone()));
        read.chain(rejected).collect()
    }
}

/// The rows of an answer, and the server's clock.
#[derive(Debug)]
pub(super) struct WholeRows {
    pub rows: Vec<Payload>,
    pub time: Option<DateTime<Utc>>,
}

impl QboSource {
    /// Fetches all records of an entity for the next read of it. Returns their ids, or `None` if a row
    /// does not say its id, so that nothing can be said about records that are not there.
    ///
    /// # Errors
    /// Errors of the API; [`Error::Decode`] if the answer is not understood.
    pub(crate) async fn prefetch_whole(
        &self,
        entity: &EntitySpec,
        meter: &Meter,
    ) -> Result<Option<Vec<String>>> {
        let answer = self.fetch_whole(entity, meter).await?;
        let ids = answer.ids();
        self.wholes.lock().insert(entity.name, answer);
        Ok(ids)
    }

    async fn fetch_whole(&self, entity: &EntitySpec, meter: &Meter) -> Result<WholeAnswer> {
        let request = self.endpoints.whole(entity)?;
        let read = |response: &Response| read_answer(entity, response);
        let sent = self.client.send(&request, meter, RetryBehavior::FULL, read);
        let WholeRows { rows, time } = sent.await?;
        let received_at = crate::clock::now();
        self.set_horizon(time);
        let mut answer = WholeAnswer {
            records: Vec::with_capacity(rows.len()),
            rejects: Vec::new(),
            received_at,
        };
        for row in rows {
            let record = check_length(&row)
                .and_then(|()| Record::read_untimed(entity.identity, row.clone(), received_at));
            match record {
                Ok(record) => answer.records.push(record),
                Err(error) => {
                    let reject = Reject::unreadable(entity.identity, row, &error, received_at);
                    answer.rejects.push(reject);
                }
            }
        }
        Ok(answer)
    }

    /// Reads a span of an entity that is read as a whole. Its records belong to the last second of the
    /// span that is not in the future.
    pub(super) async fn read_whole(
        &self,
        entity: &EntitySpec,
        span: &Span,
        page_size: u32,
        meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> Result<Option<DateTime<Utc>>> {
        let fetched = self.wholes.lock().remove(entity.name);
        let answer = match fetched {
            Some(answer) => answer,
            None => self.fetch_whole(entity, meter).await?,
        };
        let horizon = self.horizon.get().copied();
        if let Some(present) = horizon.filter(|horizon| horizon.reads_until < span.start) {
            return Ok(Some(present.claims_until));
        }
        let end = Horizon::end_of(horizon, span.end());
        let claimed = horizon.map(|horizon| horizon.claims_until);
        let at = (end - TimeDelta::seconds(1)).max(span.start);
        let placed = |record: Record| Record {
            updated_at: at,
            ..record
        };
        let page = Page {
            number: 1,
            size: page_size,
            request: std::sync::Arc::default(),
            ingested_at: answer.received_at,
            covered_until: end,
            horizon: claimed,
            records: answer.records.into_iter().map(placed).collect(),
            rejects: answer
                .rejects
                .into_iter()
                .map(|reject| Reject { at, ..reject })
                .collect(),
            held: Held::default(),
        };
        pages.send(page).await.map_err(|_| Error::Cancelled)?;
        Ok(claimed.filter(|claimed| *claimed < span.end()))
    }
}

fn read_answer(entity: &EntitySpec, response: &Response) -> Verdict<WholeRows> {
    if !(200..300).contains(&response.status) {
        return classify_failure(response, Fault::parse(&response.body), Some(entity));
    }
    match entity.qbo_name {
        ENTITLEMENTS => read_entitlements(entity, response).map(|record| WholeRows {
            rows: vec![record],
            time: date_of(response),
        }),
        _ => read_list(entity, response),
    }
}

/// Returns the instant of an answer that has no time of its own.
pub(super) fn date_of(response: &Response) -> Option<DateTime<Utc>> {
    let date = httpdate::parse_http_date(response.header("date")?).ok()?;
    Some(date.into())
}

/// Reads a list. Whether it is bare or inside a `QueryResponse` is not known (qbo-facts 13.6).
fn read_list(entity: &EntitySpec, response: &Response) -> Verdict<WholeRows> {
    let members = match Members::parse(&response.body) {
        Ok(members) => members,
        Err(error) => return unreadable_body(response, error, Some(entity)),
    };
    let inner = match members.only("QueryResponse") {
        Ok(Some(inner)) => match Members::parse(inner.get().as_bytes()) {
            Ok(inner) => Some(inner),
            Err(error) => return misunderstood(error),
        },
        Ok(None) => None,
        Err(reason) => return misunderstood(reason),
    };
    let holder = inner.as_ref().unwrap_or(&members);
    if let Some(fault) = members.fault().or_else(|| holder.fault()) {
        let fault = Fault::parse(fault.get().as_bytes());
        return classify_failure(response, fault, Some(entity));
    }
    let rows = match rows_of(entity, holder, inner.is_some()) {
        Ok(rows) => rows.into_iter(),
        Err(reason) => return misunderstood(reason),
    };
    let rows: Vec<Payload> = rows
        .map(|row| response.body.slice_ref(row.get().as_bytes()))
        .map(Payload::from_valid_json)
        .collect();
    // Of two records with one id, one would replace the other.
    match check_ids(&readable(entity, &rows)) {
        Ok(()) => Verdict::Done(WholeRows {
            rows,
            time: members.time(),
        }),
        Err(reason) => misunderstood(reason),
    }
}

/// Returns the records among rows.
fn readable(entity: &EntitySpec, rows: &[Payload]) -> Vec<Record> {
    let read = |row: &Payload| {
        Record::read_untimed(entity.identity, row.clone(), DateTime::UNIX_EPOCH).ok()
    };
    rows.iter().filter_map(read).collect()
}

/// Returns the rows of a list. An empty `QueryResponse` is an empty list, as in queries.
fn rows_of<'a>(
    entity: &EntitySpec,
    holder: &Members<'a>,
    is_response: bool,
) -> Result<Vec<&'a RawValue>, String> {
    let key = entity.answer_key;
    let rows = match holder.only(key)? {
        Some(list) => rows_in(list).ok_or_else(|| format!("its {key} holds no rows"))?,
        None if is_response && holder.says_nothing_of_rows() => {
            return Err("it holds no rows, and does not say that there are none".to_owned());
        }
        None if is_response && holder.0.iter().all(|(name, _)| is_counter(name)) => Vec::new(),
        None => return Err(format!("it holds no {key}")),
    };
    for name in ["maxResults", "totalCount"] {
        if let Some(announced) = holder.counter(name)?
            && announced != rows.len() as u64
        {
            return Err(format!(
                "its {name} is {announced}, and it holds {} rows",
                rows.len()
            ));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::find_entity;
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    fn read(body: &'static str) -> Result<usize, String> {
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            held: crate::port::Held::default(),
        };
        match read_answer(find_entity("tax_classifications").unwrap(), &response) {
            Verdict::Done(found) => Ok(found.rows.len()),
            Verdict::Retry(error) | Verdict::Fatal(error) => Err(error.to_string()),
            _ => Err(String::new()),
        }
    }

    #[test]
    fn a_list_is_read_in_either_form_and_never_taken_for_empty() {
        assert_eq!(
            read(r#"{"TaxClassification":[{"Id":"1"},{"Id":"2"}],"time":"x"}"#),
            Ok(2)
        );
        assert_eq!(
            read(
                r#"{"QueryResponse":{"TaxClassification":[{"Id":"1"}],"maxResults":1},"time":"x"}"#
            ),
            Ok(1)
        );
        assert_eq!(read(r#"{"QueryResponse":{},"time":"x"}"#), Ok(0));
        assert_eq!(read(r#"{"TaxClassification":[]}"#), Ok(0));
        let same = r#"{"TaxClassification":[{"Id":"1","Name":"Food"},{"Id":"1","Name":"Food"}]}"#;
        assert_eq!(read(same), Ok(2));
        for body in [
            "",
            "{}",
            "null",
            r#"{"time":"x"}"#,
            r#"{"TaxClassification":null}"#,
            r#"{"TaxClassification":"none"}"#,
            r#"{"QueryResponse":{"TaxCode":[]}}"#,
            r#"{"QueryResponse":{"maxResults":3}}"#,
            r#"{"QueryResponse":{"totalCount":0}}"#,
            r#"{"QueryResponse":{"startPosition":1}}"#,
            r#"{"QueryResponse":{"maxResults":null}}"#,
            r#"{"TaxClassification":[{"Id":"1","Name":"Food"},{"Id":"1","Name":"Books"}]}"#,
            r#"{"QueryResponse":{"TaxClassification":[{"Id":"1"}],"totalCount":2}}"#,
            r#"{"QueryResponse":{"Fault":{"Error":[{"Message":"x","code":"4001"}]}}}"#,
            "<html></html>",
        ] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
