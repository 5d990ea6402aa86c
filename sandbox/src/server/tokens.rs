//! The OAuth endpoints: token, revocation, consent and discovery.

use serde_json::json;

use super::request::ReceivedRequest;
use crate::answer::Answer;
use crate::assumption::{Assumptions, Topic};
use crate::oauth::TokenExtras;
use crate::paths::{CONSENT_PATH, REVOKE_PATH, TOKEN_PATH};
use crate::state::State;
use crate::throttle::throttled_answer;

/// Returns the refresh token of a request that wants to refresh.
pub(super) fn refresh_token(kind: &str, request: &ReceivedRequest) -> Option<String> {
    let mut form = (kind == "token").then(|| request.form())?;
    form.remove("refresh_token")
}

/// Answers a request for tokens.
pub(super) fn token(state: &State, request: &ReceivedRequest, assumptions: &Assumptions) -> Answer {
    let now = state.clock.now();
    let is_quota_used_up = state.companies.iter().any(|company| {
        let mut throttle = company.throttle.lock();
        throttle.enter_month(now);
        throttle.is_quota_used_up()
    });
    if is_quota_used_up && assumptions.is_harder(Topic::QuotaOnRefresh) {
        return throttled_answer(assumptions, now);
    }
    if let Some(token) = refresh_token("token", request)
        && state.refreshes.are_revoked(&token)
    {
        state.oauth.lock().disconnect_token(&token);
    }
    let extras = TokenExtras {
        hard_expiry: request.header("x-include-refresh-token-hard-expires-in") == Some("true"),
        description: !assumptions.is_harder(Topic::GrantDescription),
        revokes_double_grant: assumptions.is_harder(Topic::DoubleGrant),
    };
    let (status, body) = state.oauth.lock().token(
        request.header("authorization"),
        &request.form(),
        extras,
        now,
    );
    if status == 200 {
        state.stats.count_refresh();
    }
    Answer::json(status, &body)
}

/// Revokes a token. Every answer has an empty body (qbo-facts 1.2).
pub(super) fn revoke(state: &State, request: &ReceivedRequest) -> Answer {
    let body: Option<serde_json::Value> = serde_json::from_slice(&request.body).ok();
    let token = body.as_ref().and_then(|body| body["token"].as_str());
    Answer::empty(match token {
        Some(token) => {
            state
                .oauth
                .lock()
                .revoke(request.header("authorization"), token, state.clock.now())
        }
        None => 400,
    })
}

/// Grants consent at once, without a page. `realm_id` in the query string chooses the company; at
/// Intuit the user chooses it.
pub(super) fn consent(state: &State, request: &ReceivedRequest) -> Answer {
    let query = request.query();
    let Some(company) = state.company(query.get("realm_id").map(String::as_str)) else {
        return Answer::html(400, "There is no such company");
    };
    match state.oauth.lock().authorize(&query, &company.realm_id) {
        Ok(target) => Answer::empty(302).with_header("location", target),
        Err(reason) => Answer::html(400, reason),
    }
}

/// Answers the discovery document.
pub(super) fn discovery(request: &ReceivedRequest) -> Answer {
    let base = format!("http://{}", request.header("host").unwrap_or("localhost"));
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
