//! The number of requests that one opened company has under way: as many as fill the allowed rate at the
//! present latency (Little's law), found by additive increase and multiplicative decrease.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::state::{Limits, Outcome};
use crate::domain::plan::DEFAULT_CONCURRENCY;

/// One request, in the unit of `allowed`.
const ONE: u32 = 1000;

/// The times that a slot was held for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Time that its request has waited for the general rate.
    pub waited: Duration,
    /// All other time.
    pub elapsed: Duration,
}

/// The slots of the requests of an opened company, in the order of their arrival.
#[derive(Debug)]
pub(super) struct Slots {
    /// `None` without a limit.
    free: Option<Arc<Semaphore>>,
    /// The requests that should be under way, and the number of slots that there are.
    state: Mutex<(Crowd, u32)>,
}

impl Slots {
    pub(super) fn new(limits: &Limits) -> Self {
        let crowd = Crowd::new(limits);
        let size = crowd.allowed();
        let free = (limits.in_flight > 0).then(|| Arc::new(Semaphore::new(size as usize)));
        let state = Mutex::new((crowd, size));
        Self { free, state }
    }

    /// Waits for a slot; returns `None` without a limit.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.free.as_ref()?.clone().acquire_owned().await.ok()
    }

    /// Returns the number of requests that fill the allowed rate.
    pub(super) fn enough(&self) -> usize {
        self.state.lock().0.allowed() as usize
    }

    /// Halves the number of requests under way.
    pub(super) fn halve(&self) {
        self.state.lock().0.halve();
    }

    /// Learns from a request how many should be under way; without a pace only from its failure. Returns
    /// its slot, unless these are fewer than there are.
    pub(super) fn learn(
        &self,
        slot: Option<OwnedSemaphorePermit>,
        pace: Option<Pace>,
        outcome: Outcome,
    ) -> Option<OwnedSemaphorePermit> {
        let (crowd, size) = &mut *self.state.lock();
        crowd.learn(pace, outcome);
        let allowed = crowd.allowed();
        if let Some(free) = self.free.as_ref().filter(|_| allowed > *size) {
            free.add_permits((allowed - *size) as usize);
            *size = allowed;
        }
        match slot {
            Some(slot) if allowed < *size => {
                slot.forget();
                *size -= 1;
                None
            }
            slot => slot,
        }
    }
}

/// The requests that may be under way.
#[derive(Debug)]
struct Crowd {
    most: u32,
    /// Time between two requests at the allowed rate; `None` without a limit of the rate.
    interval: Option<Duration>,
    /// Thousandths of a request.
    allowed: u32,
    /// Requests that were under way when the number was halved, and say nothing about it.
    stale: u32,
}

impl Crowd {
    /// Begins with the usual number, or with the limit if that is lower.
    fn new(limits: &Limits) -> Self {
        let per_second = (limits.per_second > 0).then(|| 1.0 / f64::from(limits.per_second));
        let per_minute = (limits.per_minute > 0).then(|| 60.0 / f64::from(limits.per_minute));
        let interval = per_second.into_iter().chain(per_minute).reduce(f64::max);
        Self {
            most: limits.in_flight.max(1),
            interval: interval.map(Duration::from_secs_f64),
            allowed: limits.in_flight.clamp(1, DEFAULT_CONCURRENCY as u32) * ONE,
            stale: 0,
        }
    }

    /// Returns the number of requests that may be under way.
    fn allowed(&self) -> u32 {
        self.allowed / ONE
    }

    /// Learns from the answer to a request. Each answer moves the number by 1 / number, so that a round of
    /// answers moves it by one: down while requests wait longer than they take, and up while so many do not
    /// fill the rate. A failure halves it: the service has too much. The answers to the requests that were
    /// under way then are ignored.
    fn learn(&mut self, pace: Option<Pace>, outcome: Outcome) {
        if let Some(stale) = self.stale.checked_sub(1) {
            self.stale = stale;
            return;
        }
        match (outcome, pace) {
            (Outcome::Faulted | Outcome::Failed | Outcome::Unsent, _) => self.halve(),
            (Outcome::Read | Outcome::Answered, Some(pace)) => self.keep_pace(pace),
            (Outcome::Read | Outcome::Answered | Outcome::Throttled | Outcome::Unknown, _) => {}
        }
    }

    fn keep_pace(&mut self, Pace { waited, elapsed }: Pace) {
        let step = (ONE * ONE / self.allowed).max(1);
        let is_too_small = match self.interval {
            Some(interval) => elapsed > interval * self.allowed() && waited < elapsed,
            // After a failure the usual number comes back.
            None => self.allowed() < self.most.min(DEFAULT_CONCURRENCY as u32),
        };
        if is_too_small {
            self.allowed = (self.allowed + step).min(self.most * ONE);
        } else if waited > elapsed {
            self.allowed = self.allowed.saturating_sub(step).max(ONE);
        }
    }

    /// Halves the number: QuickBooks has asked for less, or fails.
    fn halve(&mut self) {
        if self.stale == 0 {
            self.stale = self.allowed();
            self.allowed = (self.allowed / 2).max(ONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn pace(waited: Duration, elapsed: Duration) -> Option<Pace> {
        Some(Pace { waited, elapsed })
    }

    /// Requests that all wait as long as the rate makes them at a latency.
    fn settled(crowd: &mut Crowd, latency: Duration) -> u32 {
        for _ in 0..200 {
            let round = ms(120) * crowd.allowed();
            crowd.learn(pace(round.saturating_sub(latency), latency), Outcome::Read);
        }
        crowd.allowed()
    }

    #[test]
    fn so_many_requests_are_under_way_as_fill_the_rate() {
        let mut crowd = Crowd::new(&Limits::default());
        assert_eq!(crowd.allowed(), 4);
        for (latency, enough) in [
            (ms(50), 1..=1),
            (ms(500), 5..=6),
            (ms(3000), 10..=10),
            (ms(200), 2..=3),
        ] {
            let allowed = settled(&mut crowd, latency);
            assert!(enough.contains(&allowed), "{latency:?}: {allowed}");
        }
    }

    #[test]
    fn a_service_that_fails_halves_them_once_for_all_that_were_under_way() {
        let mut crowd = Crowd::new(&Limits::default());
        settled(&mut crowd, ms(3000));
        (0..10).for_each(|_| crowd.learn(pace(ms(0), ms(3000)), Outcome::Failed));
        assert_eq!(crowd.allowed(), 5);
        crowd.learn(pace(ms(0), ms(3000)), Outcome::Failed);
        crowd.learn(pace(ms(0), ms(3000)), Outcome::Failed);
        assert_eq!(crowd.allowed(), 2);
        assert_eq!(settled(&mut crowd, ms(3000)), 10);
    }

    #[test]
    fn without_a_rate_the_usual_number_stays() {
        let limits = Limits {
            per_minute: 0,
            per_second: 0,
            ..Limits::default()
        };
        let mut crowd = Crowd::new(&limits);
        let read = |crowd: &mut Crowd| {
            (0..100).for_each(|_| crowd.learn(pace(ms(0), ms(3000)), Outcome::Read));
            crowd.allowed()
        };
        assert_eq!(read(&mut crowd), 4);
        crowd.halve();
        assert_eq!((crowd.allowed(), read(&mut crowd)), (2, 4));
    }
}
