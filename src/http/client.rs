//! The one loop through which every request to the API goes.

use std::time::Duration;

use chrono::Utc;

use super::backoff::{Attempts, RetryPolicy, parse_retry_after};
use super::limiter::RateLimiter;
use super::token::{TokenCache, TokenIssuer};
use super::transport::{Request, Response, Transport};
use crate::error::{Error, Result};
use crate::port::Meter;

/// What an answer means for the request that brought it. Given by a pure function that reads the answer, so that
/// one that cannot be read is repeated like one that did not come.
#[derive(Debug)]
pub enum Verdict<T> {
    /// The answer, read.
    Done(T),
    /// Send the request again after a while; if no try is left, this is the error.
    Retry(Error),
    /// As `Retry`, and the whole company must pause: the server has counted too many requests.
    Throttled(Error),
    /// The access token was refused: renew it once and send again; if that was done already, this is the error.
    RefreshToken(Error),
    /// Sending it again would not help.
    Fatal(Error),
}

/// How patient a request is with failures that pass.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Which failures, after so many attempts, the caller answers better than by waiting: by asking for less.
    pub hands_back: fn(&Error, u32) -> bool,
    /// It asks again for what an earlier request did not get.
    pub is_repeat: bool,
}

impl Patience {
    /// Waits and tries as long as the policy allows.
    pub const FULL: Self = Self { hands_back: |_, _| false, is_repeat: false };
}

/// Sends requests to one company's API.
#[derive(Debug)]
pub struct ApiClient<I> {
    transport: Transport,
    limiter: RateLimiter,
    tokens: TokenCache<I>,
    retry: RetryPolicy,
}

impl<I: TokenIssuer> ApiClient<I> {
    /// Puts the parts together.
    pub fn new(transport: Transport, limiter: RateLimiter, tokens: TokenCache<I>, retry: RetryPolicy) -> Self {
        Self { transport, limiter, tokens, retry }
    }

    /// Makes sure that there is a token, so that refused credentials are found before any data request.
    ///
    /// # Errors
    /// Those of the token endpoint.
    pub async fn authorise(&self) -> Result<()> {
        self.tokens.get().await.map(|_| ())
    }

    /// Sends a request until `read` can use its answer, or tries or time run out. Only for requests that may be
    /// repeated: reads.
    ///
    /// # Errors
    /// The final failure, with tries and time if there was more than one.
    pub async fn send<T>(
        &self,
        request: &Request,
        meter: &Meter,
        patience: Patience,
        read: impl Fn(&Response) -> Verdict<T> + Send + Sync,
    ) -> Result<T> {
        let mut attempts = Attempts::begin(self.retry, "extract");
        let mut refreshed = false;
        loop {
            let (authorization, generation) = self.tokens.get().await?;
            let permit = self.limiter.acquire().await;
            let made = attempts.count();
            meter.count_request(made > 1 || patience.is_repeat);
            let outcome = self.transport.send(request.clone(), Some(authorization.expose())).await;
            drop(permit);
            let response = match outcome {
                Ok(response) => response,
                Err(error) if (patience.hands_back)(&error, made) => return Err(error),
                Err(error) => {
                    attempts.wait(error, None).await?;
                    continue;
                }
            };
            let asked = retry_after(&response);
            match read(&response) {
                Verdict::Done(answer) => return Ok(answer),
                Verdict::Retry(error) if (patience.hands_back)(&error, made) => return Err(error),
                Verdict::Retry(error) => attempts.wait(error, asked).await?,
                Verdict::Throttled(error) => {
                    let wait = asked.unwrap_or(self.retry.throttle_wait);
                    // A wait that nobody will sit out must not hold the others back: they too are to end in time.
                    if wait <= self.retry.most_elapsed {
                        self.limiter.pause(wait);
                    }
                    attempts.wait(error, Some(wait)).await?;
                }
                Verdict::RefreshToken(_) if !refreshed => {
                    refreshed = true;
                    self.tokens.reject(generation).await;
                }
                Verdict::RefreshToken(error) | Verdict::Fatal(error) => return Err(attempts.give_up(error)),
            }
        }
    }
}

/// The wait that a server asks for, if it does.
pub fn retry_after(response: &Response) -> Option<Duration> {
    parse_retry_after(response.header("retry-after")?, Utc::now())
}
