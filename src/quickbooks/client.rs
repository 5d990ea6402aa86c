//! The retry loop that every request to the API goes through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::admission::{AdmissionControl, Outcome, Permit, RequestKind, asked_to_wait};
use crate::domain::{Held, Mask};
use crate::error::{Error, Recovery, Result, Trace};
use crate::http::{
    Attempts, Broken, Request, Response, RetryPolicy, TokenCache, Transport, parse_retry_after,
};
use crate::port::Meter;

/// Meaning of an answer for the request that it answers. A pure function reads the answer and
/// returns this, so that an unreadable answer is retried like one that did not arrive.
#[derive(Debug)]
pub(crate) enum Verdict<T> {
    /// Success: the parsed answer.
    Done(T),
    /// Transient: send the request again later. The error is returned if no attempt remains.
    Retry(Error),
    /// Rate limited: like `Retry`, but all requests for the company must pause.
    Throttled(Error),
    /// The access token was refused: renew it once and send again. The error is returned if that
    /// was done already.
    RefreshToken(Error),
    /// Permanent: sending the request again would not help.
    Fatal(Error),
}

impl<T> Verdict<T> {
    /// Returns the same meaning with another form of the parsed answer.
    pub(crate) fn map<U>(self, form: impl FnOnce(T) -> U) -> Verdict<U> {
        match self {
            Self::Done(answer) => Verdict::Done(form(answer)),
            Self::Retry(error) => Verdict::Retry(error),
            Self::Throttled(error) => Verdict::Throttled(error),
            Self::RefreshToken(error) => Verdict::RefreshToken(error),
            Self::Fatal(error) => Verdict::Fatal(error),
        }
    }

    fn error(&self) -> Option<&Error> {
        match self {
            Self::Done(_) => None,
            Self::Retry(error)
            | Self::Throttled(error)
            | Self::RefreshToken(error)
            | Self::Fatal(error) => Some(error),
        }
    }
}

/// Retry behaviour of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryBehavior {
    /// Returns true if the error should be returned to the caller instead of retried, for example
    /// to request a smaller page. Arguments: the error and the number of the attempt.
    pub returns_early: fn(&Error, u32) -> bool,
    /// The request asks again for data that an earlier request did not bring; counted as a retry.
    pub is_retry: bool,
}

impl RetryBehavior {
    /// Retries as long as the policy allows.
    pub(crate) const FULL: Self = Self {
        returns_early: |_, _| false,
        is_retry: false,
    };
}

/// Client of one company's API. Sends only requests that read.
#[derive(Debug)]
pub(crate) struct ApiClient {
    transport: Transport,
    admission: Arc<AdmissionControl>,
    tokens: TokenCache,
    retry: RetryPolicy,
    /// The allow-list, needed because Intuit has no read-only scope (qbo-facts 1.1).
    read_kind: fn(&Request) -> Option<RequestKind>,
    /// Requests that the caller's cap still allows; `None` without a cap.
    remaining: Option<AtomicU64>,
    max_requests: u64,
    /// Every answer goes through it before anything reads it, so that no masked value gets further.
    mask: Arc<Mask>,
}

impl ApiClient {
    /// Creates a client. `read_kind` returns `None` for a request that does not only read;
    /// `max_requests` caps the number of requests, 0 means no cap.
    pub(crate) fn new(
        transport: Transport,
        admission: Arc<AdmissionControl>,
        tokens: TokenCache,
        retry: RetryPolicy,
        read_kind: fn(&Request) -> Option<RequestKind>,
        max_requests: u64,
        mask: Arc<Mask>,
    ) -> Self {
        let remaining = (max_requests > 0).then(|| AtomicU64::new(max_requests));
        Self {
            transport,
            admission,
            tokens,
            retry,
            read_kind,
            remaining,
            max_requests,
            mask,
        }
    }

    /// Returns the number of requests that fill the allowed rate.
    pub(crate) fn enough_requests(&self) -> usize {
        self.admission.enough_requests()
    }

    /// Returns the time for which a failing request is tried again.
    pub(crate) fn retry_for(&self) -> Duration {
        self.retry.max_elapsed
    }

    /// Obtains an access token, so that refused credentials are found before any data request.
    ///
    /// # Errors
    /// [`Error::AskedToWait`] if QuickBooks has asked for a long pause; errors of the token endpoint.
    pub(crate) async fn authorise(&self) -> Result<()> {
        self.admission.check_pause().await?;
        self.tokens.get().await.map(|_| ())
    }

