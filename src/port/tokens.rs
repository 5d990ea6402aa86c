//! The tokens of a connection, and the store that keeps them between runs.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::Secret;
use crate::error::Result;

/// One company's connection to QuickBooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The newest refresh token.
    pub refresh_token: Secret,
    /// The refresh token before it; how long it still works is undocumented (qbo-facts 1.4).
    pub previous_refresh_token: Option<Secret>,
    /// When QuickBooks issued the newest refresh token. It orders connections that are kept in
    /// different places.
    pub obtained_at: Option<DateTime<Utc>>,
    /// The newest access token.
    pub access: Option<AccessGrant>,
    /// Fingerprint of the configured token when it was last used. A different one means that a
    /// person has connected the company again.
    pub seed: Option<String>,
    /// When the refresh token expires unless it is used.
    pub refresh_token_expires_at: Option<DateTime<Utc>>,
    /// When the connection ends regardless of use: five years after consent (qbo-facts 1.4).
    pub connection_expires_at: Option<DateTime<Utc>>,
    /// Set while a refresh is in progress. If the next refresh finds it set, one was cut off, perhaps
    /// after QuickBooks had replaced the token.
    pub refresh_begun_at: Option<DateTime<Utc>>,
    /// Why a person must connect the company again.
    pub needs_reauth: Option<String>,
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessGrant {
    /// The token.
    pub token: Secret,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

impl Connection {
    /// Returns a connection of which only the refresh token is known.
    pub fn from_token(refresh_token: Secret) -> Self {
        Self {
            refresh_token,
            previous_refresh_token: None,
            obtained_at: None,
            access: None,
            seed: None,
            refresh_token_expires_at: None,
            connection_expires_at: None,
            refresh_begun_at: None,
            needs_reauth: None,
        }
    }
}

/// The stored tokens of one connection, shared by all processes that use it. Object-safe: there are
/// few calls, each of which waits anyway.
pub trait TokenStore: std::fmt::Debug + Send + Sync {
    /// Returns the stored connection; `None` if nothing is stored, or nothing that this key opens.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>>;

    /// Returns true if a connection is stored, whether or not this key opens it.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn holds_any(&self) -> BoxFuture<'_, Result<bool>>;

    /// Waits until no other process may change the connection, and takes the right to change it.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn lock(&self) -> BoxFuture<'_, Result<Box<dyn TokenLease>>>;

    /// Returns where the tokens are stored, for messages.
    fn place(&self) -> String;
}

/// The right to change one stored connection. It ends with [`TokenLease::release`], when it is
/// dropped, and when its process dies. It belongs to the store that gave it: only that store's
/// connection can be changed with it.
pub trait TokenLease: Send + Sync {
    /// Returns the stored connection, as [`TokenStore::load`].
    ///
    /// # Errors
    /// If the store cannot be read.
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>>;

    /// Stores a connection. Returns only when it would survive a crash: QBO may have forgotten the
    /// previous token (qbo-facts 1.4).
    ///
    /// # Errors
    /// If it could not be made durable. An access token that came with it must not be used then.
    fn save<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<()>>;

    /// Records that a refresh is in progress, or why a person must connect again, unencrypted
    /// beside the sealed tokens. Does nothing if no connection is stored. The tokens stay as they
    /// are, so that tokens which this key does not open can be opened with another one later.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn annotate<'a>(
        &'a self,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&'a str>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Removes the connection from the store.
    ///
    /// # Errors
    /// As for [`TokenLease::save`].
    fn remove(&self) -> BoxFuture<'_, Result<()>>;

    /// Ends the lease. Unlike a drop, it returns when others can take theirs.
    fn release(self: Box<Self>) -> BoxFuture<'static, ()>;
}
