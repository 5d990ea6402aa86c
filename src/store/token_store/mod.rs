//! Where the tokens of connections live between runs: in memory, in an encrypted file, or in
//! Postgres.

mod file;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod seal;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::file::{FileLease, FileTokenStore};
pub use self::memory::MemoryTokenStore;
#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresLease, PostgresTokenStore};
pub use self::seal::Key;
use crate::error::Result;
use crate::port::{AccessGrant, Connection, Secret, TokenStore};

/// The store that the settings name.
#[derive(Debug)]
pub enum ConfiguredTokenStore {
    /// No store: a rotated token lives as long as the process.
    Memory(MemoryTokenStore),
    /// `QBO_TOKEN_STORE` is a path.
    File(Box<FileTokenStore>),
    /// `QBO_TOKEN_STORE` is `postgres`.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresTokenStore>),
}

/// A lease of the store that the settings name.
#[derive(Debug)]
pub enum ConfiguredLease {
    /// Of memory.
    Memory(tokio::sync::OwnedMutexGuard<()>),
    /// Of a file.
    File(FileLease),
    /// Of Postgres.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresLease>),
}

/// Calls a method of whichever store it is, with its own lease.
macro_rules! of_each {
    ($self:expr, $lease:expr, $store:ident, $own:ident => $call:expr) => {
        match ($self, $lease) {
            (Self::Memory($store), ConfiguredLease::Memory($own)) => $call,
            (Self::File($store), ConfiguredLease::File($own)) => $call,
            #[cfg(feature = "postgres")]
            (Self::Postgres($store), ConfiguredLease::Postgres($own)) => $call,
            _ => Err(crate::error::Error::Internal(
                "a lease of another token store".into(),
            )),
        }
    };
}

impl TokenStore for ConfiguredTokenStore {
    type Lease = ConfiguredLease;

    async fn load(&self) -> Result<Option<Connection>> {
        match self {
            Self::Memory(store) => store.load().await,
            Self::File(store) => store.load().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.load().await,
        }
    }

    async fn lock(&self) -> Result<ConfiguredLease> {
        Ok(match self {
            Self::Memory(store) => ConfiguredLease::Memory(store.lock().await?),
            Self::File(store) => ConfiguredLease::File(store.lock().await?),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => ConfiguredLease::Postgres(Box::new(store.lock().await?)),
        })
    }

    async fn save(&self, lease: &ConfiguredLease, connection: &Connection) -> Result<()> {
        of_each!(self, lease, store, own => store.save(own, connection).await)
    }

    async fn annotate(
        &self,
        lease: &ConfiguredLease,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&str>,
    ) -> Result<()> {
        of_each!(self, lease, store, own => store.annotate(own, refresh_begun_at, needs_reauth).await)
    }

    async fn remove(&self, lease: &ConfiguredLease) -> Result<()> {
        of_each!(self, lease, store, own => store.remove(own).await)
    }

    async fn release(&self, lease: ConfiguredLease) {
        #[cfg(feature = "postgres")]
        if let (Self::Postgres(store), ConfiguredLease::Postgres(lease)) = (self, lease) {
            store.release(*lease).await;
        }
        #[cfg(not(feature = "postgres"))]
        drop(lease);
    }

    fn place(&self) -> Option<String> {
        match self {
            Self::Memory(store) => store.place(),
            Self::File(store) => store.place(),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.place(),
        }
    }
}

impl ConfiguredTokenStore {
    /// What is known of every stored connection. Needs no key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn accounts(&self) -> Result<Vec<ConnectionSummary>> {
        match self {
            Self::Memory(_) => Ok(Vec::new()),
            Self::File(store) => store.accounts(),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.accounts().await,
        }
    }

    /// This store, of another company or with another key.
    #[must_use]
    pub fn for_connection(&self, realm_id: &str, key: &Key) -> Self {
        match self {
            Self::Memory(_) => Self::Memory(MemoryTokenStore::default()),
            Self::File(store) => Self::File(Box::new(store.for_connection(realm_id, key))),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Self::Postgres(Box::new(store.for_connection(realm_id, key))),
        }
    }
}

