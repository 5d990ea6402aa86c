//! Authenticated encryption of stored tokens: AES-256-GCM, bound to the company.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{Error, Result};
use crate::port::Secret;

const KEY_LEN: usize = 32;

/// The key that tokens are sealed with.
#[derive(Clone)]
pub(crate) struct Key(LessSafeKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    /// Returns the key `token_key`, 32 bytes in base64; otherwise one derived from the client
    /// secret (HKDF-SHA256, RFC 5869), which is needed to use the tokens anyway.
    ///
    /// # Errors
    /// [`Error::Config`] if `token_key` is not 32 bytes in base64.
    pub(crate) fn new(client_secret: &Secret, token_key: Option<&Secret>) -> Result<Self> {
        let mut bytes = [0; KEY_LEN];
        match token_key {
            Some(text) => {
                let decoded = STANDARD
                    .decode(text.expose())
                    .ok()
                    .filter(|decoded| decoded.len() == KEY_LEN);
                let decoded = decoded
                    .ok_or_else(|| Error::config("QBO_TOKEN_KEY", "is not 32 bytes in base64"))?;
                bytes.copy_from_slice(&decoded);
            }
            None => Salt::new(HKDF_SHA256, b"qbo_rs token store")
                .extract(client_secret.expose().as_bytes())
                .expand(&[b"refresh token"], HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut bytes))
                .map_err(|_| Error::Internal("key derivation".into()))?,
        }
        let key = UnboundKey::new(&AES_256_GCM, &bytes)
            .map_err(|_| Error::Internal("token key".into()))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts `clear`, bound to a company; returns nonce, ciphertext and tag in base64.
    pub(super) fn seal(&self, clear: &[u8], bound_to: &str) -> Result<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| Error::Internal("no randomness".into()))?;
        let mut data = clear.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound_to.as_bytes()),
                &mut data,
            )
            .map_err(|_| Error::Internal("cannot encrypt a token".into()))?;
        Ok(STANDARD.encode([&nonce[..], &data].concat()))
    }

    /// Decrypts sealed text. Returns `None` if it was sealed with another key, is bound to another
    /// company, or is damaged.
    pub(super) fn open(&self, sealed: &str, bound_to: &str) -> Option<Vec<u8>> {
        let mut data = STANDARD.decode(sealed).ok()?;
        if data.len() < NONCE_LEN {
            return None;
        }
        let mut sealed = data.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&data).ok()?;
        let clear = self
            .0
            .open_in_place(nonce, Aad::from(bound_to.as_bytes()), &mut sealed)
            .ok()?;
        Some(clear.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_company_open_it() {
        let key = |secret: &str| Key::new(&Secret::new(secret), None).unwrap();
        let sealed = key("hush").seal(b"RT1-token", "9").unwrap();
        assert_eq!(key("hush").open(&sealed, "9").unwrap(), b"RT1-token");
        assert_eq!(key("hush").open(&sealed, "10"), None);
        assert_eq!(key("renewed").open(&sealed, "9"), None);
        let damaged = sealed.replacen(|c: char| c != 'A', "A", 1);
        for other in [damaged.as_str(), "", "AAAA", "not base64!"] {
            assert_eq!(key("hush").open(other, "9"), None, "{other}");
        }
        assert_ne!(
            key("hush").seal(b"RT1-token", "9").unwrap(),
            sealed,
            "a nonce was used twice"
        );
    }

    #[test]
    fn a_key_must_be_32_bytes() {
        let secret = Secret::new("hush");
        for wrong in [STANDARD.encode([7; 31]), "x".to_owned()] {
            let error = Key::new(&secret, Some(&Secret::new(wrong.clone())))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("QBO_TOKEN_KEY") && !error.contains(&wrong),
                "{error}"
            );
        }
        Key::new(&secret, Some(&Secret::new(STANDARD.encode([7; 32])))).unwrap();
    }
}
