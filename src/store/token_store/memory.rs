//! Tokens for the rest of the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::OwnedMutexGuard;

use crate::error::Result;
use crate::port::{Connection, TokenStore};

/// Keeps a connection's tokens as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryTokenStore {
    stored: Mutex<Option<Connection>>,
    lease: Arc<tokio::sync::Mutex<()>>,
}

impl MemoryTokenStore {
    fn stored(&self) -> MutexGuard<'_, Option<Connection>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryTokenStore {
    type Lease = OwnedMutexGuard<()>;

    async fn load(&self) -> Result<Option<Connection>> {
        Ok(self.stored().clone())
    }

    async fn lock(&self) -> Result<Self::Lease> {
        Ok(self.lease.clone().lock_owned().await)
    }

    async fn save(&self, _lease: &Self::Lease, connection: &Connection) -> Result<()> {
        *self.stored() = Some(connection.clone());
        Ok(())
    }

    async fn annotate(
        &self,
        _lease: &Self::Lease,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&str>,
    ) -> Result<()> {
        if let Some(connection) = self.stored().as_mut() {
            connection.refresh_begun_at = refresh_begun_at;
            connection.needs_reauth = needs_reauth.map(str::to_owned);
        }
        Ok(())
    }

    async fn remove(&self, _lease: &Self::Lease) -> Result<()> {
        *self.stored() = None;
        Ok(())
    }

    async fn release(&self, lease: Self::Lease) {
        drop(lease);
    }

    fn place(&self) -> Option<String> {
        None
    }
}
