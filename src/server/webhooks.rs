//! `POST /webhooks/qbo`: deliveries signed by Intuit, stored before they are answered (qbo-facts
//! 5).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::warn;

use super::credentials::SignatureCheck;
use super::metrics::Counters;
#[cfg(test)]
use super::openapi::{Failure, TooLarge};
use super::places::Place;
use super::protection::holding;
#[cfg(test)]
use super::reply::ErrorBody;
use super::reply::{ApiError, Reply};
use super::state::{AppState, Shared};
use super::turns::{Turn, Turns};
use crate::domain::Delivery;
use crate::domain::webhook::read_webhook;

/// The largest delivery that is read, in bytes. Intuit sends at most 100 events and about 1 MB.
const MAX_DELIVERY: usize = 16 * 1024 * 1024;

/// The size, in bytes, up to which a delivery needs no turn. Their number is limited by that of the
/// connections. Most deliveries of Intuit are smaller.
const SMALL: usize = 8 * 1024;
/// The size, in bytes, up to which a delivery needs one of the many turns, and above it the only one.
const LARGE: usize = 2 * 1024 * 1024;

/// Deliveries of a class of sizes. Only so many of them are read at a time: until its last byte nobody
/// knows whether Intuit has signed a delivery, so strangers must not be able to fill the memory. Intuit
/// may send many at once, for example after an outage: they wait for each other.
struct SizeClass {
    /// The size above which a delivery belongs to this class.
    above: usize,
    /// The memory that is reserved for one, in bytes. Only the pages that are written take memory.
    reserved: usize,
    turns: Turns,
}

static CLASSES: [SizeClass; 2] = [
    SizeClass {
        above: SMALL,
        reserved: LARGE,
        turns: Turns::new(16),
    },
    SizeClass {
        above: LARGE,
        // Above 32 MiB, glibc's malloc gives memory back when it is freed; below, each thread keeps some.
        reserved: 3 * MAX_DELIVERY,
        turns: Turns::new(1),
    },
];

/// The right to store a delivery that needed a turn. What it holds takes about six times its size, if it is many small
/// events.
static STORING: Semaphore = Semaphore::const_new(1);

/// The longest pause between two parts of a delivery.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The rate limit of signed deliveries. Intuit batches events and repeats refused deliveries (qbo-facts
/// 5).
pub(super) const MAX_PER_MINUTE: u32 = 6000;

/// The answer to a delivery.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct DeliveryReceipt {
    /// Events in the delivery, without parts that could not be read.
    events: usize,
    /// Events that were not stored before.
    new: u64,
}

/// Store the events of a webhook delivery
///
/// Intuit signs the raw body in the header `intuit-signature`. A signed delivery is never refused
/// for what it says: parts that are no events are kept as text in `qbo.webhook_rejects`.
#[cfg_attr(test, utoipa::path(
    post, path = "/webhooks/qbo", operation_id = "webhook", security(),
    request_body = serde_json::Value,
    responses(
        (status = 200, description = "The events are stored", body = DeliveryReceipt),
        (status = 401, description = "The signature is missing or wrong", body = ErrorBody),
        (status = 404, description = "Webhooks are not set up", body = ErrorBody),
        (status = 429, description = "More than 100 signed deliveries a second", body = ErrorBody),
        TooLarge, Failure,
    ),
))]
pub(super) async fn receive(
    State(state): Shared,
    place: Option<Extension<Arc<Place>>>,
    headers: HeaderMap,
    body: Body,
) -> Reply<Response> {
    let Some(token) = &state.verifier_token else {
        return Err(ApiError::not_found(
            "webhooks are not set up: QBO_WEBHOOK_VERIFIER_TOKEN is not set",
        ));
    };
    let signature = headers
        .get("intuit-signature")
        .and_then(|value| value.to_str().ok());
    // Without a signature nothing of the body is read.
    let signed = match signature.and_then(|signature| token.begin(signature)) {
        Some(check) => receive_signed(body, check).await?,
        None => None,
    };
    let Some((body, turn)) = signed else {
        state.counters.count_unsigned();
        let reason = "the signature is missing or wrong";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, reason));
    };
    let protected = place.map(|Extension(place)| place.protect());
    let _alone = match &turn {
        Some(_) => STORING.acquire().await.ok(),
        None => None,
    };
    Ok(holding(store(&state, &body).await?, protected))
}

