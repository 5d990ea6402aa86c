//! The accounting service: queries, change data capture, batches, single records.

mod batch;
mod cdc;
mod read;

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use super::endpoint::Endpoint;
use super::{Call, Realm, State};
use crate::answer::{Answer, ServiceFault};
use crate::assumption::{Assumptions, Doubt};
use crate::company::Company;
use crate::query::{self, Reading};
use crate::{entities, pacific};

/// Answers a request that was let in.
pub(super) fn answer(
    state: &State,
    realm: &Realm,
    call: &Call,
    endpoint: &Endpoint<'_>,
    assumptions: &Assumptions,
) -> Answer {
    // Taken when processing begins (qbo-facts 2.2).
    let time = Utc::now();
    let number = state.queries.fetch_add(
        u64::from(matches!(endpoint, Endpoint::Query { .. })),
        Ordering::Relaxed,
    );
    let reading = Reading {
        assumptions,
        number,
        max_rows: usize::MAX,
    };
    let books = realm.settled();
    let outcome = match endpoint {
        Endpoint::Query { .. } => query(&books, &statement(call), &reading, time),
        Endpoint::Cdc { .. } => cdc::answer(&books, &call.query(), assumptions, time),
        Endpoint::Batch { .. } => batch::answer(&books, &call.body, &reading, time),
        Endpoint::Read { entity, id, .. } => read::answer(&books, entity, *id, &call.query(), time),
        _ => Err(ServiceFault::no_such_path(call.uri.path())),
    };
    drop(books);
    if matches!(endpoint, Endpoint::Query { .. }) {
        state.call_hook(realm, number + 1);
    }
    match outcome {
        Ok(body) => Answer::service(200, body),
        Err(fault) => fault.answer(time),
    }
}

/// What a successful request takes from the month's reads.
pub(super) fn cost(call: &Call, endpoint: &Endpoint<'_>, assumptions: &Assumptions) -> u64 {
    match endpoint {
        Endpoint::Batch { .. } if assumptions.is_harder(Doubt::BatchMetering) => {
            batch::items(&call.body)
        }
        _ => 1,
    }
}

fn statement(call: &Call) -> String {
    match call.method {
        axum::http::Method::GET => call.query().remove("query").unwrap_or_default(),
        _ => String::from_utf8_lossy(&call.body).into_owned(),
    }
}

fn query(
    books: &Company,
    statement: &str,
    reading: &Reading<'_>,
    time: DateTime<Utc>,
) -> Result<String, ServiceFault> {
    let statement = query::parse(statement)?;
    let mut body = String::with_capacity(expected_size(&statement));
    body.push_str(r#"{"QueryResponse":"#);
    query::answer(books, &statement, reading, &mut body)?;
    body.push_str(r#","time":""#);
    body.push_str(&pacific::format_millis(time));
    body.push_str("\"}");
    Ok(body)
}

/// Room for a full page, so that it is not moved while it grows.
fn expected_size(statement: &query::Statement) -> usize {
    let rows = statement.max_results.unwrap_or(100).clamp(0, 1000) as usize;
    let is_counted = statement.is_count || entities::find(&statement.entity).is_none();
    if is_counted { 256 } else { 256 + rows * 1700 }
}
