//! Issues access tokens from a refresh token that rotates (qbo-facts 1.3 to 1.5). Only one process at a
//! time refreshes, and the new refresh token is durable before its access token is used.
//!
//! ```text
//! issue(refused)
//!   load the connection; return its access token if it is still usable
//!   lock: wait for the lease of the connection (it ends if its process dies)
//!   from here on unbroken: a caller that is dropped does not end it
//!     load again: the previous holder of the lease may have refreshed
//!     annotate: mark the refresh as begun, which also proves that the store is writable
//!     for each known refresh token, the most likely one first:
//!       ask the token endpoint -- refused: try the next one
//!                              -- a refresh token: save it, then judge the rest of the answer
//!     no token left: mark the connection `needs_reauth`
//!   release the lease
//! ```
//!
//! A mark that a process finds at its start means that a refresh was interrupted, perhaps after
//! QuickBooks had replaced the token. New tokens that the store cannot take are kept in memory and in
//! a rescue store, and saved before the next refresh.

mod candidates;
mod connect;

pub(crate) use self::connect::NewConnection;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tracing::{Instrument, info_span, warn};

use super::answer::TokenAnswer;
use super::endpoint::{Refusal, TokenEndpoint};
use super::lifetime::{
    access_lifetime, cause_of_end, end_of_lifetime, fingerprint, log_refresh, renew_in, usable,
    warn_before_expiry,
};
use super::reconnect::Reconnect;
use super::rescue::Rescue;
use crate::error::{Error, Result, Trace};
use crate::http::{AccessToken, TokenIssuer};
use crate::port::{AccessGrant, Connection, Secret, TokenLease, TokenStore};
use crate::unbroken::unbroken;

/// Maximum wait for the lease. Another process may hold it during a refresh that waits for a throttled
/// endpoint.
const LOCK_TIMEOUT: Duration = Duration::from_secs(660);
/// Number of attempts to save new tokens. The old ones may no longer work, so a transient failure of the
/// store must not lose the new ones.
const SAVE_ATTEMPTS: u32 = 6;
const INITIAL_SAVE_WAIT: Duration = Duration::from_millis(200);
/// Number of answers in a row that may hold a refresh token alone. Each of them is stored, and the
/// next request is sent with it.
const MAX_ANSWERS_WITHOUT_ACCESS: u32 = 3;

/// Issues access tokens for one company.
#[derive(Debug)]
pub(crate) struct Authorizer {
    endpoint: TokenEndpoint,
    store: Arc<dyn TokenStore>,
    rescue: Rescue,
    reconnect: Reconnect,
    realm_id: String,
    /// `QBO_REFRESH_TOKEN`: seeds the store, and replaces a dead token there when it has changed.
    configured: Option<Secret>,
    /// Tokens that were issued but could not be saved. Saved before the next refresh.
    unsaved: Mutex<Option<Connection>>,
}

impl Authorizer {
    /// Creates an authorizer of the company `realm_id`; `configured` is `QBO_REFRESH_TOKEN`, and
    /// `rescues` are the stores of tokens that `store` cannot take, the first choice first.
    pub(crate) fn new(
        endpoint: TokenEndpoint,
        store: Arc<dyn TokenStore>,
        rescues: Vec<Arc<dyn TokenStore>>,
        reconnect: Reconnect,
        configured: Option<Secret>,
    ) -> Self {
        Self {
            endpoint,
            store,
            rescue: Rescue::new(rescues),
            realm_id: reconnect.realm_id().to_owned(),
            reconnect,
            configured,
            unsaved: Mutex::default(),
        }
    }

