//! `POST /webhooks/qbo`: deliveries signed by Intuit, stored before they are answered (qbo-facts
//! 5).

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use chrono::Utc;
use serde::Serialize;

#[cfg(test)]
use super::openapi::{BadRequest, Failure, TooLarge};
#[cfg(test)]
use super::reply::ErrorBody;
use super::reply::{ApiError, Reply};
use super::state::Shared;
use crate::domain::webhook::read_webhook;

/// The largest delivery, in bytes. Intuit sends at most 100 events and about 1 MB.
pub(super) const MAX_DELIVERY: usize = 2 * 1024 * 1024;
const MAX_EVENTS: usize = 1000;

/// The rate limit of deliveries. Intuit batches events and repeats refused deliveries (qbo-facts
/// 5).
pub(super) const MAX_PER_MINUTE: u32 = 6000;

/// The answer to a delivery.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct DeliveryReceipt {
    /// Events in the delivery.
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
/// Intuit signs the raw body in the header `intuit-signature`.
#[cfg_attr(test, utoipa::path(
    post, path = "/webhooks/qbo", operation_id = "webhook", security(),
    request_body = serde_json::Value,
    responses(
        (status = 200, description = "The events are stored", body = DeliveryReceipt),
        (status = 401, description = "The signature is missing or wrong", body = ErrorBody),
        (status = 404, description = "Webhooks are not set up", body = ErrorBody),
        (status = 429, description = "More than 100 deliveries a second", body = ErrorBody),
        BadRequest, TooLarge, Failure,
    ),
))]
pub(super) async fn receive(
    State(state): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Reply<Json<DeliveryReceipt>> {
    let Some(token) = &state.verifier_token else {
        return Err(ApiError::not_found(
            "webhooks are not set up: QBO_WEBHOOK_VERIFIER_TOKEN is not set",
        ));
    };
    let signature = headers
        .get("intuit-signature")
        .and_then(|value| value.to_str().ok());
    if !signature.is_some_and(|signature| token.has_signed(&body, signature)) {
        state.counters.count_unsigned();
        let reason = "the signature is missing or wrong";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, reason));
    }
    let events = read_webhook(&body).map_err(ApiError::bad_request)?;
    if events.len() > MAX_EVENTS {
        let reason = "too many events";
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
    }
    let new = state.service.store_events(&events).await?;
    Ok(Json(DeliveryReceipt {
        events: events.len(),
        new,
    }))
}
