//! The gateway in front of the accounting service: it checks tokens, companies and limits.

use tokio::time::Instant;

use axum::http::header;

use super::endpoint::Endpoint;
use super::request::ReceivedRequest;
use super::{service, tokens};
use crate::answer::{Answer, ServiceFault, closed, forbidden, unauthorized};
use crate::assumption::{Assumptions, Topic};
use crate::oauth::AccessCheck;
use crate::state::{CompanyState, State};
use crate::throttle::throttled_answer;

/// Answers a request that no fault has replaced.
pub(super) async fn answer(
    state: &State,
    request: &ReceivedRequest,
    endpoint: &Endpoint<'_>,
) -> Answer {
    let assumptions = state.assumptions();
    let Some(realm_id) = endpoint.realm_id() else {
        tokio::time::sleep(state.latency).await;
        return match endpoint {
            Endpoint::Token => tokens::token(state, request, &assumptions),
            Endpoint::Revoke => tokens::revoke(state, request),
            Endpoint::Consent => tokens::consent(state, request),
            Endpoint::Discovery => tokens::discovery(request),
            _ => ServiceFault::no_such_path(&format!("{} {}", request.method, request.path()))
                .answer(state.clock.now()),
        };
    };
    let company = match authorize(state, request, realm_id, &assumptions) {
        Ok(company) => company,
        Err(refusal) => return refusal,
    };
    let is_batch = matches!(endpoint, Endpoint::Batch { .. });
    if !try_admit(state, company, is_batch) {
        state.stats.count_throttled();
        return throttled_answer(&assumptions, state.clock.now());
    }
    let _slot = ThrottleSlot(company);
    tokio::time::sleep(state.latency).await;
    let now = state.clock.now();
    let closed = company.read().closure().map(|c| closed(c, now));
    let answer =
        closed.unwrap_or_else(|| service::answer(state, company, request, endpoint, &assumptions));
    if answer.status == 200 {
        let reads = service::reads_used(request, endpoint, &assumptions);
        company.throttle.lock().count_reads(reads);
    }
    answer
}

/// Admits a request if no limit of the company is reached.
fn try_admit(state: &State, company: &CompanyState, is_batch: bool) -> bool {
    let mut throttle = company.throttle.lock();
    throttle.enter_month(state.clock.now());
    throttle.try_admit(is_batch, Instant::now())
}

/// Returns the requested company if the access token is valid for it and for the request's host.
fn authorize<'s>(
    state: &'s State,
    request: &ReceivedRequest,
    realm_id: &str,
    assumptions: &Assumptions,
) -> Result<&'s CompanyState, Answer> {
    let token = request
        .header(header::AUTHORIZATION.as_str())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    let now = state.clock.now();
    let refused = |detail: &str| {
        let fault = unauthorized(detail);
        match assumptions.is_harder(Topic::UnauthorizedBody) {
            true => fault.xml(now),
            false => fault.json(now),
        }
    };
    let check = state.oauth.lock().check_access(token, realm_id, now);
    match check {
        AccessCheck::Valid => {
            let host = request.header("host").unwrap_or_default();
            let company = state.company(Some(realm_id));
            company
                .filter(|_| state.environment.is_valid_at(host))
                .ok_or_else(|| forbidden().json(now))
        }
        AccessCheck::OtherCompany => Err(forbidden().json(now)),
        // Intuit echoes the token too, so clients must not log this.
        AccessCheck::Expired => Err(refused(&format!("Token expired: {token}"))),
        AccessCheck::Unknown => Err(refused("Malformed bearer token: too short or too long")),
    }
}

/// A place among a company's requests in flight. It is given back when the answer is ready or the
/// client has closed the connection.
struct ThrottleSlot<'s>(&'s CompanyState);

impl Drop for ThrottleSlot<'_> {
    fn drop(&mut self) {
        self.0.throttle.lock().release();
    }
}
