//! The handlers of `/api/qbo`, each with its description for the OpenAPI document.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::openapi::{BadRequest, Denied, EntityName, Failure, NotFound, RealmId, TooLarge};
#[cfg(test)]
use super::reply::ErrorBody;
use super::reply::{ApiError, Reply};
use super::requests::{IdempotencyKey, JsonBody, check_accounts, check_job_id, no_such_job};
use super::state::Shared;
use crate::app::{CompanyReport, EntityState, Job, RecordPage, RecordRequest, SyncScope};
use crate::domain::instant::is_storable;
use crate::domain::is_realm_id;
use crate::error::Error;

const DEFAULT_PAGE: u16 = 100;
const MAX_PAGE: u16 = 1000;

/// The code that a user's consent returned.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct Authorization {
    #[cfg_attr(test, schema(min_length = 1))]
    code: String,
    /// The company.
    #[cfg_attr(test, schema(pattern = "^[0-9]{1,30}$"))]
    realm_id: String,
    /// The redirect URI that the consent was started with.
    #[cfg_attr(test, schema(min_length = 1))]
    redirect_uri: String,
}

/// A company that was just connected.
#[derive(Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct Connected {
    realm_id: String,
    refresh_token_expires_at: Option<DateTime<Utc>>,
}

/// Connect a company with the code of its user's consent
#[cfg_attr(test, utoipa::path(
    post, path = "/api/qbo/authorize/", operation_id = "authorize",
    request_body = Authorization,
    responses(
        (status = 200, description = "The company is connected", body = Connected),
        (status = 409, description = "QuickBooks refused the code", body = ErrorBody),
        BadRequest, TooLarge, Denied, Failure,
    ),
))]
pub(super) async fn authorize(
    State(state): Shared,
    JsonBody(body): JsonBody<Authorization>,
) -> Reply<Json<Connected>> {
    let Authorization {
        code,
        realm_id,
        redirect_uri,
    } = body;
    if code.is_empty() || redirect_uri.is_empty() || !is_realm_id(&realm_id) {
        return Err(ApiError::bad_request(
            "code, realm_id, which is digits, and redirect_uri are needed",
        ));
    }
    let connection = state
        .service
        .authorise(&realm_id, &code, &redirect_uri)
        .await?;
    Ok(Json(Connected {
        realm_id,
        refresh_token_expires_at: connection.refresh_token_expires_at,
    }))
}

/// All connected companies.
#[derive(Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct Accounts {
    accounts: Vec<CompanyReport>,
}

/// List the connected companies
#[cfg_attr(test, utoipa::path(
    get, path = "/api/qbo/accounts/", operation_id = "accounts",
    responses(
        (status = 200, description = "All connections", body = Accounts),
        BadRequest, Denied, Failure,
    ),
))]
pub(super) async fn accounts(State(state): Shared) -> Reply<Json<Accounts>> {
    let accounts = state.service.accounts().await?;
    Ok(Json(Accounts { accounts }))
}

/// The companies and entities to sync.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct SyncBody {
    /// Names of entities; empty: all.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Vec<EntityName>))]
    entities: Vec<String>,
    /// Realm ids; empty: all.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Vec<RealmId>))]
    accounts: Vec<String>,
}

/// Queue a sync
#[cfg_attr(test, utoipa::path(
    post, path = "/api/qbo/sync/", operation_id = "sync",
    params(IdempotencyKey),
    request_body = SyncBody,
    responses(
        (
            status = 202, description = "The job, new or queued before with the same key",
            body = Job, headers(("Location" = String, description = "Path of the job")),
        ),
        (
            status = 409, description = "The key was used before for another request",
            body = ErrorBody,
        ),
        NotFound, BadRequest, TooLarge, Denied, Failure,
    ),
))]
pub(super) async fn sync(
    State(state): Shared,
    IdempotencyKey(key): IdempotencyKey,
    body: Option<JsonBody<SyncBody>>,
) -> Reply<(StatusCode, [(HeaderName, String); 1], Json<Job>)> {
    let SyncBody { entities, accounts } = body.map(|JsonBody(body)| body).unwrap_or_default();
    check_accounts(&accounts)?;
    if let Some(unknown) = state.service.unknown_company(&accounts).await? {
        let reason = format!("accounts: company {unknown} is not connected");
        return Err(ApiError::not_found(reason));
    }
    let request = SyncScope { entities, accounts };
    let job = state.service.enqueue_sync(&request, key.as_deref()).await?;
    let job = job.ok_or_else(|| {
        let reason = "Idempotency-Key: it was used before, for something else";
        ApiError::new(StatusCode::CONFLICT, reason)
    })?;
    let location = format!("/api/qbo/jobs/{}", job.job_id);
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(job),
    ))
}

/// The sync states of all entities.
#[derive(Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct EntityStates {
    entities: Vec<EntityState>,
}

