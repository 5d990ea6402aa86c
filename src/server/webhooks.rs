//! `POST /webhooks/qbo`: signed by Intuit, kept before it is answered (qbo-facts 5).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use ring::hmac;
use serde_json::json;

use super::State;
use super::routes::{answer, failure, refused};
use crate::domain::webhook::read_webhook;

/// A delivery has at most a hundred events and about a megabyte.
pub(super) const MAX_DELIVERY: usize = 2 * 1024 * 1024;
const MAX_EVENTS: usize = 1000;

/// Deliveries. Intuit gathers events, and comes again with what is turned away (qbo-facts 5).
pub(super) const MAX_PER_MINUTE: u32 = 6000;

/// The key of signatures. Comparing with it takes the same time whatever is sent.
pub(super) struct VerifierToken(hmac::Key);

impl std::fmt::Debug for VerifierToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl VerifierToken {
    pub fn new(token: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes()))
    }

    fn has_signed(&self, body: &[u8], signature: &str) -> bool {
        STANDARD
            .decode(signature)
            .is_ok_and(|signature| hmac::verify(&self.0, body, &signature).is_ok())
    }
}

/// Turns away what comes too fast, before it is read.
pub(super) async fn limit(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    if state.webhooks.admits(Utc::now()) {
        return next.run(request).await;
    }
    (
        [(header::RETRY_AFTER, "1")],
        failure(
            StatusCode::TOO_MANY_REQUESTS,
            "too many deliveries; come back in a second",
        ),
    )
        .into_response()
}

pub(super) async fn receive(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(token) = &state.verifier else {
        return failure(
            StatusCode::NOT_FOUND,
            "webhooks are not set up: QBO_WEBHOOK_VERIFIER_TOKEN is not set",
        );
    };
    let signature = headers
        .get("intuit-signature")
        .and_then(|value| value.to_str().ok());
    if !signature.is_some_and(|signature| token.has_signed(&body, signature)) {
        state.counters.count_unsigned();
        return failure(
            StatusCode::UNAUTHORIZED,
            "the signature is missing or wrong",
        );
    }
    let events = match read_webhook(&body) {
        Ok(events) if events.len() <= MAX_EVENTS => events,
        Ok(_) => return failure(StatusCode::PAYLOAD_TOO_LARGE, "too many events"),
        Err(reason) => return failure(StatusCode::BAD_REQUEST, &reason),
    };
    match state.service.store_events(&events).await {
        Ok(new) => answer(StatusCode::OK, &json!({"events": events.len(), "new": new})),
        Err(error) => refused(&error),
    }
}
