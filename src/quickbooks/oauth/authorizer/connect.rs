//! The beginning and the end of a connection: new tokens, imported tokens, revocation.

use super::Authorizer;
use crate::error::{Error, Result, Trace};
use crate::port::{Connection, Secret, TokenLease};
use crate::quickbooks::oauth::answer::TokenAnswer;
use crate::quickbooks::oauth::endpoint::Refusal;
use crate::quickbooks::oauth::lifetime::fingerprint;

/// A connection that was stored.
#[derive(Debug)]
pub(crate) struct NewConnection {
    /// The connection.
    pub connection: Connection,
    /// The one in whose place it is.
    pub replaced: Option<Connection>,
}

impl Authorizer {
    /// Stores the tokens of a new connection in place of the stored ones.
    ///
    /// # Errors
    /// If there is no refresh token among them, or they cannot be stored.
    pub(crate) async fn store_tokens(&self, answer: &TokenAnswer) -> Result<NewConnection> {
        let lease = self.lock().await?;
        let refresh_token = answer
            .refresh_token
            .clone()
            .ok_or_else(|| Error::Unauthenticated {
                reason: "the token endpoint answered the code without a refresh token; begin again"
                    .to_owned(),
                trace: Trace::default(),
            })?;
        let connection = self.build_connection(refresh_token, None, answer);
        let stored = self.put(&*lease, connection).await;
        lease.release().await;
        stored
    }

    /// Stores a connection, and returns it with the one that it replaces. One that cannot be read is none.
    async fn put(&self, lease: &dyn TokenLease, connection: Connection) -> Result<NewConnection> {
        let replaced = lease.load().await.ok().flatten();
        self.save(lease, &connection).await?;
        Ok(NewConnection {
            connection,
            replaced,
        })
    }

    /// Stores the connection again that a new one has replaced, unless others have stored another one since.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn restore(&self, replaced: &Connection, new: &Connection) -> Result<()> {
        let lease = self.lock().await?;
        let restored = async {
            let stored = lease.load().await?;
            match stored.is_some_and(|stored| stored.refresh_token == new.refresh_token) {
                true => self.save(&*lease, replaced).await,
                false => Ok(()),
            }
        };
        let outcome = restored.await;
        lease.release().await;
        outcome
    }

    /// Imports a refresh token that was obtained elsewhere: checks it by a refresh and stores the new
    /// tokens.
    ///
    /// # Errors
    /// If the token is refused or cannot be stored.
    pub(crate) async fn import(&self, token: &Secret) -> Result<NewConnection> {
        let lease = self.lock().await?;
        let imported = async {
            let answer = self.endpoint.refresh(token).await.map_err(|refusal| match refusal {
                Refusal::InvalidGrant { answer, trace, .. } => Error::Unauthenticated {
                    reason: format!(
                        "the token endpoint answered {answer} to the token to import; what is stored is unchanged"
                    ),
                    trace,
                },
                Refusal::Final { error, .. } => error,
            })?;
            let refresh_token = answer.refresh_token.clone();
            let refresh_token = refresh_token.unwrap_or_else(|| token.clone());
            let connection = self.build_connection(refresh_token, None, &answer);
            self.put(&*lease, connection).await
        };
        let outcome = imported.await;
        lease.release().await;
        outcome
    }

    /// Returns true if revoking the token of this company would end `other` as well: both began with
    /// the same configured token, or have the same one now.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn shares_token_with(&self, other: &Connection) -> Result<bool> {
        let stored = self.store.load().await?;
        let (token, seed) = match self.newest(stored).await {
            Some(stored) => (Some(stored.refresh_token), stored.seed),
            None => (
                self.configured.clone(),
                self.configured.as_ref().map(fingerprint),
            ),
        };
        let has_same_seed = seed.is_some() && seed == other.seed;
        Ok(has_same_seed || token.as_ref() == Some(&other.refresh_token))
    }

    /// Returns the newest connection that is known: the stored one, unless a newer one could not be stored.
    async fn newest(&self, stored: Option<Connection>) -> Option<Connection> {
        let unsaved = self.unsaved.lock().clone();
        match unsaved {
            Some(connection) => Some(connection),
            None => self.rescue.newer_than(stored.as_ref()).await.or(stored),
        }
    }

    /// Returns true if tokens are kept that the token store could not take.
    pub(crate) async fn has_rescued(&self) -> bool {
        self.rescue.newer_than(None).await.is_some()
    }

    /// Removes the connection from the store, and from wherever else it is kept. Intuit is not asked, and the
    /// token stays valid there.
    ///
    /// # Errors
    /// If a place fails. The connection is still stored then, so that this can be repeated.
    pub(crate) async fn forget(&self) -> Result<()> {
        let lease = self.lock().await?;
        // First, since what is kept would be stored again once nothing newer is.
        let removed = match self.rescue.forget().await {
            Ok(()) => lease.remove().await,
            failed => failed,
        };
        lease.release().await;
        removed
    }

    /// Revokes the connection at Intuit, by its newest token, and removes it from the store, and from wherever else it
    /// is kept. If none is known, revokes the configured one.
    ///
    /// # Errors
    /// If Intuit refuses, or the store fails.
    pub(crate) async fn revoke(&self, revoke_url: &reqwest::Url) -> Result<()> {
        let lease = self.lock().await?;
        let revoked = async {
            let newest = self.newest(lease.load().await?).await;
            let known = newest.map(|connection| connection.refresh_token);
            let Some(token) = known.or_else(|| self.configured.clone()) else {
                return Err(self.no_token().await);
            };
            self.endpoint.revoke(revoke_url, &token).await?;
            let rescued = self.rescue.forget().await;
            lease.remove().await.and(rescued)
        };
        let outcome = revoked.await;
        lease.release().await;
        outcome
    }
}
