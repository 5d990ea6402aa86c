//! Parses answers of the query endpoint (qbo-facts 2.2) without touching the records in them.
//!
//! What is not understood is never taken for "nothing": an answer without rows holds nothing else, and
//! counters agree with the rows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use ahash::RandomState;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::classify::classify_failure;
use super::fault::Fault;
use super::members::Members;
pub(super) use super::rows::{MAX_ROWS, rows_in};
use crate::domain::{EntitySpec, Head, Held, MAX_RECORD, MAX_SHOWN, Payload, Record, excerpt};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::quickbooks::client::Verdict;

/// So much earlier than its arrival an answer may say that it was made: by a slow answer, or by a clock of
/// ours that is ahead.
const MAX_BEHIND: TimeDelta = TimeDelta::hours(1);

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
    /// Memory that stays taken until the page of these rows is stored. Whoever keeps rows of several
    /// answers must not hold it: another answer may wait for it.
    pub held: Held,
}

impl QueryAnswer {
    /// Returns true if the answer holds rows, readable or not.
    pub(super) fn has_rows(&self) -> bool {
        !self.records.is_empty() || !self.unreadable.is_empty()
    }

    /// Returns an instant that is not later than the one at which QuickBooks read the rows, also if our
    /// clock is ahead of its one: a deletion between that and the arrival of the answer must not seem
    /// to be the older of the two. A clock that is far away says nothing about the order of the two.
    pub(super) fn read_at(&self) -> DateTime<Utc> {
        let now = crate::clock::now();
        let is_near =
            |time: &DateTime<Utc>| (TimeDelta::zero()..MAX_BEHIND).contains(&(now - time));
        self.time.filter(is_near).unwrap_or(now)
    }
}

/// A row that cannot be read as a record.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// The row as it was received.
    pub row: Payload,
    /// Reason.
    pub error: Error,
    /// Time of change of the record before it. It stands in for the row's own time, which may be
    /// the unreadable part; rows arrive in order of time.
    pub follows: Option<DateTime<Utc>>,
}

/// Subject of a statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub entity: &'a EntitySpec,
    pub is_count: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn by(entity: &'a EntitySpec, statement: &str) -> Self {
        let is_count = statement.starts_with("SELECT COUNT(*)");
        Self { entity, is_count }
    }
}

/// Parses an answer of any form. A success may carry a fault, and a body may be cut short.
pub(super) fn read_any(asked: Asked<'_>, response: &Response) -> Verdict<QueryAnswer> {
    if !(200..300).contains(&response.status) {
        return classify_failure(response, Fault::parse(&response.body), Some(asked.entity));
    }
    let members = match Members::parse(&response.body) {
        Ok(members) => members,
        Err(error) => return unreadable_body(response, error, Some(asked.entity)),
    };
    if let Some(fault) = members.fault() {
        return classify_failure(
            response,
            Fault::parse(fault.get().as_bytes()),
            Some(asked.entity),
        );
    }
    let Ok(Some(body)) = members.only("QueryResponse") else {
        return misunderstood("it does not hold one QueryResponse");
    };
    let inner = match Members::parse(body.get().as_bytes()) {
        Ok(inner) => inner,
        Err(error) => return misunderstood(error),
    };
    if let Some(fault) = inner.fault() {
        return classify_failure(
            response,
            Fault::parse(fault.get().as_bytes()),
            Some(asked.entity),
        );
    }
    match read_members(asked, &inner, response) {
        Ok(answer) => Verdict::Done(QueryAnswer {
            time: members.time(),
            ..answer
        }),
        Err(reason) => misunderstood(reason),
    }
}

/// Returns the verdict on a success that is no JSON object: a fault in XML, or a body that was cut
/// short or comes from a proxy, so that the next answer may be complete.
pub(super) fn unreadable_body<T>(
    response: &Response,
    error: impl fmt::Display,
    entity: Option<&EntitySpec>,
) -> Verdict<T> {
    match Fault::parse(&response.body) {
        Some(fault) => classify_failure(response, Some(fault), entity),
        None if response.body.trim_ascii().is_empty() => misunderstood("it is empty"),
        None => misunderstood(error),
    }
}

