//! The OAuth endpoints over HTTP.

use std::time::Instant;

use serde_json::json;

use super::endpoint::{CONSENT_PATH, REVOKE_PATH, TOKEN_PATH};
use super::{Call, State, gate};
use crate::answer::Answer;
use crate::assumption::{Assumptions, Doubt};
use crate::lock;
use crate::oauth::TokenExtras;

pub(super) fn token(state: &State, call: &Call, assumptions: &Assumptions) -> Answer {
    let is_used_up = state
        .realms
        .iter()
        .any(|realm| lock(&realm.throttle).is_used_up());
    if is_used_up && assumptions.is_harder(Doubt::QuotaOnRefresh) {
        return gate::throttled(assumptions);
    }
    let extras = TokenExtras {
        hard_expiry: call.header("x-include-refresh-token-hard-expires-in") == Some("true"),
        description: !assumptions.is_harder(Doubt::GrantDescription),
    };
    let (status, body) = lock(&state.oauth).token(
        call.header("authorization"),
        &call.form(),
        extras,
        Instant::now(),
    );
    if status == 200 {
        lock(&state.counts).refreshed();
    }
    Answer::json(status, &body)
}

/// Every answer has an empty body (qbo-facts 1.2).
pub(super) fn revoke(state: &State, call: &Call) -> Answer {
    let body: Option<serde_json::Value> = serde_json::from_slice(&call.body).ok();
    let token = body.as_ref().and_then(|body| body["token"].as_str());
    Answer::empty(match token {
        Some(token) => {
            lock(&state.oauth).revoke(call.header("authorization"), token, Instant::now())
        }
        None => 400,
    })
}

/// Everybody consents at once. `realm_id` in the query chooses the company; at Intuit that is the
/// user's choice.
pub(super) fn consent(state: &State, call: &Call) -> Answer {
    let query = call.query();
    let Some(realm) = state.realm(query.get("realm_id").map(String::as_str)) else {
        return Answer::html(400, "There is no such company");
    };
    match lock(&state.oauth).authorize(&query, &realm.id) {
        Ok(target) => Answer::empty(302).with_header("location", target),
        Err(reason) => Answer::html(400, reason),
    }
}

pub(super) fn discovery(call: &Call) -> Answer {
    let base = format!("http://{}", call.header("host").unwrap_or("localhost"));
    let body = json!({
        "issuer": format!("{base}/op/v1"),
        "authorization_endpoint": format!("{base}{CONSENT_PATH}"),
        "token_endpoint": format!("{base}{TOKEN_PATH}"),
        "userinfo_endpoint": format!("{base}/v1/openid_connect/userinfo"),
        "revocation_endpoint": format!("{base}{REVOKE_PATH}"),
        "jwks_uri": format!("{base}/op/v1/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile", "address", "phone"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": ["aud", "exp", "iat", "iss", "realmid", "sub"],
    });
    Answer::json(200, &body)
}
