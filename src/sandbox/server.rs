//! The HTTP face: paths, tokens, limits, answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use chrono::Utc;

use super::answer::{Answer, ServiceFault, gateway_fault, throttled};
use super::company::Company;
use super::oauth::{AccessCheck, OAuth};
use super::throttle::Throttle;
use super::{SandboxOptions, lock, query};

/// The token endpoint's path, as at Intuit.
pub(super) const TOKEN_PATH: &str = "/oauth2/v1/tokens/bearer";

/// What the server has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests for tokens.
    pub token_requests: u64,
    /// Requests for data, throttled ones included.
    pub data_requests: u64,
    /// Of those, refused by the throttle.
    pub throttled: u64,
    /// Most requests at the same time.
    pub most_in_flight: usize,
    /// Most requests in any second.
    pub most_per_second: usize,
}

type Hook = Box<dyn FnMut(&mut Company, u64) + Send>;

/// What all requests share.
pub(super) struct State {
    realm_id: String,
    latency: Duration,
    company: Mutex<Company>,
    oauth: Mutex<OAuth>,
    throttle: Mutex<Throttle>,
    hook: Mutex<Option<Hook>>,
    token_requests: AtomicU64,
    data_requests: AtomicU64,
    throttled: AtomicU64,
    queries: AtomicU64,
    serial: AtomicU64,
}

impl State {
    pub fn new(options: &SandboxOptions, company: Company) -> Self {
        Self {
            realm_id: options.realm_id.clone(),
            latency: options.latency,
            company: Mutex::new(company),
            oauth: Mutex::new(OAuth::new(options.oauth.clone(), Instant::now())),
            throttle: Mutex::new(Throttle::new(options.throttle)),
            hook: Mutex::default(),
            token_requests: AtomicU64::new(0),
            data_requests: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            queries: AtomicU64::new(0),
            serial: AtomicU64::new(0),
        }
    }

    pub fn company(&self) -> MutexGuard<'_, Company> {
        lock(&self.company)
    }

    pub fn set_hook(&self, hook: Hook) {
        *lock(&self.hook) = Some(hook);
    }

    pub fn stats(&self) -> Stats {
        let throttle = lock(&self.throttle);
        Stats {
            token_requests: self.token_requests.load(Ordering::Relaxed),
            data_requests: self.data_requests.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            most_in_flight: throttle.most_in_flight,
            most_per_second: throttle.most_per_second,
        }
    }

    fn respond(&self, answer: Answer, request: &HeaderMap) -> Response {
        answer.into_response(request, self.serial.fetch_add(1, Ordering::Relaxed))
    }

    /// What the gateway says before the service sees the request; `None` lets it through.
    fn refuse(&self, realm: &str, headers: &HeaderMap) -> Option<Answer> {
        let now = Utc::now();
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = bearer.unwrap_or_default();
        let detail = match lock(&self.oauth).check_access(token, Instant::now()) {
            AccessCheck::Valid if realm == self.realm_id => return None,
            AccessCheck::Valid => {
                let detail = "ApplicationAuthorizationFailed";
                let body = gateway_fault(403, "ApplicationAuthorizationFailed", "3100", detail, "AUTHORIZATION", now);
                return Some(Answer::json(403, &body));
            }
            // The real one echoes the token too; clients must not log it.
            AccessCheck::Expired => format!("Token expired: {token}"),
            AccessCheck::Unknown => "Malformed bearer token: too short or too long".to_owned(),
        };
        Some(Answer::json(401, &gateway_fault(401, "AuthenticationFailed", "3200", &detail, "AUTHENTICATION", now)))
    }

    fn query(&self, statement: &str) -> Answer {
        let time = Utc::now();
        let outcome = query::parse(statement).and_then(|parsed| query::run(&self.company(), &parsed, time));
        let number = self.queries.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(hook) = &mut *lock(&self.hook) {
            hook(&mut self.company(), number);
        }
        match outcome {
            Ok(body) => Answer::json_text(200, body),
            Err(fault) => Answer::json(400, &fault.body(time)),
        }
    }
}

/// All paths.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route(TOKEN_PATH, post(token))
        .route("/v3/company/{realm}/query", get(query_by_get).post(query_by_post))
        .fallback(unsupported)
        .with_state(state)
}

async fn token(Shared(state): Shared<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    state.token_requests.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(state.latency).await;
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let form = form_fields(std::str::from_utf8(&body).unwrap_or_default());
    let (status, body) = lock(&state.oauth).token(authorization, &form, Instant::now());
    state.respond(Answer::json(status, &body), &headers)
}

async fn query_by_get(
    Shared(state): Shared<Arc<State>>,
    Path(realm): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let statement = form_fields(query.as_deref().unwrap_or_default()).remove("query").unwrap_or_default();
    answer_query(&state, &realm, headers, statement).await
}

async fn query_by_post(
    Shared(state): Shared<Arc<State>>,
    Path(realm): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let statement = String::from_utf8_lossy(&body).into_owned();
    answer_query(&state, &realm, headers, statement).await
}

async fn answer_query(state: &Arc<State>, realm: &str, headers: HeaderMap, statement: String) -> Response {
    state.data_requests.fetch_add(1, Ordering::Relaxed);
    if let Some(refusal) = state.refuse(realm, &headers) {
        return state.respond(refusal, &headers);
    }
    if !lock(&state.throttle).enter(Instant::now()) {
        state.throttled.fetch_add(1, Ordering::Relaxed);
        return state.respond(Answer::xml(429, throttled(Utc::now())), &headers);
    }
    let _in_flight = InFlight(state.clone());
    tokio::time::sleep(state.latency).await;
    state.respond(state.query(&statement), &headers)
}

/// Leaves the throttle when the answer is done, or the client has gone.
struct InFlight(Arc<State>);

impl Drop for InFlight {
    fn drop(&mut self) {
        lock(&self.0.throttle).leave();
    }
}

async fn unsupported(Shared(state): Shared<Arc<State>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let fault = ServiceFault::unsupported(&format!("{method} {}", uri.path()));
    state.respond(Answer::json(400, &fault.body(Utc::now())), &headers)
}

/// The fields of a form or a query string. A `+` is a space, as at the real service (qbo-facts 2.4).
fn form_fields(text: &str) -> HashMap<String, String> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}