pub(super) fn misunderstood<T>(reason: impl fmt::Display) -> Verdict<T> {
    let what = "answer of QuickBooks is not the JSON expected";
    Verdict::Retry(Error::decode(what, reason))
}

/// Parses a `QueryResponse` inside another answer, such as a batch. `as_error` converts a fault in
/// it.
pub(super) fn read_query_response(
    asked: Asked<'_>,
    raw: &RawValue,
    response: &Response,
    as_error: impl Fn(&RawValue) -> Error,
) -> Result<QueryAnswer> {
    let failed = |reason: String| Error::decode("answer of QuickBooks", reason);
    let members = Members::parse(raw.get().as_bytes()).map_err(|e| failed(e.to_string()))?;
    match members.fault() {
        Some(fault) => Err(as_error(fault)),
        None => read_members(asked, &members, response).map_err(failed),
    }
}

/// Reads the members of a `QueryResponse`. The error says what does not fit.
fn read_members(
    asked: Asked<'_>,
    members: &Members<'_>,
    response: &Response,
) -> Result<QueryAnswer, String> {
    let total_count = members.counter("totalCount")?;
    if asked.is_count {
        let count = total_count.ok_or("it has no totalCount")?;
        return Ok(QueryAnswer {
            total_count: Some(count),
            ..QueryAnswer::default()
        });
    }
    let rows = members.rows(asked.entity)?;
    let received = rows.len() as u64;
    match members.counter("maxResults")? {
        Some(announced) if announced != received => {
            return Err(format!(
                "it announces {announced} rows and holds {received}"
            ));
        }
        None if received == 0 && total_count.is_some_and(|count| count > 0) => {
            return Err(format!("it counts {total_count:?} rows and holds none"));
        }
        None if members.says_nothing_of_rows() => {
            return Err("it holds no rows, and does not say that there are none".to_owned());
        }
        _ => {}
    }
    let rows = rows.into_iter().map(Row::unread);
    let answer = read_rows(asked.entity, rows, response);
    check_ids(&answer.records)?;
    Ok(answer)
}

/// Checks that no two records with one id differ. An answer shows the books at one instant.
///
/// # Errors
/// If two records do. The error names their id.
pub(super) fn check_ids(records: &[Record]) -> Result<(), String> {
    let keys = RandomState::new();
    let mut seen: HashMap<&str, &Payload, _> =
        HashMap::with_capacity_and_hasher(records.len(), keys);
    let repeated = records.iter().find(|record| {
        let first = seen.insert(&record.id, &record.payload);
        first.is_some_and(|first| first.as_bytes() != record.payload.as_bytes())
    });
    match repeated.map(|record| &record.id) {
        Some(id) => {
            let id = excerpt(id, MAX_SHOWN);
            Err(format!("it holds two different records with the id {id}"))
        }
        None => Ok(()),
    }
}

/// The part of a row that says whether it stands for a deleted record (qbo-facts 4). Such a row holds
/// nothing of the record, and belongs into answers of change data capture only.
#[derive(Deserialize)]
pub(super) struct Stub<'a> {
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
}

impl<'a> Stub<'a> {
    /// Reads the status of a row.
    ///
    /// # Errors
    /// If it is no text.
    pub(super) fn read(row: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(row)
    }

    pub(super) fn is_deleted(&self) -> bool {
        let status = self.status.as_deref().unwrap_or_default();
        status.eq_ignore_ascii_case("Deleted")
    }
}

/// Returns true if a row of a query stands for a deleted record. Almost no row has the word, so that
/// almost none is read twice.
pub(super) fn is_deleted(row: &str) -> bool {
    memchr::memmem::find(row.as_bytes(), b"eleted\"").is_some()
        && Stub::read(row).is_ok_and(|stub| stub.is_deleted())
}

/// A row of an answer.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// Its text, a part of the answer.
    pub json: &'a str,
    /// The fields of the record, if they were found on the way. A row without them is parsed.
    pub head: Option<Head<'a>>,
    /// It holds no oddity.
    pub is_plain: bool,
}

impl<'a> Row<'a> {
    /// Returns a row of which nothing but its place is known.
    pub(super) fn unread(raw: &'a RawValue) -> Self {
        Self {
            json: raw.get(),
            head: None,
            is_plain: false,
        }
    }