    /// Sends a request until `read` accepts the answer, or attempts or time run out. The request may
    /// be sent several times, which is safe because it only reads.
    ///
    /// # Errors
    /// The last failure, with the number of attempts and the elapsed time.
    pub(crate) async fn send<T>(
        &self,
        request: &Request,
        meter: &Meter,
        behavior: RetryBehavior,
        read: impl Fn(&Response) -> Verdict<T> + Send + Sync,
    ) -> Result<T> {
        let sent = self.send_and_hold(request, meter, behavior, read).await;
        sent.map(|(answer, _)| answer)
    }

    /// Like [`send`](Self::send). Returns the memory of the answer beside it.
    ///
    /// # Errors
    /// The same as for [`send`](Self::send).
    pub(crate) async fn send_and_hold<T>(
        &self,
        request: &Request,
        meter: &Meter,
        behavior: RetryBehavior,
        read: impl Fn(&Response) -> Verdict<T> + Send + Sync,
    ) -> Result<(T, Held)> {
        let Some(kind) = (self.read_kind)(request) else {
            return Err(Error::Internal(format!(
                "{} {} is not allowed: only requests that read are sent",
                request.method,
                request.url.path()
            )));
        };
        // A report holds no records, only names in cells that nothing tells from other texts.
        let mask = (kind != RequestKind::Report).then_some(&*self.mask);
        let mut attempts = Attempts::new(self.retry, "extract");
        let mut was_token_renewed = false;
        loop {
            let cached = self.tokens.get().await?;
            self.take_request()?;
            let paused = |wait| self.transport.paused(wait);
            let permit = self.admission.admit(kind, paused).await?;
            let attempt = attempts.start_next();
            meter.count_request(attempt > 1 || behavior.is_retry);
            let sent = self.transport.send(request.clone(), Some(&cached.token));
            let Exchange {
                verdict,
                retry_after,
                held,
            } = exchange(permit, sent, mask, &read).await;
            match verdict {
                Verdict::Done(answer) => return Ok((answer, held)),
                Verdict::Retry(error) if (behavior.returns_early)(&error, attempt) => {
                    return Err(attempts.give_up(error));
                }
                Verdict::Retry(error) => attempts.wait(error, retry_after).await?,
                Verdict::Throttled(error) => {
                    let wait = retry_after.unwrap_or(self.retry.throttle_wait);
                    // Neither this process nor another one asks before its end.
                    self.admission.pause(wait).await;
                    if wait > self.retry.max_throttled {
                        return Err(attempts.give_up(asked_to_wait(wait, trace(&error))));
                    }
                    self.transport.paused(wait);
                    attempts.wait_throttled(error, wait).await?;
                }
                Verdict::RefreshToken(_) if !was_token_renewed => {
                    was_token_renewed = true;
                    self.tokens.invalidate(cached.generation).await;
                }
                Verdict::RefreshToken(error) | Verdict::Fatal(error) => {
                    return Err(attempts.give_up(error));
                }
            }
        }
    }

    /// Takes one request of the caller's cap.
    fn take_request(&self) -> Result<()> {
        let Some(remaining) = &self.remaining else {
            return Ok(());
        };
        let taken = remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |remaining| {
            remaining.checked_sub(1)
        });
        taken.map(|_| ()).map_err(|_| Error::RequestCap {
            max: self.max_requests,
        })
    }
}

/// Returns the ids of the answer that an error stands for.
fn trace(error: &Error) -> Trace {
    Trace {
        code: error.code().map(str::to_owned),
        intuit_tid: error.trace_id().map(str::to_owned),
    }
}

/// Result of sending a request once.
struct Exchange<T> {
    verdict: Verdict<T>,
    /// The wait that the server asks for.
    retry_after: Option<Duration>,
    /// Memory of the answer.
    held: Held,
}

