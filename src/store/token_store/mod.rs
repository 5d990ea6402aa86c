//! Token stores, which keep the tokens of connections between runs: in an encrypted file, or in
//! Postgres.

mod file;
mod postgres;
mod seal;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub(crate) use self::file::FileTokenStore;
pub(crate) use self::file::summaries as file_summaries;
pub(super) use self::postgres::summaries as postgres_summaries;
pub(crate) use self::postgres::{PLACE as POSTGRES_PLACE, PostgresTokenStore};
pub(crate) use self::seal::Key;
use crate::error::Result;
use crate::port::{AccessGrant, Connection, Secret};

/// The part of a stored connection that can be read without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ConnectionSummary {
    /// The company.
    pub realm_id: String,
    /// Why a person must connect it again; `None` while it works.
    pub needs_reauth: Option<String>,
    /// When the stored access token expires.
    pub access_token_expires_at: Option<DateTime<Utc>>,
    /// When the refresh token expires unless it is used.
    pub refresh_token_expires_at: Option<DateTime<Utc>>,
    /// When the connection ends regardless of use.
    pub connection_expires_at: Option<DateTime<Utc>>,
}

/// A connection as it is stored: secrets sealed, the rest unencrypted.
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

/// The sealed secrets, as JSON.
#[derive(Serialize, Deserialize)]
struct SealedTokens {
    refresh_token: String,
    previous_refresh_token: Option<String>,
    #[serde(default)]
    obtained_at: Option<DateTime<Utc>>,
    access: Option<SealedAccess>,
    seed: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SealedAccess {
    token: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// Returns whether nothing was said yet of these tokens: each reader of a process would say the same.
fn is_first_warning(realm_id: &str, place: &str) -> bool {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    SAID.lock().insert(format!("{realm_id} {place}"))
}

impl StoredConnection {
    fn seal(connection: &Connection, key: &Key, realm_id: &str) -> Result<Self> {
        let text = |secret: &Secret| secret.expose().to_owned();
        let access = connection.access.as_ref();
        let tokens = SealedTokens {
            refresh_token: text(&connection.refresh_token),
            previous_refresh_token: connection.previous_refresh_token.as_ref().map(text),
            obtained_at: connection.obtained_at,
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

    /// Opens the secrets. Returns `None` if they were sealed with another key, for another company,
    /// or are damaged.
    fn open(&self, key: &Key, realm_id: &str) -> Option<Connection> {
        let tokens: SealedTokens =
            serde_json::from_slice(&key.open(&self.sealed_tokens, realm_id)?).ok()?;
        Some(Connection {
            refresh_token: Secret::new(tokens.refresh_token),
            previous_refresh_token: tokens.previous_refresh_token.map(Secret::new),
            obtained_at: tokens.obtained_at,
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

    /// Opens the secrets as [`Self::open`], and logs a warning if they cannot be opened.
    fn open_or_warn(&self, key: &Key, realm_id: &str, place: &str) -> Option<Connection> {
        let connection = self.open(key, realm_id);
        if connection.is_none() && is_first_warning(realm_id, place) {
            tracing::warn!(
                phase = "auth",
                event = "token_store_unreadable",
                "the tokens of company {realm_id} in {place} were encrypted with another key (client secret renewed?); only \
                 QBO_REFRESH_TOKEN, if it is set, can replace them"
            );
        }
        connection
    }

    fn summary(&self, realm_id: &str) -> ConnectionSummary {
        ConnectionSummary {
            realm_id: realm_id.to_owned(),
            needs_reauth: self.needs_reauth.clone(),
            access_token_expires_at: self.access_token_expires_at,
            refresh_token_expires_at: self.refresh_token_expires_at,
            connection_expires_at: self.connection_expires_at,
        }
    }
}
