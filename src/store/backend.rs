//! The backend of tokens and shared state that the settings name, opened once.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use super::shared_state::{FileState, MemoryState, PostgresState};
use super::token_store::{
    ConnectionSummary, FileTokenStore, Key, MemoryTokenStore, PostgresTokenStore, file_summaries,
    postgres_summaries,
};
use crate::config::{Settings, StoreLocation};
use crate::durable;
use crate::error::Result;
use crate::port::{SharedState, TokenStore};
use crate::postgres::Db;

/// The place of the state that processes share: tokens, and the rate limits of each company.
#[derive(Debug)]
pub(crate) enum StateBackend {
    /// No token store is set: tokens live as long as the process.
    Memory,
    /// `QBO_TOKEN_STORE` is a path: a file, for the processes of one machine.
    File(PathBuf),
    /// `QBO_TOKEN_STORE` is `postgres`: tables, for all processes that share the database.
    Postgres(Db),
}

impl StateBackend {
    /// Opens the backend at `location`. If it is Postgres, it gets a pool of up to `connections`.
    ///
    /// # Errors
    /// Unusable settings of the database, or one that cannot be reached.
    pub(crate) async fn open(
        settings: &Settings,
        location: &StoreLocation,
        connections: usize,
    ) -> Result<Self> {
        Ok(match location {
            StoreLocation::Memory => Self::Memory,
            StoreLocation::File(path) => Self::File(path.clone()),
            StoreLocation::Postgres => {
                Self::Postgres(Db::open(&settings.postgres()?, connections).await?)
            }
        })
    }

    /// Returns the token store of a company.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn token_store(
        &self,
        realm_id: &str,
        key: Key,
    ) -> Result<Arc<dyn TokenStore>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryTokenStore::default()),
            Self::File(path) => Arc::new(FileTokenStore::new(path, realm_id, key)),
            Self::Postgres(db) => {
                Arc::new(PostgresTokenStore::open(db.clone(), realm_id, key).await?)
            }
        })
    }

    /// Returns what is known of every stored connection. Needs no key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn connections(&self) -> Result<Vec<ConnectionSummary>> {
        match self {
            Self::Memory => Ok(Vec::new()),
            Self::File(path) => file_summaries(path),
            Self::Postgres(db) => postgres_summaries(db).await,
        }
    }

    /// Seals the stored tokens of a company with another key. Returns false if `old` does not open
    /// them; they stay as they are then.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub(crate) async fn change_key(&self, realm_id: &str, old: &Key, new: &Key) -> Result<bool> {
        match self {
            Self::Memory => Ok(false),
            Self::File(path) => {
                let store = FileTokenStore::new(path, realm_id, old.clone());
                store.change_key(new).await
            }
            Self::Postgres(db) => {
                let store = PostgresTokenStore::open(db.clone(), realm_id, old.clone()).await?;
                store.change_key(new).await
            }
        }
    }

    /// Returns the shared document `traffic-{key}`. Without a token store it is shared by the
    /// processes of this machine.
    pub(crate) fn traffic_state(&self, key: &str) -> Box<dyn SharedState> {
        let name = format!("traffic-{key}.json");
        match self {
            Self::Postgres(db) => Box::new(PostgresState::new(db.clone(), key.to_owned())),
            Self::File(path) => Box::new(FileState::new(durable::beside(path, &name))),
            Self::Memory => match FileState::temporary(&name) {
                Ok(state) => Box::new(state),
                Err(error) => {
                    warn!(
                        phase = "extract",
                        event = "limits_not_shared",
                        "{error}; limits are kept in this process only"
                    );
                    Box::new(MemoryState::default())
                }
            },
        }
    }
}
