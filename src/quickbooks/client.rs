//! The one loop through which every request to the API goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;

use super::admission::{AdmissionControl, Outcome};
use crate::error::{Error, Result};
use crate::http::{
    Attempts, Request, Response, RetryPolicy, TokenCache, Transport, parse_retry_after,
};
use crate::port::Meter;

/// What an answer means for the request that brought it. Given by a pure function that reads the
/// answer, so that one that cannot be read is repeated like one that did not come.
#[derive(Debug)]
pub enum Verdict<T> {
    /// The answer, read.
    Done(T),
    /// Send the request again after a while; if no try is left, this is the error.
    Retry(Error),
    /// As `Retry`, and the whole company must pause: the server has counted too many requests.
    Throttled(Error),
    /// The access token was refused: renew it once and send again; if that was done already, this
    /// is the error.
    RefreshToken(Error),
    /// Sending it again would not help.
    Fatal(Error),
}

/// How patient a request is with failures that pass.
#[derive(Debug, Clone, Copy)]
pub struct RetryBehavior {
    /// Which failures, after so many attempts, the caller answers better than by waiting: by asking
    /// for less.
    pub hands_back: fn(&Error, u32) -> bool,
    /// It asks again for what an earlier request did not get.
    pub is_repeat: bool,
}

impl RetryBehavior {
    /// Waits and tries as long as the policy allows.
    pub const FULL: Self = Self {
        hands_back: |_, _| false,
        is_repeat: false,
    };
}

/// Sends requests to one company's API: those that read, and no others.
#[derive(Debug)]
pub struct ApiClient {
    transport: Transport,
    admission: Arc<AdmissionControl>,
    tokens: TokenCache,
    retry: RetryPolicy,
    /// The allow-list. Intuit has no scope that only reads (qbo-facts 1.1), so it is kept here.
    may_send: fn(&Request) -> Option<RequestKind>,
    /// Requests that are left of the caller's cap.
    left: Option<AtomicU64>,
    most: u64,
}

/// What a request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// One read.
    Single,
    /// Several in one, with a limit of their own.
    Batch,
}

impl ApiClient {
    /// Puts the parts together. `may_send` knows the requests that read; `most` is the caller's cap
    /// on requests, 0 for none.
    pub fn new(
        transport: Transport,
        admission: Arc<AdmissionControl>,
        tokens: TokenCache,
        retry: RetryPolicy,
        may_send: fn(&Request) -> Option<RequestKind>,
        most: u64,
    ) -> Self {
        let left = (most > 0).then(|| AtomicU64::new(most));
        Self {
            transport,
            admission,
            tokens,
            retry,
            may_send,
            left,
            most,
        }
    }

    /// Makes sure that there is a token, so that refused credentials are found before any data
    /// request.
    ///
    /// # Errors
    /// Those of the token endpoint.
    pub async fn authorise(&self) -> Result<()> {
        self.tokens.get().await.map(|_| ())
    }

    /// Sends a request until `read` can use its answer, or tries or time run out. Only for requests
    /// that may be repeated: reads.
    ///
    /// # Errors
    /// The final failure, with tries and time.
    pub async fn send<T>(
        &self,
        request: &Request,
        meter: &Meter,
        patience: RetryBehavior,
        read: impl Fn(&Response) -> Verdict<T> + Send + Sync,
    ) -> Result<T> {
        let Some(kind) = (self.may_send)(request) else {
            return Err(Error::Internal(format!(
                "{} {} is no request that reads",
                request.method,
                request.url.path()
            )));
        };
        let mut attempts = Attempts::begin(self.retry, "extract");
        let mut refreshed = false;
        loop {
            let (token, generation) = self.tokens.get().await?;
            self.take_one()?;
            let permit = self.admission.enter(kind == RequestKind::Batch).await?;
            let made = attempts.count();
            meter.count_request(made > 1 || patience.is_repeat);
            let sent = permit
                .hold(self.transport.send(request.clone(), Some(&token)))
                .await;
            let response = match sent {
                Ok(response) => response,
                Err(error) => {
                    permit.leave(Outcome::Failed).await;
                    if (patience.hands_back)(&error, made) {
                        return Err(attempts.give_up(error));
                    }
                    attempts.wait(error, None).await?;
                    continue;
                }
            };
            let asked = retry_after(&response);
            let verdict = read(&response);
            permit.leave(outcome(&verdict, response.status)).await;
            match verdict {
                Verdict::Done(answer) => return Ok(answer),
                Verdict::Retry(error) if (patience.hands_back)(&error, made) => {
                    return Err(attempts.give_up(error));
                }
                Verdict::Retry(error) => attempts.wait(error, asked).await?,
                Verdict::Throttled(error) => {
                    let wait = asked.unwrap_or(self.retry.throttle_wait);
                    // A wait that nobody will sit out must not hold the others back: they too are
                    // to end in time.
                    if wait <= self.retry.max_elapsed {
                        self.admission.pause(wait).await;
                    }
                    attempts.wait(error, Some(wait)).await?;
                }
                Verdict::RefreshToken(_) if !refreshed => {
                    refreshed = true;
                    self.tokens.reject(generation).await;
                }
                Verdict::RefreshToken(error) | Verdict::Fatal(error) => {
                    return Err(attempts.give_up(error));
                }
            }
        }
    }

    /// One request of the caller's cap.
    fn take_one(&self) -> Result<()> {
        let Some(left) = &self.left else {
            return Ok(());
        };
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        taken
            .map(|_| ())
            .map_err(|_| Error::RequestCap { most: self.most })
    }
}

/// What an answer says about the API. A fault of the service's own is an answer; what a gateway
/// says instead is none.
fn outcome<T>(verdict: &Verdict<T>, status: u16) -> Outcome {
    match verdict {
        Verdict::Done(_) => Outcome::Read,
        Verdict::Throttled(_) => Outcome::Unknown,
        Verdict::Retry(error)
            if status >= 500 && error.code().is_none_or(|code| code == "none") =>
        {
            Outcome::Failed
        }
        Verdict::Retry(Error::Decode { .. }) => Outcome::Failed,
        Verdict::Retry(_) => Outcome::Faulted,
        Verdict::RefreshToken(_) | Verdict::Fatal(_) => Outcome::Answered,
    }
}

/// The wait that a server asks for, if it does.
pub fn retry_after(response: &Response) -> Option<Duration> {
    parse_retry_after(response.header("retry-after")?, Utc::now())
}
