//! Answers that nobody foresaw: whatever arrives, no parser panics, and nothing that is not understood
//! is taken for "nothing".

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::*;
    use reqwest::header::HeaderMap;
    use serde_json::value::RawValue;

    use super::super::batch::read_batch;
    use super::super::changes_answer::read_changes;
    use super::super::client::Verdict;
    use super::super::envelope::{Asked, QueryAnswer};
    use super::super::fault::Fault;
    use super::super::ordinary::read_query_answer;
    use super::super::scrub::{scrub, trace_id};
    use crate::domain::{EntitySpec, Record, find_entity};
    use crate::http::Response;
    use crate::port::Secret;
    use crate::terminal::changes_terminal;
    use crate::testing::{cases, documents, texts};

    const PAGES: &[&str] = &[
        r#"{"QueryResponse":{"Customer":[{"Id":"7","SyncToken":"2","MetaData":{"CreateTime":"2023-01-01T00:00:00-08:00","LastUpdatedTime":"2024-01-03T01:00:00-08:00"},"Balance":0.10},{"Id":"8","SyncToken":"0","MetaData":{"LastUpdatedTime":"2024-01-04T01:00:00-08:00"}}],"startPosition":1,"maxResults":2},"time":"2024-05-01T00:00:00.000-07:00"}"#,
        r#"{"QueryResponse":{},"time":"2024-05-01T00:00:00.000-07:00"}"#,
        r#"{"QueryResponse":{"totalCount":12},"time":"2024-05-01T00:00:00.000-07:00"}"#,
        r#"{"QueryResponse":{"Fault":{"Error":[{"Message":"m","Detail":"d","code":"4001"}],"type":"ValidationFault"}}}"#,
    ];

    const FAULTS: &[&str] = &[
        r#"{"Fault":{"Error":[{"Message":"Invalid query","Detail":"QueryValidationError: x","code":"4001"}],"type":"ValidationFault"},"time":"2024-09-29T06:52:56.527-07:00"}"#,
        r#"{"warnings":null,"fault":{"error":[{"message":"message=AuthenticationFailed; errorCode=003200","detail":"Token expired: AB01601390262kxzxQWERTYUIOPasdf","code":3200,"element":null}],"type":"AUTHENTICATION"},"time":1601391072830}"#,
        r#"<IntuitResponse time="2016-12-07T15:27:09.527-08:00" xmlns="http://schema.intuit.com/finance/v3"><Fault type="SERVICE"><Error code="3001"><Message>ThrottleExceeded</Message><Detail>Try again later</Detail></Error></Fault></IntuitResponse>"#,
    ];

    const BATCHES: &[&str] = &[
        r#"{"BatchItemResponse":[{"bId":"0","QueryResponse":{"Customer":[{"Id":"7","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}],"maxResults":1}},{"bId":"1","QueryResponse":{"totalCount":3}},{"bId":"2","Fault":{"Error":[{"Message":"m","code":"10000"}]}}],"time":"2024-05-01T00:00:00.000-07:00"}"#,
    ];

    const CHANGES: &[&str] = &[
        r#"{"CDCResponse":[{"QueryResponse":[{"Customer":[{"Id":"7","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}},{"domain":"QBO","status":"Deleted","Id":"9","MetaData":{"LastUpdatedTime":"2024-01-05T01:00:00-08:00"}}],"startPosition":1,"maxResults":2},{"Item":[{"Id":"3","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}],"maxResults":1},{}]}],"time":"2024-05-01T00:00:00.000-07:00"}"#,
    ];

    const STATUSES: [u16; 5] = [200, 200, 200, 400, 503];

    fn response(status: u16, body: Vec<u8>) -> Response {
        Response {
            status,
            headers: HeaderMap::new(),
            body: Bytes::from(body),
            held: crate::port::Held::default(),
        }
    }

    fn in_xml(text: &str) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == ' ';
        text.chars()
            .map(|c| match is_plain(c) {
                true => c.to_string(),
                false => format!("&#{};", u32::from(c)),
            })
            .collect()
    }

    fn entities() -> Vec<EntitySpec> {
        ["customers", "items", "vendors"]
            .iter()
            .map(|name| *find_entity(name).unwrap())
            .collect()
    }

    /// Returns whether each record is a part of the body that reads as the same record again.
    fn is_of(body: &Bytes, records: &[Record], entity: &EntitySpec) -> bool {
        let all = body.as_ptr_range();
        records.iter().all(|record| {
            let part = record.payload.as_bytes();
            let again = Record::read(entity.identity, record.payload.clone());
            all.contains(&part.as_ptr())
                && serde_json::from_slice::<&RawValue>(part).is_ok()
                && again.is_ok_and(|again| {
                    again.id == record.id && again.updated_at == record.updated_at
                })
        })
    }

    /// Returns whether a body says that there is nothing: no text, no object and no other key is left.
    /// A name that is no Unicode cannot be judged.
    fn says_nothing(body: &[u8]) -> bool {
        type Parts<'a> = BTreeMap<String, &'a RawValue>;
        let Ok(members) = serde_json::from_slice::<Parts<'_>>(body) else {
            return true;
        };
        let inner = members.get("QueryResponse");
        let inner = inner.and_then(|inner| serde_json::from_str::<Parts<'_>>(inner.get()).ok());
        let Some(inner) = inner else { return false };
        let is_nothing = |value: &RawValue| {
            let text: String = value.get().split_whitespace().collect();
            ["null", "[]"].contains(&text.as_str())
        };
        let counters = ["startPosition", "maxResults", "totalCount"];
        let is_accounted_for = |(key, value): (&String, &&RawValue)| {
            counters.contains(&key.as_str()) || is_nothing(value)
        };
        inner.iter().all(is_accounted_for)
    }

    proptest! {
        #![proptest_config(cases(400))]

        #[test]
        fn a_page_is_understood_or_refused(body in documents(PAGES), status in prop::sample::select(&STATUSES[..])) {
            let customer = find_entity("customers").unwrap();
            let response = response(status, body);
            for statement in ["SELECT * FROM Customer", "SELECT COUNT(*) FROM Customer"] {
                let asked = Asked::by(customer, statement);
                let Verdict::Done(answer) = read_query_answer(asked, &response) else { continue };
                prop_assert_eq!(status, 200);
                prop_assert_eq!(asked.is_count, answer.total_count.is_some());
                prop_assert!(is_of(&response.body, &answer.records, customer));
                let is_empty = !asked.is_count && !answer.has_rows();
                prop_assert!(!is_empty || says_nothing(&response.body), "taken for nothing");
            }
        }

        #[test]
        fn each_item_of_a_batch_has_one_outcome(body in documents(BATCHES), status in prop::sample::select(&STATUSES[..])) {
            let entities = entities();
            let statements: Vec<_> = entities
                .iter()
                .zip(["SELECT *", "SELECT COUNT(*)", "SELECT *"])
                .map(|(entity, statement)| (entity, statement.to_owned()))
                .collect();
            let response = response(status, body);
            if let Verdict::Done(outcomes) = read_batch(&statements, &response) {
                prop_assert_eq!(status, 200);
                prop_assert_eq!(outcomes.len(), statements.len());
                for (outcome, (entity, _)) in outcomes.iter().zip(&statements) {
                    if let Ok(QueryAnswer { records, .. }) = outcome {
                        prop_assert!(is_of(&response.body, records, entity));
                    }
                }
            }
        }

        #[test]
        fn each_entity_of_changes_is_complete_or_not(body in documents(CHANGES), status in prop::sample::select(&STATUSES[..])) {
            let entities = entities();
            let response = response(status, body);
            if let Verdict::Done(answer) = read_changes(&entities, &response) {
                prop_assert_eq!(status, 200);
                let complete = answer.complete.iter().map(|changes| changes.entity.name);
                let mut named: Vec<_> = complete.chain(answer.incomplete.iter().map(|entity| entity.name)).collect();
                named.sort_unstable();
                prop_assert_eq!(named, ["customers", "items", "vendors"]);
                for changes in &answer.complete {
                    prop_assert!(is_of(&response.body, &changes.records, &changes.entity));
                }
            }
        }

        #[test]
        fn a_fault_has_texts_that_can_be_shown(body in documents(FAULTS)) {
            if let Some(fault) = Fault::parse(&body) {
                let text = fault.text();
                for text in [&fault.kind, &fault.code, &fault.message, &fault.detail, &text] {
                    prop_assert!(!text.contains(changes_terminal), "{:?}", text);
                    prop_assert_eq!(&scrub(text), text);
                }
            }
        }

        #[test]
        fn no_fault_shows_a_token(words in texts(&["Token expired: ", "x\r\n", "a=b;"]), letters in "[A-Za-z0-9]{24,60}1a") {
            let body = serde_json::json!({"fault": {"error": [{"message": format!("{words} {letters} {words}"), "code": letters}]}});
            let fault = Fault::parse(body.to_string().as_bytes()).unwrap();
            prop_assert!(!fault.message.contains(&letters), "{:?}", fault.message);
            prop_assert_eq!(fault.code, "***");
        }

        #[test]
        fn no_fault_shows_a_secret_of_this_process_whatever_it_looks_like(
            words in texts(&["Token expired: ", "x\r\n", "a=b;"]),
            secret in r"[A-Za-z]{8,60}|[!-~]{8,60}|[a-zé /+]{8,20}",
        ) {
            let held = Secret::new(secret);
            let secret = held.expose();
            let text = format!("{words}{secret}{words}");
            let json = serde_json::json!({"fault": {"type": text, "error": [{"message": text, "detail": text, "code": text}]}});
            let escaped = in_xml(&text);
            let xml = format!(
                r#"<R><Fault type="{escaped}"><Error code="{escaped}"><Message>{escaped}</Message><Detail>{escaped}</Detail></Error></Fault></R>"#
            );
            for body in [json.to_string(), xml] {
                let Some(fault) = Fault::parse(body.as_bytes()) else { continue };
                for text in [&fault.kind, &fault.code, &fault.message, &fault.detail] {
                    prop_assert!(!text.contains(secret), "{:?}", text);
                    prop_assert!(text.contains("***"), "{:?}", text);
                }
            }
            let header = trace_id(secret);
            prop_assert!(!header.contains(secret), "{:?}", header);
        }
    }
}