    fn payload(&self, response: &Response) -> Payload {
        let text = response.body.slice_ref(self.json.as_bytes());
        match self.is_plain {
            true => Payload::from_plain_json(text),
            false => Payload::from_valid_json(text),
        }
    }

    fn read(&self, entity: &EntitySpec, payload: Payload) -> Result<Record> {
        if self.head.is_none() && is_deleted(self.json) {
            return Err(Error::decode("record", "it says that it is deleted"));
        }
        check_length(&payload)?;
        match &self.head {
            Some(head) => Record::of_head(entity.identity, head, payload),
            None => Record::read(entity.identity, payload),
        }
    }
}

/// Reads rows, each of them by itself.
pub(super) fn read_rows<'a>(
    entity: &EntitySpec,
    rows: impl ExactSizeIterator<Item = Row<'a>>,
    response: &Response,
) -> QueryAnswer {
    let mut answer = QueryAnswer {
        records: Vec::with_capacity(rows.len()),
        ..QueryAnswer::default()
    };
    for row in rows {
        match row.read(entity, row.payload(response)) {
            Ok(record) => answer.records.push(record),
            Err(error) => {
                let follows = answer.records.last().map(|record| record.updated_at);
                answer.unreadable.push(Unreadable {
                    row: row.payload(response),
                    error,
                    follows,
                });
            }
        }
    }
    answer
}