    /// Returns the stored connection. Sends no request.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn connection(&self) -> Result<Option<Connection>> {
        self.store.load().await
    }

    /// Checks that there is a refresh token. Sends no request.
    ///
    /// # Errors
    /// [`Error::Config`] with the missing setting; errors of the store.
    pub(crate) async fn has_token(&self) -> Result<()> {
        let stored = self.store.load().await?;
        let has_token = stored.is_some()
            || self.configured.is_some()
            || self.rescue.newer_than(None).await.is_some();
        match has_token {
            true => Ok(()),
            false => Err(self.no_token().await),
        }
    }

    /// Returns the reason why a person must connect the company again, if that is necessary. Sends no
    /// request.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn reauth_reason(&self) -> Result<Option<String>> {
        let known = self
            .store
            .load()
            .await?
            .filter(|known| !self.has_new_token(known));
        let Some(cause) = known.as_ref().and_then(|known| known.needs_reauth.clone()) else {
            return Ok(None);
        };
        match self.rescue.newer_than(known.as_ref()).await {
            Some(_) => Ok(None),
            None => Ok(Some(format!("{cause}; {}", self.reconnect.hint()))),
        }
    }

    async fn lock(&self) -> Result<Box<dyn TokenLease>> {
        let waited = tokio::time::timeout(LOCK_TIMEOUT, self.store.lock()).await;
        waited.unwrap_or_else(|_| {
            let place = self.store.place();
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
    async fn issue_token(self: Arc<Self>, refused: Option<Secret>) -> Result<AccessToken> {
        let stored = self.store.load().await?;
        let usable = stored.and_then(|stored| usable(&stored, refused.as_ref()));
        let grant = match usable {
            Some(grant) => grant,
            None => {
                let lease = self.lock().await?;
                let refresh = async move {
                    let outcome = self.refresh(&*lease, refused.as_ref()).await;
                    lease.release().await;
                    outcome
                };
                unbroken(refresh).await?
            }
        };
        let renew_in = renew_in(&grant);
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
        // The previous holder of the lease may have refreshed.
        if let Some(grant) = known.as_ref().and_then(|known| usable(known, refused)) {
            return Ok(grant);
        }
        let mut candidates = self.candidates(known.as_ref());
        if candidates.is_empty() {
            return Err(self.no_token().await);
        }
        let interrupted_at = known.as_ref().and_then(|known| known.refresh_begun_at);
        let reauth = known
            .as_ref()
            .and_then(|known| known.needs_reauth.as_deref());
        // Proves that the store is writable before QuickBooks replaces the token in it.
        let begun_at = interrupted_at.unwrap_or_else(crate::clock::now);
        lease.annotate(Some(begun_at), reauth).await?;
        let mut tried: Vec<Secret> = Vec::new();
        let (mut refusal, mut is_lost) = (None, interrupted_at.is_some());
        while !candidates.is_empty() {
            let candidate = candidates.remove(0);
            if !tried.is_empty() {
                warn!(
                    phase = "auth",
                    event = "refresh_token_replaced",
                    "refresh token refused, trying another known one"
                );
            }
            tried.push(candidate.clone());
            match self.obtain(lease, known.as_ref(), candidate).await {
                Ok(grant) => return Ok(grant),
                Err(Refusal::InvalidGrant {
                    answer,
                    trace,
                    was_answer_lost,
                }) => {
                    is_lost |= was_answer_lost;
                    refusal = Some((answer, trace));
                }
                Err(Refusal::Final {
                    error,
                    was_answer_lost,
                }) => {
                    if !was_answer_lost {
                        // Removing the mark is optional: it only says that no answer was lost.
                        let _ = lease.annotate(interrupted_at, reauth).await;
                    }
                    return Err(error);
                }
            }
            // A process that ignores the lease may have stored a newer token in the meantime.
            if tried.len() == 1
                && let Some(stored) = lease.load().await?
            {
                candidates.insert(0, stored.refresh_token);
            }
            candidates.retain(|candidate| !tried.contains(candidate));
        }
        let (answer, trace) = refusal.unwrap_or_default();
        Err(self
            .needs_reauth(lease, Some(begun_at).filter(|_| is_lost), &answer, trace)
            .await)
    }

    /// Returns the stored connection, after saving tokens that could not be saved before.
    async fn known(&self, lease: &dyn TokenLease) -> Result<Option<Connection>> {
        let unsaved = self.unsaved.lock().take();
        let (late, stored) = match unsaved {
            Some(connection) => (Some(connection), None),
            None => {
                let stored = lease.load().await?;
                (self.rescue.newer_than(stored.as_ref()).await, stored)
            }
        };
        let Some(connection) = late else {
            return Ok(stored);
        };
        self.save(lease, &connection).await?;
        // What stays is older than the stored tokens and is not used again.
        let _ = self.rescue.forget().await;
        Ok(Some(connection))
    }

    /// Obtains an access token with a refresh token. A refresh token that comes back is saved before
    /// anything else about the answer is judged: QBO may no longer accept the one that was sent. One
    /// that comes without an access token may be no token at all, so the first one is kept beside it,
    /// and is sent again if QuickBooks refuses it.
    async fn obtain(
        &self,
        lease: &dyn TokenLease,
        known: Option<&Connection>,
        mut token: Secret,
    ) -> Result<AccessGrant, Refusal> {
        let older = known.and_then(|known| known.previous_refresh_token.clone());
        let first = token.clone();
        let mut attempts = self.endpoint.attempts();
        let (mut answers, mut went_back) = (0, false);
        loop {
            attempts.start_next();
            let answer = match self.endpoint.refresh(&token).await {
                Err(Refusal::InvalidGrant { .. }) if token != first && !went_back => {
                    (token, went_back) = (first.clone(), true);
                    continue;
                }
                answer => answer?,
            };
            answers += 1;
            let refresh_token = answer.refresh_token.clone();
            let refresh_token = refresh_token.unwrap_or_else(|| token.clone());
            let sent = token;
            let previous = Some(first.clone())
                .filter(|first| *first != refresh_token)
                .or_else(|| older.clone());
            let mut connection = self.build_connection(refresh_token, previous, &answer);
            if let Some(known) = known.filter(|known| known.refresh_token == sent) {
                // The end of a connection stays; an answer without it does not unsay it.
                connection.connection_expires_at = connection
                    .connection_expires_at
                    .or(known.connection_expires_at);
            }
            let saved = self.save(lease, &connection).await;
            saved.map_err(|error| Refusal::Final {
                error,
                was_answer_lost: true,
            })?;
            warn_before_expiry(&connection, &self.reconnect);
            if let Some(grant) = connection.access {
                log_refresh(&answer, &grant);
                return Ok(grant);
            }
            warn!(
                phase = "auth",
                event = "token_answer_incomplete",
                "the token endpoint sent a refresh token without a usable access token; the refresh token is stored, asking again"
            );
            token = connection.refresh_token;
            let error = self.no_access_token(answers);
            let waited = match answers {
                MAX_ANSWERS_WITHOUT_ACCESS => Err(error),
                _ => attempts.wait(error, None).await,
            };
            waited.map_err(|error| Refusal::Final {
                error,
                was_answer_lost: false,
            })?;
        }
    }

    fn no_access_token(&self, answers: u32) -> Error {
        let reason = format!(
            "the token endpoint sent no usable access token in {answers} answers; the refresh token that it sent is \
             stored in {}, so that a later call goes on with it",
            self.store.place()
        );
        Error::Transport {
            reason,
            was_sent: true,
            source: None,
        }
    }

    /// Builds the connection of an answer. Lifetimes that the answer does not tell are unknown.
    fn build_connection(
        &self,
        refresh_token: Secret,
        previous_refresh_token: Option<Secret>,
        answer: &TokenAnswer,
    ) -> Connection {
        let now = crate::clock::now();
        let after = |seconds| end_of_lifetime(now, seconds);
        Connection {
            refresh_token,
            previous_refresh_token,
            obtained_at: Some(now),
            access: answer.access_token.clone().map(|token| AccessGrant {
                token,
                issued_at: now,
                expires_at: after(access_lifetime(answer.expires_in)),
            }),
            seed: self.configured.as_ref().map(fingerprint),
            refresh_token_expires_at: answer.x_refresh_token_expires_in.map(after),
            connection_expires_at: answer.x_refresh_token_hard_expires_in.map(after),
            refresh_begun_at: None,
            needs_reauth: None,
        }
    }

    /// Saves a connection with several attempts. If all fail, keeps it for the next refresh, in
    /// memory for this process and in a rescue store for others; the error says where.
    async fn save(&self, lease: &dyn TokenLease, connection: &Connection) -> Result<()> {
        let mut wait = INITIAL_SAVE_WAIT;
        for attempt in 1.. {
            let Err(error) = lease.save(connection).await else {
                return Ok(());
            };
            if attempt == SAVE_ATTEMPTS {
                *self.unsaved.lock() = Some(connection.clone());
                return Err(self.rescue.keep(connection, error).await);
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
        answer: &str,
        trace: Trace,
    ) -> Error {
        let cause = cause_of_end(interrupted_at);
        let reason = format!(
            "the token endpoint said {answer}; {cause}; {}",
            self.reconnect.hint()
        );
        if let Err(error) = lease.annotate(None, Some(&cause)).await {
            warn!(phase = "auth", event = "state_not_stored", "{error}");
        }
        Error::Unauthenticated { reason, trace }
    }

    /// Says why there is no token: none is stored, or this app's secret does not open the stored one.
    async fn no_token(&self) -> Error {
        let place = self.store.place();
        match self.store.holds_any().await {
            Ok(true) => self.reconnect.wrong_secret(&place),
            Ok(false) => self.reconnect.no_token(&place),
            Err(error) => error,
        }
    }
}

impl TokenIssuer for Authorizer {
    fn issue(self: Arc<Self>, refused: Option<Secret>) -> BoxFuture<'static, Result<AccessToken>> {
        let span = info_span!("company", realm_id = self.realm_id.as_str());
        Box::pin(self.issue_token(refused).instrument(span))
    }
}
