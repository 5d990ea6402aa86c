//! A small document that several processes share.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use crate::error::Result;

/// A change of the document: receives the present text, if any, and the time by the clock of the
/// store; returns the new text, or `None` to leave the document as it is.
pub type Change<'c> = Box<dyn FnOnce(Option<&str>, DateTime<Utc>) -> Option<String> + Send + 'c>;

/// A small document that one process at a time changes. Object-safe, since calls are few and each one
/// waits for input or output anyway.
pub trait SharedState: Send + Sync + std::fmt::Debug {
    /// Changes the document. No other process reads or changes it in the meantime.
    ///
    /// # Errors
    /// If the store cannot be reached; the document is unchanged then.
    fn update<'s>(&'s self, change: Change<'s>) -> BoxFuture<'s, Result<()>>;
}
