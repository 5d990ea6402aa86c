//! The access token that everyone in this process shares: fetched once, refreshed early, by one
//! caller at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::Result;
use crate::port::Secret;

/// An access token and how long it works.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub token: Secret,
    /// When to ask for the next one, early enough that none dies on the way.
    pub renew_in: Duration,
}

/// Obtains access tokens, for example with a refresh token.
pub trait TokenIssuer: fmt::Debug + Send + Sync {
    /// Obtains an access token other than `refused`, which the server no longer takes. When it
    /// returns, whatever must survive has been stored.
    ///
    /// # Errors
    /// If the credentials are refused, or no answer comes.
    fn issue<'a>(&'a self, refused: Option<&'a Secret>) -> BoxFuture<'a, Result<AccessToken>>;
}

/// Holds the current token.
#[derive(Debug)]
pub struct TokenCache {
    issuer: Arc<dyn TokenIssuer>,
    // Held across the refresh on purpose: whoever comes meanwhile waits and finds the new token.
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    token: Option<(Secret, Instant)>,
    refused: Option<Secret>,
    generation: u64,
}

impl TokenCache {
    /// An empty cache.
    pub fn new(issuer: Arc<dyn TokenIssuer>) -> Self {
        Self {
            issuer,
            current: Mutex::default(),
        }
    }

    /// A token that will still work for a while, and its generation for [`Self::reject`].
    ///
    /// # Errors
    /// Those of the issuer.
    pub async fn get(&self) -> Result<(Secret, u64)> {
        let mut current = self.current.lock().await;
        if let Some((token, renew_at)) = &current.token
            && Instant::now() < *renew_at
        {
            return Ok((token.clone(), current.generation));
        }
        let AccessToken { token, renew_in } = self.issuer.issue(current.refused.as_ref()).await?;
        current.token = Some((token.clone(), Instant::now() + renew_in));
        current.generation += 1;
        Ok((token, current.generation))
    }

    /// The server refused the token of this generation. Of many callers that saw it refused only
    /// the first discards it; the others find its successor.
    pub async fn reject(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation {
            current.refused = current.token.take().map(|(token, _)| token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug)]
    struct Counting(AtomicU64);

    impl TokenIssuer for Counting {
        fn issue<'a>(&'a self, refused: Option<&'a Secret>) -> BoxFuture<'a, Result<AccessToken>> {
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

    fn cache() -> (Arc<Counting>, Arc<TokenCache>) {
        let issuer = Arc::new(Counting(AtomicU64::new(0)));
        (issuer.clone(), Arc::new(TokenCache::new(issuer)))
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_share_one_refresh() {
        let (issuer, cache) = cache();
        let callers = (0..50).map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let (_, generation) = cache.get().await.unwrap();
                cache.reject(generation).await;
                cache.get().await.unwrap().1
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            assert_eq!(caller.await.unwrap(), 2);
        }
        assert_eq!(
            issuer.0.load(Ordering::SeqCst),
            2,
            "one refresh, and one after everybody's rejection"
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
