//! Tokens of any number of companies in one file of mode 0600, written aside, synced and renamed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ConnectionSummary, Key, StoredConnection};
use crate::durable;
use crate::error::{Error, Result};
use crate::port::{Connection, TokenStore};

/// One connection in a file of them.
#[derive(Debug, Clone)]
pub struct FileTokenStore {
    path: PathBuf,
    realm_id: String,
    key: Key,
}

/// A lock of the operating system: it ends with its process.
#[derive(Debug)]
pub struct FileLease(#[allow(dead_code, reason = "held, not read")] File);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    version: u32,
    connections: BTreeMap<String, StoredConnection>,
}

const VERSION: u32 = 2;

impl FileTokenStore {
    /// The connection of `realm_id` in the file `path`.
    pub fn new(path: &Path, realm_id: &str, key: Key) -> Self {
        Self {
            path: path.to_owned(),
            realm_id: realm_id.to_owned(),
            key,
        }
    }

    /// Another connection in the same file.
    #[must_use]
    pub fn for_connection(&self, realm_id: &str, key: &Key) -> Self {
        Self::new(&self.path, realm_id, key.clone())
    }

    /// Every connection of the file.
    ///
    /// # Errors
    /// [`Error::Config`] if it cannot be read.
    pub fn accounts(&self) -> Result<Vec<ConnectionSummary>> {
        Ok(self
            .read()?
            .connections
            .iter()
            .map(|(realm_id, stored)| stored.account(realm_id))
            .collect())
    }

    fn read(&self) -> Result<Contents> {
        let empty = Contents {
            version: VERSION,
            ..Contents::default()
        };
        match std::fs::read(&self.path) {
            Ok(bytes) => match serde_json::from_slice::<Contents>(&bytes) {
                Ok(contents) if contents.version == VERSION => Ok(contents),
                Ok(contents) => {
                    Err(self.unusable(format!("is of version {}, not {VERSION}", contents.version)))
                }
                Err(e) => Err(self.unusable(format!("is not a token store: {e}"))),
            },
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(empty),
            Err(e) => Err(self.unusable(e)),
        }
    }

    /// Makes the directory of the file, for nobody else, if it is not there.
    fn make_place(&self) -> Result<()> {
        durable::make_private_directory(durable::directory_of(&self.path))
            .map_err(|e| self.unusable(e))
    }

    fn unusable(&self, reason: impl std::fmt::Display) -> Error {
        Error::config(
            "QBO_TOKEN_STORE",
            format!("{}: {reason}", self.path.display()),
        )
    }

    /// Changes the file; other processes that write other connections wait.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, StoredConnection>)) -> Result<()> {
        let _lock =
            durable::lock(&durable::beside(&self.path, "lock")).map_err(|e| self.unusable(e))?;
        let mut contents = self.read()?;
        change(&mut contents.connections);
        self.replace(&contents).map_err(|e| self.unusable(e))
    }

    fn replace(&self, contents: &Contents) -> std::io::Result<()> {
        let aside = durable::temporary_name(&self.path);
        let mut file = durable::private()
            .create_new(true)
            .write(true)
            .open(&aside)?;
        let written = serde_json::to_vec_pretty(contents)
            .map_err(std::io::Error::from)
            .and_then(|text| file.write_all(&text))
            .and_then(|()| file.sync_all())
            .and_then(|()| durable::replace(&aside, &self.path));
        if written.is_err() {
            // On a full disk it would take what is left.
            let _ = std::fs::remove_file(&aside);
        }
        written
    }
}

impl TokenStore for FileTokenStore {
    type Lease = FileLease;

    async fn load(&self) -> Result<Option<Connection>> {
        let contents = self.read()?;
        let place = self.path.display().to_string();
        let stored = contents.connections.get(&self.realm_id);
        Ok(stored.and_then(|stored| stored.open_or_warn(&self.key, &self.realm_id, &place)))
    }

