//! What stands before the service: tokens, companies, limits.

use std::sync::Arc;
use std::time::Instant;

use axum::http::header;
use chrono::Utc;

use super::endpoint::Endpoint;
use super::{Call, Realm, State, service, tokens};
use crate::answer::{Answer, ServiceFault, gateway_fault, throttled_json, throttled_xml};
use crate::assumption::{Assumptions, Doubt};
use crate::oauth::AccessCheck;
use crate::{Environment, lock};

/// Answers a request that no fault has struck.
pub(super) async fn answer(state: &Arc<State>, call: &Call, endpoint: &Endpoint<'_>) -> Answer {
    let assumptions = state.assumptions();
    let Some(realm_id) = endpoint.realm() else {
        tokio::time::sleep(state.latency).await;
        return match endpoint {
            Endpoint::Token => tokens::token(state, call, &assumptions),
            Endpoint::Revoke => tokens::revoke(state, call),
            Endpoint::Consent => tokens::consent(state, call),
            Endpoint::Discovery => tokens::discovery(call),
            _ => ServiceFault::no_such_path(&format!("{} {}", call.method, call.uri.path()))
                .answer(Utc::now()),
        };
    };
    let realm = match admit(state, call, realm_id) {
        Ok(realm) => realm,
        Err(refusal) => return refusal,
    };
    let is_batch = matches!(endpoint, Endpoint::Batch { .. });
    if !lock(&realm.throttle).enter(is_batch, Instant::now()) {
        lock(&state.counts).throttled();
        return throttled(&assumptions);
    }
    let _in_flight = InFlight(realm);
    tokio::time::sleep(state.latency).await;
    let answer = service::answer(state, realm, call, endpoint, &assumptions);
    if answer.status == 200 {
        lock(&realm.throttle).meter(service::cost(call, endpoint, &assumptions));
    }
    answer
}

/// The throttle's answer, in the form that is assumed.
pub(super) fn throttled(assumptions: &Assumptions) -> Answer {
    let answer = match assumptions.is_harder(Doubt::ThrottleBody) {
        true => throttled_xml(429, Utc::now()),
        false => throttled_json(429, Utc::now()),
    };
    match assumptions.is_harder(Doubt::RetryAfter) {
        true => answer,
        false => answer.with_header("retry-after", "60".to_owned()),
    }
}

/// Whether the token is good for this company, at this host.
fn admit<'s>(state: &'s State, call: &Call, realm_id: &str) -> Result<&'s Realm, Answer> {
    let now = Utc::now();
    let token = call
        .header(header::AUTHORIZATION.as_str())
        .and_then(|value| value.strip_prefix("Bearer "));
    let token = token.unwrap_or_default();
    let detail = match lock(&state.oauth).check_access(token, realm_id, Instant::now()) {
        AccessCheck::Valid
            if state
                .environment
                .is_at(call.header("host").unwrap_or_default()) =>
        {
            if let Some(realm) = state.realm(Some(realm_id)) {
                return Ok(realm);
            }
            return Err(forbidden());
        }
        AccessCheck::Valid | AccessCheck::OtherRealm => return Err(forbidden()),
        // The real one echoes the token too; clients must not log it.
        AccessCheck::Expired => format!("Token expired: {token}"),
        AccessCheck::Unknown => "Malformed bearer token: too short or too long".to_owned(),
    };
    Err(gateway_fault(
        401,
        "AuthenticationFailed",
        "3200",
        &detail,
        "AUTHENTICATION",
        now,
    ))
}

/// Not this company's token, or the keys of one environment at the host of the other.
pub(crate) fn forbidden() -> Answer {
    let name = "ApplicationAuthorizationFailed";
    gateway_fault(403, name, "3100", name, "AUTHORIZATION", Utc::now())
}

impl Environment {
    /// Whether these keys belong to this host. Hosts that are not Intuit's take any.
    fn is_at(self, host: &str) -> bool {
        let host = host.split(':').next().unwrap_or_default();
        match host {
            "quickbooks.api.intuit.com" => self == Self::Production,
            "sandbox-quickbooks.api.intuit.com" => self == Self::Sandbox,
            _ => true,
        }
    }
}

/// Leaves the throttle when the answer is done, or the client has gone.
struct InFlight<'s>(&'s Realm);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        lock(&self.0.throttle).leave();
    }
}
