//! The accounting service: queries, change data capture, batches and single records.

mod batch;
mod cdc;
mod read;

use chrono::{DateTime, Utc};

use super::endpoint::Endpoint;
use super::request::ReceivedRequest;
use crate::answer::{Answer, ServiceFault};
use crate::assumption::{Assumptions, Topic};
use crate::company::Company;
use crate::query::{self, QueryContext};
use crate::state::{CompanyState, State};
use crate::{entities, pacific};

/// Answers a request that was admitted.
pub(super) fn answer(
    state: &State,
    company_state: &CompanyState,
    request: &ReceivedRequest,
    endpoint: &Endpoint<'_>,
    assumptions: &Assumptions,
) -> Answer {
    // An answer's time is the start of its processing (qbo-facts 2.2).
    let time = Utc::now();
    let is_query = matches!(endpoint, Endpoint::Query { .. });
    let number = state.count_queries(u64::from(is_query));
    let context = QueryContext {
        assumptions,
        number,
        max_rows: usize::MAX,
    };
    let company = company_state.read_visible();
    let outcome = match endpoint {
        Endpoint::Query { .. } => query(&company, &statement(request), &context, time),
        Endpoint::Cdc { .. } => cdc::answer(&company, &request.query(), assumptions, time),
        Endpoint::Batch { .. } => batch::answer(&company, &request.body, &context, time),
        Endpoint::Read { entity, id, .. } => {
            read::answer(&company, entity, *id, &request.query(), time)
        }
        _ => Err(ServiceFault::no_such_path(request.path())),
    };
    // The hook locks the company for writing.
    drop(company);
    if is_query {
        state.run_query_hook(company_state, number + 1);
    }
    match outcome {
        Ok(body) => Answer::service(200, body),
        Err(fault) => fault.answer(time),
    }
}

/// Returns the number of reads that a successful request takes from the monthly quota.
pub(super) fn reads_used(
    request: &ReceivedRequest,
    endpoint: &Endpoint<'_>,
    assumptions: &Assumptions,
) -> u64 {
    match endpoint {
        Endpoint::Batch { .. } if assumptions.is_harder(Topic::BatchMetering) => {
            batch::item_count(&request.body)
        }
        _ => 1,
    }
}

/// Returns the statement of a query, which is a parameter of a GET and the body of a POST.
fn statement(request: &ReceivedRequest) -> String {
    match request.method {
        axum::http::Method::GET => request.query().remove("query").unwrap_or_default(),
        _ => String::from_utf8_lossy(&request.body).into_owned(),
    }
}

fn query(
    company: &Company,
    statement: &str,
    context: &QueryContext<'_>,
    time: DateTime<Utc>,
) -> Result<String, ServiceFault> {
    let statement = query::parse(statement)?;
    let mut body = String::with_capacity(expected_size(&statement));
    body.push_str(r#"{"QueryResponse":"#);
    query::answer(company, &statement, context, &mut body)?;
    body.push_str(r#","time":""#);
    body.push_str(&pacific::format_millis(time));
    body.push_str("\"}");
    Ok(body)
}

/// Returns the expected size of an answer in bytes, so that its buffer need not grow.
fn expected_size(statement: &query::Statement) -> usize {
    let rows = statement.max_results.unwrap_or(100).clamp(0, 1000) as usize;
    let is_counted = statement.is_count || entities::find(&statement.entity).is_none();
    if is_counted { 256 } else { 256 + rows * 1700 }
}
