//! Lifetimes of access tokens and connections, and the texts about them.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use tracing::warn;

use crate::domain::instant::format_instant;
use crate::port::{AccessGrant, Connection, Secret};

/// Time before expiry at which tokens are renewed, so that none expires during a request. Short-lived
/// tokens are renewed in the last tenth of their life, so that not every request renews one.
const RENEWAL_MARGIN: TimeDelta = TimeDelta::minutes(5);
/// Remaining lifetime of a connection below which a warning is logged.
pub(crate) const EXPIRY_WARNING: TimeDelta = TimeDelta::days(14);

/// Cap of lifetimes in answers, so that no date overflows.
const MAX_LIFETIME_S: u64 = 20 * 365 * 86_400;

/// Returns when a lifetime of `seconds` from `now` ends, to the microsecond: Postgres and Python do
/// not keep nanoseconds.
pub(super) fn end_of_lifetime(now: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    now.trunc_subsecs(6) + TimeDelta::seconds(seconds.min(MAX_LIFETIME_S) as i64)
}

/// Returns the access token of a connection, unless it is about to expire or was refused.
pub(super) fn usable(connection: &Connection, refused: Option<&Secret>) -> Option<AccessGrant> {
    let grant = connection.access.as_ref()?;
    let is_good = refused != Some(&grant.token)
        && Utc::now() < renew_at(grant)
        && connection.needs_reauth.is_none();
    is_good.then(|| grant.clone())
}

pub(super) fn renew_at(grant: &AccessGrant) -> DateTime<Utc> {
    grant.expires_at - RENEWAL_MARGIN.min((grant.expires_at - grant.issued_at) / 10)
}

/// Returns the instant at which a connection ends: the earlier of its two ends.
pub(crate) fn expires_at(connection: &Connection) -> Option<DateTime<Utc>> {
    [
        connection.refresh_token_expires_at,
        connection.connection_expires_at,
    ]
    .into_iter()
    .flatten()
    .min()
}

pub(super) fn warn_before_expiry(connection: &Connection, realm_id: &str) {
    let now = Utc::now();
    if let Some(end) = expires_at(connection).filter(|end| *end - now < EXPIRY_WARNING) {
        let days = (end - now).num_days();
        warn!(
            phase = "auth",
            event = "connection_ends_soon",
            realm_id,
            days_left = days,
            "the connection ends in {days} days, at {}; connect the company again before that: qbo-rs auth login",
            format_instant(end)
        );
    }
}

/// Returns a hash that identifies a token without revealing it.
pub(super) fn fingerprint(token: &Secret) -> String {
    digest(&SHA256, token.expose().as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Returns why a refresh token no longer works; `interrupted_at` is when a refresh began that did not
/// end.
pub(super) fn cause_of_end(interrupted_at: Option<DateTime<Utc>>) -> String {
    match interrupted_at {
        Some(at) => format!(
            "a refresh begun at {} was cut off before its answer could be stored, and QuickBooks may \
             have replaced the refresh token then",
            format_instant(at)
        ),
        None => "the refresh token is expired, revoked or was replaced by a newer one".to_owned(),
    }
}

/// Returns instructions for a company whose connection has ended.
pub(super) fn reconnect_hint(realm_id: &str) -> String {
    format!(
        "connect the company again: run `qbo-rs auth login`, or set QBO_REFRESH_TOKEN to a new token of company {realm_id}"
    )
}
