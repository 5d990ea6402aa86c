//! QBO's limits (qbo-facts 6.1), kept on our side so that they are not bumped into.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// The three limits of a company. 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any 60 s.
    pub per_minute: u32,
    /// Requests in any second.
    pub per_second: u32,
    /// Requests without an answer yet.
    pub in_flight: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_minute: 500, per_second: 10, in_flight: 10 }
    }
}

/// Requests leave our clock evenly but reach the server's unevenly: windows are kept this much longer than theirs.
const MARGIN: Duration = Duration::from_millis(50);

/// The most requests allowed in any span of a given length, by remembering when each was let go.
#[derive(Debug)]
struct SlidingWindow {
    most: usize,
    span: Duration,
    sent: VecDeque<Instant>,
}

impl SlidingWindow {
    fn new(most: u32, span: Duration) -> Option<Self> {
        (most > 0).then(|| Self { most: most as usize, span: span + MARGIN, sent: VecDeque::new() })
    }

    /// When the next request may go: `now`, or when the oldest that counts has left the span.
    fn next_slot(&mut self, now: Instant) -> Instant {
        while self.sent.front().is_some_and(|&oldest| oldest + self.span <= now) {
            self.sent.pop_front();
        }
        match self.sent.len().checked_sub(self.most) {
            Some(ahead) => self.sent[ahead] + self.span,
            None => now,
        }
    }
}

/// Lets requests go no faster than [`Limits`] allow. Shared by all requests to one company in this process.
#[derive(Debug)]
pub struct RateLimiter {
    windows: Mutex<Pace>,
    in_flight: Option<Arc<Semaphore>>,
}

#[derive(Debug)]
struct Pace {
    windows: Vec<SlidingWindow>,
    gap: Duration,
    last: Option<Instant>,
    paused_until: Option<Instant>,
}

/// Requests are spread over the second rather than sent as one burst: a run that follows another, in this process or the
/// next, does not know what the server has counted in the second before. A tenth more than the even share leaves room for
/// the seam, and is still faster than 500 a minute.
const SPREAD: f64 = 1.1;

impl Pace {
    /// Books the earliest slot that every window allows.
    fn book(&mut self, now: Instant) -> Instant {
        let spread = self.last.map(|last| last + self.gap);
        let earliest = [self.paused_until, spread].into_iter().flatten().fold(now, Instant::max);
        let slot = self.windows.iter_mut().map(|w| w.next_slot(now)).fold(earliest, Instant::max);
        self.last = Some(slot);
        for window in &mut self.windows {
            window.sent.push_back(slot);
        }
        slot
    }
}

impl RateLimiter {
    /// A limiter that has let nothing go yet.
    pub fn new(limits: Limits) -> Self {
        let windows = [
            SlidingWindow::new(limits.per_minute, Duration::from_secs(60)),
            SlidingWindow::new(limits.per_second, Duration::from_secs(1)),
        ];
        let gap = match limits.per_second {
            0 => Duration::ZERO,
            per_second => Duration::from_secs(1).mul_f64(SPREAD / f64::from(per_second)),
        };
        let windows = windows.into_iter().flatten().collect();
        Self {
            windows: Mutex::new(Pace { windows, gap, last: None, paused_until: None }),
            in_flight: (limits.in_flight > 0).then(|| Arc::new(Semaphore::new(limits.in_flight as usize))),
        }
    }

    /// Waits for a turn. The request is in flight until the permit is dropped.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        let permit = match &self.in_flight {
            // The semaphore is never closed.
            Some(semaphore) => semaphore.clone().acquire_owned().await.ok(),
            None => None,
        };
        let slot = self.lock().book(Instant::now());
        sleep_until(slot).await;
        permit
    }

    /// Holds every request back for a while: the server has said that this company is over its limit.
    pub fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut pace = self.lock();
        pace.paused_until = Some(pace.paused_until.map_or(until, |known| known.max(until)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn send(limiter: &RateLimiter, count: usize) -> Vec<Instant> {
        let mut sent = Vec::new();
        for _ in 0..count {
            let _permit = limiter.acquire().await;
            sent.push(Instant::now());
        }
        sent
    }

    fn busiest(sent: &[Instant], span: Duration) -> usize {
        sent.iter().map(|&from| sent.iter().filter(|&&t| t >= from && t < from + span).count()).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_and_no_minute_holds_more_than_its_limit() {
        let limiter = RateLimiter::new(Limits { per_minute: 50, per_second: 10, in_flight: 0 });
        let sent = send(&limiter, 120).await;
        assert_eq!(busiest(&sent, Duration::from_secs(1)), 10);
        assert_eq!(busiest(&sent, Duration::from_secs(60)), 50);
        // It must also let go what is allowed: 50 a minute.
        assert!(sent[119] - sent[0] < Duration::from_secs(123));
    }

    #[tokio::test(start_paused = true)]
    async fn two_runs_one_after_the_other_keep_the_limit_between_them() {
        let mut sent = send(&RateLimiter::new(Limits::default()), 15).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        sent.extend(send(&RateLimiter::new(Limits::default()), 15).await);
        assert!(busiest(&sent, Duration::from_secs(1)) <= 10);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_means_no_limit() {
        let limiter = RateLimiter::new(Limits { per_minute: 0, per_second: 0, in_flight: 0 });
        let sent = send(&limiter, 5000).await;
        assert_eq!(sent[0], sent[4999]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone_back() {
        let limiter = RateLimiter::new(Limits::default());
        let begin = Instant::now();
        limiter.pause(Duration::from_secs(60));
        let sent = send(&limiter, 1).await;
        assert_eq!(sent[0] - begin, Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_flight_holds_its_permit() {
        let limiter = RateLimiter::new(Limits { per_minute: 0, per_second: 0, in_flight: 2 });
        let (_first, second) = (limiter.acquire().await, limiter.acquire().await);
        assert!(tokio::time::timeout(Duration::from_secs(9), limiter.acquire()).await.is_err());
        drop(second);
        assert!(tokio::time::timeout(Duration::from_secs(9), limiter.acquire()).await.is_ok());
    }
}
