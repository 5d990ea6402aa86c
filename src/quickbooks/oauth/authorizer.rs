//! Access tokens from a refresh token that rotates (qbo-facts 1.3 to 1.5): one refresh at a time
//! among all processes, the new refresh token durable before anything else happens.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use tracing::{Instrument, info, info_span, warn};

use super::endpoint::{Refusal, TokenAnswer, TokenEndpoint};
use crate::domain::instant::format_instant;
use crate::error::{Error, Result, Trace};
use crate::http::{AccessToken, TokenIssuer};
use crate::port::{AccessGrant, Connection, Secret, TokenLease, TokenStore};

/// Tokens are renewed this long before they expire, so that none dies on the way; short-lived ones
/// in the last tenth of their lives, lest every request renew one.
const RENEWAL_MARGIN: TimeDelta = TimeDelta::minutes(5);
/// Another process may be in the middle of a refresh that waits for a throttled endpoint.
const LOCK_TIMEOUT: Duration = Duration::from_secs(660);
/// A connection that ends within this time is warned about.
pub const EXPIRY_WARNING: TimeDelta = TimeDelta::days(14);
/// A token that QuickBooks has just replaced is worth some patience with a store that stumbles.
const SAVE_ATTEMPTS: u32 = 6;
const INITIAL_SAVE_WAIT: Duration = Duration::from_millis(200);
/// No clock overflows on what a server may say.
const MAX_LIFETIME_S: u64 = 20 * 365 * 86_400;

/// Issues access tokens for one company.
#[derive(Debug)]
pub struct Authorizer {
    endpoint: TokenEndpoint,
    store: Arc<dyn TokenStore>,
    realm_id: String,
    /// `QBO_REFRESH_TOKEN`: seeds the store, and replaces a dead token there when it has changed.
    configured: Option<Secret>,
    /// Issued, but not stored: the store failed. Stored before anything else is asked for.
    unsaved: Mutex<Option<Connection>>,
}

impl Authorizer {
    /// Puts the parts together.
    pub fn new(
        endpoint: TokenEndpoint,
        store: Arc<dyn TokenStore>,
        realm_id: &str,
        configured: Option<Secret>,
    ) -> Self {
        Self {
            endpoint,
            store,
            realm_id: realm_id.to_owned(),
            configured,
            unsaved: Mutex::default(),
        }
    }

