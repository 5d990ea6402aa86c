//! The secrets that callers prove they know: the API key, the webhook verifier token, and the token of
//! the page's forms.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;

use crate::error::{Error, Result};

/// The API key, kept as its SHA-256 hash. Hashes have one length, so that comparing them in
/// constant time does not reveal the length of the key either.
#[derive(Debug)]
pub(super) struct ApiKey([u8; 32]);

impl ApiKey {
    /// Hashes the key.
    pub(super) fn new(key: &str) -> Self {
        Self(sha256(key))
    }

    /// Returns a secret for one purpose, which tells nothing about the key.
    pub(super) fn derived(&self, purpose: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut secret = [0; 32];
        secret.copy_from_slice(hmac::sign(&key, purpose).as_ref());
        secret
    }

    /// Returns whether a caller sent this key.
    pub(super) fn matches(&self, sent: &str) -> bool {
        self.0.ct_eq(&sha256(sent)).into()
    }
}

/// The token of the page's forms.
pub(super) struct FormToken(String);

impl std::fmt::Debug for FormToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl FormToken {
    /// Derives the token from the API key, so that all processes of a service share it. Without a
    /// key, it is drawn, and good for this process.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system has no random numbers.
    pub(super) fn new(key: Option<&ApiKey>) -> Result<Self> {
        let mut token = [0; 32];
        match key {
            Some(key) => token = key.derived(b"form of the status page"),
            None => SystemRandom::new()
                .fill(&mut token)
                .map_err(|_| Error::Internal("no random numbers".to_owned()))?,
        }
        Ok(Self(URL_SAFE_NO_PAD.encode(token)))
    }

    /// Returns the token as the form carries it.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// The verifier token of the Intuit app, with which Intuit signs webhooks (qbo-facts 5).
pub(super) struct VerifierToken(hmac::Key);

impl std::fmt::Debug for VerifierToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl VerifierToken {
    /// Prepares the token for HMAC-SHA256.
    pub(super) fn new(token: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes()))
    }

    /// Begins to check whether a signature, in base64, is that of a body that arrives in parts.
    /// Returns `None` if it is a signature of nothing.
    pub(super) fn begin(&self, signature: &str) -> Option<SignatureCheck> {
        let signature = STANDARD.decode(signature).ok()?;
        let is_possible = signature.len() == hmac::HMAC_SHA256.digest_algorithm().output_len();
        is_possible.then(|| SignatureCheck {
            computed: hmac::Context::with_key(&self.0),
            signature,
        })
    }
}

/// The signature of the parts of a body that have arrived.
pub(super) struct SignatureCheck {
    computed: hmac::Context,
    signature: Vec<u8>,
}

impl SignatureCheck {
    /// Adds the next part.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.computed.update(part);
    }

    /// Returns whether the signature is that of all parts. Compares in constant time.
    pub(super) fn finish(self) -> bool {
        self.computed.sign().as_ref().ct_eq(&self.signature).into()
    }
}
