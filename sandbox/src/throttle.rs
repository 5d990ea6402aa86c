//! QuickBooks' rate limits (qbo-facts 6.1 and 6.2), enforced with exact sliding windows.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::answer::{Answer, throttled};
use crate::assumption::{Assumptions, Topic};
use crate::pacific;

/// The rate limits of each company. 0 means no limit. The default is Intuit's limits, without a
/// monthly quota.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleOptions {
    /// Requests within any 60 seconds.
    pub per_minute: usize,
    /// Requests within any second.
    pub per_second: usize,
    /// Requests in flight at the same time.
    pub in_flight: usize,
    /// Batches within any 60 seconds.
    pub batches_per_minute: usize,
    /// Successful reads per month, as with Intuit's Builder tier. Intuit's own sandboxes have no
    /// such quota.
    pub monthly_reads: u64,
}

impl Default for ThrottleOptions {
    fn default() -> Self {
        Self {
            per_minute: 500,
            per_second: 10,
            in_flight: 10,
            batches_per_minute: 40,
            monthly_reads: 0,
        }
    }
}

impl ThrottleOptions {
    /// No limits at all.
    pub const NONE: Self = Self {
        per_minute: 0,
        per_second: 0,
        in_flight: 0,
        batches_per_minute: 0,
        monthly_reads: 0,
    };
}

