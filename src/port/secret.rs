//! Secrets that must not be shown.

use std::fmt;
use std::sync::Arc;

use crate::held_secrets::{Held, hold};

/// A secret text. `Debug` shows `***`; it has no `Display` and no serde. Texts of others are shown without
/// it while it exists, and for some rotations longer; then it is wiped from memory.
#[derive(Clone)]
pub struct Secret(Arc<Held>);

impl Secret {
    /// Wraps a text of any length and form: the prefix of a token has no meaning (qbo-facts 1.3).
    pub fn new(text: impl Into<String>) -> Self {
        Self(hold(text.into()))
    }

    /// Returns the text. Only for sending it.
    pub fn expose(&self) -> &str {
        self.0.expose()
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
