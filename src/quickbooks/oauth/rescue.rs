//! The place of new tokens that the token store could not take.
//!
//! QuickBooks may have forgotten the token in the store by then, so the new one must outlive this
//! process (qbo-facts 1.4). The next refresh on this machine moves it to the token store.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::warn;

use crate::error::{Error, Result};
use crate::port::{Connection, TokenStore};

/// Stores of last resort, the first choice first.
#[derive(Debug)]
pub(super) struct Rescue {
    stores: Vec<Arc<dyn TokenStore>>,
}

impl Rescue {
    /// Returns a rescue in these stores.
    pub(super) fn new(stores: Vec<Arc<dyn TokenStore>>) -> Self {
        Self { stores }
    }

    /// Keeps a connection in the first store that takes it. Returns `error`, which is the token
    /// store's, with the place of the connection.
    pub(super) async fn keep(&self, connection: &Connection, error: Error) -> Error {
        for store in &self.stores {
            if save(&**store, connection).await.is_ok() {
                let place = store.place();
                warn!(
                    phase = "auth",
                    event = "refresh_token_not_stored",
                    "QuickBooks replaced the refresh token and the token store could not take the new one; it is in {place}"
                );
                let note = format!(
                    "QuickBooks may have replaced the refresh token; the new one is kept, encrypted, in {place}, and the \
                     next refresh on this machine moves it to the token store"
                );
                return error.with_note(&note);
            }
        }
        error.with_note(
            "QuickBooks may have replaced the refresh token, and only this process has the new one: mend the token \
             store before it ends, or connect the company again",
        )
    }

    /// Returns the kept connection, unless the token store has got a newer one since.
    pub(super) async fn newer_than(&self, stored: Option<&Connection>) -> Option<Connection> {
        let stored_at = stored.and_then(obtained_at);
        for store in &self.stores {
            let Ok(Some(kept)) = store.load().await else {
                continue;
            };
            if stored_at.is_none_or(|stored_at| obtained_at(&kept) > Some(stored_at)) {
                return Some(Connection {
                    refresh_begun_at: None,
                    ..kept
                });
            }
        }
        None
    }

    /// Removes what is kept, wherever it is.
    ///
    /// # Errors
    /// The first failure; what else is kept is removed all the same.
    pub(super) async fn forget(&self) -> Result<()> {
        let mut outcome = Ok(());
        for store in &self.stores {
            // What cannot be read is not used.
            if let Ok(Some(_)) = store.load().await {
                outcome = outcome.and(remove(&**store).await);
            }
        }
        outcome
    }
}

/// Returns when the tokens arrived. An older version told only the time of the access token, or of the
/// rescue.
fn obtained_at(connection: &Connection) -> Option<DateTime<Utc>> {
    let granted_at = || connection.access.as_ref().map(|grant| grant.issued_at);
    connection
        .obtained_at
        .or_else(granted_at)
        .or(connection.refresh_begun_at)
}

async fn remove(store: &dyn TokenStore) -> Result<()> {
    let lease = store.lock().await?;
    let removed = lease.remove().await;
    lease.release().await;
    removed
}

async fn save(store: &dyn TokenStore, connection: &Connection) -> Result<()> {
    let lease = store.lock().await?;
    let saved = lease.save(connection).await;
    lease.release().await;
    saved
}
