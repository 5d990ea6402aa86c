//! Rate limits as one instant: the generic cell rate algorithm (ITU-T I.371, annex A).
//!
//! By hand, because the state is an instant in a document that several processes share, which no
//! rate limiter of a crate offers.

use chrono::{DateTime, TimeDelta, Utc};
#[cfg(any(feature = "cli", test))]
use parking_lot::Mutex;

/// A maximum number of requests in any period, some of which may come in a burst.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    interval: TimeDelta,
    tolerance: TimeDelta,
}

/// Extra length of a period. Requests that leave evenly by our clock reach the server unevenly.
const MARGIN_MS: f64 = 50.0;

impl Rate {
    /// Allows `max` requests in any `seconds`, a fiftieth of them at once; `None` if `max` is 0.
    pub(super) fn bursty(max: u32, seconds: f64) -> Option<Self> {
        let burst = (max / 50).max(1);
        // Any period can hold the burst and the evenly spaced requests after it: together `max`.
        let evenly = f64::from(max.saturating_sub(burst).max(1));
        (max > 0).then(|| Self::new((seconds * 1000.0 + MARGIN_MS) / evenly, burst))
    }

    /// Allows `max` requests in any `seconds`, spread evenly and a tenth further apart than
    /// necessary, for the seam between two runs. `None` if `max` is 0.
    pub(super) fn even(max: u32, seconds: f64) -> Option<Self> {
        (max > 0).then(|| Self::new(seconds * 1000.0 * 1.1 / f64::from(max), 1))
    }

    fn new(interval_ms: f64, burst: u32) -> Self {
        let interval = TimeDelta::microseconds((interval_ms * 1000.0).ceil() as i64);
        Self {
            interval,
            tolerance: interval * (burst as i32 - 1),
        }
    }

    /// Returns this rate with requests further apart, by a part of a whole.
    pub(super) fn stretched(self, part: u32, whole: u32) -> Self {
        let stretch = |span: TimeDelta| span + span * part as i32 / whole as i32;
        Self {
            interval: stretch(self.interval),
            tolerance: stretch(self.tolerance),
        }
    }

    /// Returns the earliest instant that the bucket allows.
    pub(super) fn earliest(
        &self,
        full_until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        full_until.map_or(now, |full_until| (full_until - self.tolerance).max(now))
    }

    /// Returns the bucket after a request at `at`.
    pub(super) fn after_request(
        &self,
        full_until: Option<DateTime<Utc>>,
        at: DateTime<Utc>,
    ) -> DateTime<Utc> {
        full_until.map_or(at, |full_until| full_until.max(at)) + self.interval
    }
}

/// A rate limit that one process applies to requests that it receives.
#[cfg(any(feature = "cli", test))]
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Option<Rate>,
    full_until: Mutex<Option<DateTime<Utc>>>,
}

#[cfg(any(feature = "cli", test))]
impl Pace {
    /// Allows `max` requests in any 60 s, a fiftieth of them at once; 0 means no limit.
    pub(crate) fn per_minute(max: u32) -> Self {
        Self {
            rate: Rate::bursty(max, 60.0),
            full_until: Mutex::default(),
        }
    }

    /// Returns true if one more request is allowed now. A refused request does not count.
    pub(crate) fn admits(&self, now: DateTime<Utc>) -> bool {
        let Some(rate) = &self.rate else { return true };
        let mut full_until = self.full_until.lock();
        let is_allowed = rate.earliest(*full_until, now) <= now;
        if is_allowed {
            *full_until = Some(rate.after_request(*full_until, now));
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_come_too_fast_are_refused() {
        let pace = Pace::per_minute(600);
        let at = |millis| DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis);
        let admitted = (0..1000).filter(|millis| pace.admits(at(*millis))).count();
        // Twelve at once, and then one in a tenth of a second.
        assert!((20..=22).contains(&admitted), "{admitted}");
        assert!(pace.admits(at(5000)));
    }

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_span_holds_more_than_allowed(
            max in 1u32..600,
            seconds in 1u32..90,
            gaps in proptest::collection::vec(0i64..2_000_000, 1..700),
            is_even: bool,
        ) {
            let rate = if is_even { Rate::even(max, seconds.into()) } else { Rate::bursty(max, seconds.into()) }.unwrap();
            let (mut full, mut now, mut sent) = (None, DateTime::UNIX_EPOCH, Vec::new());
            for gap in gaps {
                now = rate.earliest(full, now + TimeDelta::microseconds(if gap % 3 == 0 { gap } else { 0 }));
                full = Some(rate.after_request(full, now));
                sent.push(now);
            }
            let span = TimeDelta::seconds(seconds.into());
            let mut first = 0;
            for last in 0..sent.len() {
                while sent[last] - sent[first] >= span {
                    first += 1;
                }
                prop_assert!(last - first < max as usize);
            }
        }
    }
}
