//! Lifetimes of access tokens and connections, and the texts about them.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use tracing::{info, warn};

use super::answer::TokenAnswer;
use super::reconnect::Reconnect;
use crate::domain::instant::format_instant;
use crate::port::{AccessGrant, Connection, Secret};

/// Time before expiry at which tokens are renewed, so that none expires during a request. Short-lived
/// tokens are renewed in the last tenth of their life, so that not every request renews one.
const RENEWAL_MARGIN: TimeDelta = TimeDelta::minutes(5);
/// Remaining lifetime of a connection from which on users are warned. Intuit asks apps to tell their
/// users at 30 days and again at 7 (qbo-facts 13.19).
pub(crate) const EXPIRY_WARNING: TimeDelta = TimeDelta::days(30);
/// Remaining lifetime from which on the warning is urgent.
const URGENT_EXPIRY: TimeDelta = TimeDelta::days(7);
/// Lifetime of an access token that does not come with a readable one: Intuit's (qbo-facts 1.3). If
/// the token ends earlier, the API refuses it and the next one is obtained.
const ASSUMED_ACCESS_LIFETIME_S: u64 = 3600;

/// Cap of lifetimes in answers, so that no date overflows.
const MAX_LIFETIME_S: u64 = 20 * 365 * 86_400;

/// Returns when a lifetime of `seconds` from `now` ends, to the microsecond: Postgres and Python do
/// not keep nanoseconds.
pub(super) fn end_of_lifetime(now: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    now.trunc_subsecs(6) + TimeDelta::seconds(seconds.min(MAX_LIFETIME_S) as i64)
}

/// Returns the lifetime of an access token, in seconds, from that of its answer.
pub(super) fn access_lifetime(seconds: Option<u64>) -> u64 {
    seconds.unwrap_or(ASSUMED_ACCESS_LIFETIME_S)
}

/// Returns the access token of a connection, unless it is about to expire or was refused.
pub(super) fn usable(connection: &Connection, refused: Option<&Secret>) -> Option<AccessGrant> {
    let grant = connection.access.as_ref()?;
    let is_good = refused != Some(&grant.token)
        && crate::clock::now() < renew_at(grant)
        && connection.needs_reauth.is_none();
    is_good.then(|| grant.clone())
}

/// Returns the time until a new access token must be obtained.
pub(super) fn renew_in(grant: &AccessGrant) -> Duration {
    let rest = renew_at(grant) - crate::clock::now();
    rest.to_std().unwrap_or_default()
}

fn renew_at(grant: &AccessGrant) -> DateTime<Utc> {
    grant.expires_at - RENEWAL_MARGIN.min((grant.expires_at - grant.issued_at) / 10)
}

/// Returns the instant at which a connection ends: the earlier of its two ends.
pub(crate) fn earlier_end(
    refresh_token_end: Option<DateTime<Utc>>,
    connection_end: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    [refresh_token_end, connection_end]
        .into_iter()
        .flatten()
        .min()
}

/// Returns the instant at which a connection ends.
pub(crate) fn expires_at(connection: &Connection) -> Option<DateTime<Utc>> {
    earlier_end(
        connection.refresh_token_expires_at,
        connection.connection_expires_at,
    )
}

/// Returns a warning that a connection ends at `end`; `None` while there is time.
pub(crate) fn expiry_warning(
    end: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    reconnect: &Reconnect,
) -> Option<String> {
    let end = end.filter(|end| *end - now <= EXPIRY_WARNING)?;
    let (days, at) = ((end - now).num_days(), format_instant(end));
    let urgent = match end - now <= URGENT_EXPIRY {
        true => "urgent: ",
        false => "",
    };
    Some(match end <= now {
        true => format!("the connection ended at {at}; {}", reconnect.hint()),
        false => format!(
            "{urgent}the connection ends in {days} days, at {at}; before that, {}",
            reconnect.hint()
        ),
    })
}

pub(super) fn warn_before_expiry(connection: &Connection, reconnect: &Reconnect) {
    let (now, end) = (crate::clock::now(), expires_at(connection));
    if let (Some(warning), Some(end)) = (expiry_warning(end, now, reconnect), end) {
        warn!(
            phase = "auth",
            event = "connection_ends_soon",
            realm_id = reconnect.realm_id(),
            days_left = (end - now).num_days(),
            "{warning}"
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

/// Logs that a refresh has brought an access token, and for how long it is valid.
pub(super) fn log_refresh(answer: &TokenAnswer, grant: &AccessGrant) {
    let seconds = (grant.expires_at - grant.issued_at).num_seconds();
    if answer.expires_in.is_none() {
        warn!(
            phase = "auth",
            event = "token_lifetime_unknown",
            "the token endpoint does not say in a readable way how long the access token is valid; taking it for {seconds} s"
        );
    }
    info!(
        phase = "auth",
        event = "token_refreshed",
        expires_in_s = seconds.unsigned_abs(),
        "obtained an access token, valid for {seconds} s"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_begins_a_month_before_the_end_and_is_urgent_in_the_last_week() {
        let now = Utc::now();
        let reconnect = Reconnect::new("9", Some("app-7"));
        let warning = |days| expiry_warning(Some(now + TimeDelta::days(days)), now, &reconnect);
        assert_eq!(warning(31), None);
        assert_eq!(expiry_warning(None, now, &reconnect), None);
        for (days, words, is_urgent) in [
            (30, "ends in 30 days", false),
            (8, "ends in 8 days", false),
            (7, "ends in 7 days", true),
            (0, "ended at", false),
        ] {
            let text = warning(days).unwrap();
            assert!(text.contains(words), "{text}");
            assert!(text.contains("appId=app-7&realmId=9"), "{text}");
            assert_eq!(text.starts_with("urgent"), is_urgent, "{text}");
        }
    }
}
