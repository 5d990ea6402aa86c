//! Batches of queries in one request (qbo-facts 6.3).

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::answer::ServiceFault;
use crate::assumption::Topic;
use crate::company::Company;
use crate::pacific;
use crate::query::{self, QueryContext};

const MAX_ITEMS: usize = 30;
const MAX_OBJECTS: usize = 1000;

#[derive(Deserialize)]
struct Request {
    #[serde(rename = "BatchItemRequest")]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "bId")]
    id: String,
    #[serde(rename = "Query")]
    query: Option<String>,
}

/// Returns the number of queries in a batch.
pub(super) fn item_count(body: &[u8]) -> u64 {
    serde_json::from_slice::<Request>(body).map_or(1, |request| request.items.len() as u64)
}

/// Returns the body of an answer. Each item can fail on its own, and the request still succeeds.
///
/// # Errors
/// A fault if the body is not a batch, or has too many items.
pub(super) fn answer(
    company: &Company,
    body: &[u8],
    context: &QueryContext<'_>,
    time: DateTime<Utc>,
) -> Result<String, ServiceFault> {
    let request: Request =
        serde_json::from_slice(body).map_err(|e| ServiceFault::bad_request(&e.to_string()))?;
    if request.items.len() > MAX_ITEMS {
        let detail = format!(
            "A batch holds at most {MAX_ITEMS} items, this one {}",
            request.items.len()
        );
        return Err(ServiceFault::bad_request(&detail));
    }
    let is_capped = context.assumptions.is_harder(Topic::BatchCap);
    let mut remaining = if is_capped { MAX_OBJECTS } else { usize::MAX };
    let mut out = r#"{"BatchItemResponse":["#.to_owned();
    for (position, item) in request.items.iter().enumerate() {
        out.push_str(if position > 0 { "," } else { "" });
        let written = out.len();
        out.push_str(r#"{"QueryResponse":"#);
        let context = QueryContext {
            max_rows: remaining,
            ..*context
        };
        match run(company, item, &context, &mut out) {
            Ok(rows) => remaining -= rows.min(remaining),
            Err(fault) => {
                out.truncate(written);
                let _ = write!(out, r#"{{"Fault":{}"#, fault.value());
            }
        }
        let _ = write!(
            out,
            r#","bId":{}}}"#,
            serde_json::Value::from(item.id.as_str())
        );
    }
    let _ = write!(out, r#"],"time":"{}"}}"#, pacific::format_millis(time));
    Ok(out)
}

/// Runs one item, appends its answer and returns its number of rows.
fn run(
    company: &Company,
    item: &Item,
    context: &QueryContext<'_>,
    out: &mut String,
) -> Result<usize, ServiceFault> {
    match &item.query {
        Some(statement) => query::answer(company, &query::parse(statement)?, context, out),
        None => Err(ServiceFault::unsupported(
            "other than Query: this sandbox is read-only",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assumption::Assumptions;
    use crate::company::{CompanySize, Refusal, View};
    use serde_json::{Value, json};

    fn ask(queries: &[&str], assumptions: &Assumptions) -> Result<Value, ServiceFault> {
        let company = Company::generate(
            5,
            CompanySize {
                customers: 700,
                items: 20,
                invoices: 800,
                others: Some(10),
            },
        );
        let items: Vec<_> = queries
            .iter()
            .enumerate()
            .map(|(n, query)| json!({"bId": format!("b{n}"), "Query": query}))
            .collect();
        let context = QueryContext {
            assumptions,
            number: 0,
            view: View::default(),
            max_rows: usize::MAX,
        };
        let body = json!({"BatchItemRequest": items}).to_string();
        answer(&company, body.as_bytes(), &context, Utc::now())
            .map(|body| serde_json::from_str(&body).unwrap())
    }

    #[test]
    fn items_fail_alone_and_carry_their_ids() {
        let queries = [
            "SELECT * FROM Item MAXRESULTS 2",
            "SELECT * FROM Itme",
            "SELECT COUNT(*) FROM Invoice",
        ];
        let body = ask(&queries, &Assumptions::default()).unwrap();
        let items = body["BatchItemResponse"].as_array().unwrap();
        assert_eq!(
            (&items[0]["bId"], &items[0]["QueryResponse"]["maxResults"]),
            (&json!("b0"), &json!(2))
        );
        assert_eq!(
            (&items[1]["bId"], &items[1]["Fault"]["Error"][0]["code"]),
            (&json!("b1"), &json!("4001"))
        );
        assert_eq!(items[2]["QueryResponse"]["totalCount"], 800);
    }

    #[test]
    fn an_entity_that_the_company_lacks_fails_its_item() {
        let mut company = Company::default();
        let assumptions = Assumptions::default();
        let context = QueryContext {
            assumptions: &assumptions,
            number: 0,
            view: View::default(),
            max_rows: 9,
        };
        let body = br#"{"BatchItemRequest":[{"bId":"a","Query":"SELECT COUNT(*) FROM Budget"},{"bId":"b","Query":"SELECT COUNT(*) FROM Bill"}]}"#;
        for (refusal, code) in [
            (Refusal::Permission, "5020"),
            (Refusal::Operation, "500"),
            (Refusal::Metadata, "4001"),
        ] {
            company.set_refusal("Budget", Some(refusal)).unwrap();
            let body = answer(&company, body, &context, Utc::now()).unwrap();
            let body: Value = serde_json::from_str(&body).unwrap();
            let items = &body["BatchItemResponse"];
            assert_eq!(items[0]["Fault"]["Error"][0]["code"], code);
            assert_eq!(items[1]["QueryResponse"]["totalCount"], 0);
        }
    }

    #[test]
    fn all_answers_together_are_cut_at_a_thousand_objects() {
        let queries = [
            "SELECT * FROM Customer MAXRESULTS 1000",
            "SELECT * FROM Invoice MAXRESULTS 1000",
        ];
        let rows = |assumptions: &Assumptions| {
            let body = ask(&queries, assumptions).unwrap();
            body["BatchItemResponse"][1]["QueryResponse"]["Invoice"]
                .as_array()
                .map_or(0, Vec::len)
        };
        assert_eq!(rows(&Assumptions::default()), 1000 - 630);
        let mut assumptions = Assumptions::default();
        assumptions.set("batch-cap", "none").unwrap();
        assert_eq!(rows(&assumptions), 800);
    }

    #[test]
    fn thirty_one_items_and_other_bodies_are_refused() {
        assert!(ask(&["SELECT * FROM Item"; 30], &Assumptions::default()).is_ok());
        assert_eq!(
            ask(&["SELECT * FROM Item"; 31], &Assumptions::default())
                .unwrap_err()
                .code,
            "2010"
        );
        let context = QueryContext {
            assumptions: &Assumptions::default(),
            number: 0,
            view: View::default(),
            max_rows: 1,
        };
        assert!(answer(&Company::default(), b"[]", &context, Utc::now()).is_err());
        let write = br#"{"BatchItemRequest":[{"bId":"w","operation":"create","Vendor":{}}]}"#;
        let body = answer(&Company::default(), write, &context, Utc::now()).unwrap();
        assert!(
            body.contains(r#""code":"500""#) && body.contains(r#""bId":"w""#),
            "{body}"
        );
    }
}
