//! A small document that processes share.

use std::future::Future;
use std::pin::Pin;

use chrono::{DateTime, Utc};

use crate::error::Result;

/// A change of the document: takes what is there, if anything, and the time by the home's own
/// clock; returns what is to be there, or `None` to leave it.
pub type Change<'c> = Box<dyn FnOnce(Option<&str>, DateTime<Utc>) -> Option<String> + Send + 'c>;

/// A small document, changed by one process at a time. Object-safe: there are few calls, each of
/// which waits anyway.
pub trait SharedState: Send + Sync + std::fmt::Debug {
    /// Changes the document; nobody else sees or changes it meanwhile.
    ///
    /// # Errors
    /// If its home cannot be reached; the document is unchanged then.
    fn update<'s>(
        &'s self,
        change: Change<'s>,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 's>>;
}
