//! Reads ordinary answers of the query endpoint in one pass over their bytes.
//!
//! Whatever is out of the ordinary is left to [`envelope`](super::envelope), whose parser decides what it
//! means: `None` is no judgement. So both give the same answer wherever this one gives any; the tests
//! compare them.

use super::client::Verdict;
use super::envelope::{Asked, MAX_ROWS, QueryAnswer, Row, check_ids, read_any, read_rows};
use super::members::{read_counter, read_time};
use crate::domain::{Head, Identity, Validator};
use crate::http::Response;

/// Parses an answer: an ordinary one in one pass, any other as [`read_any`] does.
pub(super) fn read_query_answer(asked: Asked<'_>, response: &Response) -> Verdict<QueryAnswer> {
    match read_ordinary(asked, response) {
        Some(answer) => Verdict::Done(answer),
        None => read_any(asked, response),
    }
}

/// Reads an answer that holds rows of the entity, their counters and a time, and nothing else.
fn read_ordinary(asked: Asked<'_>, response: &Response) -> Option<QueryAnswer> {
    let is_success = (200..300).contains(&response.status);
    if !is_success || asked.is_count || asked.entity.identity != Identity::Id {
        return None;
    }
    let mut text = Validator::new(std::str::from_utf8(&response.body).ok()?);
    let (mut answer, mut time) = (None, None);
    text.expect(b'{')?;
    let mut is_first = true;
    while let Some(name) = text.member(is_first)? {
        is_first = false;
        match name {
            "QueryResponse" if answer.is_none() => {
                answer = Some(read_members(asked, &mut text, response)?);
            }
            "time" if time.is_none() => {
                let range = text.value()?;
                time = Some(text.slice(range));
            }
            _ => return None,
        }
    }
    text.is_at_end().then_some(())?;
    Some(QueryAnswer {
        time: time.and_then(read_time),
        ..answer?
    })
}

/// Reads the object of the rows and their counters.
fn read_members(
    asked: Asked<'_>,
    text: &mut Validator<'_>,
    response: &Response,
) -> Option<QueryAnswer> {
    const COUNTERS: [&str; 3] = ["maxResults", "totalCount", "startPosition"];

    let (mut rows, mut counters) = (None, [None; COUNTERS.len()]);
    text.expect(b'{')?;
    let mut is_first = true;
    while let Some(name) = text.member(is_first)? {
        is_first = false;
        if name == asked.entity.answer_key && rows.is_none() {
            rows = Some(scan_rows(text)?);
            continue;
        }
        let place = COUNTERS.iter().position(|known| *known == name)?;
        let range = text.value()?;
        let count = read_counter(name, text.slice(range)).ok()?;
        counters[place].replace(count).is_none().then_some(())?;
    }
    let rows = rows.filter(|rows| !rows.is_empty())?;
    let [announced, ..] = counters;
    let is_whole = announced.is_none_or(|announced| announced == rows.len() as u64);
    is_whole.then_some(())?;
    let answer = read_rows(asked.entity, rows.into_iter(), response);
    check_ids(&answer.records).ok().map(|()| answer)
}

fn scan_rows<'a>(text: &mut Validator<'a>) -> Option<Vec<Row<'a>>> {
    let mut rows = Vec::new();
    text.expect(b'[')?;
    while text.element(rows.is_empty())? {
        if rows.len() == MAX_ROWS {
            return None;
        }
        rows.push(scan_row(text)?);
    }
    Some(rows)
}