    /// What is known of the connection. Nothing is asked for.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn connection(&self) -> Result<Option<Connection>> {
        self.store.load().await
    }

    /// Whether there is any refresh token. Nothing is asked for.
    ///
    /// # Errors
    /// [`Error::Config`] that names what is missing; those of the store.
    pub async fn has_token(&self) -> Result<()> {
        match self.store.load().await? {
            None if self.configured.is_none() => Err(self.no_token()),
            _ => Ok(()),
        }
    }

    /// Why nothing can be had before a person has connected the company again, if that is so.
    /// Nothing is asked for.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn reauth_reason(&self) -> Result<Option<String>> {
        let known = self
            .store
            .load()
            .await?
            .filter(|known| !self.has_new_token(known));
        let cause = known.and_then(|known| known.needs_reauth);
        Ok(cause.map(|cause| format!("{cause}; {}", remedy(&self.realm_id))))
    }

    /// Takes over the tokens of a connection that was made just now, in place of whatever is
    /// stored.
    ///
    /// # Errors
    /// If they cannot be stored.
    pub async fn adopt(&self, answer: &TokenAnswer) -> Result<Connection> {
        let lease = self.lock().await?;
        let connection = self.successor(None, answer, Utc::now());
        let saved = self.save(&*lease, &connection).await;
        lease.release().await;
        saved.map(|()| connection)
    }

    /// Takes over a refresh token that was obtained elsewhere: proves it with a refresh, and stores
    /// what comes of it.
    ///
    /// # Errors
    /// If it is refused, or cannot be stored.
    pub async fn import(&self, token: &Secret) -> Result<Connection> {
        let lease = self.lock().await?;
        let imported = async {
            let answer = self.endpoint.refresh(token).await.map_err(|refusal| match refusal {
                Refusal::InvalidGrant { said, trace, .. } => Error::Unauthenticated {
                    reason: format!(
                        "the token endpoint said {said} of the token to import; what is stored is unchanged"
                    ),
                    trace,
                },
                Refusal::Final(error, _) => error,
            })?;
            let connection = self.successor(None, &answer, Utc::now());
            self.save(&*lease, &connection).await.map(|()| connection)
        };
        let outcome = imported.await;
        lease.release().await;
        outcome
    }

    /// Ends the connection at Intuit and forgets it. Without a store, the configured token is
    /// revoked.
    ///
    /// # Errors
    /// If Intuit refuses, or the store fails.
    pub async fn revoke(&self, revoke_url: &reqwest::Url) -> Result<()> {
        let lease = self.lock().await?;
        let revoked = async {
            let stored = lease
                .load()
                .await?
                .map(|connection| connection.refresh_token);
            let token = stored
                .or_else(|| self.configured.clone())
                .ok_or_else(|| self.no_token())?;
            self.endpoint.revoke(revoke_url, &token).await?;
            lease.remove().await
        };
        let outcome = revoked.await;
        lease.release().await;
        outcome
    }

    async fn lock(&self) -> Result<Box<dyn TokenLease>> {
        let waited = tokio::time::timeout(LOCK_TIMEOUT, self.store.lock()).await;
        waited.unwrap_or_else(|_| {
            let place = self.store.place().unwrap_or_default();
            Err(Error::config(
                "QBO_TOKEN_STORE",
                format!(
                    "{place}: another process has held it for {} s",
                    LOCK_TIMEOUT.as_secs()
                ),
            ))
        })
    }

    /// Returns the stored access token if it still works, else the one that a refresh brings.
    async fn issue_token(&self, refused: Option<&Secret>) -> Result<AccessToken> {
        let stored = self.store.load().await?;
        let grant = match stored.as_ref().and_then(|stored| usable(stored, refused)) {
            Some(grant) => grant,
            None => {
                let lease = self.lock().await?;
                let outcome = self.refresh(&*lease, refused).await;
                lease.release().await;
                outcome?
            }
        };
        let renew_in = (renew_at(&grant) - Utc::now()).to_std().unwrap_or_default();
        Ok(AccessToken {
            token: grant.token,
            renew_in,
        })
    }

    async fn refresh(
        &self,
        lease: &dyn TokenLease,
        refused: Option<&Secret>,
    ) -> Result<AccessGrant> {
        let known = self.known(lease).await?;
        // Whoever held the lock before may have done it.
        if let Some(grant) = known.as_ref().and_then(|known| usable(known, refused)) {
            return Ok(grant);
        }
        let mut candidates = self.candidates(known.as_ref());
        if candidates.is_empty() {
            return Err(self.no_token());
        }
        let interrupted_at = known.as_ref().and_then(|known| known.refresh_begun_at);
        let reauth = known
            .as_ref()
            .and_then(|known| known.needs_reauth.as_deref());
        // Shows that the store can be written before QuickBooks is asked to forget the token that
        // is in it.
        let begun_at = interrupted_at.unwrap_or_else(Utc::now);
        lease.annotate(Some(begun_at), reauth).await?;
        let mut tried: Vec<Secret> = Vec::new();
        let (mut refusal, mut is_lost) = (None, interrupted_at.is_some());
        while !candidates.is_empty() {
            let candidate = candidates.remove(0);
            if !tried.is_empty() {
                warn!(
                    phase = "auth",
                    event = "refresh_token_replaced",
                    "refresh token refused, trying another one that is known"
                );
            }
            tried.push(candidate.clone());
            match self.endpoint.refresh(&candidate).await {
                Ok(answer) => {
                    return self
                        .accept(lease, known.as_ref(), &candidate, &answer)
                        .await;
                }
                Err(Refusal::InvalidGrant {
                    said,
                    trace,
                    was_answer_lost,
                }) => {
                    is_lost |= was_answer_lost;
                    refusal = Some((said, trace));
                }
                Err(Refusal::Final(error, was_answer_lost)) => {
                    if !was_answer_lost {
                        // It only says that nothing was cut off here.
                        let _ = lease.annotate(interrupted_at, reauth).await;
                    }
                    return Err(error);
                }
            }
            // Somebody who does not know the lock may have stored a newer one meanwhile.
            if tried.len() == 1
                && let Some(stored) = lease.load().await?
            {
                candidates.insert(0, stored.refresh_token);
            }
            candidates.retain(|candidate| !tried.contains(candidate));
        }
        let (said, trace) = refusal.unwrap_or_default();
        Err(self
            .needs_reauth(lease, Some(begun_at).filter(|_| is_lost), &said, trace)
            .await)
    }

    /// What is stored, or what could not be stored before.
    async fn known(&self, lease: &dyn TokenLease) -> Result<Option<Connection>> {
        let unsaved = self.unsaved.lock().take();
        match unsaved {
            Some(connection) => self
                .save(lease, &connection)
                .await
                .map(|()| Some(connection)),
            None => lease.load().await,
        }
    }

    /// Refresh tokens worth trying, best first. One that a person has set after the stored one died
    /// goes before it.
    fn candidates(&self, known: Option<&Connection>) -> Vec<Secret> {
        let configured = self.configured.clone();
        let Some(known) = known else {
            return configured.into_iter().collect();
        };
        let is_new = self.has_new_token(known);
        let stored = [
            Some(known.refresh_token.clone()),
            known.previous_refresh_token.clone(),
        ];
        let order = match is_new && known.needs_reauth.is_some() {
            true => [configured, stored[0].clone(), stored[1].clone()],
            false => [
                stored[0].clone(),
                configured.filter(|_| is_new),
                stored[1].clone(),
            ],
        };
        let mut candidates: Vec<Secret> = Vec::new();
        // The seed comes last: it has been replaced long ago, most likely.
        for candidate in order.into_iter().flatten().chain(self.configured.clone()) {
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        candidates
    }

    /// Whether a token was configured that the stored connection does not stem from.
    fn has_new_token(&self, known: &Connection) -> bool {
        self.configured
            .as_ref()
            .is_some_and(|token| known.seed.as_deref() != Some(&fingerprint(token)))
    }

    async fn accept(
        &self,
        lease: &dyn TokenLease,
        known: Option<&Connection>,
        used: &Secret,
        answer: &TokenAnswer,
    ) -> Result<AccessGrant> {
        let mut connection = self.successor(Some(used), answer, Utc::now());
        if connection.previous_refresh_token.is_none() {
            connection.previous_refresh_token =
                known.and_then(|known| known.previous_refresh_token.clone());
        }
        // Durable before the access token is used: QBO may already have forgotten the old one.
        self.save(lease, &connection).await?;
        info!(
            phase = "auth",
            event = "token_refreshed",
            expires_in_s = answer.expires_in,
            "access token obtained, good for {} s",
            answer.expires_in
        );
        if self.store.place().is_none() && connection.refresh_token != *used {
            warn!(
                phase = "auth",
                event = "refresh_token_not_stored",
                "QuickBooks replaced the refresh token, and the new one will be lost when this process ends: \
                 set QBO_TOKEN_STORE to a file, or to 'postgres'"
            );
        }
        warn_before_expiry(&connection, &self.realm_id);
        connection
            .access
            .ok_or_else(|| Error::Internal("a grant without its token".into()))
    }

    /// The connection that an answer makes, after `used` was the newest token.
    fn successor(
        &self,
        used: Option<&Secret>,
        answer: &TokenAnswer,
        now: DateTime<Utc>,
    ) -> Connection {
        let after = |seconds: u64| now + TimeDelta::seconds(seconds.min(MAX_LIFETIME_S) as i64);
        let refresh_token = answer.refresh_token();
        Connection {
            previous_refresh_token: used.filter(|used| **used != refresh_token).cloned(),
            refresh_token,
            access: Some(AccessGrant {
                token: answer.access_token(),
                issued_at: now,
                expires_at: after(answer.expires_in),
            }),
            seed: self.configured.as_ref().map(fingerprint),
            refresh_token_expires_at: answer.x_refresh_token_expires_in.map(after),
            connection_expires_at: answer.x_refresh_token_hard_expires_in.map(after),
            refresh_begun_at: None,
            needs_reauth: None,
        }
    }

    /// Stores with some patience; what cannot be stored is kept for the next try.
    async fn save(&self, lease: &dyn TokenLease, connection: &Connection) -> Result<()> {
        let mut wait = INITIAL_SAVE_WAIT;
        for attempt in 1.. {
            let Err(error) = lease.save(connection).await else {
                return Ok(());
            };
            if attempt == SAVE_ATTEMPTS {
                *self.unsaved.lock() = Some(connection.clone());
                return Err(error);
            }
            warn!(
                phase = "auth",
                event = "token_not_stored",
                "{error}; trying again to store the new refresh token"
            );
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Ok(())
    }

    async fn needs_reauth(
        &self,
        lease: &dyn TokenLease,
        interrupted_at: Option<DateTime<Utc>>,
        said: &str,
        trace: Trace,
    ) -> Error {
        let cause = match interrupted_at {
            Some(at) => format!(
                "a refresh begun at {} was cut off before its answer could be stored, and QuickBooks may have replaced the \
                 refresh token then",
                format_instant(at)
            ),
            None => {
                "the refresh token is expired, revoked or was replaced by a newer one".to_owned()
            }
        };
        let reason = format!(
            "the token endpoint said {said}; {cause}; {}",
            remedy(&self.realm_id)
        );
        if let Err(error) = lease.annotate(None, Some(&cause)).await {
            warn!(phase = "auth", event = "state_not_stored", "{error}");
        }
        Error::Unauthenticated { reason, trace }
    }

    fn no_token(&self) -> Error {
        let stored = match self.store.place() {
            Some(place) => format!(", and {place} holds no token of company {}", self.realm_id),
            None => String::new(),
        };
        Error::config(
            "QBO_REFRESH_TOKEN",
            format!(
                "not set{stored}; run `qbo-rs auth login`, or set it to the company's refresh token"
            ),
        )
    }
}

impl TokenIssuer for Authorizer {
    fn issue<'a>(&'a self, refused: Option<&'a Secret>) -> BoxFuture<'a, Result<AccessToken>> {
        let span = info_span!("company", realm_id = self.realm_id.as_str());
        Box::pin(self.issue_token(refused).instrument(span))
    }
}

/// The access token of a connection, if it works for a while and is not the one that was refused.
fn usable(connection: &Connection, refused: Option<&Secret>) -> Option<AccessGrant> {
    let grant = connection.access.as_ref()?;
    let is_good = refused != Some(&grant.token)
        && Utc::now() < renew_at(grant)
        && connection.needs_reauth.is_none();
    is_good.then(|| grant.clone())
}

fn renew_at(grant: &AccessGrant) -> DateTime<Utc> {
    grant.expires_at - RENEWAL_MARGIN.min((grant.expires_at - grant.issued_at) / 10)
}

/// When a connection ends, whichever of its two ends comes first.
pub fn expires_at(connection: &Connection) -> Option<DateTime<Utc>> {
    [
        connection.refresh_token_expires_at,
        connection.connection_expires_at,
    ]
    .into_iter()
    .flatten()
    .min()
}

fn warn_before_expiry(connection: &Connection, realm_id: &str) {
    let now = Utc::now();
    if let Some(end) = expires_at(connection).filter(|end| *end - now < EXPIRY_WARNING) {
        let days = (end - now).num_days();
        warn!(
            phase = "auth",
            event = "connection_ends_soon",
            realm_id,
            days_left = days,
            "the connection to company {realm_id} ends in {days} days, at {}; connect it again before: qbo-rs auth login",
            format_instant(end)
        );
    }
}

/// Names a token without telling it.
fn fingerprint(token: &Secret) -> String {
    digest(&SHA256, token.expose().as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What helps a company whose connection is dead.
fn remedy(realm_id: &str) -> String {
    format!(
        "connect the company again: run `qbo-rs auth login`, or set QBO_REFRESH_TOKEN to a new token of company {realm_id}"
    )
}
