//! QBO's limits as the server enforces them (qbo-facts 6.1 and 6.2): exact sliding windows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The limits of one company. 0 means none.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleOptions {
    /// Requests in any 60 s.
    pub per_minute: usize,
    /// Requests in any second.
    pub per_second: usize,
    /// Requests at the same time.
    pub in_flight: usize,
    /// Batches in any 60 s.
    pub batches_per_minute: usize,
    /// Successful reads in all, as of a month with the Builder tier; Intuit's own sandboxes are
    /// free.
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

/// Which requests of a company were let in, and how many are being answered.
#[derive(Debug)]
pub(super) struct Throttle {
    pub options: ThrottleOptions,
    admitted: VecDeque<Instant>,
    batches: VecDeque<Instant>,
    in_flight: usize,
    reads: u64,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Throttle {
    pub fn new(options: ThrottleOptions) -> Self {
        Self {
            options,
            admitted: VecDeque::new(),
            batches: VecDeque::new(),
            in_flight: 0,
            reads: 0,
        }
    }

    /// Whether a request may be answered. If so, [`Self::leave`] must follow.
    pub fn enter(&mut self, is_batch: bool, now: Instant) -> bool {
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
        let is_free = below(self.admitted.len(), per_minute)
            && below(second, per_second)
            && below(self.in_flight, in_flight)
            && (!is_batch || below(self.batches.len(), batches_per_minute))
            && !self.is_used_up();
        if !is_free {
            return false;
        }
        self.admitted.push_back(now);
        if is_batch {
            self.batches.push_back(now);
        }
        self.in_flight += 1;
        true
    }

    pub fn leave(&mut self) {
        self.in_flight -= 1;
    }

    /// Whether the month's reads are gone.
    pub fn is_used_up(&self) -> bool {
        self.options.monthly_reads > 0 && self.reads >= self.options.monthly_reads
    }

    /// Counts successful reads; failed ones are free.
    pub fn meter(&mut self, reads: u64) {
        self.reads += reads;
    }

    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// Begins a new month.
    pub fn renew(&mut self) {
        self.reads = 0;
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
        assert!((0..10).all(|_| throttle.enter(false, begin)));
        assert!(!throttle.enter(false, begin + Duration::from_millis(999)));
        assert!(throttle.enter(false, begin + Duration::from_secs(1)));
    }

    #[test]
    fn the_501st_request_of_a_minute_is_refused() {
        let mut throttle = Throttle::new(ThrottleOptions {
            per_minute: 500,
            ..ThrottleOptions::NONE
        });
        let begin = Instant::now();
        assert!((0..500).all(|_| throttle.enter(false, begin)));
        assert!(!throttle.enter(false, begin + Duration::from_secs(59)));
        assert!(throttle.enter(false, begin + Duration::from_secs(60)));
    }

    #[test]
    fn an_answered_request_makes_room() {
        let mut throttle = Throttle::new(ThrottleOptions {
            in_flight: 1,
            ..ThrottleOptions::NONE
        });
        let now = Instant::now();
        assert!(throttle.enter(false, now) && !throttle.enter(false, now));
        throttle.leave();
        assert!(throttle.enter(false, now));
    }

    #[test]
    fn the_41st_batch_of_a_minute_is_refused_and_queries_are_not() {
        let mut throttle = Throttle::new(ThrottleOptions {
            batches_per_minute: 40,
            ..ThrottleOptions::NONE
        });
        let now = Instant::now();
        assert!((0..40).all(|_| throttle.enter(true, now)));
        assert!(!throttle.enter(true, now) && throttle.enter(false, now));
    }

    #[test]
    fn a_used_up_month_refuses_until_the_next() {
        let mut throttle = Throttle::new(ThrottleOptions {
            monthly_reads: 3,
            ..ThrottleOptions::NONE
        });
        let now = Instant::now();
        throttle.meter(2);
        assert!(throttle.enter(false, now));
        throttle.meter(1);
        assert!(!throttle.enter(false, now) && throttle.is_used_up());
        throttle.renew();
        assert!(throttle.enter(false, now));
    }
}
