//! Batches: several statements in one request (qbo-facts 6.3).

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::QboSource;
use super::classify::classify_failure;
use super::envelope::{
    Asked, QueryAnswer, misunderstood, read_query_response, rows_in, unreadable_body,
};
use super::fault::Fault;
use super::includes::Asking;
use super::members::Members;
use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::http::Response;
use crate::port::Meter;
use crate::quickbooks::client::{RetryBehavior, Verdict};

/// Maximum number of statements in one batch.
pub(crate) const MAX_ITEMS: usize = 30;
/// Maximum number of records in all answers of one batch; beyond that they may be cut short.
pub(super) const MAX_RECORDS: usize = 1000;

impl QboSource {
    /// Sends up to [`MAX_ITEMS`] statements in one request. Returns one outcome for each statement;
    /// an item that was not answered is an error.
    pub(super) async fn batch(
        &self,
        statements: &[(&EntitySpec, String)],
        meter: &Meter,
        behavior: RetryBehavior,
    ) -> Result<Vec<Result<QueryAnswer>>> {
        let texts = || statements.iter().map(|(_, statement)| statement.as_str());
        let read = |response: &Response| read_batch(statements, response);
        let with_records = statements
            .iter()
            .filter(|(entity, statement)| !Asked::by(entity, statement).is_count)
            .map(|(entity, _)| *entity);
        let mut asking = self.includes.ask(with_records);
        loop {
            let request = self.endpoints.batch(texts(), asking.include());
            let mut sent = self.client.send(&request, meter, behavior, read).await;
            if let Ok(outcomes) = &mut sent
                && let Some(refusal) = self.take_refusal(outcomes, &asking)
            {
                sent = Err(refusal);
            }
            if let Ok(outcomes) = &sent {
                asking.note_proof(shows_includes(statements, outcomes));
            }
            if let Some(outcome) = self.includes.judge(sent, &mut asking).await {
                return outcome;
            }
        }
    }

    /// Removes and returns the failure of an item that the `include` of the batch has caused.
    fn take_refusal(
        &self,
        outcomes: &mut Vec<Result<QueryAnswer>>,
        asking: &Asking,
    ) -> Option<Error> {
        let is_refusal = |outcome: &Result<QueryAnswer>| {
            let error = outcome.as_ref().err();
            error.is_some_and(|error| self.includes.refuses(error, asking))
        };
        let position = outcomes.iter().position(is_refusal)?;
        outcomes.swap_remove(position).err()
    }
}

/// Returns whether an item brought records whose entity has optional parts.
fn shows_includes(statements: &[(&EntitySpec, String)], outcomes: &[Result<QueryAnswer>]) -> bool {
    let mut items = statements.iter().zip(outcomes);
    items.any(|((entity, _), outcome)| {
        !entity.includes.is_empty() && outcome.as_ref().is_ok_and(QueryAnswer::has_rows)
    })
}

/// Reads the answer of a batch. Items are matched to statements by id, not by position (qbo-facts
/// 6.3).
pub(super) fn read_batch(
    statements: &[(&EntitySpec, String)],
    response: &Response,
) -> Verdict<Vec<Result<QueryAnswer>>> {
    if !(200..300).contains(&response.status) {
        return classify_failure(response, Fault::parse(&response.body), None);
    }
    let members = match Members::parse(&response.body) {
        Ok(members) => members,
        Err(error) => return unreadable_body(response, error, None),
    };
    if let Some(fault) = members.fault() {
        return classify_failure(response, Fault::parse(fault.get().as_bytes()), None);
    }
    let body = members.only("BatchItemResponse").ok().flatten();
    let Some(items) = body.and_then(rows_in) else {
        return misunderstood("it does not hold one BatchItemResponse");
    };
    let time = members.time();
    let mut outcomes: Vec<Option<Result<QueryAnswer>>> = statements.iter().map(|_| None).collect();
    for item in items {
        let Ok(item) = Members::parse(item.get().as_bytes()) else {
            continue;
        };
        let Some(position) = item.number("bId").filter(|at| *at < statements.len()) else {
            continue;
        };
        let (entity, statement) = &statements[position];
        outcomes[position] = Some(match outcomes[position] {
            None => read_item(Asked::by(entity, statement), &item, time, response),
            Some(_) => Err(Error::decode("batch", "an item was answered twice")),
        });
    }
    let unanswered = || Err(Error::decode("batch", "an item was not answered"));
    let outcomes = outcomes.into_iter();
    Verdict::Done(
        outcomes
            .map(|found| found.unwrap_or_else(unanswered))
            .collect(),
    )
}

