//! The tokens of a connection, and where they live between runs.

use std::future::Future;

use chrono::{DateTime, Utc};

use super::Secret;
use crate::error::Result;

/// What is known of one company's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The newest refresh token.
    pub refresh_token: Secret,
    /// The one before it: how long it still works nobody knows (qbo-facts 1.4).
    pub previous_refresh_token: Option<Secret>,
    /// The newest access token.
    pub access: Option<AccessGrant>,
    /// Fingerprint of the configured token when it was last seen: a changed one means that somebody
    /// has connected again.
    pub seed: Option<String>,
    /// When the refresh token ends if it is not used.
    pub refresh_token_expires_at: Option<DateTime<Utc>>,
    /// When the connection ends however it is used: five years after consent (qbo-facts 1.4).
    pub connection_expires_at: Option<DateTime<Utc>>,
    /// Set while a refresh is under way. Found set by the next, it says that one was cut off,
    /// perhaps after QuickBooks had replaced the token.
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
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Connection {
    /// A connection of which only a refresh token is known.
    pub fn from_token(refresh_token: Secret) -> Self {
        Self {
            refresh_token,
            previous_refresh_token: None,
            access: None,
            seed: None,
            refresh_token_expires_at: None,
            connection_expires_at: None,
            refresh_begun_at: None,
            needs_reauth: None,
        }
    }
}

/// Where one connection's tokens live between runs, shared by all processes that use it.
pub trait TokenStore: Send + Sync + 'static {
    /// The right to change the connection. Ends with [`TokenStore::release`], when it is dropped,
    /// and when its process dies.
    type Lease: Send + Sync;

    /// What is stored; `None` if nothing is, or nothing that can be read with this key.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn load(&self) -> impl Future<Output = Result<Option<Connection>>> + Send;

    /// Waits until nobody else, in any process, may change the connection.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn lock(&self) -> impl Future<Output = Result<Self::Lease>> + Send;

    /// Makes a connection durable. Returns only when it would survive a crash: QBO may have
    /// forgotten the previous token (qbo-facts 1.4).
    ///
    /// # Errors
    /// If it could not be made durable; an access token that came with it must not be used then.
    fn save(
        &self,
        lease: &Self::Lease,
        connection: &Connection,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Notes in the open, beside the sealed tokens, that a refresh is under way, or why a person
    /// must connect again. Nothing to do where nothing is stored. The tokens are not touched, so
    /// that ones that cannot be read now can be later.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn annotate(
        &self,
        lease: &Self::Lease,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&str>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Forgets the connection.
    ///
    /// # Errors
    /// As for [`TokenStore::save`].
    fn remove(&self, lease: &Self::Lease) -> impl Future<Output = Result<()>> + Send;

    /// Lets others have it. The same as dropping the lease, in good order.
    fn release(&self, lease: Self::Lease) -> impl Future<Output = ()> + Send;

    /// Where it is, for messages; `None` if nothing outlives the process.
    fn place(&self) -> Option<String>;
}