/// Stores a signed delivery.
async fn store(state: &AppState, body: &[u8]) -> Reply<Response> {
    // Only signed deliveries count, so that others cannot use up their rate.
    if !state.webhook_rate.admits(crate::clock::now()) {
        let reason = "too many deliveries; come back in a second";
        return Ok(ApiError::new(StatusCode::TOO_MANY_REQUESTS, reason).retry_soon());
    }
    let delivery = read_webhook(body).masked(state.service.mask());
    let new = state.service.store_delivery(&delivery).await?;
    report_unreadable(&state.counters, &delivery);
    let events = delivery.events.len();
    Ok(Json(DeliveryReceipt { events, new }).into_response())
}

/// Reads a body and checks its signature. Returns `None` if the signature is wrong. Its turn is to be kept while
/// the delivery is stored, which takes several times its size.
async fn receive_signed(
    body: Body,
    mut check: SignatureCheck,
) -> Reply<Option<(Vec<u8>, Option<Turn<'static>>)>> {
    let mut turn: Option<(usize, Turn<'static>)> = None;
    // Dropped before the turn, which passes on only when its memory is free.
    let mut kept = Vec::with_capacity(SMALL);
    let mut parts = body.into_data_stream();
    loop {
        let part = tokio::select! {
            part = tokio::time::timeout(PAUSE_TIMEOUT, parts.next()) => part,
            () = lost(turn.as_ref()) => return Err(too_many()),
        };
        let too_slow = |_| {
            ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "the delivery arrives too slowly",
            )
        };
        let Some(part) = part.map_err(too_slow)? else {
            break;
        };
        // The caller went away, so nobody reads this answer.
        let part = part.map_err(|error| ApiError::bad_request(error.to_string()))?;
        let size = kept.len() + part.len();
        if size > MAX_DELIVERY {
            let reason = "the delivery is too large";
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
        }
        let needed = CLASSES.iter().rev().find(|class| size > class.above);
        if let Some(class) = needed
            && turn.as_ref().is_none_or(|(held, _)| *held != class.above)
        {
            // Its smaller turn is kept meanwhile, as is what it has read.
            let next = tokio::select! {
                next = class.turns.take() => next,
                () = lost(turn.as_ref()) => None,
            };
            turn = Some((class.above, next.ok_or_else(too_many)?));
            // A body that grows by doubling leaves its former places to the allocator, which keeps
            // them.
            kept.reserve_exact(class.reserved - kept.len());
        }
        if let Some((_, turn)) = &turn {
            turn.progress(part.len());
        }
        check.add(&part);
        kept.extend_from_slice(&part);
    }
    let turn = turn.map(|(_, turn)| turn);
    Ok(check.finish().then_some((kept, turn)))
}

fn too_many() -> ApiError {
    ApiError::unavailable("too many large deliveries at a time; come back in a second")
}

/// Completes when another large delivery needs the turn.
async fn lost(turn: Option<&(usize, Turn<'_>)>) {
    match turn {
        Some((_, turn)) => turn.lost().await,
        None => std::future::pending().await,
    }
}

/// Counts and logs what is no event, in one line.
fn report_unreadable(counters: &Counters, delivery: &Delivery) {
    let Some(first) = delivery.unreadable.first() else {
        return;
    };
    let parts = delivery.unreadable_count;
    counters.count_set_aside(parts);
    let (reason, of_delivery) = (&first.reason, "of a webhook delivery");
    let text = match parts {
        1 => format!("1 part {of_delivery} is no event: {reason}"),
        _ => format!("{parts} parts {of_delivery} are no events; the first: {reason}"),
    };
    warn!(
        phase = "serve",
        event = "webhook_set_aside",
        parts,
        "{text}; see qbo.webhook_rejects"
    );
}
