//! Who may come in, how many at a time, and for how long.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use tokio::sync::Semaphore;

use super::State;
use super::routes::failure;

/// Requests answered at a time.
const MAX_CONCURRENT: usize = 64;
/// Seconds that an answer may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

static PLACES: Semaphore = Semaphore::const_new(MAX_CONCURRENT);

/// The key that callers must send, as its hash: comparing hashes takes the same time whatever is
/// sent.
#[derive(Debug)]
pub(super) struct ApiKey([u8; 32]);

impl ApiKey {
    pub fn new(key: &str) -> Self {
        Self(hash(key))
    }

    fn is(&self, sent: &str) -> bool {
        let difference = self
            .0
            .iter()
            .zip(hash(sent))
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        difference == 0
    }
}

/// The key in a header: after `Bearer`, or, for the page, as the password of any user, which is
/// what a browser can send. Only for the page: what a browser remembers it also sends on behalf of
/// other sites.
fn key_of(header: &str, is_page: bool) -> Option<String> {
    // The scheme in any case (RFC 9110, 11.1).
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

/// Keeps out what another site makes a browser send. Without a key that includes whatever names
/// this machine otherwise than by its own name: a site whose name was made to lead here would be
/// the same site to the browser.
pub(super) async fn same_site(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if is_own_site(headers) && (state.key.is_some() || names_this_machine(headers)) {
        next.run(request).await
    } else {
        failure(
            StatusCode::FORBIDDEN,
            "another site may not ask for this; behind a proxy, set QBO_API_KEY",
        )
    }
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn is_own_site(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, own)| own == host),
        (Some(_), None) => false,
    }
}

fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// Lets in who has the key.
pub(super) async fn authenticate(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(key) = &state.key else {
        return next.run(request).await;
    };
    let sent = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let is_page = request.uri().path() == "/";
    if sent
        .and_then(|sent| key_of(sent, is_page))
        .is_some_and(|sent| key.is(&sent))
    {
        return next.run(request).await;
    }
    // A browser asks its user, for the page.
    let scheme = if is_page {
        "Basic realm=\"qbo_rs, the key as password\""
    } else {
        "Bearer"
    };
    let mut refused = failure(
        StatusCode::UNAUTHORIZED,
        "send the key as `Authorization: Bearer ...`",
    );
    refused
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    refused
}

/// Answers at most so many at a time, each within its time, and counts the answers.
pub(super) async fn limit(
    Shared(state): Shared<Arc<State>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let response = match PLACES.try_acquire() {
        Ok(_place) => match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => failure(StatusCode::GATEWAY_TIMEOUT, "it took too long"),
        },
        Err(_) => {
            let busy = failure(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests at a time; come back in a second",
            );
            ([(header::RETRY_AFTER, "1")], busy).into_response()
        }
    };
    state.counters.count_answer(response.status().as_u16());
    response
}
