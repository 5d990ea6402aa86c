//! Retries with exponential backoff and jitter, limited by attempts and by time.
//!
//! By hand rather than by a crate, because a wait that the server asks for must be obeyed in full
//! and the same policy counts attempts and elapsed time for an error that names both.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::error::{Error, Result};

/// The retry settings of a user.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Upper bound of the first wait.
    pub initial_wait: Duration,
    /// Upper bound of the later waits. A wait that the server asks for may be longer.
    pub max_wait: Duration,
    /// Number of times one request is sent, the first included.
    pub max_attempts: u32,
    /// Total time for one request with all its retries. There are two limits because waits of 60 s
    /// for a throttled request and quick connection failures use them up at different rates.
    pub max_elapsed: Duration,
    /// Total time for a request that is throttled. It must hold at least one `throttle_wait`: a caller
    /// that does not wait keeps asking, and stays throttled.
    pub max_throttled: Duration,
    /// Wait after a throttled answer that does not say how long to wait (qbo-facts 6.1).
    pub throttle_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            initial_wait: Duration::from_millis(500),
            max_wait: Duration::from_secs(30),
            max_attempts: 6,
            max_elapsed: Duration::from_secs(600),
            max_throttled: Duration::from_secs(600),
            throttle_wait: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Returns the wait before the next attempt, or `None` when attempts or time have run out.
    ///
    /// Exponential backoff with full jitter: `random` is uniform in `[0, 1)`, and the wait is
    /// uniform below a ceiling that doubles (M. Brooker, "Exponential Backoff And Jitter", AWS
    /// Architecture Blog, 2015). `requested` is a wait that the server or the throttle rule
    /// demands; it is never cut short. `left` is the time that remains.
    pub fn next_wait(
        &self,
        attempts: u32,
        left: Duration,
        requested: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let doublings = attempts.saturating_sub(1).min(16);
        let ceiling = (self.initial_wait * 2u32.pow(doublings)).min(self.max_wait);
        let jittered = ceiling.mul_f64(random);
        let wait = requested.map_or(jittered, |wait| wait + jittered.min(wait / 10));
        (wait <= left).then_some(wait)
    }
}

/// The attempts made so far for one logical request, under a policy.
#[derive(Debug)]
pub(crate) struct Attempts {
    policy: RetryPolicy,
    phase: &'static str,
    started_at: Instant,
    made: u32,
}

impl Attempts {
    /// Starts the clock; no attempt has been made yet. `phase` is the `phase` field of log lines
    /// about retries.
    pub(crate) fn new(policy: RetryPolicy, phase: &'static str) -> Self {
        Self {
            policy,
            phase,
            started_at: Instant::now(),
            made: 0,
        }
    }

    /// Counts one more attempt and returns its number, from 1.
    pub(crate) fn start_next(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    /// Waits until the next attempt may be made, at least as long as the server has `requested`.
    ///
    /// # Errors
    /// `error`, with the number of attempts and the elapsed time, when either has run out.
    pub(crate) async fn wait(&self, error: Error, requested: Option<Duration>) -> Result<()> {
        self.wait_within(self.policy.max_elapsed, error, requested)
            .await
    }

    /// Waits like [`wait`](Self::wait), after a throttled answer.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub(crate) async fn wait_throttled(&self, error: Error, throttle: Duration) -> Result<()> {
        self.wait_within(self.policy.max_throttled, error, Some(throttle))
            .await
    }

    async fn wait_within(
        &self,
        limit: Duration,
        error: Error,
        requested: Option<Duration>,
    ) -> Result<()> {
        let left = limit.saturating_sub(self.started_at.elapsed());
        let fraction = crate::chance::fraction();
        match self.policy.next_wait(self.made, left, requested, fraction) {
            Some(wait) => {
                warn!(
                    phase = self.phase,
                    event = "request_retried",
                    attempts = self.made,
                    wait_ms = wait.as_millis() as u64,
                    intuit_tid = error.trace_id().unwrap_or_default(),
                    "{error}; trying again in {:.1} s",
                    up_to_tenths(wait)
                );
                sleep(wait).await;
                Ok(())
            }
            None => Err(self.give_up(error)),
        }
    }

