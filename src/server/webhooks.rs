//! `POST /webhooks/qbo`: signed by Intuit, kept before it is answered (qbo-facts 5).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::json;

use super::State;
use super::routes::{answer, failure, refused};
use crate::domain::webhook::read_webhook;

/// A delivery has at most a hundred events and about a megabyte.
pub(super) const LARGEST_DELIVERY: usize = 2 * 1024 * 1024;
const MOST_EVENTS: usize = 1000;

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
        STANDARD.decode(signature).is_ok_and(|signature| hmac::verify(&self.0, body, &signature).is_ok())
    }
}

pub(super) async fn receive(Shared(state): Shared<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(token) = &state.verifier else {
        return failure(StatusCode::NOT_FOUND, "webhooks are not set up: QBO_WEBHOOK_VERIFIER_TOKEN is not set");
    };
    let signature = headers.get("intuit-signature").and_then(|value| value.to_str().ok());
    if !signature.is_some_and(|signature| token.has_signed(&body, signature)) {
        state.counters.count_unsigned();
        return failure(StatusCode::UNAUTHORIZED, "the signature is missing or wrong");
    }
    let events = match read_webhook(&body) {
        Ok(events) if events.len() <= MOST_EVENTS => events,
        Ok(_) => return failure(StatusCode::PAYLOAD_TOO_LARGE, "too many events"),
        Err(reason) => return failure(StatusCode::BAD_REQUEST, &reason),
    };
    match state.service.keep_events(&events).await {
        Ok(new) => answer(StatusCode::OK, &json!({"events": events.len(), "new": new})),
        Err(error) => refused(&error),
    }
}
