//! Parses answers of the query endpoint (qbo-facts 2.2) without touching the records in them.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::classify::classify_failure;
use super::fault::Fault;
use crate::domain::instant::parse_record_time;
use crate::domain::{EntitySpec, Payload, Record};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::quickbooks::client::Verdict;

/// Rows of an answer, and the server's clock.
#[derive(Debug, Default)]
pub(super) struct QueryAnswer {
    /// Records in the server's order.
    pub records: Vec<Record>,
    /// Rows that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Result of a count; `None` for other queries.
    pub total_count: Option<u64>,
    /// `time` of the answer: the instant at which the server began to answer.
    pub time: Option<DateTime<Utc>>,
}

/// A row that cannot be read as a record.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// The row as it was received.
    pub text: String,
    /// Reason.
    pub error: Error,
    /// Time of change of the record before it. It stands in for the row's own time, which may be
    /// the unreadable part; rows arrive in order of time.
    pub follows: Option<DateTime<Utc>>,
}

/// Parses an answer. A success may carry a fault, and a body may be cut short.
pub(super) fn read_query_answer(entity: &EntitySpec, response: &Response) -> Verdict<QueryAnswer> {
    if !(200..300).contains(&response.status) {
        return classify_failure(response, Fault::parse(&response.body));
    }
    let envelope = match (EnvelopeSeed {
        answer_key: entity.answer_key,
    })
    .read(&response.body)
    {
        Ok(envelope) => envelope,
        // Cut short, or the page of a proxy: the next answer may be complete.
        Err(e) => {
            return Verdict::Retry(Error::decode(
                "answer of QuickBooks is not the JSON expected",
                e,
            ));
        }
    };
    if let Some(fault) = envelope.fault {
        return classify_failure(response, Fault::from_json(&fault));
    }
    Verdict::Done(build_answer(entity, envelope, response))
}

/// Parses a `QueryResponse` inside another answer, such as a batch. `as_error` converts a fault in
/// it.
pub(super) fn read_query_response(
    entity: &EntitySpec,
    raw: &RawValue,
    response: &Response,
    as_error: impl Fn(&serde_json::Value) -> Error,
) -> Result<QueryAnswer> {
    let seed = EnvelopeSeed {
        answer_key: entity.answer_key,
    };
    let envelope = seed
        .read(raw.get().as_bytes())
        .map_err(|e| Error::decode("answer of QuickBooks", e))?;
    match &envelope.fault {
        Some(fault) => Err(as_error(fault)),
        None => Ok(build_answer(entity, envelope, response)),
    }
}

fn build_answer(entity: &EntitySpec, envelope: Envelope<'_>, response: &Response) -> QueryAnswer {
    let payload =
        |raw: &RawValue| Payload::from_valid_json(response.body.slice_ref(raw.get().as_bytes()));
    let mut answer = QueryAnswer {
        time: envelope.time,
        total_count: envelope.total_count,
        ..QueryAnswer::default()
    };
    for raw in envelope.rows {
        match Record::read(entity.identity, payload(raw)) {
            Ok(record) => answer.records.push(record),
            Err(error) => {
                let follows = answer.records.last().map(|record| record.updated_at);
                answer.unreadable.push(Unreadable {
                    text: raw.get().to_owned(),
                    error,
                    follows,
                });
            }
        }
    }
    answer
}

#[derive(Default)]
struct Envelope<'a> {
    rows: Vec<&'a RawValue>,
    fault: Option<serde_json::Value>,
    time: Option<DateTime<Utc>>,
    total_count: Option<u64>,
}

/// Parser of `{"QueryResponse": {"Customer": [...], ...}, "time": "..."}`. The key of the rows depends
/// on the entity, so it is a seed instead of a derive. `Fault` may appear at either level.
#[derive(Clone, Copy)]
struct EnvelopeSeed<'n> {
    answer_key: &'n str,
}

impl EnvelopeSeed<'_> {
    fn read<'de>(self, body: &'de [u8]) -> serde_json::Result<Envelope<'de>> {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let envelope = self.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(envelope)
    }
}

