//! The backend of tokens and shared state that the settings name, opened once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use super::shared_state::{Documents, FileState, PostgresState, read_files, read_rows};
use super::token_store::{
    ConnectionSummary, FileTokenStore, Key, POSTGRES_PLACE, PostgresTokenStore, file_summaries,
    postgres_summaries,
};
use crate::config::{RescueFile, Settings, StoreLocation};
use crate::durable;
use crate::error::{Error, Result};
use crate::port::{SharedState, TokenStore};
use crate::postgres::Db;

/// The place of the state that processes share: tokens, and the rate limits of each company.
#[derive(Debug)]
pub(crate) enum StateBackend {
    /// A file, for the processes of one machine.
    File(PathBuf),
    /// Tables, for all processes that share the database.
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
            // Through a link, so that the link stays and all its users share locks and limits.
            StoreLocation::File(path) => {
                let resolved = durable::resolved(path);
                check_directory(path, settings.is_default_token_file(path))?;
                check_directory(&resolved, false)?;
                Self::File(resolved)
            }
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

    /// Returns where the tokens are, for messages.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Postgres(_) => POSTGRES_PLACE.to_owned(),
        }
    }

    /// Returns the shared document `traffic-{key}`.
    pub(crate) fn traffic_state(&self, key: &str) -> Box<dyn SharedState> {
        match self {
            Self::Postgres(db) => Box::new(PostgresState::new(db.clone(), key.to_owned())),
            Self::File(path) => Box::new(FileState::new(state_file(path, key))),
        }
    }

    /// Reads the shared documents of many keys at once.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn documents(&self, keys: Vec<String>) -> Result<Documents> {
        match self {
            Self::Postgres(db) => read_rows(db, keys).await,
            Self::File(path) => Ok(read_files(keys, |key| state_file(path, key))),
        }
    }
}

/// Returns the file of a shared document beside the file of tokens.
fn state_file(tokens: &Path, key: &str) -> PathBuf {
    durable::beside(tokens, &format!("traffic-{key}.json"))
}

/// Refuses a token file in the user's state directory if another user could replace it there, since
/// nobody has chosen that. Warns of any other: volumes are often open to all, and hold the files of one
/// user.
fn check_directory(path: &Path, is_default: bool) -> Result<()> {
    static TOLD: Once = Once::new();
    let directory = durable::directory_of(path);
    let Some(reason) = durable::openness(directory) else {
        return Ok(());
    };
    let directory = directory.display();
    if is_default {
        let reason = format!(
            "{directory} is not used for tokens: {reason}; make it yours alone, or name another place"
        );
        return Err(Error::config("QBO_TOKEN_STORE", reason));
    }
    TOLD.call_once(|| {
        tracing::warn!(
            phase = "auth",
            event = "token_directory_open",
            "tokens are in {directory}: {reason}"
        );
    });
    Ok(())
}

/// Returns the stores for tokens of a company that its token store cannot take. Directories that other
/// users could change are left out, with a warning.
pub(crate) fn rescue_stores(
    files: &[RescueFile],
    realm_id: &str,
    key: &Key,
) -> Vec<Arc<dyn TokenStore>> {
    let store = |file: &RescueFile| -> Option<Arc<dyn TokenStore>> {
        let directory = durable::directory_of(&file.path);
        if !file.is_in_shared_place {
            if let Some(reason) = durable::openness(directory) {
                warn_of_refusal(directory, &reason);
                return None;
            }
            return Some(Arc::new(FileTokenStore::new(
                &file.path,
                realm_id,
                key.clone(),
            )));
        }
        // Without the user's own runtime directory, there is no such place.
        if !durable::directory_of(directory).is_dir() {
            return None;
        }
        if let Some(reason) = durable::refusal(directory) {
            warn_of_refusal(directory, &reason);
            return None;
        }
        let store = FileTokenStore::in_shared_place(&file.path, realm_id, key.clone());
        Some(Arc::new(store))
    };
    files.iter().filter_map(store).collect()
}

fn warn_of_refusal(directory: &Path, reason: &str) {
    tracing::warn!(
        phase = "auth",
        event = "directory_refused",
        "{} is not used: {reason}",
        directory.display()
    );
}
