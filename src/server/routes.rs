//! The paths, and what each answers.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{State, guard, metrics, page, webhooks};
use crate::app::{RecordRequest, SyncScope};
use crate::error::Error;

const OPENAPI: &str = include_str!("openapi.json");
/// No request has more to say.
const MAX_BODY: usize = 64 * 1024;
const MAX_KEY: usize = 200;

type App = Shared<Arc<State>>;

/// Everything that is answered. What tells nothing of a company needs no key.
pub(super) fn router(state: Arc<State>) -> Router {
    let calls = [
        ("/api/qbo/authorize/", post(authorise)),
        ("/api/qbo/accounts/", get(accounts)),
        ("/api/qbo/sync/", post(sync)),
        ("/api/qbo/sync/status/", get(sync_status)),
        ("/api/qbo/jobs/{id}", get(job)),
        ("/api/qbo/jobs/{id}/cancel/", post(cancel)),
        ("/api/qbo/webhooks/replay/", post(replay)),
        ("/api/qbo/{entity}/", get(records)),
    ];
    let api = calls
        .into_iter()
        .fold(Router::new(), |router, (path, call)| {
            let bare = path.trim_end_matches('/');
            // With and without the slash at the end.
            router
                .route(bare, call.clone())
                .route(&format!("{bare}/"), call)
        });
    let api = api
        .route("/metrics", get(show_metrics))
        .route("/", get(page::show))
        .route_layer(from_fn_with_state(state.clone(), guard::authenticate))
        .route_layer(from_fn_with_state(state.clone(), guard::same_site));
    Router::new()
        .route(
            "/healthz",
            get(|| async { answer(StatusCode::OK, &json!({"status": "ok"})) }),
        )
        .route("/readyz", get(ready))
        .route(
            "/openapi.json",
            get(|| async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) }),
        )
        .route(
            "/webhooks/qbo",
            post(webhooks::receive)
                .layer(DefaultBodyLimit::max(webhooks::MAX_DELIVERY))
                .route_layer(from_fn_with_state(state.clone(), webhooks::limit)),
        )
        .merge(api)
        .fallback(|| async {
            failure(
                StatusCode::NOT_FOUND,
                "there is nothing here; /openapi.json lists what there is",
            )
        })
        .layer(map_response(as_json))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(state.clone(), guard::limit))
        .with_state(state)
}

/// Refusals of the framework, which are plain text, in the form of ours.
async fn as_json(response: Response) -> Response {
    let is_json = response.headers().contains_key(header::CONTENT_TYPE)
        && response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind != "text/plain; charset=utf-8");
    let status = response.status();
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut told = failure(status, status.canonical_reason().unwrap_or("refused"));
    if let Some(allow) = allow {
        told.headers_mut().insert(header::ALLOW, allow);
    }
    told
}

pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) fn failure(status: StatusCode, reason: &str) -> Response {
    answer(status, &json!({"error": reason}))
}

