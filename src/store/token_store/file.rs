//! Tokens of any number of companies in one file of mode 0600. A new version is written to a
//! temporary file, synced and renamed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};

use super::{ConnectionSummary, Key, StoredConnection};
use crate::durable::{self, Draft, Exposure, Lock};
use crate::error::{Error, Result};
use crate::port::{Connection, TokenLease, TokenStore};
use crate::terminal::shell_quote;

/// The tokens of one connection in a file.
#[derive(Debug, Clone)]
pub(crate) struct FileTokenStore {
    path: PathBuf,
    realm_id: String,
    key: Key,
    /// Another user might have made its directory.
    is_in_shared_place: bool,
}

/// A file lock of the operating system, which ends with its process.
struct FileLease {
    store: FileTokenStore,
    _lock: Lock,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    version: u32,
    connections: BTreeMap<String, StoredConnection>,
}

const VERSION: u32 = 2;

/// Returns what is known of every connection in the file `path`. Needs no key.
///
/// # Errors
/// [`Error::Config`] if the file cannot be read.
pub(crate) fn summaries(path: &Path) -> Result<Vec<ConnectionSummary>> {
    let connections = read(path)?.connections;
    Ok(connections
        .iter()
        .map(|(realm_id, stored)| stored.summary(realm_id))
        .collect())
}

fn read(path: &Path) -> Result<Contents> {
    let empty = Contents {
        version: VERSION,
        ..Contents::default()
    };
    let bytes = match durable::private().read(true).open(path) {
        Ok(file) => read_private(path, file)?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(empty),
        Err(e) => return Err(unusable(path, e)),
    };
    match serde_json::from_slice::<Contents>(&bytes) {
        Ok(contents) if contents.version == VERSION => Ok(contents),
        Ok(contents) => {
            let reason = format!("is of version {}, not {VERSION}", contents.version);
            Err(unusable(path, reason))
        }
        Err(e) => Err(unusable(path, format!("is not a token store: {e}"))),
    }
}

/// Reads a file that only its user may change. Closes it to those who could only read it.
fn read_private(path: &Path, mut file: File) -> Result<Vec<u8>> {
    // Nothing else may be closed, or read: a directory would be locked to its users, a pipe never ends.
    let kind = file.metadata().map_err(|e| unusable(path, e))?.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() {
            "a directory"
        } else {
            "no file"
        };
        let reason = format!("is {what}; name a file, which is made if it does not exist");
        return Err(unusable(path, reason));
    }
    let exposure = durable::exposure(&file).map_err(|e| unusable(path, e))?;
    match exposure {
        Exposure::Private => {}
        Exposure::Shared(mode) => close(path, &file, mode),
        Exposure::Open(mode) => {
            let reason = format!(
                "every user of this machine may change it (mode {mode:04o}); if nobody has, close it: chmod 600 {}",
                shell_quote(&path.to_string_lossy())
            );
            return Err(unusable(path, reason));
        }
    }
    let stranger = durable::stranger(&file, path).map_err(|e| unusable(path, e))?;
    if let Some(owner) = stranger {
        let reason = format!(
            "it belongs to user {owner}, who may change it; if it is yours, make it so: chown \"$(id -u)\" {}",
            shell_quote(&path.to_string_lossy())
        );
        return Err(unusable(path, reason));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|e| unusable(path, e))?;
    Ok(bytes)
}

/// Sets the mode 0600. Some volumes keep a mode of their own; the tokens are encrypted there, too.
fn close(path: &Path, file: &File, mode: u32) {
    #[cfg(unix)]
    let closed = file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
    #[cfg(not(unix))]
    let closed = std::io::Result::Ok(_ = file);
    let outcome = match closed {
        Ok(()) => "its mode is 0600 now".to_owned(),
        Err(e) => format!("its mode cannot be changed: {e}"),
    };
    tracing::warn!(
        phase = "auth",
        event = "token_store_shared",
        "other users could open {} (mode {mode:04o}); {outcome}",
        path.display()
    );
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::config("QBO_TOKEN_STORE", format!("{}: {reason}", path.display()))
}

impl FileTokenStore {
    /// Returns the store of the company `realm_id` in the file `path`.
    pub(crate) fn new(path: &Path, realm_id: &str, key: Key) -> Self {
        Self {
            path: path.to_owned(),
            realm_id: realm_id.to_owned(),
            key,
            is_in_shared_place: false,
        }
    }

    /// Returns a store like [`Self::new`] in a directory that is refused if another user could change
    /// what is in it.
    pub(crate) fn in_shared_place(path: &Path, realm_id: &str, key: Key) -> Self {
        Self {
            is_in_shared_place: true,
            ..Self::new(path, realm_id, key)
        }
    }

