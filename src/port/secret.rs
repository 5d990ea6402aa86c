//! Secrets that must not be shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A secret text, wiped from memory when it is dropped. `Debug` shows `***`; it has no `Display`
/// and no serde.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text of any length and form: the prefix of a token has no meaning (qbo-facts 1.3).
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Returns the text. Only for sending it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_a_secret() {
        assert_eq!(format!("{:?}", Some(Secret::new("hush"))), "Some(***)");
    }
}