pub(super) fn refused(error: &Error) -> Response {
    let status = match error {
        Error::Config { .. } => StatusCode::BAD_REQUEST,
        // A code that was used, has expired, or never was.
        Error::Unauthenticated { .. } => StatusCode::CONFLICT,
        Error::Database { .. } | Error::Transport { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    failure(status, &error.to_string())
}

fn parsed<T: DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    // Taken at its word, an empty array would be an object without members.
    let object: serde_json::Map<String, Value> =
        serde_json::from_slice(body).map_err(|e| format!("the body: {e}"))?;
    serde_json::from_value(Value::Object(object)).map_err(|e| format!("the body: {e}"))
}

async fn ready(Shared(state): App) -> Response {
    match state.service.ready().await {
        Ok(()) => answer(StatusCode::OK, &json!({"status": "ready"})),
        Err(error) => failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn show_metrics(Shared(state): App) -> Response {
    match metrics::text(&state.service, &state.counters).await {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorisation {
    code: String,
    realm_id: String,
    redirect_uri: String,
}

async fn authorise(Shared(state): App, body: Bytes) -> Response {
    let asked: Authorisation = match parsed(&body) {
        Ok(asked) => asked,
        Err(reason) => return failure(StatusCode::BAD_REQUEST, &reason),
    };
    if asked.code.is_empty() || asked.redirect_uri.is_empty() || !is_realm_id(&asked.realm_id) {
        return failure(
            StatusCode::BAD_REQUEST,
            "code, realm_id, which is digits, and redirect_uri are needed",
        );
    }
    match state
        .service
        .authorise(&asked.realm_id, &asked.code, &asked.redirect_uri)
        .await
    {
        Ok(connection) => answer(
            StatusCode::OK,
            &json!({"realm_id": asked.realm_id, "refresh_token_expires_at": connection.refresh_token_expires_at}),
        ),
        Err(error) => refused(&error),
    }
}

async fn accounts(Shared(state): App) -> Response {
    match state.service.accounts().await {
        Ok(accounts) => answer(StatusCode::OK, &json!({"accounts": accounts})),
        Err(error) => refused(&error),
    }
}

async fn sync(Shared(state): App, headers: HeaderMap, body: Bytes) -> Response {
    let asked: SyncScope = match body.is_empty() {
        true => SyncScope::default(),
        false => match parsed(&body) {
            Ok(asked) => asked,
            Err(reason) => return failure(StatusCode::BAD_REQUEST, &reason),
        },
    };
    let key = match headers.get("idempotency-key").map(|key| key.to_str()) {
        None => None,
        Some(Ok(key)) if is_key(key) => Some(key),
        Some(_) => {
            return failure(
                StatusCode::BAD_REQUEST,
                "Idempotency-Key: 1 to 200 visible characters, no blanks",
            );
        }
    };
    if !asked.accounts.iter().all(|account| is_realm_id(account)) {
        return failure(
            StatusCode::BAD_REQUEST,
            "accounts: realm ids, which are digits",
        );
    }
    match state.service.enqueue_sync(&asked, key).await {
        Ok(None) => failure(
            StatusCode::CONFLICT,
            "Idempotency-Key: it was used before, for something else",
        ),
        Ok(Some(job)) => {
            let place = format!("/api/qbo/jobs/{}", job.job_id);
            (
                [(header::LOCATION, place)],
                answer(StatusCode::ACCEPTED, &job),
            )
                .into_response()
        }
        Err(error) => refused(&error),
    }
}

fn is_key(text: &str) -> bool {
    (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_realm_id(text: &str) -> bool {
    (1..=30).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

async fn sync_status(Shared(state): App) -> Response {
    match state.service.entity_states().await {
        Ok(states) => answer(StatusCode::OK, &json!({"entities": states})),
        Err(error) => refused(&error),
    }
}

/// Ids are those that we gave out; others need not be looked up.
fn is_job_id(id: &str) -> bool {
    uuid::Uuid::try_parse(id).is_ok()
}

async fn job(Shared(state): App, Path(id): Path<String>) -> Response {
    if !is_job_id(&id) {
        return failure(StatusCode::NOT_FOUND, "there is no such job");
    }
    match state.service.job(&id).await {
        Ok(Some(job)) => answer(StatusCode::OK, &job),
        Ok(None) => failure(StatusCode::NOT_FOUND, "there is no such job"),
        Err(error) => refused(&error),
    }
}

async fn cancel(Shared(state): App, Path(id): Path<String>) -> Response {
    if !is_job_id(&id) {
        return failure(StatusCode::NOT_FOUND, "there is no such job");
    }
    match state.service.cancel_job(&id).await {
        Ok(Some(job)) => answer(StatusCode::ACCEPTED, &job),
        Ok(None) => failure(StatusCode::NOT_FOUND, "there is no such job"),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    since: DateTime<Utc>,
    #[serde(default)]
    accounts: Vec<String>,
}

async fn replay(Shared(state): App, body: Bytes) -> Response {
    let asked: Replay = match parsed(&body) {
        Ok(asked) => asked,
        Err(reason) => return failure(StatusCode::BAD_REQUEST, &reason),
    };
    if !asked.accounts.iter().all(|account| is_realm_id(account)) {
        return failure(
            StatusCode::BAD_REQUEST,
            "accounts: realm ids, which are digits",
        );
    }
    match state
        .service
        .replay_events(asked.since, &asked.accounts)
        .await
    {
        Ok(events) => answer(StatusCode::ACCEPTED, &json!({"events": events})),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
struct Listing {
    realm_id: Option<String>,
    #[serde(default)]
    after: String,
    limit: Option<u16>,
    #[serde(default)]
    deleted: bool,
}

const MAX_RECORDS: u16 = 1000;

type Asked<T> = Result<Query<T>, QueryRejection>;

async fn records(
    Shared(state): App,
    Path(entity): Path<String>,
    listing: Asked<Listing>,
) -> Response {
    let Listing {
        realm_id,
        after,
        limit,
        deleted,
    } = match listing {
        Ok(Query(listing)) => listing,
        Err(rejection) => return failure(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let limit = limit.unwrap_or(100);
    if !(1..=MAX_RECORDS).contains(&limit) {
        return failure(StatusCode::BAD_REQUEST, "limit: 1 to 1000");
    }
    let Some(realm_id) = realm_id.filter(|realm_id| is_realm_id(realm_id)) else {
        return failure(
            StatusCode::BAD_REQUEST,
            "realm_id, which is digits, is needed",
        );
    };
    if after.contains('\0') {
        return failure(StatusCode::BAD_REQUEST, "after holds a NUL");
    }
    let request = RecordRequest {
        entity,
        realm_id,
        after,
        limit,
        with_deleted: deleted,
    };
    match state.service.records(&request).await {
        Ok(page) => answer(StatusCode::OK, &page),
        Err(Error::Config { setting, .. }) if setting == "entity" => failure(
            StatusCode::NOT_FOUND,
            "there is no such entity; `qbo-rs entities` lists them",
        ),
        Err(error @ Error::Config { .. }) => failure(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error) => refused(&error),
    }
}
