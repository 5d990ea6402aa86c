//! Batches: several statements in one request (qbo-facts 6.3).

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::QboSource;
use super::classify::classify_failure;
use super::envelope::{QueryAnswer, read_query_response};
use super::fault::Fault;
use crate::domain::EntitySpec;
use crate::domain::instant::parse_record_time;
use crate::error::{Error, Result};
use crate::http::Response;
use crate::port::Meter;
use crate::quickbooks::client::{RetryBehavior, Verdict};

/// Maximum number of statements in one batch.
pub(super) const MAX_ITEMS: usize = 30;
/// Maximum number of records in all answers of one batch; beyond that they may be cut short.
pub(super) const MAX_RECORDS: usize = 1000;

#[derive(Deserialize)]
struct BatchAnswer<'a> {
    #[serde(rename = "BatchItemResponse", borrow)]
    items: Vec<Item<'a>>,
    time: Option<String>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "bId")]
    id: String,
    #[serde(rename = "QueryResponse", borrow)]
    response: Option<&'a RawValue>,
    #[serde(rename = "Fault")]
    fault: Option<serde_json::Value>,
}

impl QboSource {
    /// Sends up to [`MAX_ITEMS`] statements in one request. Returns one outcome for each statement;
    /// an item that was not answered is an error.
    pub(super) async fn batch(
        &self,
        statements: &[(&EntitySpec, String)],
        meter: &Meter,
        behavior: RetryBehavior,
    ) -> Result<Vec<Result<QueryAnswer>>> {
        let request = self
            .endpoints
            .batch(statements.iter().map(|(_, statement)| statement.as_str()));
        self.client
            .send(&request, meter, behavior, |response| {
                read_batch(statements, response)
            })
            .await
    }
}

/// Reads the answer of a batch. Items are matched to statements by id, not by position (qbo-facts
/// 6.3).
fn read_batch(
    statements: &[(&EntitySpec, String)],
    response: &Response,
) -> Verdict<Vec<Result<QueryAnswer>>> {
    if !(200..300).contains(&response.status) {
        return classify_failure(response, Fault::parse(&response.body));
    }
    let answer: BatchAnswer<'_> = match serde_json::from_slice(&response.body) {
        Ok(answer) => answer,
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
    let time = answer.time.as_deref().and_then(parse_record_time);
    let mut outcomes: Vec<Result<QueryAnswer>> = statements
        .iter()
        .map(|_| Err(Error::decode("batch", "an item was not answered")))
        .collect();
    for item in &answer.items {
        let Some(position) = item
            .id
            .parse::<usize>()
            .ok()
            .filter(|position| *position < statements.len())
        else {
            continue;
        };
        outcomes[position] = read_item(statements[position].0, item, time, response);
    }
    Verdict::Done(outcomes)
}

fn read_item(
    entity: &EntitySpec,
    item: &Item<'_>,
    time: Option<DateTime<Utc>>,
    response: &Response,
) -> Result<QueryAnswer> {
    let as_error =
        |fault: &serde_json::Value| match classify_failure::<()>(response, Fault::from_json(fault))
        {
            Verdict::Retry(error)
            | Verdict::Throttled(error)
            | Verdict::RefreshToken(error)
            | Verdict::Fatal(error) => error,
            Verdict::Done(()) => Error::decode("batch", "a batch item returned an empty fault"),
        };
    match (item.response, &item.fault) {
        (_, Some(fault)) => Err(as_error(fault)),
        (Some(raw), None) => {
            let answer = read_query_response(entity, raw, response, as_error)?;
            Ok(QueryAnswer { time, ..answer })
        }
        (None, None) => Err(Error::decode(
            "batch",
            "an item holds neither rows nor a fault",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::find_entity;
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    #[test]
    fn items_are_matched_by_id_and_fail_alone() {
        let statements: Vec<(&EntitySpec, String)> = ["customers", "items", "vendors", "bills"]
            .iter()
            .map(|name| (find_entity(name).unwrap(), String::new()))
            .collect();
        let body = r#"{"BatchItemResponse":[{"QueryResponse":{"totalCount":7},"bId":"1"},
            {"Fault":{"Error":[{"Message":"m","code":"4001"}]},"bId":"2"},
            {"QueryResponse":{"Customer":[{"Id":"1","MetaData":{"LastUpdatedTime":"2020-09-29T06:02:35-07:00"}}]},"bId":"0"}],
            "time":"2020-09-29T06:51:37.512-07:00"}"#;
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: Bytes::from(body),
        };
        let Verdict::Done(outcomes) = read_batch(&statements, &response) else {
            panic!("not done")
        };
        assert_eq!(outcomes[0].as_ref().unwrap().records[0].id, "1");
        assert!(outcomes[0].as_ref().unwrap().time.is_some());
        assert_eq!(outcomes[1].as_ref().unwrap().total_count, Some(7));
        assert!(matches!(&outcomes[2], Err(Error::Api { code: Some(code), .. }) if code == "4001"));
        assert!(
            outcomes[3]
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("not answered")
        );
    }
}
