//! Access control and limits: the API key, cross-site requests, concurrency and time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tower::timeout::error::Elapsed;

use super::places::Place;
use super::protection::holding;
use super::reply::{ApiError, Reply};
use super::state::{AppState, Shared};

/// Requests of callers answered at a time; further ones get a 503. Webhooks and health are not
/// counted.
pub(super) const MAX_CONCURRENT: usize = 64;
/// The time that an answer may take; after that the caller gets a 504.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The time that the body of a caller's request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Counts the answers of the API by status.
pub(super) async fn count_answers(State(state): Shared, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    state.counters.count_answer(response.status().as_u16());
    response
}

/// Turns the errors of the limiting layers into replies: 504 for the timeout, 503 for too many
/// requests at a time.
pub(super) async fn limit_exceeded(error: BoxError) -> Response {
    if error.is::<Elapsed>() {
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, "the request took too long").into_response()
    } else {
        ApiError::unavailable("too many requests at a time; come back in a second").retry_soon()
    }
}

/// Refuses requests that another site makes a browser send. Without an API key, it also refuses
/// every `Host` but this machine's own names: a foreign domain that resolves to this machine (DNS
/// rebinding) would count as the same site for the browser.
pub(super) async fn same_site(
    State(state): Shared,
    request: Request,
    next: Next,
) -> Reply<Response> {
    let headers = request.headers();
    if is_same_origin(headers) && (state.api_key.is_some() || is_loopback_host(headers)) {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "another site may not ask for this; behind a proxy, set QBO_API_KEY",
        ))
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns whether `Host` is `localhost` or a loopback address, with or without a port.
fn is_loopback_host(headers: &HeaderMap) -> bool {
    let host = text(headers, header::HOST).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Returns whether `Origin`, which browsers send, names the same host as `Host`.
fn is_same_origin(headers: &HeaderMap) -> bool {
    match (text(headers, header::ORIGIN), text(headers, header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, own)| own == host),
        (Some(_), None) => false,
    }
}

/// Requires the API key, if one is set.
pub(super) async fn authenticate(State(state): Shared, request: Request, next: Next) -> Response {
    let Some(key) = &state.api_key else {
        return next.run(request).await;
    };
    let is_page = request.uri().path() == "/";
    let sent =
        text(request.headers(), header::AUTHORIZATION).and_then(|header| sent_key(header, is_page));
    if !sent.is_some_and(|sent| key.matches(&sent)) {
        return unauthorized(is_page);
    }
    let protected = place_of(&request).map(|place| place.protect());
    holding(next.run(request).await, protected)
}

/// Returns whether a request has the API key. False if there is none, for then nobody has proven
/// anything.
pub(super) fn has_key(state: &AppState, headers: &HeaderMap) -> bool {
    let sent = text(headers, header::AUTHORIZATION).and_then(|header| sent_key(header, false));
    let key = state.api_key.as_ref();
    key.zip(sent).is_some_and(|(key, sent)| key.matches(&sent))
}

/// Returns the place of the connection that a request came by.
fn place_of(request: &Request) -> Option<Arc<Place>> {
    request.extensions().get().cloned()
}

/// Reads the whole body before the request counts as one of [`MAX_CONCURRENT`], so that a caller
/// who sends it slowly uses up no place.
pub(super) async fn read_body(request: Request, next: Next) -> Reply<Response> {
    let (head, body) = request.into_parts();
    let to_read = Request::from_parts(head.clone(), body);
    let body = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(to_read, &())).await;
    let too_slow = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body arrives too slowly");
    let body = Body::from(body.map_err(too_slow)??);
    Ok(next.run(Request::from_parts(head, body)).await)
}

/// Returns the key in an `Authorization` header: the token after `Bearer`, or the password of
/// `Basic` with any user name. `Basic` is accepted for the page only, because a browser also
/// sends remembered passwords with requests that other sites cause.
fn sent_key(header: &str, is_page: bool) -> Option<String> {
    // The scheme is case-insensitive (RFC 9110, 11.1).
    let (scheme, sent) = header.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(sent.to_owned()),
        "basic" if is_page => {
            let pair = String::from_utf8(STANDARD.decode(sent).ok()?).ok()?;
            pair.split_once(':').map(|(_, key)| key.to_owned())
        }
        _ => None,
    }
}

/// The 401. For the page it makes the browser ask its user for the key.
fn unauthorized(is_page: bool) -> Response {
    let scheme = if is_page {
        "Basic realm=\"qbo_rs, the key as password\""
    } else {
        "Bearer"
    };
    let scheme = HeaderValue::from_static(scheme);
    let reason = "send the key as `Authorization: Bearer ...`";
    let refusal = ApiError::new(StatusCode::UNAUTHORIZED, reason);
    ([(header::WWW_AUTHENTICATE, scheme)], refusal).into_response()
}
