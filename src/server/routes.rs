//! The table of all paths, and the layers around them.

use std::sync::Arc;

use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;

#[cfg(test)]
use super::openapi::{Denied, Failure, Unavailable};
use super::reply::{ApiError, Reply, protective_headers, refusals_as_json};
use super::state::{AppState, Shared};
use super::{api, guard, metrics, openapi, page, webhooks};

/// The largest body, in bytes, of every path but that of webhooks.
const MAX_BODY: usize = 64 * 1024;

/// Declares the documented paths, one a line. The router is made of them, and, in tests, the
/// OpenAPI document.
macro_rules! endpoints {
    ($(fn $name:ident { $($method:ident $path:literal => $handler:path;)* })*) => {
        $(
            fn $name() -> Router<Arc<AppState>> {
                Router::new()$(.merge(endpoint($path, $method($handler))))*
            }
        )*

        /// The document without its schemas of errors and keys.
        #[cfg(test)]
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($($handler),*),*))]
        pub(super) struct Endpoints;

        #[cfg(test)]
        pub(super) const ENDPOINTS: &[(&str, &str)] = &[
            $($((stringify!($method), $path),)*)*
        ];
    };
}

endpoints! {
    fn public {
        get "/healthz" => health;
        get "/readyz" => ready;
    }
    fn protected {
        get "/metrics" => show_metrics;
        post "/api/qbo/authorize/" => api::authorize;
        get "/api/qbo/accounts/" => api::accounts;
        post "/api/qbo/sync/" => api::sync;
        get "/api/qbo/sync/status/" => api::sync_status;
        get "/api/qbo/jobs/{id}" => api::job;
        post "/api/qbo/jobs/{id}/cancel/" => api::cancel;
        post "/api/qbo/webhooks/replay/" => api::replay;
        get "/api/qbo/{entity}/" => api::records;
    }
    fn signed {
        post "/webhooks/qbo" => webhooks::receive;
    }
}

/// Routes a path of the API with and without the final slash. tower-http's `NormalizePath` would
/// do so for every path, those outside the API included.
fn endpoint(path: &str, methods: MethodRouter<Arc<AppState>>) -> Router<Arc<AppState>> {
    let bare = path.trim_end_matches('/');
    let router = Router::new().route(bare, methods.clone());
    if bare.starts_with("/api/") {
        router.route(&format!("{bare}/"), methods)
    } else {
        router
    }
}

/// Builds the router. Paths that reveal nothing about a company need no API key.
///
/// Only requests that have shown the key, and whose body has arrived, share the limit of requests at
/// a time. Health and webhooks do not wait for them, nor for each other.
pub(super) fn router(state: Arc<AppState>) -> Router {
    let counted = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(guard::limit_exceeded))
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(guard::MAX_CONCURRENT))
        .timeout(guard::REQUEST_TIMEOUT);
    let in_time = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(guard::limit_exceeded))
        .timeout(guard::REQUEST_TIMEOUT);
    let protected = protected()
        .route("/", get(page::show).post(page::sync_now))
        .route_layer(counted)
        .route_layer(from_fn(guard::read_body))
        .route_layer(from_fn_with_state(state.clone(), guard::authenticate))
        .route_layer(from_fn_with_state(state.clone(), guard::same_site));
    let signed = signed().route_layer(in_time);
    public()
        .route("/openapi.json", get(document))
        .merge(signed)
        .merge(protected)
        .fallback(not_found)
        .layer(map_response(refusals_as_json))
        .layer(map_response(protective_headers))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(state.clone(), guard::count_answers))
        .with_state(state)
}

async fn document() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], openapi::DOCUMENT)
}

async fn not_found() -> ApiError {
    ApiError::not_found("unknown path; /openapi.json lists all paths")
}

/// The state of the process.
#[derive(Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct Status {
    status: &'static str,
}

/// Show that the process runs
#[cfg_attr(test, utoipa::path(
    get, path = "/healthz", operation_id = "health", security(),
    responses((status = 200, description = "The process runs; with `?deep`, nothing needs somebody, too", body = Status), Unavailable),
))]
async fn health(
    State(state): Shared,
    Query(asked): Query<HealthQuery>,
    headers: HeaderMap,
) -> Reply<Json<Status>> {
    if asked.deep.is_none() {
        return Ok(Json(Status { status: "ok" }));
    }
    match state.health.check(&state.service).await {
        Ok(()) => Ok(Json(Status { status: "ok" })),
        Err(reasons) if guard::has_key(&state, &headers) => Err(ApiError::unavailable(reasons)),
        Err(_) => Err(ApiError::unavailable(match state.api_key {
            Some(_) => "action required; callers with the key get the reasons",
            None => {
                "action required; `qbo-rs status` names the reasons, and this answer does if QBO_API_KEY is set and sent"
            }
        })),
    }
}

/// The query of `/healthz`; any value of `deep`, or none, asks for it.
#[derive(Deserialize)]
struct HealthQuery {
    deep: Option<String>,
}

/// Show whether the database answers
#[cfg_attr(test, utoipa::path(
    get, path = "/readyz", operation_id = "ready", security(),
    responses((status = 200, description = "The database answers", body = Status), Unavailable),
))]
async fn ready(State(state): Shared, headers: HeaderMap) -> Reply<Json<Status>> {
    match state.readiness.check(&state.service).await {
        Ok(()) => Ok(Json(Status { status: "ready" })),
        Err(reason) if guard::has_key(&state, &headers) => Err(ApiError::unavailable(reason)),
        Err(_) => Err(ApiError::unavailable("not ready; the log says why")),
    }
}

/// Metrics in the text format of Prometheus
#[cfg_attr(test, utoipa::path(
    get, path = "/metrics", operation_id = "metrics",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
        Denied, Failure,
    ),
))]
async fn show_metrics(State(state): Shared) -> Reply<([(HeaderName, &'static str); 1], String)> {
    let text = metrics::text(&state.service, &state.counters).await?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}