/// Checks that a record fits into a line of a landing file. Otherwise it could be stored, and not be
/// extracted or archived.
pub(super) fn check_length(row: &Payload) -> Result<()> {
    if row.as_bytes().len() <= MAX_RECORD {
        return Ok(());
    }
    let limit = MAX_RECORD >> 20;
    Err(Error::decode(
        "record",
        format!("it is longer than {limit} MB"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::members::MAX_MEMBERS;
    use super::super::ordinary::read_query_answer;
    use super::*;
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    fn read(body: &'static str) -> Verdict<QueryAnswer> {
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            held: crate::port::Held::default(),
        };
        let entity = crate::domain::find_entity("customers").unwrap();
        read_query_answer(Asked::by(entity, "SELECT * FROM Customer"), &response)
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
        let Unreadable { row, error, .. } = &answer.unreadable[0];
        assert!(
            answer.records.is_empty()
                && row.as_bytes().starts_with(b"{\"MetaData\"")
                && error.to_string().contains("`Id`")
        );
    }

    const ROW: &str = r#"{"Id":"1","MetaData":{"LastUpdatedTime":"2020-09-29T06:02:35-07:00"}}"#;

    fn read_as(name: &str, is_count: bool, body: &str) -> Option<QueryAnswer> {
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            held: crate::port::Held::default(),
        };
        let entity = crate::domain::find_entity(name).unwrap();
        match read_query_answer(Asked { entity, is_count }, &response) {
            Verdict::Done(answer) => Some(answer),
            _ => None,
        }
    }

    #[test]
    fn what_is_not_understood_is_not_an_empty_page() {
        for inner in [
            // Counters that do not fit the rows.
            r#"{"startPosition":1,"maxResults":2}"#.to_owned(),
            r#"{"totalCount":5}"#.to_owned(),
            // Counters that say nothing of the rows: the answer to a count is none to this.
            r#"{"totalCount":0}"#.to_owned(),
            r#"{"startPosition":1}"#.to_owned(),
            r#"{"maxResults":null}"#.to_owned(),
            r#"{"maxResults":-1}"#.to_owned(),
            r#"{"maxResults":[]}"#.to_owned(),
            format!(r#"{{"Customer":[{ROW}],"maxResults":2}}"#),
            format!(r#"{{"Customer":[{ROW},{ROW}],"maxResults":1}}"#),
            // Rows that are not where they should be.
            format!(r#"{{"Customer":null,"Rows":[{ROW}]}}"#),
            r#"{"Customer":null}"#.to_owned(),
            r#"{"Customer":"none"}"#.to_owned(),
            r#"{"Customer":7}"#.to_owned(),
            r#"{"Rows":[]}"#.to_owned(),
            r#"{"Rows":[{"Name":"x"}]}"#.to_owned(),
            r#"{"Message":"try again"}"#.to_owned(),
            format!(r#"{{"Vendor":[{ROW}]}}"#),
            format!(r#"{{"Rows":[{ROW}],"More":[{ROW}]}}"#),
            "null".to_owned(),
            "[]".to_owned(),
            "\"\"".to_owned(),
            r#"{"Fault":{}}"#.to_owned(),
            r#"{"errors":["x"]}"#.to_owned(),
        ] {
            let body = format!(r#"{{"QueryResponse":{inner},"time":"x"}}"#);
            assert!(read_as("customers", false, &body).is_none(), "{body}");
        }
        for body in [
            "",
            "\n ",
            "{}",
            "null",
            r#"{"time":"2020-09-29T06:04:50.776-07:00"}"#,
            r#"{"QueryResponse":{},"QueryResponse":{}}"#,
            r#"{"QueryResponse":{},"Fault":{"Error":[{"code":"500"}]}}"#,
            r#"{"QueryResponse":{},"fault":"x"}"#,
            r#"<IntuitResponse xmlns="x"><QueryResponse/></IntuitResponse>"#,
        ] {
            assert!(read_as("customers", false, body).is_none(), "{body}");
        }
    }

    #[test]
    fn a_fault_in_xml_with_a_success_is_that_fault() {
        let body = r#"<IntuitResponse><Fault type="SERVICE"><Error code="3001"/></Fault></IntuitResponse>"#;
        assert!(matches!(read(body), Verdict::Throttled(_)));
    }

    #[test]
    fn rows_are_taken_where_they_unmistakably_are() {
        for inner in [
            format!(r#"{{"Customer":[{ROW}],"maxResults":1}}"#),
            format!(r#"{{"Customer":[{ROW}],"maxResults":"1","totalCount":900}}"#),
            format!(r#"{{"Customer":{ROW}}}"#),
            format!(r#"{{"customer":[{ROW}],"startPosition":1,"maxResults":1}}"#),
            format!(r#"{{"Customer":[{ROW}],"Customer":[]}}"#),
        ] {
            let body = format!(r#"{{"QueryResponse":{inner}}}"#);
            let answer = read_as("customers", false, &body).unwrap_or_else(|| panic!("{body}"));
            assert_eq!(answer.records.len(), 1, "{body}");
        }
        // The name in queries instead of the key in answers.
        let body = format!(r#"{{"QueryResponse":{{"CreditCardPayment":[{ROW}]}}}}"#);
        let answer = read_as("credit_card_payments", false, &body).unwrap();
        assert_eq!(answer.records[0].id, "1");
        // Payloads are slices of the answer, wherever it keeps them.
        assert_eq!(answer.records[0].payload.as_bytes(), ROW.as_bytes());
    }

    #[test]
    fn many_tiny_rows_and_members_do_not_fill_the_memory() {
        let page = |rows: usize| {
            let rows = vec![ROW; rows].join(",");
            format!(r#"{{"QueryResponse":{{"Customer":[{rows}]}}}}"#)
        };
        let answer = read_as("customers", false, &page(MAX_ROWS)).unwrap();
        assert_eq!(answer.records.len(), MAX_ROWS);
        assert!(read_as("customers", false, &page(MAX_ROWS + 1)).is_none());
        let members = r#","startPosition":1"#.repeat(MAX_MEMBERS);
        let body = format!(r#"{{"QueryResponse":{{"Customer":[{ROW}]{members}}}}}"#);
        assert!(read_as("customers", false, &body).is_none());
    }

    #[test]
    fn only_a_number_is_a_count() {
        for (total, expected) in [("41", Some(41)), ("\"41\"", Some(41)), ("0", Some(0))] {
            let body = format!(r#"{{"QueryResponse":{{"totalCount":{total}}}}}"#);
            let answer = read_as("customers", true, &body).unwrap();
            assert_eq!(answer.total_count, expected);
        }
        for inner in [
            "{}",
            r#"{"totalCount":null}"#,
            r#"{"totalCount":-1}"#,
            r#"{"totalCount":1.5}"#,
            r#"{"totalCount":"many"}"#,
            r#"{"totalCount":1,"totalCount":2}"#,
            r#"{"maxResults":3}"#,
        ] {
            let body = format!(r#"{{"QueryResponse":{inner}}}"#);
            assert!(read_as("customers", true, &body).is_none(), "{body}");
        }
    }
}