/// What may be known of a stored connection without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionSummary {
    /// The company.
    pub realm_id: String,
    /// Why a person must connect it again; `None` while it works.
    pub needs_reauth: Option<String>,
    /// When the stored access token ends.
    pub access_token_expires_at: Option<DateTime<Utc>>,
    /// When the refresh token ends if it is not used.
    pub refresh_token_expires_at: Option<DateTime<Utc>>,
    /// When the connection ends however it is used.
    pub connection_expires_at: Option<DateTime<Utc>>,
}

/// A connection as it is stored: secrets sealed, the rest in the open.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct StoredConnection {
    sealed_tokens: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    needs_reauth: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_token_expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token_expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection_expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_begun_at: Option<DateTime<Utc>>,
}

/// What is sealed, as JSON.
#[derive(Serialize, Deserialize)]
struct SealedTokens {
    refresh_token: String,
    previous_refresh_token: Option<String>,
    access: Option<SealedAccess>,
    seed: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SealedAccess {
    token: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl StoredConnection {
    fn seal(connection: &Connection, key: &Key, realm_id: &str) -> Result<Self> {
        let text = |secret: &Secret| secret.expose().to_owned();
        let access = connection.access.as_ref();
        let tokens = SealedTokens {
            refresh_token: text(&connection.refresh_token),
            previous_refresh_token: connection.previous_refresh_token.as_ref().map(text),
            access: access.map(|grant| SealedAccess {
                token: text(&grant.token),
                issued_at: grant.issued_at,
                expires_at: grant.expires_at,
            }),
            seed: connection.seed.clone(),
        };
        let json = serde_json::to_vec(&tokens)
            .map_err(|e| crate::error::Error::Internal(e.to_string()))?;
        Ok(Self {
            sealed_tokens: key.seal(&json, realm_id)?,
            needs_reauth: connection.needs_reauth.clone(),
            access_token_expires_at: access.map(|grant| grant.expires_at),
            refresh_token_expires_at: connection.refresh_token_expires_at,
            connection_expires_at: connection.connection_expires_at,
            refresh_begun_at: connection.refresh_begun_at,
        })
    }

    /// `None` if it was sealed with another key, for another company, or is damaged.
    fn open(&self, key: &Key, realm_id: &str) -> Option<Connection> {
        let tokens: SealedTokens =
            serde_json::from_slice(&key.open(&self.sealed_tokens, realm_id)?).ok()?;
        Some(Connection {
            refresh_token: Secret::new(tokens.refresh_token),
            previous_refresh_token: tokens.previous_refresh_token.map(Secret::new),
            access: tokens.access.map(|access| AccessGrant {
                token: Secret::new(access.token),
                issued_at: access.issued_at,
                expires_at: access.expires_at,
            }),
            seed: tokens.seed,
            refresh_token_expires_at: self.refresh_token_expires_at,
            connection_expires_at: self.connection_expires_at,
            refresh_begun_at: self.refresh_begun_at,
            needs_reauth: self.needs_reauth.clone(),
        })
    }

    /// As [`Self::open`], saying so if it cannot be.
    fn open_or_warn(&self, key: &Key, realm_id: &str, place: &str) -> Option<Connection> {
        let connection = self.open(key, realm_id);
        if connection.is_none() {
            tracing::warn!(
                phase = "auth",
                event = "token_store_unreadable",
                "the tokens of company {realm_id} in {place} were encrypted with another key (client secret renewed?); using \
                 QBO_REFRESH_TOKEN"
            );
        }
        connection
    }

    fn account(&self, realm_id: &str) -> ConnectionSummary {
        ConnectionSummary {
            realm_id: realm_id.to_owned(),
            needs_reauth: self.needs_reauth.clone(),
            access_token_expires_at: self.access_token_expires_at,
            refresh_token_expires_at: self.refresh_token_expires_at,
            connection_expires_at: self.connection_expires_at,
        }
    }
}