/// The admitted requests of one company, and the number of those in flight.
#[derive(Debug)]
pub(crate) struct Throttle {
    pub options: ThrottleOptions,
    admitted: VecDeque<Instant>,
    batches: VecDeque<Instant>,
    in_flight: usize,
    /// Successful reads of the month.
    reads: u64,
    /// The Pacific month of the reads, as in `2026-03`.
    month: String,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Throttle {
    pub(crate) fn new(options: ThrottleOptions) -> Self {
        Self {
            options,
            admitted: VecDeque::new(),
            batches: VecDeque::new(),
            in_flight: 0,
            reads: 0,
            month: String::new(),
        }
    }

    /// Admits a request if no limit is reached. [`Self::release`] must follow if this returns true.
    pub(crate) fn try_admit(&mut self, is_batch: bool, now: Instant) -> bool {
        for times in [&mut self.admitted, &mut self.batches] {
            while times.front().is_some_and(|&oldest| now - oldest >= MINUTE) {
                times.pop_front();
            }
        }
        let second = self
            .admitted
            .iter()
            .rev()
            .take_while(|&&t| now - t < Duration::from_secs(1))
            .count();
        let below = |count: usize, limit: usize| limit == 0 || count < limit;
        let ThrottleOptions {
            per_minute,
            per_second,
            in_flight,
            batches_per_minute,
            ..
        } = self.options;
        let is_admitted = below(self.admitted.len(), per_minute)
            && below(second, per_second)
            && below(self.in_flight, in_flight)
            && (!is_batch || below(self.batches.len(), batches_per_minute))
            && !self.is_quota_used_up();
        if !is_admitted {
            return false;
        }
        self.admitted.push_back(now);
        if is_batch {
            self.batches.push_back(now);
        }
        self.in_flight += 1;
        true
    }

    /// Ends a request that was admitted.
    pub(crate) fn release(&mut self) {
        self.in_flight -= 1;
    }

    /// Returns whether the monthly quota is used up.
    pub(crate) fn is_quota_used_up(&self) -> bool {
        self.options.monthly_reads > 0 && self.reads >= self.options.monthly_reads
    }

    /// Counts successful reads against the monthly quota. Failed reads are free.
    pub(crate) fn count_reads(&mut self, reads: u64) {
        self.reads += reads;
    }

    /// Returns the reads counted this month.
    pub(crate) fn reads(&self) -> u64 {
        self.reads
    }

    /// Starts a new month if the clock shows another month than at the last request.
    pub(crate) fn enter_month(&mut self, now: DateTime<Utc>) {
        let month = pacific::month(now);
        if self.month != month {
            // The first request finds no month, and no reads.
            self.start_month();
            self.month = month;
        }
    }

    /// Starts a new month, with no reads counted.
    pub(crate) fn start_month(&mut self) {
        self.reads = 0;
    }
}

/// Returns the answer to a request that is not admitted, in the form that is assumed.
pub(crate) fn throttled_answer(assumptions: &Assumptions, time: DateTime<Utc>) -> Answer {
    let answer = match assumptions.is_harder(Topic::ThrottleBody) {
        true => throttled(429).xml(time),
        false => throttled(429).json(time),
    };
    match assumptions.is_harder(Topic::RetryAfter) {
        true => answer,
        false => answer.with_header("retry-after", "60".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_request_of_a_second_is_refused_and_the_next_second_is_free() {
        let mut throttle = Throttle::new(ThrottleOptions {
            in_flight: 0,
            ..ThrottleOptions::default()
        });
        let begin = Instant::now();
        assert!((0..10).all(|_| throttle.try_admit(false, begin)));
        assert!(!throttle.try_admit(false, begin + Duration::from_millis(999)));
        assert!(throttle.try_admit(false, begin + Duration::from_secs(1)));
    }

    #[test]
    fn the_501st_request_of_a_minute_is_refused() {
        let mut throttle = Throttle::new(ThrottleOptions {
            per_minute: 500,
            ..ThrottleOptions::NONE
        });
        let begin = Instant::now();
        assert!((0..500).all(|_| throttle.try_admit(false, begin)));
        assert!(!throttle.try_admit(false, begin + Duration::from_secs(59)));
        assert!(throttle.try_admit(false, begin + Duration::from_secs(60)));
    }

    #[test]
    fn an_answered_request_makes_room() {
        let mut throttle = Throttle::new(ThrottleOptions {
            in_flight: 1,
            ..ThrottleOptions::NONE
        });
        let now = Instant::now();
        assert!(throttle.try_admit(false, now) && !throttle.try_admit(false, now));
        throttle.release();
        assert!(throttle.try_admit(false, now));
    }

    #[test]
    fn the_41st_batch_of_a_minute_is_refused_and_queries_are_not() {
        let mut throttle = Throttle::new(ThrottleOptions {
            batches_per_minute: 40,
            ..ThrottleOptions::NONE
        });
        let now = Instant::now();
        assert!((0..40).all(|_| throttle.try_admit(true, now)));
        assert!(!throttle.try_admit(true, now) && throttle.try_admit(false, now));
    }

    #[test]
    fn a_used_up_month_refuses_until_the_next() {
        let mut throttle = Throttle::new(ThrottleOptions {
            monthly_reads: 3,
            ..ThrottleOptions::NONE
        });
        let now = Instant::now();
        throttle.count_reads(2);
        assert!(throttle.try_admit(false, now));
        throttle.count_reads(1);
        assert!(!throttle.try_admit(false, now) && throttle.is_quota_used_up());
        throttle.start_month();
        assert!(throttle.try_admit(false, now));
    }

    #[test]
    fn a_month_begins_at_midnight_in_california() {
        let mut throttle = Throttle::new(ThrottleOptions {
            monthly_reads: 1,
            ..ThrottleOptions::NONE
        });
        let mut is_used_up_at = |text: &str| {
            throttle.enter_month(text.parse().unwrap());
            let is_used_up = throttle.is_quota_used_up();
            throttle.count_reads(1);
            is_used_up
        };
        assert!(!is_used_up_at("2026-02-11T00:00:00Z"));
        assert!(is_used_up_at("2026-03-01T07:59:59Z"));
        assert!(!is_used_up_at("2026-03-01T08:00:00Z"));
        assert!(is_used_up_at("2026-03-31T00:00:00Z"));
        assert!(!is_used_up_at("2027-03-31T00:00:00Z"));
    }
}