/// Waits for an answer and reads it; reports the outcome to the admission control.
async fn exchange<T>(
    permit: Permit,
    sent: impl Future<Output = Result<Response, Broken>>,
    mask: Option<&Mask>,
    read: impl Fn(&Response) -> Verdict<T>,
) -> Exchange<T> {
    match permit.run(sent).await {
        Ok(mut response) => {
            let verdict = match mask.map_or(Ok(()), |mask| apply(mask, &mut response)) {
                Ok(()) => read(&response),
                Err(error) => Verdict::Retry(error),
            };
            let outcome = outcome(&verdict, response.status);
            permit.complete(outcome, verdict.error()).await;
            Exchange {
                verdict,
                retry_after: retry_after(&response),
                held: response.held,
            }
        }
        Err(broken) => {
            let outcome = unanswered(&broken);
            let error = broken.error;
            permit.complete(outcome, Some(&error)).await;
            Exchange {
                verdict: match error.recovery() {
                    Recovery::Retry => Verdict::Retry(error),
                    // A proxy or a certificate that refuses every request.
                    Recovery::Reauthorise | Recovery::Abort => Verdict::Fatal(error),
                },
                retry_after: None,
                held: Held::default(),
            }
        }
    }
}

/// Masks the records of an answer. A failure that is no JSON holds none.
fn apply(mask: &Mask, response: &mut Response) -> Result<()> {
    match mask.answer(&response.body) {
        Ok(Some(masked)) => response.body = masked.into(),
        Err(error) if (200..300).contains(&response.status) => return Err(error),
        Ok(None) | Err(_) => {}
    }
    Ok(())
}

/// Returns what an answer says about the health of the API. A fault of the service itself shows that
/// it answers; a gateway's error page does not.
fn outcome<T>(verdict: &Verdict<T>, status: u16) -> Outcome {
    match verdict {
        Verdict::Done(_) => Outcome::Read,
        Verdict::Throttled(_) => Outcome::Throttled,
        Verdict::Retry(error) if status >= 500 && error.code().is_none() => Outcome::Failed,
        Verdict::Retry(Error::Decode { .. }) => Outcome::Failed,
        Verdict::Retry(_) => Outcome::Faulted,
        // QuickBooks has served it, whatever is wrong with it here.
        Verdict::Fatal(Error::TooLarge { .. }) if (200..300).contains(&status) => Outcome::Read,
        Verdict::RefreshToken(_) | Verdict::Fatal(_) => Outcome::Answered,
    }
}

/// Returns what a request without an answer says about the health of the API.
fn unanswered(broken: &Broken) -> Outcome {
    match broken.was_sent {
        true => Outcome::Failed,
        false => Outcome::Unsent,
    }
}

/// Returns the wait that the `Retry-After` header asks for.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    parse_retry_after(response.header("retry-after")?, crate::clock::now())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn outcome_of(verdict: &Verdict<()>, status: u16) -> Outcome {
        outcome(verdict, status)
    }

    #[test]
    fn what_was_put_off_is_told_from_what_may_have_been_read() {
        let api = || Error::decode("answer", "why");
        assert_eq!(
            outcome_of(&Verdict::Throttled(api()), 429),
            Outcome::Throttled
        );
        let large = || Error::TooLarge {
            reason: "why".into(),
        };
        assert_eq!(outcome_of(&Verdict::Fatal(large()), 200), Outcome::Read);
        assert_eq!(outcome_of(&Verdict::Fatal(large()), 400), Outcome::Answered);
    }

    /// Answers each connection with these bytes and closes it; returns the address.
    async fn answers(bytes: &'static [u8]) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(bytes).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_request_whose_connection_was_refused_has_not_left() {
        let day = Duration::from_secs(86400);
        let timeouts = crate::http::Timeouts {
            connect: day,
            read: day,
            request: day,
            max_answer: 1 << 20,
        };
        let progress = Arc::new(crate::port::NoProgress);
        let transport = Transport::new(timeouts, crate::port::Endpoint::Data, progress).unwrap();
        let no_tls = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        for (scheme, bytes, outcome) in [
            ("https", &no_tls[..], Outcome::Unsent),
            (
                "http",
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
                Outcome::Failed,
            ),
        ] {
            let request = Request {
                method: reqwest::Method::GET,
                url: format!("{scheme}://{}", answers(bytes).await)
                    .parse()
                    .unwrap(),
                headers: reqwest::header::HeaderMap::new(),
                body: bytes::Bytes::new(),
            };
            let lost = transport.send(request, None).await.unwrap_err();
            assert_eq!(unanswered(&lost), outcome, "{lost:?}");
        }
    }
}
