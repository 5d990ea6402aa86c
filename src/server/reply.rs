//! Replies of the HTTP API. Every refusal is a status with the JSON body `{"error": "..."}`.

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::Error;

/// The result of a handler: its reply, or a refusal.
pub(super) type Reply<T> = Result<T, ApiError>;

/// A refused or failed request: a status and the reason that the caller reads.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    reason: String,
}

/// The body of every refusal.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema), schema(as = Error))]
pub(super) struct ErrorBody {
    /// The reason, in one sentence.
    error: String,
}

impl ApiError {
    /// Creates a refusal with the given status.
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
        }
    }

    /// Creates a 400: the request is malformed or a parameter is out of range.
    pub(super) fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// Creates a 404.
    pub(super) fn not_found(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason)
    }

    /// Creates a 503: the caller should retry later.
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// Responds with `Retry-After: 1`, for limits that clear within a second.
    pub(super) fn retry_soon(self) -> Response {
        ([(header::RETRY_AFTER, "1")], self).into_response()
    }

    fn from_status(status: StatusCode) -> Self {
        Self::new(status, status.canonical_reason().unwrap_or("refused"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: self.reason };
        (self.status, Json(body)).into_response()
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::Config { .. } => StatusCode::BAD_REQUEST,
            // The authorization code was used before, has expired or is not Intuit's.
            Error::Unauthenticated { .. } => StatusCode::CONFLICT,
            // 22: Postgres cannot take a value. It will not take it later either.
            Error::Database {
                sqlstate: Some(ref state),
                ..
            } if state.starts_with("22") => StatusCode::INTERNAL_SERVER_ERROR,
            Error::Database { .. } | Error::Transport { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        Self::from_status(rejection.status())
    }
}

/// Headers of every answer, by which browsers do not guess its type, do not keep it, and do not
/// show it inside another site. The page has a policy of its own.
const PROTECTIVE: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// Adds [`PROTECTIVE`] headers where the answer has none of that name.
pub(super) async fn protective_headers(mut response: Response) -> Response {
    for (name, value) in PROTECTIVE {
        let headers = response.headers_mut();
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Rewrites refusals of axum itself, which are plain text (405, 413), as [`ErrorBody`].
pub(super) async fn refusals_as_json(response: Response) -> Response {
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_plain = content_type.is_none_or(|kind| kind == "text/plain; charset=utf-8");
    if !(is_refusal && is_plain) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut refusal = ApiError::from_status(status).into_response();
    if let Some(allow) = allow {
        refusal.headers_mut().insert(header::ALLOW, allow);
    }
    refusal
}
