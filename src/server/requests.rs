//! Extractors and checks of what callers send.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::reply::{ApiError, Reply};
use crate::domain::is_realm_id;

const MAX_IDEMPOTENCY_KEY: usize = 200;

/// A JSON object as the body. Its `Content-Type` is not checked, so that a bare `curl -d` works.
/// `Option<JsonBody<T>>` accepts an empty body as well.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> JsonBody<T> {
    fn parse(body: &[u8]) -> Reply<Self> {
        let invalid = |error| ApiError::bad_request(format!("the body: {error}"));
        // serde would read an array as the fields of a struct, in order; only objects are meant.
        let object: Map<String, Value> = serde_json::from_slice(body).map_err(invalid)?;
        let body = serde_json::from_value(Value::Object(object)).map_err(invalid)?;
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Reply<Self> {
        Self::parse(&Bytes::from_request(request, state).await?)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Reply<Option<Self>> {
        let body = Bytes::from_request(request, state).await?;
        if body.is_empty() {
            return Ok(None);
        }
        Self::parse(&body).map(Some)
    }
}

/// The header `Idempotency-Key`; `None` if it was not sent.
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(names("Idempotency-Key"), parameter_in = Header))]
pub(super) struct IdempotencyKey(
    /// The same key returns the same job for as long as the job is kept.
    #[cfg_attr(
        test,
        param(value_type = String, required = false, min_length = 1, max_length = 200, pattern = "^[!-~]+$")
    )]
    pub(super) Option<String>,
);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Reply<Self> {
        let Some(header) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        match header.to_str() {
            Ok(key) if is_idempotency_key(key) => Ok(Self(Some(key.to_owned()))),
            _ => Err(ApiError::bad_request(
                "Idempotency-Key: must be 1 to 200 visible ASCII characters without spaces",
            )),
        }
    }
}

fn is_idempotency_key(text: &str) -> bool {
    (1..=MAX_IDEMPOTENCY_KEY).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Checks the body's `accounts`, a list of realm ids.
pub(super) fn check_accounts(realm_ids: &[String]) -> Reply<()> {
    if realm_ids.iter().all(|realm_id| is_realm_id(realm_id)) {
        Ok(())
    } else {
        Err(ApiError::bad_request(
            "accounts: must be realm ids, which are digits",
        ))
    }
}

/// Checks a job's id. Ids that are no UUIDs are none of ours and need no query.
pub(super) fn check_job_id(id: &str) -> Reply<()> {
    match uuid::Uuid::try_parse(id) {
        Ok(_) => Ok(()),
        Err(_) => Err(no_such_job()),
    }
}

/// The 404 of an unknown job.
pub(super) fn no_such_job() -> ApiError {
    ApiError::not_found("there is no such job")
}
