//! The HTTP face: what arrives is counted, struck by faults, let in or refused, answered, and sent.

mod connection;
mod endpoint;
mod gate;
mod service;
mod stats;
mod tokens;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use chrono::Utc;
use tokio::net::TcpListener;

use self::connection::{Listener, Peer};
use self::endpoint::Endpoint;
pub use self::stats::Stats;
use self::stats::{Arrival, Counts};
use super::answer::Answer;
use super::assumption::Assumptions;
use super::company::Company;
use super::control;
use super::faults::{Delivery, Faults, Strike};
use super::oauth::OAuth;
use super::throttle::Throttle;
use super::webhooks::Webhooks;
use super::{Environment, SandboxOptions, lock};

pub(super) use self::endpoint::{CONSENT_PATH, KINDS, REVOKE_PATH, TOKEN_PATH};
pub(super) use self::gate::forbidden;

type Hook = Box<dyn FnMut(&mut Company, u64) + Send>;

/// Larger requests are refused.
const MAX_REQUEST: usize = 16 << 20;

/// One company.
pub(super) struct Realm {
    pub id: String,
    company: RwLock<Company>,
    pub throttle: Mutex<Throttle>,
}

impl Realm {
    pub fn read(&self) -> RwLockReadGuard<'_, Company> {
        self.company
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Company> {
        self.company
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The books as queries see them now.
    fn settled(&self) -> RwLockReadGuard<'_, Company> {
        if self.read().has_pending() {
            self.write().settle(Instant::now());
        }
        self.read()
    }
}

/// What all requests share.
pub(super) struct State {
    pub realms: Vec<Realm>,
    environment: Environment,
    latency: Duration,
    pub oauth: Mutex<OAuth>,
    pub assumptions: RwLock<Assumptions>,
    pub faults: Mutex<Faults>,
    pub webhooks: Webhooks,
    counts: Mutex<Counts>,
    hook: Mutex<Option<Hook>>,
    queries: AtomicU64,
    serial: AtomicU64,
}

impl State {
    /// `companies`: the books, each with its realm.
    pub fn new(
        options: &SandboxOptions,
        companies: Vec<(String, Company)>,
        webhooks: Webhooks,
    ) -> Self {
        let ids: Vec<String> = companies.iter().map(|(id, _)| id.clone()).collect();
        let realms = companies.into_iter().map(|(id, mut company)| {
            company.visibility_delay = options.visibility_delay;
            company.listen(webhooks.listener(&id));
            Realm {
                id,
                company: RwLock::new(company),
                throttle: Mutex::new(Throttle::new(options.throttle)),
            }
        });
        Self {
            realms: realms.collect(),
            environment: options.environment,
            latency: options.latency,
            oauth: Mutex::new(OAuth::new(options.oauth.clone(), &ids, Instant::now())),
            assumptions: RwLock::new(options.assumptions.clone()),
            faults: Mutex::new(Faults::new(options.faults.clone())),
            webhooks,
            counts: Mutex::default(),
            hook: Mutex::default(),
            queries: AtomicU64::new(0),
            serial: AtomicU64::new(0),
        }
    }

    /// A company by its id; without one the first.
    pub fn realm(&self, id: Option<&str>) -> Option<&Realm> {
        match id {
            Some(id) => self.realms.iter().find(|realm| realm.id == id),
            None => self.realms.first(),
        }
    }

    pub fn assumptions(&self) -> Assumptions {
        self.assumptions
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    pub fn set_hook(&self, hook: Hook) {
        *lock(&self.hook) = Some(hook);
    }

    pub fn stats(&self) -> Stats {
        lock(&self.counts).stats()
    }

    pub fn reset_stats(&self) {
        lock(&self.counts).reset();
    }

    fn call_hook(&self, realm: &Realm, number: u64) {
        if let Some(hook) = &mut *lock(&self.hook) {
            hook(&mut realm.write(), number);
        }
    }
}

/// Serves for ever. Errors of single connections do not end it.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>) {
    let router = Router::new().fallback(handle).with_state(state);
    let _ = axum::serve(
        Listener(listener),
        router.into_make_service_with_connect_info::<Peer>(),
    )
    .await;
}

/// A request, read to its end.
struct Call {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn query(&self) -> HashMap<String, String> {
        form_fields(self.uri.query().unwrap_or_default())
    }

    fn form(&self) -> HashMap<String, String> {
        form_fields(&String::from_utf8_lossy(&self.body))
    }

    /// What faults can look for: everything that was asked.
    fn text(&self) -> String {
        let query = self
            .uri
            .query()
            .map(|query| percent_encoding::percent_decode_str(query).decode_utf8_lossy());
        format!(
            "{} {}",
            query.unwrap_or_default(),
            String::from_utf8_lossy(&self.body)
        )
    }
}

async fn handle(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_REQUEST).await else {
        return plain(&state, Answer::empty(413));
    };
    let call = Call {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
    };
    if let Some(command) = control::command(call.uri.path()) {
        let arguments = control::arguments(&call.body, &call.query());
        return plain(
            &state,
            control::answer(&state, &call.method, command, arguments),
        );
    }
    let endpoint = Endpoint::of(&call.method, call.uri.path());
    let arrival = Arrival::new(&state, endpoint.kind());
    let strike = lock(&state.faults).strike(
        endpoint.kind(),
        call.uri.path(),
        &call.text(),
        Instant::now(),
    );
    let answer = answer(&state, &call, &endpoint, &strike).await;
    control::apply(&state, &strike.changes);
    match answer {
        Some(answer) => send(&state, &call, &peer, answer, &strike, arrival),
        None => {
            arrival.finish(0, 0);
            peer.reset();
            Response::new(Body::empty())
        }
    }
}

/// What is answered; `None` if nothing is, and the connection breaks.
async fn answer(
    state: &Arc<State>,
    call: &Call,
    endpoint: &Endpoint<'_>,
    strike: &Strike,
) -> Option<Answer> {
    strike.wait().await;
    if let Some(answer) = strike.instead(Utc::now()) {
        return answer;
    }
    let answer = gate::answer(state, call, endpoint).await;
    if strike.loses_answer() {
        None
    } else {
        Some(answer)
    }
}

fn send(
    state: &State,
    call: &Call,
    peer: &Peer,
    answer: Answer,
    strike: &Strike,
    arrival: Arrival,
) -> Response {
    let answer = answer.negotiated(&call.headers).encoded(&call.headers);
    let status = answer.status;
    let (head, body) = answer.into_parts(state.serial.fetch_add(1, Ordering::Relaxed));
    arrival.finish(status, body.len());
    match strike.delivery() {
        Delivery::Whole => head.map(|()| Body::from(body)),
        broken => peer.deliver(head, body, broken),
    }
}

fn plain(state: &State, answer: Answer) -> Response {
    let (head, body) = answer.into_parts(state.serial.fetch_add(1, Ordering::Relaxed));
    head.map(|()| Body::from(body))
}

/// The fields of a form or a query string. A `+` is a space, as at the real service (qbo-facts
/// 2.4).
fn form_fields(text: &str) -> HashMap<String, String> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
