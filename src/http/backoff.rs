//! When to try again, and when to stop trying.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::error::{Error, Result};

/// What a user may set about retries.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Ceiling of the first wait.
    pub initial_wait: Duration,
    /// Ceiling of any wait of our own choosing. A wait that the server asks for may be longer.
    pub max_wait: Duration,
    /// How often one request is sent, the first time included.
    pub max_attempts: u32,
    /// How long one request may take with all its repetitions. Two limits, because sixty-second
    /// throttle waits and quick connection failures use them up at very different rates.
    pub max_elapsed: Duration,
    /// Wait after a throttled answer that names no time: Intuit says 60 s (qbo-facts 6.1).
    pub throttle_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            initial_wait: Duration::from_millis(500),
            max_wait: Duration::from_secs(30),
            max_attempts: 6,
            max_elapsed: Duration::from_secs(600),
            throttle_wait: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// How long to wait before the next attempt; `None` when tries or time have run out.
    ///
    /// Exponential with full jitter: `random` is uniform in `[0, 1)`, and the wait uniform below
    /// the ceiling (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    /// `asked` is a wait that the server or the throttle rule demands; it is obeyed in full.
    pub fn next_wait(
        &self,
        attempts: u32,
        elapsed: Duration,
        asked: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let doublings = attempts.saturating_sub(1).min(16);
        let ceiling = (self.initial_wait * 2u32.pow(doublings)).min(self.max_wait);
        let jittered = ceiling.mul_f64(random);
        let wait = asked.map_or(jittered, |asked| asked + jittered.min(asked / 10));
        (elapsed + wait <= self.max_elapsed).then_some(wait)
    }
}

/// The attempts of one logical request: policy is data, this is state.
#[derive(Debug)]
pub struct Attempts {
    policy: RetryPolicy,
    phase: &'static str,
    begin: Instant,
    made: u32,
}

impl Attempts {
    /// No attempt yet. `phase` is what logs say the request is for.
    pub fn begin(policy: RetryPolicy, phase: &'static str) -> Self {
        Self {
            policy,
            phase,
            begin: Instant::now(),
            made: 0,
        }
    }

    /// One more attempt begins; returns its number, from 1.
    pub fn count(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    /// Waits until the next attempt may be made.
    ///
    /// # Errors
    /// `error`, with tries and time, when either has run out.
    pub async fn wait(&self, error: Error, asked: Option<Duration>) -> Result<()> {
        match self
            .policy
            .next_wait(self.made, self.begin.elapsed(), asked, random_fraction())
        {
            Some(wait) => {
                warn!(
                    phase = self.phase,
                    event = "request_retried",
                    attempts = self.made,
                    wait_ms = wait.as_millis() as u64,
                    intuit_tid = error.trace_id().unwrap_or_default(),
                    "{error}; trying again in {:.1} s",
                    wait.as_secs_f64()
                );
                sleep(wait).await;
                Ok(())
            }
            None => Err(self.give_up(error)),
        }
    }

    /// The error to end with: the last one, and how hard it was tried.
    pub fn give_up(&self, last: Error) -> Error {
        Error::AfterAttempts {
            attempts: self.made,
            elapsed: self.begin.elapsed(),
            last: Box::new(last),
        }
    }
}

/// Uniform in `[0, 1)`, for jitter: from the randomness that version-4 UUIDs are made of.
fn random_fraction() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128() as u32;
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

/// Longer than anyone waits, and far from where clocks overflow.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// Reads `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3).
pub(crate) fn parse_retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(value).ok()?.to_utc();
            (date - now).to_std().unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn waits_grow_to_a_ceiling_and_stay_below_it() {
        let policy = RetryPolicy {
            max_attempts: 20,
            ..RetryPolicy::default()
        };
        let wait = |attempts, random| {
            policy
                .next_wait(attempts, Duration::ZERO, None, random)
                .unwrap()
        };
        assert_eq!(wait(1, 0.0), Duration::ZERO);
        assert!(wait(1, 0.999) < Duration::from_millis(500));
        assert!(wait(3, 0.999) > Duration::from_millis(1900));
        assert!(wait(19, 0.999) < Duration::from_secs(30));
    }

    #[test]
    fn tries_and_time_both_run_out() {
        let policy = RetryPolicy::default();
        assert!(
            policy
                .next_wait(policy.max_attempts, Duration::ZERO, None, 0.5)
                .is_none()
        );
        assert!(policy.next_wait(1, policy.max_elapsed, None, 0.5).is_none());
        let too_long = Some(policy.max_elapsed + Duration::from_secs(1));
        assert!(policy.next_wait(1, Duration::ZERO, too_long, 0.5).is_none());
    }

    #[test]
    fn a_wait_asked_for_is_never_cut_short() {
        let asked = Duration::from_secs(60);
        let wait = RetryPolicy::default()
            .next_wait(1, Duration::ZERO, Some(asked), 0.9)
            .unwrap();
        assert!(wait >= asked && wait <= asked + asked / 10);
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
}
