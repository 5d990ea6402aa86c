//! `POST /webhooks/qbo`: deliveries signed by Intuit, stored before they are answered (qbo-facts
//! 5).

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use chrono::Utc;
use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::warn;

use super::credentials::SignatureCheck;
use super::metrics::Counters;
#[cfg(test)]
use super::openapi::{Failure, TooLarge};
#[cfg(test)]
use super::reply::ErrorBody;
use super::reply::{ApiError, Reply};
use super::state::Shared;
use crate::domain::Delivery;
use crate::domain::webhook::read_webhook;
use crate::error::Error;

/// Bytes up to which a delivery is ordinary. Intuit sends at most 100 events and about 1 MB.
const ORDINARY: usize = 2 * 1024 * 1024;

/// The largest delivery that is read, in bytes.
const MAX_DELIVERY: usize = 64 * 1024 * 1024;

/// Leave to read a delivery that is larger than an ordinary one. Until its end nobody knows whether
/// Intuit has signed it, so strangers must not be able to fill the memory with several at once.
static LARGE_DELIVERIES: Semaphore = Semaphore::const_new(1);

/// The rate limit of deliveries. Intuit batches events and repeats refused deliveries (qbo-facts
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

/// Refuses deliveries above the rate limit before their body is read.
pub(super) async fn limit_rate(State(state): Shared, request: Request, next: Next) -> Response {
    if state.webhook_rate.admits(Utc::now()) {
        return next.run(request).await;
    }
    let reason = "too many deliveries; come back in a second";
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, reason).retry_soon()
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
        (status = 429, description = "More than 100 deliveries a second", body = ErrorBody),
        TooLarge, Failure,
    ),
))]
pub(super) async fn receive(
    State(state): Shared,
    headers: HeaderMap,
    body: Body,
) -> Reply<Json<DeliveryReceipt>> {
    let Some(token) = &state.verifier_token else {
        return Err(ApiError::not_found(
            "webhooks are not set up: QBO_WEBHOOK_VERIFIER_TOKEN is not set",
        ));
    };
    let signature = headers
        .get("intuit-signature")
        .and_then(|value| value.to_str().ok());
    let received = match signature {
        Some(signature) => receive_signed(body, token.begin(), signature).await?,
        None => None,
    };
    let Some(delivery) = received else {
        state.counters.count_unsigned();
        let reason = "the signature is missing or wrong";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, reason));
    };
    let new = state.service.store_delivery(&delivery).await?;
    report_unreadable(&state.counters, &delivery);
    Ok(Json(DeliveryReceipt {
        events: delivery.events.len(),
        new,
    }))
}

/// Reads a body and checks its signature. Returns `None` if the signature is wrong.
async fn receive_signed(
    body: Body,
    mut check: SignatureCheck,
    signature: &str,
) -> Reply<Option<Delivery>> {
    let (mut kept, mut leave) = (Vec::new(), None);
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        // The caller went away, so nobody reads this answer.
        let part = part.map_err(|error| ApiError::bad_request(error.to_string()))?;
        if kept.len() + part.len() > MAX_DELIVERY {
            let reason = "the delivery is too large";
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
        }
        if kept.len() + part.len() > ORDINARY && leave.is_none() {
            let given = LARGE_DELIVERIES.acquire().await;
            leave = Some(given.map_err(|error| Error::Internal(error.to_string()))?);
        }
        check.add(&part);
        kept.extend_from_slice(&part);
    }
    Ok(check.is(signature).then(|| read_webhook(&kept)))
}

/// Counts and logs what is no event, in one line.
fn report_unreadable(counters: &Counters, delivery: &Delivery) {
    let Some(first) = delivery.unreadable.first() else {
        return;
    };
    let parts = delivery.unreadable_count;
    counters.count_set_aside(parts);
    warn!(
        phase = "serve",
        event = "webhook_set_aside",
        parts,
        "{parts} parts of a webhook delivery are no events; the first: {}; see qbo.webhook_rejects",
        first.reason
    );
}
