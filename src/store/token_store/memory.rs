//! Tokens that live as long as the process.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::error::Result;
use crate::port::{Connection, TokenLease, TokenStore};

/// Keeps a connection's tokens as long as the process lives.
#[derive(Debug, Default)]
pub(crate) struct MemoryTokenStore {
    stored: Arc<Mutex<Option<Connection>>>,
    lock: Arc<tokio::sync::Mutex<()>>,
}

struct MemoryLease {
    stored: Arc<Mutex<Option<Connection>>>,
    _guard: OwnedMutexGuard<()>,
}

impl TokenStore for MemoryTokenStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>> {
        async { Ok(self.stored.lock().clone()) }.boxed()
    }

    fn lock(&self) -> BoxFuture<'_, Result<Box<dyn TokenLease>>> {
        async {
            Ok(Box::new(MemoryLease {
                stored: self.stored.clone(),
                _guard: self.lock.clone().lock_owned().await,
            }) as Box<dyn TokenLease>)
        }
        .boxed()
    }

    fn place(&self) -> Option<String> {
        None
    }
}

impl TokenLease for MemoryLease {
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>> {
        async { Ok(self.stored.lock().clone()) }.boxed()
    }

    fn save<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<()>> {
        async {
            *self.stored.lock() = Some(connection.clone());
            Ok(())
        }
        .boxed()
    }

    fn annotate<'a>(
        &'a self,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&'a str>,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            if let Some(connection) = self.stored.lock().as_mut() {
                connection.refresh_begun_at = refresh_begun_at;
                connection.needs_reauth = needs_reauth.map(str::to_owned);
            }
            Ok(())
        }
        .boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<()>> {
        async {
            *self.stored.lock() = None;
            Ok(())
        }
        .boxed()
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move { drop(self) }.boxed()
    }
}