    /// Wraps the last error with the number of attempts and the elapsed time.
    pub(crate) fn give_up(&self, last: Error) -> Error {
        Error::AfterAttempts {
            attempts: self.made,
            elapsed: self.started_at.elapsed(),
            last: Box::new(last),
        }
    }
}

/// Cap of `Retry-After`: longer than any run waits, and far from where clocks overflow.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// Parses `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3). A date in the past means no
/// wait.
pub(crate) fn parse_retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = DateTime::<Utc>::from(httpdate::parse_http_date(value).ok()?);
            (date - now).to_std().unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Returns seconds rounded up to tenths: a wait is never shown as none.
fn up_to_tenths(wait: Duration) -> f64 {
    (wait.as_secs_f64() * 10.0).ceil() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn waits_grow_up_to_a_ceiling() {
        let policy = RetryPolicy {
            max_attempts: 20,
            ..RetryPolicy::default()
        };
        let wait = |attempts, random| {
            policy
                .next_wait(attempts, policy.max_elapsed, None, random)
                .unwrap()
        };
        assert_eq!(wait(1, 0.0), Duration::ZERO);
        assert!(wait(1, 0.999) < Duration::from_millis(500));
        assert!(wait(3, 0.999) > Duration::from_millis(1900));
        assert!(wait(19, 0.999) < Duration::from_secs(30));
    }

    #[test]
    fn attempts_and_time_both_run_out() {
        let policy = RetryPolicy::default();
        assert!(
            policy
                .next_wait(policy.max_attempts, policy.max_elapsed, None, 0.5)
                .is_none()
        );
        assert!(policy.next_wait(1, Duration::ZERO, None, 0.5).is_none());
        let (left, too_long) = (
            policy.max_elapsed,
            policy.max_elapsed + Duration::from_secs(1),
        );
        assert!(policy.next_wait(1, left, Some(too_long), 0.5).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_request_has_a_time_of_its_own() {
        let policy = RetryPolicy {
            max_elapsed: Duration::from_secs(30),
            ..RetryPolicy::default()
        };
        let (mut attempts, minute) = (Attempts::new(policy, "extract"), Duration::from_secs(60));
        attempts.start_next();
        assert!(attempts.wait(Error::Cancelled, Some(minute)).await.is_err());
        let waited = attempts.wait_throttled(Error::Cancelled, minute).await;
        assert!(waited.is_ok() && attempts.started_at.elapsed() >= minute);
    }

    #[test]
    fn a_wait_that_the_server_requests_is_never_cut_short() {
        let requested = Duration::from_secs(60);
        let wait = RetryPolicy::default()
            .next_wait(1, Duration::from_secs(600), Some(requested), 0.9)
            .unwrap();
        assert!(wait >= requested && wait <= requested + requested / 10);
    }

    #[test]
    fn retry_after_comes_in_seconds_or_as_a_date() {
        let now = Utc.with_ymd_and_hms(2026, 11, 22, 10, 0, 0).unwrap();
        assert_eq!(parse_retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(
            parse_retry_after("Sun, 22 Nov 2026 10:00:30 GMT", now),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            parse_retry_after("Sun, 22 Nov 2026 09:00:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(parse_retry_after("soon", now), None);
        assert_eq!(
            parse_retry_after(&u64::MAX.to_string(), now),
            Some(MAX_RETRY_AFTER)
        );
    }

    #[test]
    fn a_short_wait_is_not_shown_as_none() {
        let shown = |ms| format!("{:.1}", super::up_to_tenths(Duration::from_millis(ms)));
        assert_eq!([4, 100, 1230].map(shown), ["0.1", "0.1", "1.3"]);
    }
}