fn read_item(
    asked: Asked<'_>,
    item: &Members<'_>,
    time: Option<DateTime<Utc>>,
    response: &Response,
) -> Result<QueryAnswer> {
    let as_error = |fault: &RawValue| {
        let fault = Fault::parse(fault.get().as_bytes());
        match classify_failure::<()>(response, fault, Some(asked.entity)) {
            Verdict::Retry(error)
            | Verdict::Throttled(error)
            | Verdict::RefreshToken(error)
            | Verdict::Fatal(error) => error,
            Verdict::Done(()) => Error::decode("batch", "a batch item returned an empty fault"),
        }
    };
    let failed = |reason| Error::decode("batch", reason);
    if let Some(fault) = item.fault() {
        return Err(as_error(fault));
    }
    let body = item.only("QueryResponse").map_err(failed)?;
    let body = body.ok_or_else(|| failed("an item holds neither rows nor a fault".to_owned()))?;
    let answer = read_query_response(asked, body, response, as_error)?;
    Ok(QueryAnswer { time, ..answer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::find_entity;
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    #[test]
    fn items_are_matched_by_id_and_fail_alone() {
        let mut statements: Vec<(&EntitySpec, String)> = ["customers", "items", "vendors", "bills"]
            .iter()
            .map(|name| (find_entity(name).unwrap(), "SELECT *".to_owned()))
            .collect();
        statements[1].1 = "SELECT COUNT(*)".to_owned();
        let body = r#"{"BatchItemResponse":[{"QueryResponse":{"totalCount":7},"bId":"1"},
            {"Fault":{"Error":[{"Message":"m","code":"4001"}]},"bId":"2"},
            {"QueryResponse":{"Customer":[{"Id":"1","MetaData":{"LastUpdatedTime":"2020-09-29T06:02:35-07:00"}}]},"bId":"0"}],
            "time":"2020-09-29T06:51:37.512-07:00"}"#;
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: Bytes::from(body),
            held: crate::port::Held::default(),
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

    #[test]
    fn items_that_are_not_understood_are_errors_of_their_own() {
        let entity = find_entity("customers").unwrap();
        let statements: Vec<_> = (0..3).map(|_| (entity, "SELECT *".to_owned())).collect();
        let read = |items: &str| {
            let body = format!(r#"{{"BatchItemResponse":[{items}]}}"#);
            let response = Response {
                status: 200,
                headers: HeaderMap::new(),
                body: Bytes::from(body),
                held: crate::port::Held::default(),
            };
            match read_batch(&statements, &response) {
                Verdict::Done(outcomes) => outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(),
                _ => Vec::new(),
            }
        };
        let (first, last) = (
            r#"{"QueryResponse":{},"bId":"0"}"#,
            r#"{"bId":2,"QueryResponse":{}}"#,
        );
        assert_eq!(
            read(&format!(
                r#"{last},{first},{{"QueryResponse":{{}},"bId":"1"}}"#
            )),
            [true, true, true]
        );
        for middle in [
            r#"{"QueryResponse":null,"bId":"1"}"#,
            r#"{"QueryResponse":{"maxResults":2},"bId":"1"}"#,
            r#"{"QueryResponse":{"Vendor":[{"Id":"1"}]},"bId":"1"}"#,
            r#"{"QueryResponse":{},"QueryResponse":{},"bId":"1"}"#,
            r#"{"QueryResponse":{},"bId":"1"},{"QueryResponse":{},"bId":"1"}"#,
            r#"{"QueryResponse":{"Fault":"x"},"bId":"1"}"#,
            r#"{"bId":"1"}"#,
            r#"{"QueryResponse":{},"bId":"9"}"#,
            "null",
        ] {
            let found = read(&format!("{first},{middle},{last}"));
            assert_eq!(found, [true, false, true], "{middle}");
        }
        assert!(read("").iter().all(|is_ok| !is_ok));
    }
}