/// Show the sync state of every entity of every company
#[cfg_attr(test, utoipa::path(
    get, path = "/api/qbo/sync/status/", operation_id = "syncStatus",
    responses(
        (status = 200, description = "All sync states", body = EntityStates),
        Denied, Failure,
    ),
))]
pub(super) async fn sync_status(State(state): Shared) -> Reply<Json<EntityStates>> {
    let entities = state.service.entity_states().await?;
    Ok(Json(EntityStates { entities }))
}

/// Show a job
#[cfg_attr(test, utoipa::path(
    get, path = "/api/qbo/jobs/{id}", operation_id = "job",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "The job as it is now", body = Job),
        NotFound, Denied, Failure,
    ),
))]
pub(super) async fn job(State(state): Shared, Path(id): Path<String>) -> Reply<Json<Job>> {
    check_job_id(&id)?;
    let job = state.service.job(&id).await?;
    job.map(Json).ok_or_else(no_such_job)
}

/// Cancel a job
///
/// A running job ends within about a second. Rows that it has committed stay.
#[cfg_attr(test, utoipa::path(
    post, path = "/api/qbo/jobs/{id}/cancel/", operation_id = "cancel",
    params(("id" = String, Path)),
    responses(
        (status = 202, description = "The job was asked to end", body = Job),
        NotFound, Denied, Failure,
    ),
))]
pub(super) async fn cancel(
    State(state): Shared,
    Path(id): Path<String>,
) -> Reply<(StatusCode, Json<Job>)> {
    check_job_id(&id)?;
    let job = state.service.cancel_job(&id).await?;
    let job = job.ok_or_else(no_such_job)?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// The webhook events to process again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct Replay {
    /// Events received at or after this instant. Events are kept for 30 days.
    since: DateTime<Utc>,
    /// Realm ids; empty: all.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Vec<RealmId>))]
    accounts: Vec<String>,
}

/// The result of a replay.
#[derive(Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct Replayed {
    /// Events that will be processed again.
    events: u64,
}

/// Process webhook events again
///
/// Each company that the events name gets one sync.
#[cfg_attr(test, utoipa::path(
    post, path = "/api/qbo/webhooks/replay/", operation_id = "replay",
    request_body = Replay,
    responses(
        (status = 202, description = "The events are waiting for their sync", body = Replayed),
        BadRequest, TooLarge, Denied, Failure,
    ),
))]
pub(super) async fn replay(
    State(state): Shared,
    JsonBody(Replay { since, accounts }): JsonBody<Replay>,
) -> Reply<(StatusCode, Json<Replayed>)> {
    check_accounts(&accounts)?;
    if !is_storable(since) {
        return Err(ApiError::bad_request(
            "since: must be in the years 1 to 9999",
        ));
    }
    let events = state.service.replay_events(since, &accounts).await?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { events })))
}

/// The query parameters of a page of records.
#[derive(Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub(super) struct RecordQuery {
    /// The company; required.
    #[cfg_attr(test, param(value_type = String, required = true, pattern = "^[0-9]{1,30}$"))]
    realm_id: Option<String>,
    /// Return records whose id is greater than this; `next` of the previous page.
    #[serde(default)]
    #[cfg_attr(test, param(pattern = "^[^\\u0000]*$"))]
    after: String,
    /// Records in the page.
    #[cfg_attr(test, param(value_type = u16, required = false, minimum = 1, maximum = 1000, default = 100))]
    limit: Option<u16>,
    /// Include deleted records.
    #[serde(default)]
    #[cfg_attr(test, param(default = false))]
    deleted: bool,
}

/// List the records of a company, ordered by id
#[cfg_attr(test, utoipa::path(
    get, path = "/api/qbo/{entity}/", operation_id = "records",
    params(
        ("entity" = String, Path, description = "customers, invoices, items or any other entity"),
        RecordQuery,
    ),
    responses(
        (status = 200, description = "A page of records", body = RecordPage),
        BadRequest, NotFound, Denied, Failure,
    ),
))]
pub(super) async fn records(
    State(state): Shared,
    Path(entity): Path<String>,
    query: Result<Query<RecordQuery>, QueryRejection>,
) -> Reply<Json<RecordPage>> {
    let Query(query) = query?;
    let request = query.into_request(entity)?;
    match state.service.records(&request).await {
        Ok(page) => Ok(Json(page)),
        Err(Error::Config { setting, .. }) if setting == "entity" => Err(ApiError::not_found(
            "there is no such entity; `qbo-rs entities` lists them",
        )),
        // The company has no records here.
        Err(error @ Error::Config { .. }) => Err(ApiError::not_found(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

impl RecordQuery {
    fn into_request(self, entity: String) -> Reply<RecordRequest> {
        let limit = self.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(ApiError::bad_request("limit: must be from 1 to 1000"));
        }
        let realm_id = self
            .realm_id
            .filter(|realm_id| is_realm_id(realm_id))
            .ok_or_else(|| ApiError::bad_request("realm_id, which is digits, is needed"))?;
        if self.after.contains('\0') {
            return Err(ApiError::bad_request("after: must not contain NUL"));
        }
        Ok(RecordRequest {
            entity,
            realm_id,
            after: self.after,
            limit,
            with_deleted: self.deleted,
        })
    }
}
