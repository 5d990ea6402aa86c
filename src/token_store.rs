//! Where rotated refresh tokens live: in memory, or in an encrypted file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use log::warn;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{Error, Result};
use crate::port::{Secret, TokenStore};

/// The store that the settings name.
#[derive(Debug)]
pub enum ConfiguredTokenStore {
    /// No store: a rotated token lives as long as the process.
    Memory(MemoryTokenStore),
    /// `QBO_TOKEN_STORE` is a path.
    File(Box<FileTokenStore>),
}

impl TokenStore for ConfiguredTokenStore {
    async fn load(&self) -> Result<Option<Secret>> {
        match self {
            Self::Memory(store) => store.load().await,
            Self::File(store) => store.load().await,
        }
    }

    async fn save(&self, token: &Secret) -> Result<()> {
        match self {
            Self::Memory(store) => store.save(token).await,
            Self::File(store) => store.save(token).await,
        }
    }
}

/// Keeps a rotated token for the rest of the process, and says that it does no more.
#[derive(Debug, Default)]
pub struct MemoryTokenStore(Mutex<Option<Secret>>);

impl TokenStore for MemoryTokenStore {
    async fn load(&self) -> Result<Option<Secret>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn save(&self, token: &Secret) -> Result<()> {
        warn!(phase = "auth", event = "refresh_token_not_stored";
            "QuickBooks replaced the refresh token, and the new one will be lost when this process ends: \
             set QBO_TOKEN_STORE to a file");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(())
    }
}

/// Keeps tokens in a file of mode 0600: AES-256-GCM, bound to the company, written aside and renamed.
#[derive(Debug)]
pub struct FileTokenStore {
    path: PathBuf,
    realm_id: String,
    key: Key,
}

#[derive(Clone)]
struct Key(LessSafeKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The file: one sealed token a company.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    version: u32,
    connections: BTreeMap<String, Sealed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    nonce: String,
    ciphertext: String,
}

const VERSION: u32 = 1;
const KEY_LEN: usize = 32;