    fn read(&self) -> Result<Contents> {
        read(&self.path)
    }

    /// Creates the parent directory with mode 0700 if it does not exist.
    fn create_directory(&self) -> Result<()> {
        let directory = durable::directory_of(&self.path);
        let made = match self.is_in_shared_place {
            true => durable::own_directory(directory),
            false => durable::make_private_directory(directory),
        };
        made.map_err(|e| self.unusable(e))
    }

    fn unusable(&self, reason: impl std::fmt::Display) -> Error {
        unusable(&self.path, reason)
    }

    /// Changes the file. Other processes that change it, for whatever connection, wait.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, StoredConnection>)) -> Result<()> {
        let _lock =
            Lock::wait(&durable::beside(&self.path, "lock")).map_err(|e| self.unusable(e))?;
        durable::remove_leftovers(&self.path);
        let mut contents = self.read()?;
        change(&mut contents.connections);
        self.replace(&contents).map_err(|e| self.unusable(e))
    }

    fn replace(&self, contents: &Contents) -> std::io::Result<()> {
        let mut draft = Draft::create(&self.path)?;
        draft.write_all(&serde_json::to_vec_pretty(contents)?)?;
        // Dropped after a failure, the draft is removed: on a full disk it would take the remaining
        // space.
        draft.replace_durably()
    }
}

impl FileTokenStore {
    fn load_stored(&self) -> Result<Option<Connection>> {
        let contents = self.read()?;
        let place = self.path.display().to_string();
        let stored = contents.connections.get(&self.realm_id);
        Ok(stored.and_then(|stored| stored.open_or_warn(&self.key, &self.realm_id, &place)))
    }

    async fn lease(&self) -> Result<FileLease> {
        let path = durable::beside(&self.path, &format!("{}.lock", self.realm_id));
        self.create_directory()?;
        // Waiting for a file lock blocks, so it gets a thread of its own.
        let locked = tokio::task::spawn_blocking(move || Lock::wait(&path)).await;
        let locked = locked.map_err(|e| Error::Internal(e.to_string()))?;
        Ok(FileLease {
            store: self.clone(),
            _lock: locked.map_err(|e| self.unusable(e))?,
        })
    }

    /// Seals the stored tokens with another key. Returns false if this store's key does not open
    /// them; they stay as they are then.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub(crate) async fn change_key(&self, new: &Key) -> Result<bool> {
        // Locked, because a refresh in another process would write with the old key.
        let lease = self.lease().await?;
        let Some(connection) = self.load_stored()? else {
            return Ok(false);
        };
        lease.save_sealed(&connection, new)?;
        Ok(true)
    }
}

impl TokenStore for FileTokenStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>> {
        async { self.load_stored() }.boxed()
    }

    fn holds_any(&self) -> BoxFuture<'_, Result<bool>> {
        async { Ok(self.read()?.connections.contains_key(&self.realm_id)) }.boxed()
    }

    fn lock(&self) -> BoxFuture<'_, Result<Box<dyn TokenLease>>> {
        async { Ok(Box::new(self.lease().await?) as Box<dyn TokenLease>) }.boxed()
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

impl FileLease {
    fn save_sealed(&self, connection: &Connection, key: &Key) -> Result<()> {
        let realm_id = &self.store.realm_id;
        let stored = StoredConnection::seal(connection, key, realm_id)?;
        self.store
            .change(|connections| _ = connections.insert(realm_id.clone(), stored))
    }
}

impl TokenLease for FileLease {
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>> {
        async { self.store.load_stored() }.boxed()
    }

    fn save<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<()>> {
        async { self.save_sealed(connection, &self.store.key) }.boxed()
    }

    fn annotate<'a>(
        &'a self,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&'a str>,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            self.store.change(|connections| {
                if let Some(stored) = connections.get_mut(&self.store.realm_id) {
                    stored.refresh_begun_at = refresh_begun_at;
                    stored.needs_reauth = needs_reauth.map(str::to_owned);
                }
            })
        }
        .boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<()>> {
        async {
            let realm_id = &self.store.realm_id;
            self.store
                .change(|connections| _ = connections.remove(realm_id))
        }
        .boxed()
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move { drop(self) }.boxed()
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
        lease
            .save(&Connection::from_token(Secret::new(token)))
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
        assert_eq!(
            summaries(&directory.path().join("tokens.json"))
                .unwrap()
                .len(),
            2
        );
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
        lease
            .annotate(Some(Utc::now()), Some("dead"))
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
        lease.release().await;
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
                lease
                    .save(&Connection::from_token(Secret::new("t")))
                    .await
                    .is_err()
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
