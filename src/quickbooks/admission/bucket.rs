//! The pace of requests as one instant: the generic cell rate algorithm (ITU-T I.371, annex A).

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// At most `most` in any span, of which a fiftieth may come at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    interval: TimeDelta,
    tolerance: TimeDelta,
}

/// Requests leave our clock evenly but reach the server's unevenly: spans are taken to be this much
/// longer.
const MARGIN_MS: f64 = 50.0;

impl Rate {
    /// `most` in any `seconds`; `None` if that is no limit.
    pub fn bursty(most: u32, seconds: f64) -> Option<Self> {
        let burst = (most / 50).max(1);
        // In any span there can be the burst and what the interval lets through after it: together
        // no more than `most`.
        let evenly = f64::from(most.saturating_sub(burst).max(1));
        (most > 0).then(|| Self::new((seconds * 1000.0 + MARGIN_MS) / evenly, burst))
    }

    /// `most` in any `seconds`, spread evenly: a tenth apart more than the even share, for the seam
    /// between two runs.
    pub fn even(most: u32, seconds: f64) -> Option<Self> {
        (most > 0).then(|| Self::new(seconds * 1000.0 * 1.1 / f64::from(most), 1))
    }

    fn new(interval_ms: f64, burst: u32) -> Self {
        let interval = TimeDelta::microseconds((interval_ms * 1000.0).ceil() as i64);
        Self {
            interval,
            tolerance: interval * (burst as i32 - 1),
        }
    }

    /// The earliest instant that the bucket allows.
    pub fn earliest(&self, full_until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
        full_until.map_or(now, |full_until| (full_until - self.tolerance).max(now))
    }

    /// The bucket after a request at `at`.
    pub fn book(&self, full_until: Option<DateTime<Utc>>, at: DateTime<Utc>) -> DateTime<Utc> {
        full_until.map_or(at, |full_until| full_until.max(at)) + self.interval
    }
}

/// A pace that one process keeps, of what comes to it.
#[derive(Debug)]
pub struct Pace {
    rate: Option<Rate>,
    full_until: Mutex<Option<DateTime<Utc>>>,
}

impl Pace {
    /// At most `most` in any 60 s, of which a fiftieth may come at once.
    pub fn per_minute(most: u32) -> Self {
        Self {
            rate: Rate::bursty(most, 60.0),
            full_until: Mutex::default(),
        }
    }

    /// Whether one more may come now. One that may not does not count.
    pub fn admits(&self, now: DateTime<Utc>) -> bool {
        let Some(rate) = &self.rate else { return true };
        let mut full_until = self
            .full_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_room = rate.earliest(*full_until, now) <= now;
        if is_room {
            *full_until = Some(rate.book(*full_until, now));
        }
        is_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_fast_is_turned_away_and_what_waits_is_not() {
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
            most in 1u32..600,
            seconds in 1u32..90,
            gaps in proptest::collection::vec(0i64..2_000_000, 1..700),
            is_even: bool,
        ) {
            let rate = if is_even { Rate::even(most, seconds.into()) } else { Rate::bursty(most, seconds.into()) }.unwrap();
            let (mut full, mut now, mut sent) = (None, DateTime::UNIX_EPOCH, Vec::new());
            for gap in gaps {
                now = rate.earliest(full, now + TimeDelta::microseconds(if gap % 3 == 0 { gap } else { 0 }));
                full = Some(rate.book(full, now));
                sent.push(now);
            }
            let span = TimeDelta::seconds(seconds.into());
            let mut first = 0;
            for last in 0..sent.len() {
                while sent[last] - sent[first] >= span {
                    first += 1;
                }
                prop_assert!(last - first < most as usize);
            }
        }
    }
}
