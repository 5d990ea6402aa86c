//! The accounting service: queries, change data capture, batches and single records.

mod batch;
mod cdc;
mod classification;
mod entitlements;
mod read;
mod report;

use chrono::{DateTime, Utc};

use super::endpoint::Endpoint;
use super::request::ReceivedRequest;
use crate::answer::{Answer, ServiceFault};
use crate::assumption::{Assumptions, Topic};
use crate::company::{Company, Include, View};
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
    let time = state.clock.now();
    let is_query = matches!(endpoint, Endpoint::Query { .. });
    let number = state.count_queries(u64::from(is_query));
    let company = company_state.read_visible();
    if let Endpoint::Entitlements { .. } = endpoint {
        return entitlements::answer(&company, request);
    }
    let outcome = view(&company, request, endpoint, assumptions).and_then(|view| {
        let context = QueryContext {
            assumptions,
            number,
            view,
            max_rows: usize::MAX,
        };
        let parameters = request.query();
        match endpoint {
            Endpoint::Query { .. } => query(&company, &statement(request), &context, time),
            Endpoint::Cdc { .. } => cdc::answer(&company, &parameters, view, assumptions, time),
            Endpoint::Batch { .. } => batch::answer(&company, &request.body, &context, time),
            Endpoint::Read { entity, id, .. } => {
                read::answer(&company, entity, *id, &parameters, view, time)
            }
            Endpoint::Classification {
                id, of_children, ..
            } => {
                let list = classification::classifications(&company);
                classification::answer(&list, (*id, *of_children), &parameters, assumptions, time)
            }
            Endpoint::Report { name, .. } => {
                report::answer(&company, name, &parameters, assumptions, time)
            }
            _ => Err(ServiceFault::no_such_path(request.path())),
        }
    });
    // The hook locks the company for writing.
    drop(company);
    if is_query {
        state.run_query_hook(company_state, number + 1);
    }
    match outcome {
        // The mark of the service that has made the reports since 2026 (facts/reports.md D).
        Ok(body) if matches!(endpoint, Endpoint::Report { .. }) => {
            Answer::service(200, body).with_header("v3modernresponse", "true".to_owned())
        }
        Ok(body) => Answer::service(200, body),
        Err(fault) => fault.answer(time),
    }
}

/// Returns the parts of records that a request asks for.
///
/// # Errors
/// A fault if the company refuses one of them.
fn view(
    company: &Company,
    request: &ReceivedRequest,
    endpoint: &Endpoint<'_>,
    assumptions: &Assumptions,
) -> Result<View, ServiceFault> {
    if matches!(endpoint, Endpoint::Cdc { .. }) && assumptions.is_harder(Topic::CdcInclude) {
        return Ok(View::default());
    }
    let values = request.parameters("include");
    let form = assumptions.answer(Topic::IncludeForm);
    let first_value = values.first().map(String::as_str);
    let includes: Vec<&str> = match form {
        "comma" => first_value.unwrap_or_default().split(',').collect(),
        "repeated" => values.iter().map(String::as_str).collect(),
        _ => values.iter().flat_map(|value| value.split(',')).collect(),
    };
    let includes: Vec<&str> = includes.into_iter().map(str::trim).collect();
    if !assumptions.is_harder(Topic::IncludeUnknown) {
        refuse_unknown(&includes, form == "comma" && values.len() > 1)?;
    }
    company.view(&includes).map_err(|refused| {
        let name = refused.name();
        ServiceFault::bad_request(&format!("The value {name} of include is not supported"))
    })
}

/// Refuses values of `include` that are not known.
fn refuse_unknown(includes: &[&str], is_repeated: bool) -> Result<(), ServiceFault> {
    let is_unknown = |name: &&str| !name.is_empty() && Include::find(name).is_none();
    if includes.iter().any(is_unknown) || is_repeated {
        return Err(ServiceFault::bad_request(
            "A parameter of the request is not valid",
        ));
    }
    Ok(())
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
