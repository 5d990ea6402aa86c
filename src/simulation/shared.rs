//! The things that processes share besides tables: tokens under a lease, and small documents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::process::{Guard, Process};
use super::sabotage::Sabotage;
use super::store::unreachable;
use super::true_time;
use super::world::World;
use crate::error::Result;
use crate::port::{Change, Connection, SharedState, TokenLease, TokenStore};

/// A small document.
#[derive(Default)]
pub(super) struct Document(Mutex<Option<String>>);

/// A document as one process sees it.
pub(super) struct SharedDocument {
    process: Arc<Process>,
    document: fn(&World) -> &Document,
}

impl SharedDocument {
    pub(super) fn new(process: Arc<Process>, document: fn(&World) -> &Document) -> Self {
        Self { process, document }
    }
}

impl std::fmt::Debug for SharedDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedDocument")
    }
}

impl SharedState for SharedDocument {
    fn update<'s>(&'s self, change: Change<'s>) -> BoxFuture<'s, Result<()>> {
        Box::pin(async move {
            self.process.stays_alive().await;
            if self.process.world.fails("the shared document", 0.1) {
                return Err(unreachable());
            }
            let mut text = (self.document)(&self.process.world).0.lock();
            if let Some(changed) = change(text.as_deref(), true_time()) {
                *text = Some(changed);
            }
            Ok(())
        })
    }
}

/// The stored tokens of the company.
#[derive(Default)]
pub(super) struct Tokens {
    stored: Mutex<Option<Connection>>,
    lease: Arc<tokio::sync::Mutex<()>>,
    /// A refresh was sent whose outcome is not stored.
    is_unsettled: AtomicBool,
}

impl Tokens {
    /// Returns whether every refresh token that was issued is stored.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_unsettled.load(Ordering::Relaxed)
    }

    pub(super) fn set_settled(&self, is_settled: bool) {
        self.is_unsettled.store(!is_settled, Ordering::Relaxed);
    }

    /// Returns why a person would have to connect the company again.
    pub(super) fn loss(&self) -> Option<String> {
        let stored = self.stored.lock();
        stored.as_ref()?.needs_reauth.clone()
    }
}

/// The token store as one process sees it.
#[derive(Clone)]
pub(super) struct TokenPlace {
    process: Arc<Process>,
    /// Tokens that a sabotaged store has said to have stored.
    unwritten: Arc<Mutex<Option<Connection>>>,
}

/// The lease of one process. A process that dies drops it.
struct Lease {
    place: TokenPlace,
    _guard: Arc<Guard>,
}

impl TokenPlace {
    pub(super) fn new(process: Arc<Process>) -> Self {
        Self {
            process,
            unwritten: Arc::default(),
        }
    }

    fn tokens(&self) -> &Tokens {
        &self.process.world.tokens
    }

    async fn attempt(&self, what: &str) -> Result<()> {
        self.process.operation(what).await;
        match self.process.world.fails(what, 0.5) {
            true => Err(unreachable()),
            false => Ok(()),
        }
    }

    async fn read(&self) -> Result<Option<Connection>> {
        self.attempt("reads tokens").await?;
        let unwritten = self.unwritten.lock().clone();
        Ok(unwritten.or_else(|| self.tokens().stored.lock().clone()))
    }
}

impl std::fmt::Debug for TokenPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenPlace")
    }
}

impl TokenStore for TokenPlace {
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>> {
        Box::pin(self.read())
    }

    fn holds_any(&self) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async { Ok(self.read().await?.is_some()) })
    }

    fn lock(&self) -> BoxFuture<'_, Result<Box<dyn TokenLease>>> {
        Box::pin(async move {
            self.attempt("locks tokens").await?;
            let guard = self.tokens().lease.clone().lock_owned().await;
            let place = self.clone();
            let guard = place.process.hold(guard);
            Ok(Box::new(Lease {
                place,
                _guard: guard,
            }) as Box<dyn TokenLease>)
        })
    }

    fn place(&self) -> String {
        "the simulated store".to_owned()
    }
}

impl TokenLease for Lease {
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>> {
        Box::pin(self.place.read())
    }

    fn save<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.place.attempt("saves tokens").await?;
            let tokens = self.place.tokens();
            match self.place.process.world.sabotage {
                Some(Sabotage::LateToken) => {
                    *self.place.unwritten.lock() = Some(connection.clone());
                }
                _ => *tokens.stored.lock() = Some(connection.clone()),
            }
            tokens.set_settled(true);
            self.place.attempt("has saved tokens").await
        })
    }

    fn annotate<'a>(
        &'a self,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&'a str>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.place.attempt("annotates tokens").await?;
            if let Some(stored) = &mut *self.place.tokens().stored.lock() {
                stored.refresh_begun_at = refresh_begun_at;
                stored.needs_reauth = needs_reauth.map(str::to_owned);
            }
            Ok(())
        })
    }

    fn remove(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            *self.place.tokens().stored.lock() = None;
            Ok(())
        })
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}