/// Goes over a row. One that is not as nearly all are is JSON nevertheless, and its neighbours do not
/// depend on it.
fn scan_row<'a>(text: &mut Validator<'a>) -> Option<Row<'a>> {
    text.peek()?;
    text.take_oddity();
    let begin = text.clone();
    let head = Head::scan(text);
    if head.is_none() {
        *text = begin.clone();
        text.value()?;
    }
    Some(Row {
        json: text.slice(begin.at()..text.at()),
        head,
        is_plain: !text.take_oddity(),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::domain::{EntitySpec, Held, find_entity};
    use crate::quickbooks::client::Verdict;
    use crate::testing::{answer_of, invoices, measured};

    fn customers() -> &'static EntitySpec {
        find_entity("customers").unwrap()
    }

    fn response(body: &[u8]) -> Response {
        Response {
            status: 200,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body),
            held: Held::default(),
        }
    }

    /// Returns all that an answer says, in words.
    fn told(answer: &QueryAnswer) -> String {
        let records = answer.records.iter().map(|record| {
            let payload = std::str::from_utf8(record.payload.as_bytes());
            format!(
                "{} {} {} {payload:?}",
                record.id, record.updated_at, record.sync_token
            )
        });
        let unreadable = answer.unreadable.iter().map(|row| {
            let text = std::str::from_utf8(row.row.as_bytes());
            format!("{text:?} {} {:?}", row.error, row.follows)
        });
        let rows: Vec<String> = records.chain(unreadable).collect();
        format!(
            "{:?} {:?} {}",
            answer.time,
            answer.total_count,
            rows.join("\n")
        )
    }

    /// Reads in one pass. Fails if the parser reads something else.
    fn compared(body: &[u8]) -> Option<QueryAnswer> {
        let response = response(body);
        let asked = Asked::by(customers(), "SELECT * FROM Customer");
        let answer = read_ordinary(asked, &response)?;
        match read_any(asked, &response) {
            Verdict::Done(parsed) => assert_eq!(told(&answer), told(&parsed)),
            other => panic!("{other:?}: {}", String::from_utf8_lossy(body)),
        }
        Some(answer)
    }

    /// Members of a record: usual, odd and wrong ones.
    const MEMBERS: &[&str] = &[
        r#""Id":"7""#,
        r#""Id":"7""#,
        r#""Id":"8""#,
        r#""Id":7"#,
        r#""Id":"5000000000000503624""#,
        r#""Id":"""#,
        r#""Id":null"#,
        r#""Id":{"value":"7"}"#,
        r#""Id":"\u0037""#,
        r#""Id":"\ud83d""#,
        r#""Id":"\u0000""#,
        r#""Id":-7"#,
        r#""Id":7.0"#,
        r#""I\u0064":"9""#,
        r#""id":"10""#,
        r#""SyncToken":"3""#,
        r#""SyncToken":3"#,
        r#""SyncToken":null"#,
        r#""SyncToken":"x""#,
        r#""SyncToken":"99999999999999999999""#,
        r#""SyncToken":"+4""#,
        r#""SyncToken":[]"#,
        r#""MetaData":{"CreateTime":"2020-01-01T00:00:00Z","LastUpdatedTime":"2020-09-29T06:02:35-07:00"}"#,
        r#""MetaData":{"LastUpdatedTime":"2020-09-29T06:02:35-07:00"}"#,
        r#""MetaData" : { "LastUpdatedTime" : "2020-09-29T06:02:36.5Z" } "#,
        r#""MetaData":{"LastUpdatedTime":"2020-09-29T06:02:35-07:00","LastUpdatedTime":"2021-09-29T06:02:35-07:00"}"#,
        r#""MetaData":{"Last\u0055pdatedTime":"2020-09-29T06:02:35-07:00"}"#,
        r#""MetaData":["2020-09-29T06:02:35-07:00"]"#,
        r#""MetaData":{}"#,
        r#""MetaData":null"#,
        r#""MetaData":{"LastUpdatedTime":null}"#,
        r#""MetaData":{"LastUpdatedTime":"yesterday"}"#,
        r#""MetaData":{"LastUpdatedTime":"2020-09-29T06:02:35\u002d07:00"}"#,
        r#""status":"Deleted""#,
        r#""status":"Pending""#,
        r#""status":null"#,
        r#""stat\u0075s":"Deleted""#,
        r#""note":"Deleted""#,
        r#""Balance":629.10"#,
        r#""Balance":1e400"#,
        r#""Big":123456789012345678901234567890"#,
        r#""Name":"Gr\u00fc\u00dfe \ud83d""#,
        r#""Name":"é 🙂 and more text than eight bytes""#,
        r#""Line":[{"Id":"1","MetaData":{}},{"status":"Deleted"},[],{}]"#,
        r#""deep":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"#,
        r#""\ud83d":1"#,
        r#""":1"#,
        r#""x":01"#,
        r#""x""#,
        r#""x":tru"#,
        "\"x\":\"\u{1}\"",
        "",
        "7",
    ];

    fn record() -> impl Strategy<Value = String> {
        let odd = prop::collection::vec(prop::sample::select(MEMBERS), 0..4);
        let usual = (0_u32..40, odd, any::<bool>()).prop_map(|(id, odd, is_usual)| {
            let time = r#""MetaData":{"LastUpdatedTime":"2020-09-29T06:02:35-07:00"}"#.to_owned();
            let head = [
                format!(r#""Id":"{id}""#),
                r#""SyncToken":"1""#.to_owned(),
                time,
            ];
            let odd = odd.into_iter().map(str::to_owned);
            let members: Vec<String> = match is_usual {
                true => head.into_iter().chain(odd.take(1)).collect(),
                false => odd.collect(),
            };
            format!("{{{}}}", members.join(","))
        });
        let others = prop::sample::select(&["null", "[]", "7", "\"x\"", "{}", "{", ""]);
        prop_oneof![20 => usual, 1 => others.prop_map(str::to_owned)]
    }

    fn answer() -> impl Strategy<Value = String> {
        let rows = prop::collection::vec(record(), 0..5);
        let beside = prop::sample::select(&[
            r#""startPosition":1,"maxResults":COUNT"#,
            r#""maxResults":"COUNT","totalCount":90"#,
            "\"maxResults\" : COUNT ",
            r#""maxResults":1"#,
            r#""maxResults":null"#,
            r#""maxResults":COUNT,"maxResults":COUNT"#,
            r#""totalCount":null"#,
            r#""totalCount":-1"#,
            r#""startPosition":"x""#,
            r#""Fault":{}"#,
            r#""error":null"#,
            r#""Customer":[]"#,
            r#""Vendor":[]"#,
            r#""startPosition":1,"startPosition":1"#,
            r#""max\u0052esults":COUNT"#,
            "",
        ]);
        let around = prop::sample::select(&[
            r#"{"QueryResponse":INNER,"time":"2020-09-29T06:51:37.512-07:00"}"#,
            r#" { "time":"x" , "QueryResponse" : INNER } "#,
            r#"{"QueryResponse":INNER}"#,
            r#"{"QueryResponse":INNER,"time":7}"#,
            r#"{"QueryResponse":INNER,"QueryResponse":{}}"#,
            r#"{"QueryResponse":INNER,"fault":null}"#,
            r#"{"QueryResponse":INNER,"Fault":{"Error":[]}}"#,
            r#"{"QueryResponse":INNER,"time":"2020-09-29T06:51:37Z","time":"2021-09-29T06:51:37Z"}"#,
            r#"{"QueryResponse":INNER} x"#,
            r#"{"QueryResponse":INNER"#,
            r#"[{"QueryResponse":INNER}]"#,
        ]);
        (rows, beside, around).prop_map(|(rows, beside, around)| {
            let beside = beside.replace("COUNT", &rows.len().to_string());
            let comma = if beside.is_empty() { "" } else { "," };
            let inner = format!(r#"{{"Customer":[{}]{comma}{beside}}}"#, rows.join(","));
            around.replace("INNER", &inner)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn what_is_read_in_one_pass_is_what_the_parser_reads(body in answer()) {
            compared(body.as_bytes());
        }

        #[test]
        fn damaged_answers_are_never_read_as_something_else(
            body in answer(), place in any::<prop::sample::Index>(), byte in any::<u8>(), removed in 0_usize..3
        ) {
            let mut body = body.into_bytes();
            let begin = place.index(body.len());
            let end = body.len().min(begin + removed);
            body.splice(begin..end, [byte]);
            compared(&body);
        }
    }

    #[test]
    fn ordinary_answers_are_read_in_one_pass() {
        let rows = |count: usize| {
            let row = |id| {
                format!(
                    r#"{{"Id":"{id}","SyncToken":"2","Name":"é","MetaData":{{"LastUpdatedTime":"2020-09-29T06:02:35-07:00"}}}}"#
                )
            };
            (0..count).map(row).collect::<Vec<_>>().join(",")
        };
        let time = r#""time":"2020-09-29T06:51:37.512-07:00""#;
        for count in [1, 3, 1000] {
            let rows = rows(count);
            let body = format!(
                r#"{{"QueryResponse":{{"Customer":[{rows}],"startPosition":1,"maxResults":{count}}},{time}}}"#
            );
            let answer = compared(body.as_bytes()).unwrap();
            assert_eq!(answer.records.len(), count);
            assert!(
                answer
                    .records
                    .iter()
                    .all(|record| record.payload.is_plain())
            );
        }
        // A row that cannot be read costs no second pass over its neighbours.
        let body = format!(
            r#"{{"QueryResponse":{{"Customer":[{},{{"Id":"9"}},{{"a":"\n"}}]}},{time}}}"#,
            rows(2)
        );
        let answer = compared(body.as_bytes()).unwrap();
        assert_eq!((answer.records.len(), answer.unreadable.len()), (2, 2));
        assert!(!answer.unreadable[1].row.is_plain());
    }

    #[test]
    fn instructions_of_parsing_a_page_of_invoices() {
        let body = answer_of("Invoice", &invoices(1000));
        let response = response(body.as_bytes());
        let asked = Asked::by(find_entity("invoices").unwrap(), "SELECT * FROM Invoice");
        let answers = measured(|| [0, 1, 2].map(|_| read_ordinary(asked, &response)));
        for answer in answers {
            assert_eq!(answer.unwrap().records.len(), 1000);
        }
    }
}
