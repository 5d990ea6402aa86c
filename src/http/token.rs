//! The access token that all tasks of a process share. One caller at a time fetches it, and it is
//! renewed before it expires.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::Result;
use crate::port::Secret;

/// A new access token and its useful life.
#[derive(Debug, Clone)]
pub(crate) struct AccessToken {
    /// The token.
    pub token: Secret,
    /// Time until the next one must be obtained. Shorter than the token's life, so that no token
    /// expires while a request is on its way.
    pub renew_in: Duration,
}

/// Obtains access tokens, for example with a refresh token.
pub(crate) trait TokenIssuer: fmt::Debug + Send + Sync {
    /// Obtains an access token other than `refused`, which the server no longer accepts. State that
    /// must survive the process is stored before this returns.
    ///
    /// # Errors
    /// If the credentials are refused or the token endpoint does not answer.
    fn issue(self: Arc<Self>, refused: Option<Secret>) -> BoxFuture<'static, Result<AccessToken>>;
}

/// A cache that holds the current access token and obtains the next one.
#[derive(Debug)]
pub(crate) struct TokenCache {
    issuer: Arc<dyn TokenIssuer>,
    // Held during a refresh on purpose: other callers wait and then find the new token.
    state: Mutex<CacheState>,
}

/// A token of the cache.
#[derive(Debug, Clone)]
pub(crate) struct CachedToken {
    /// The token.
    pub token: Secret,
    /// Counts the tokens of this cache from 1; identifies this one for [`TokenCache::invalidate`].
    pub generation: u64,
    renew_at: Instant,
}

#[derive(Debug, Default)]
struct CacheState {
    current: Option<CachedToken>,
    refused: Option<Secret>,
    generation: u64,
}

impl TokenCache {
    /// An empty cache.
    pub(crate) fn new(issuer: Arc<dyn TokenIssuer>) -> Self {
        Self {
            issuer,
            state: Mutex::default(),
        }
    }

    /// Returns a token that is not about to expire; obtains one if there is none.
    ///
    /// # Errors
    /// The issuer's errors.
    pub(crate) async fn get(&self) -> Result<CachedToken> {
        let mut state = self.state.lock().await;
        if let Some(cached) = &state.current
            && Instant::now() < cached.renew_at
        {
            return Ok(cached.clone());
        }
        let AccessToken { token, renew_in } =
            self.issuer.clone().issue(state.refused.clone()).await?;
        state.generation += 1;
        let cached = CachedToken {
            token,
            generation: state.generation,
            renew_at: Instant::now() + renew_in,
        };
        state.current = Some(cached.clone());
        Ok(cached)
    }

    /// Discards the token of this generation, which the server has refused. Several callers may
    /// have seen the same refusal: only the first one discards the token, the others get its
    /// successor.
    pub(crate) async fn invalidate(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation {
            state.refused = state.current.take().map(|cached| cached.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug)]
    struct CountingIssuer(AtomicU64);

    impl TokenIssuer for CountingIssuer {
        fn issue(
            self: Arc<Self>,
            refused: Option<Secret>,
        ) -> BoxFuture<'static, Result<AccessToken>> {
            let serial = self.0.fetch_add(1, Ordering::SeqCst);
            assert!(serial > 0 || refused.is_none());
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(80)).await;
                Ok(AccessToken {
                    token: Secret::new(serial.to_string()),
                    renew_in: Duration::from_secs(3300),
                })
            })
        }
    }

    fn cache() -> (Arc<CountingIssuer>, Arc<TokenCache>) {
        let issuer = Arc::new(CountingIssuer(AtomicU64::new(0)));
        (issuer.clone(), Arc::new(TokenCache::new(issuer)))
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_share_one_refresh() {
        let (issuer, cache) = cache();
        let callers = (0..50).map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let cached = cache.get().await.unwrap();
                cache.invalidate(cached.generation).await;
                cache.get().await.unwrap().generation
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            assert_eq!(caller.await.unwrap(), 2);
        }
        assert_eq!(
            issuer.0.load(Ordering::SeqCst),
            2,
            "one refresh, and one more after all callers saw the token refused"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_expires() {
        let (issuer, cache) = cache();
        cache.get().await.unwrap();
        tokio::time::advance(Duration::from_secs(3100)).await;
        cache.get().await.unwrap();
        assert_eq!(issuer.0.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(200)).await;
        cache.get().await.unwrap();
        assert_eq!(issuer.0.load(Ordering::SeqCst), 2);
    }
}