impl FileTokenStore {
    /// A store in `path`. The key is `token_key`, 32 bytes in base64, else derived from the client secret (HKDF-SHA256,
    /// RFC 5869), which is needed to use the tokens anyway.
    ///
    /// # Errors
    /// [`Error::Config`] if the key is not what it must be.
    pub fn new(path: &Path, realm_id: &str, client_secret: &Secret, token_key: Option<&Secret>) -> Result<Self> {
        let mut bytes = [0; KEY_LEN];
        match token_key {
            Some(text) => {
                let decoded = STANDARD.decode(text.expose()).ok().filter(|decoded| decoded.len() == KEY_LEN);
                let decoded = decoded.ok_or_else(|| Error::config("QBO_TOKEN_KEY", "is not 32 bytes in base64"))?;
                bytes.copy_from_slice(&decoded);
            }
            None => Salt::new(HKDF_SHA256, b"qbo_rs token store")
                .extract(client_secret.expose().as_bytes())
                .expand(&[b"refresh token"], HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut bytes))
                .map_err(|_| Error::Internal("key derivation".into()))?,
        }
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| Error::Internal("token key".into()))?;
        Ok(Self { path: path.to_owned(), realm_id: realm_id.to_owned(), key: Key(LessSafeKey::new(key)) })
    }

    fn read(&self) -> Result<Contents> {
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|e| self.unusable(format!("is not a token store: {e}")))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Ok(Contents { version: VERSION, ..Contents::default() })
            }
            Err(e) => Err(self.unusable(e)),
        }
    }

    fn unusable(&self, reason: impl std::fmt::Display) -> Error {
        Error::config("QBO_TOKEN_STORE", format!("{}: {reason}", self.path.display()))
    }

    fn seal(&self, token: &Secret) -> Result<Sealed> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| Error::Internal("no randomness".into()))?;
        let mut data = token.expose().as_bytes().to_vec();
        let bound_to = Aad::from(self.realm_id.as_bytes());
        self.key
            .0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound_to, &mut data)
            .map_err(|_| Error::Internal("cannot encrypt a token".into()))?;
        Ok(Sealed { nonce: STANDARD.encode(nonce), ciphertext: STANDARD.encode(data) })
    }

    /// `None` if it was sealed with another key, for another company, or damaged.
    fn unseal(&self, sealed: &Sealed) -> Option<Secret> {
        let nonce: [u8; NONCE_LEN] = STANDARD.decode(&sealed.nonce).ok()?.try_into().ok()?;
        let mut data = STANDARD.decode(&sealed.ciphertext).ok()?;
        let bound_to = Aad::from(self.realm_id.as_bytes());
        let text = self.key.0.open_in_place(Nonce::assume_unique_for_key(nonce), bound_to, &mut data).ok()?;
        Some(Secret::new(std::str::from_utf8(text).ok()?))
    }

    fn lock(&self) -> std::io::Result<File> {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        let file = private().create(true).write(true).truncate(false).open(name)?;
        file.lock()?;
        Ok(file)
    }

    fn replace(&self, contents: &Contents) -> std::io::Result<()> {
        let aside = durable::temporary_name(&self.path);
        let mut file = private().create_new(true).write(true).open(&aside)?;
        file.write_all(&serde_json::to_vec_pretty(contents)?)?;
        file.sync_all()?;
        durable::replace(&aside, &self.path)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl TokenStore for FileTokenStore {
    async fn load(&self) -> Result<Option<Secret>> {
        let contents = self.read()?;
        let Some(sealed) = contents.connections.get(&self.realm_id) else { return Ok(None) };
        let token = self.unseal(sealed);
        if token.is_none() {
            warn!(phase = "auth", event = "token_store_unreadable";
                "the token in {} was encrypted with another key (client secret renewed?); using QBO_REFRESH_TOKEN",
                self.path.display());
        }
        Ok(token)
    }

    async fn save(&self, token: &Secret) -> Result<()> {
        let sealed = self.seal(token)?;
        let _lock = self.lock().map_err(|e| self.unusable(e))?;
        let mut contents = self.read()?;
        contents.connections.insert(self.realm_id.clone(), sealed);
        self.replace(&contents).map_err(|e| self.unusable(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(directory: &tempfile::TempDir, realm: &str, secret: &str) -> FileTokenStore {
        let path = directory.path().join("tokens.json");
        FileTokenStore::new(&path, realm, &Secret::new(secret), None).unwrap()
    }

    #[tokio::test]
    async fn tokens_of_several_companies_come_back_and_are_never_in_clear() {
        let directory = tempfile::tempdir().unwrap();
        for realm in ["1", "2"] {
            let token = Secret::new(format!("RT1-token-of-{realm}"));
            store(&directory, realm, "hush").save(&token).await.unwrap();
        }
        assert_eq!(store(&directory, "1", "hush").load().await.unwrap(), Some(Secret::new("RT1-token-of-1")));
        let text = std::fs::read_to_string(directory.path().join("tokens.json")).unwrap();
        assert!(!text.contains("RT1") && !text.contains("hush"), "{text}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        store(&directory, "1", "hush").save(&Secret::new("t")).await.unwrap();
        let mode = std::fs::metadata(directory.path().join("tokens.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_token_under_another_key_is_as_none_and_one_moved_to_another_company_too() {
        let directory = tempfile::tempdir().unwrap();
        store(&directory, "1", "hush").save(&Secret::new("t")).await.unwrap();
        assert_eq!(store(&directory, "1", "renewed").load().await.unwrap(), None);
        let path = directory.path().join("tokens.json");
        let moved = std::fs::read_to_string(&path).unwrap().replace("\"1\"", "\"2\"");
        std::fs::write(&path, moved).unwrap();
        assert_eq!(store(&directory, "2", "hush").load().await.unwrap(), None);
    }

    #[test]
    fn a_key_must_be_32_bytes() {
        let key = Secret::new(STANDARD.encode([7; 31]));
        assert!(FileTokenStore::new(Path::new("x"), "1", &key, Some(&key)).is_err());
    }
}