    async fn lock(&self) -> Result<FileLease> {
        let path = durable::beside(&self.path, &format!("{}.lock", self.realm_id));
        self.make_place()?;
        // The operating system has no other way to wait for it.
        let locked = tokio::task::spawn_blocking(move || durable::lock(&path)).await;
        locked
            .map_err(|e| Error::Internal(e.to_string()))?
            .map(FileLease)
            .map_err(|e| self.unusable(e))
    }

    async fn save(&self, _lease: &FileLease, connection: &Connection) -> Result<()> {
        let stored = StoredConnection::seal(connection, &self.key, &self.realm_id)?;
        self.change(|connections| _ = connections.insert(self.realm_id.clone(), stored))
    }

    async fn annotate(
        &self,
        _lease: &FileLease,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&str>,
    ) -> Result<()> {
        self.change(|connections| {
            if let Some(stored) = connections.get_mut(&self.realm_id) {
                stored.refresh_begun_at = refresh_begun_at;
                stored.needs_reauth = needs_reauth.map(str::to_owned);
            }
        })
    }

    async fn remove(&self, _lease: &FileLease) -> Result<()> {
        self.change(|connections| _ = connections.remove(&self.realm_id))
    }

    async fn release(&self, lease: FileLease) {
        drop(lease);
    }

    fn place(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Secret;

    fn store(directory: &tempfile::TempDir, realm: &str, secret: &str) -> FileTokenStore {
        let key = Key::new(&Secret::new(secret), None).unwrap();
        FileTokenStore::new(&directory.path().join("tokens.json"), realm, key)
    }

    async fn save(store: &FileTokenStore, token: &str) {
        let lease = store.lock().await.unwrap();
        store
            .save(&lease, &Connection::from_token(Secret::new(token)))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn tokens_of_several_companies_come_back_and_are_never_in_clear() {
        let directory = tempfile::tempdir().unwrap();
        for realm in ["1", "2"] {
            save(
                &store(&directory, realm, "hush"),
                &format!("RT1-token-of-{realm}"),
            )
            .await;
        }
        let loaded = store(&directory, "1", "hush")
            .load()
            .await
            .unwrap()
            .unwrap();
        assert_eq!(loaded.refresh_token, Secret::new("RT1-token-of-1"));
        assert_eq!(store(&directory, "1", "hush").accounts().unwrap().len(), 2);
        let text = std::fs::read_to_string(directory.path().join("tokens.json")).unwrap();
        assert!(!text.contains("RT1") && !text.contains("hush"), "{text}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        save(&store(&directory, "1", "hush"), "t").await;
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            assert_eq!(
                entry.unwrap().metadata().unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn its_directory_is_made_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("qbo/tokens");
        let key = Key::new(&Secret::new("hush"), None).unwrap();
        save(&FileTokenStore::new(&inner.join("t.json"), "1", key), "t").await;
        assert_eq!(
            std::fs::metadata(&inner).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }

    #[tokio::test]
    async fn a_note_leaves_tokens_of_another_key_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        save(&store(&directory, "1", "hush"), "t").await;
        let other = store(&directory, "1", "renewed");
        assert_eq!(other.load().await.unwrap(), None);
        let lease = other.lock().await.unwrap();
        other
            .annotate(&lease, Some(Utc::now()), Some("dead"))
            .await
            .unwrap();
        let connection = store(&directory, "1", "hush")
            .load()
            .await
            .unwrap()
            .unwrap();
        assert_eq!(connection.refresh_token, Secret::new("t"));
        assert_eq!(connection.needs_reauth.as_deref(), Some("dead"));
        assert!(connection.refresh_begun_at.is_some());
    }

    #[tokio::test]
    async fn a_lease_keeps_others_out_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, "1", "hush");
        let lease = store.lock().await.unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.lock().await.map(drop) }
        });
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(100), store.lock())
                .await
                .is_err()
        );
        store.release(lease).await;
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_something_else_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.json");
        for text in ["{\"version\":9,\"connections\":{}}", "notes of mine", ""] {
            std::fs::write(&path, text).unwrap();
            let store = store(&directory, "1", "hush");
            let lease = store.lock().await.unwrap();
            assert!(store.load().await.is_err());
            assert!(
                store
                    .save(&lease, &Connection::from_token(Secret::new("t")))
                    .await
                    .is_err()
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