impl<'de> DeserializeSeed<'de> for EnvelopeSeed<'_> {
    type Value = Envelope<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeSeed<'_> {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with QueryResponse or Fault")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "QueryResponse" => {
                    let inner = map.next_value_seed(self)?;
                    envelope.rows = inner.rows;
                    envelope.total_count = inner.total_count;
                    envelope.fault = envelope.fault.or(inner.fault);
                }
                "Fault" | "fault" => envelope.fault = map.next_value()?,
                "totalCount" => {
                    envelope.total_count = map.next_value::<serde_json::Value>()?.as_u64()
                }
                "time" => {
                    envelope.time = map
                        .next_value::<serde_json::Value>()?
                        .as_str()
                        .and_then(parse_record_time)
                }
                name if name == self.answer_key => envelope.rows = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    fn read(body: &'static str) -> Verdict<QueryAnswer> {
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        read_query_answer(crate::domain::find_entity("customers").unwrap(), &response)
    }

    #[test]
    fn payloads_are_the_bytes_of_the_answer() {
        let body = r#"{"QueryResponse":{"Customer":[{ "Balance": 629.10, "Id":"5000000000000503624","SyncToken":"3",
            "MetaData":{"LastUpdatedTime":"2020-09-29T06:02:35-07:00"},"New":[1e2,{}] }],"startPosition":1,"maxResults":1},
            "time":"2020-09-29T06:51:37.512-07:00"}"#;
        let Verdict::Done(answer) = read(body) else {
            panic!("not done")
        };
        let record = &answer.records[0];
        let start = body.find("{ \"Balance\"").unwrap();
        let end = body.find("],\"startPosition\"").unwrap();
        assert_eq!(record.payload.as_bytes(), &body.as_bytes()[start..end]);
        assert_eq!(
            (record.id.as_str(), record.sync_token),
            ("5000000000000503624", 3)
        );
        assert_eq!(record.updated_at.to_rfc3339(), "2020-09-29T13:02:35+00:00");
        assert_eq!(answer.time.unwrap().timestamp_millis() % 1000, 512);
    }

    #[test]
    fn an_empty_response_has_no_rows() {
        let Verdict::Done(answer) =
            read(r#"{"QueryResponse":{},"time":"2020-09-29T06:04:50.776-07:00"}"#)
        else {
            panic!("not done")
        };
        assert!(answer.records.is_empty());
    }

    #[test]
    fn a_fault_inside_a_success_is_a_fault() {
        for body in [
            r#"{"Fault":{"Error":[{"Message":"m","code":"4001"}],"type":"ValidationFault"}}"#,
            r#"{"QueryResponse":{"Fault":{"Error":[{"Message":"m","code":"4001"}]}},"time":"x"}"#,
        ] {
            assert!(
                matches!(read(body), Verdict::Fatal(Error::Api { code: Some(code), .. }) if code == "4001"),
                "{body}"
            );
        }
    }

    #[test]
    fn truncated_and_foreign_bodies_are_retried() {
        for body in [
            "",
            "<html>",
            r#"{"QueryResponse":{"Customer":[{"Id":"1""#,
            r#"{"QueryResponse":{}} trailing"#,
        ] {
            assert!(
                matches!(read(body), Verdict::Retry(Error::Decode { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn a_record_without_an_id_is_returned_with_the_reason() {
        let body = r#"{"QueryResponse":{"Customer":[{"MetaData":{"LastUpdatedTime":"2020-09-29T06:02:35-07:00"}}]}}"#;
        let Verdict::Done(answer) = read(body) else {
            panic!("not done")
        };
        let Unreadable { text, error, .. } = &answer.unreadable[0];
        assert!(
            answer.records.is_empty()
                && text.starts_with("{\"MetaData\"")
                && error.to_string().contains("`Id`")
        );
    }

    #[test]
    fn a_count_is_read() {
        let Verdict::Done(answer) = read(r#"{"QueryResponse":{"totalCount":41},"time":"x"}"#)
        else {
            panic!("not done")
        };
        assert_eq!(answer.total_count, Some(41));
    }
}
