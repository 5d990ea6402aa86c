//! QBO's limits as the server enforces them (qbo-facts 6.1): exact sliding windows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The limits. 0 means none.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleOptions {
    /// Requests in any 60 s.
    pub per_minute: usize,
    /// Requests in any second.
    pub per_second: usize,
    /// Requests at the same time.
    pub in_flight: usize,
}

impl Default for ThrottleOptions {
    fn default() -> Self {
        Self { per_minute: 500, per_second: 10, in_flight: 10 }
    }
}

impl ThrottleOptions {
    /// No limits at all.
    pub const NONE: Self = Self { per_minute: 0, per_second: 0, in_flight: 0 };
}

/// Which requests were let in, and how many are being answered.
#[derive(Debug)]
pub(super) struct Throttle {
    options: ThrottleOptions,
    admitted: VecDeque<Instant>,
    in_flight: usize,
    pub most_in_flight: usize,
    pub most_per_second: usize,
}

impl Throttle {
    pub fn new(options: ThrottleOptions) -> Self {
        Self { options, admitted: VecDeque::new(), in_flight: 0, most_in_flight: 0, most_per_second: 0 }
    }

    /// Whether a request may be answered. If so, [`Self::leave`] must follow.
    pub fn enter(&mut self, now: Instant) -> bool {
        while self.admitted.front().is_some_and(|&oldest| now - oldest >= Duration::from_secs(60)) {
            self.admitted.pop_front();
        }
        let second = self.admitted.iter().rev().take_while(|&&t| now - t < Duration::from_secs(1)).count();
        let below = |count: usize, limit: usize| limit == 0 || count < limit;
        let ThrottleOptions { per_minute, per_second, in_flight } = self.options;
        if !below(self.admitted.len(), per_minute) || !below(second, per_second) || !below(self.in_flight, in_flight) {
            return false;
        }
        self.admitted.push_back(now);
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        self.most_per_second = self.most_per_second.max(second + 1);
        true
    }

    pub fn leave(&mut self) {
        self.in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_request_of_a_second_is_refused_and_the_next_second_is_free() {
        let mut throttle = Throttle::new(ThrottleOptions { in_flight: 0, ..ThrottleOptions::default() });
        let begin = Instant::now();
        assert!((0..10).all(|_| throttle.enter(begin)));
        assert!(!throttle.enter(begin + Duration::from_millis(999)));
        assert!(throttle.enter(begin + Duration::from_secs(1)));
    }

    #[test]
    fn the_501st_request_of_a_minute_is_refused() {
        let mut throttle = Throttle::new(ThrottleOptions { per_second: 0, in_flight: 0, per_minute: 500 });
        let begin = Instant::now();
        assert!((0..500).all(|_| throttle.enter(begin)));
        assert!(!throttle.enter(begin + Duration::from_secs(59)));
        assert!(throttle.enter(begin + Duration::from_secs(60)));
    }

    #[test]
    fn an_answered_request_makes_room() {
        let mut throttle = Throttle::new(ThrottleOptions { per_minute: 0, per_second: 0, in_flight: 1 });
        let now = Instant::now();
        assert!(throttle.enter(now) && !throttle.enter(now));
        throttle.leave();
        assert!(throttle.enter(now));
    }
}
