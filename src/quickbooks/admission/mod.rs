//! Who may send, and when: the pace that the limits allow, room among the requests in flight, and a
//! circuit breaker. The state of one company is shared by every process that reads it; the rules
//! are pure ([`state`]).

mod breaker;
mod bucket;
mod state;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

pub use self::breaker::BreakerStatus;
pub use self::bucket::Pace;
use self::state::{Answer, Request, State};
pub use self::state::{Limits, Outcome};
use crate::error::{Error, Result};
use crate::port::{Change, SharedState};

/// A lease is renewed while its request is on the way, so that those of a process that died end
/// soon.
const LEASE: Duration = Duration::from_secs(15);
const RENEWAL: Duration = Duration::from_secs(5);

/// What is known of a company's traffic.
#[derive(Debug, Clone, Serialize)]
pub struct Traffic {
    /// The circuit breaker.
    pub breaker: BreakerStatus,
    /// Successful reads of this month, which Intuit meters (qbo-facts 6.2).
    pub monthly_reads: u64,
    /// Requests without an answer yet, of all processes.
    pub in_flight: usize,
    /// Nothing is sent before this instant: the company was throttled.
    pub paused_until: Option<DateTime<Utc>>,
    /// Requests of the last 60 s, nearly.
    pub requests_last_minute: u32,
}

/// Admits the requests of one company. Shared by cloning the `Arc` that it lives in.
#[derive(Debug)]
pub struct AdmissionControl {
    limits: Limits,
    /// How long requests wait for an open breaker.
    patience: Duration,
    shared: Box<dyn SharedState>,
    /// Stands in while the shared state cannot be reached.
    alone: Mutex<String>,
    is_alone: AtomicBool,
    /// Keeps this process's own requests in the order of their coming.
    turns: Option<Arc<Semaphore>>,
    paused_until: Mutex<Option<Instant>>,
    /// When the first request came, by the clock of the shared state.
    begun: Mutex<Option<DateTime<Utc>>>,
    /// Reads a month that are warned about; 0: none.
    monthly_quota: u64,
    warned: AtomicU8,
}

/// The right to send one request. It must be [left](AdmissionControl::leave); dropped, it is left
/// without an outcome.
#[derive(Debug)]
pub struct Permit {
    control: Arc<AdmissionControl>,
    lease: Option<String>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl AdmissionControl {
    /// Keeps `limits` with everyone who shares `shared`. Requests wait for an open breaker as long
    /// as `patience`; the month's reads are warned about when they come near `monthly_quota`,
    /// unless that is 0.
    pub fn new(
        limits: Limits,
        patience: Duration,
        shared: Box<dyn SharedState>,
        monthly_quota: u64,
    ) -> Self {
        Self {
            limits,
            patience,
            shared,
            alone: Mutex::default(),
            is_alone: AtomicBool::new(false),
            turns: (limits.in_flight > 0)
                .then(|| Arc::new(Semaphore::new(limits.in_flight as usize))),
            paused_until: Mutex::default(),
            begun: Mutex::default(),
            monthly_quota,
            warned: AtomicU8::new(0),
        }
    }

    /// Waits until a request may be sent.
    ///
    /// # Errors
    /// [`Error::CircuitOpen`] if the API has not answered for longer than anyone waits.
    pub async fn enter(self: &Arc<Self>, is_batch: bool) -> Result<Permit> {
        let turn = match &self.turns {
            // The semaphore is never closed.
            Some(turns) => turns.clone().acquire_owned().await.ok(),
            None => None,
        };
        let lease = uuid::Uuid::new_v4().simple().to_string();
        loop {
            let answer = self
                .change(|state, now| {
                    let begun = Some(*lock(&self.begun).get_or_insert(now));
                    let patience = self.patience;
                    let request = Request {
                        lease: &lease,
                        is_batch,
                        lifetime: LEASE,
                        begun,
                        patience,
                    };
                    state.enter(now, &self.limits, &request)
                })
                .await;
            match answer {
                Answer::Go {
                    after,
                    monthly_reads,
                } => {
                    // Made first: from here on the lease is left, whatever happens.
                    let permit = Permit {
                        control: self.clone(),
                        lease: Some(lease),
                        _turn: turn,
                    };
                    self.warn_of_quota(monthly_reads);
                    sleep(after).await;
                    self.sit_out_pause().await;
                    return Ok(permit);
                }
                Answer::Wait(wait) => sleep(wait).await,
                Answer::Refused(reason) => return Err(Error::CircuitOpen { reason }),
            }
        }
    }

    /// A pause may have begun after a request was given its turn.
    async fn sit_out_pause(&self) {
        loop {
            let until = *lock(&self.paused_until);
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => sleep_until(until).await,
                None => return,
            }
        }
    }

    /// Holds every request of this company back for a while: the server has said that it is over
    /// its limit.
    pub async fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        {
            let mut known = lock(&self.paused_until);
            *known = Some(known.map_or(until, |known| known.max(until)));
        }
        self.change(|state, now| state.pause(now + wait)).await;
    }

    /// What is known of the company's traffic.
    pub async fn traffic(&self) -> Traffic {
        self.change(|state, now| state.traffic(now)).await
    }

    async fn leave(&self, lease: &str, outcome: Outcome) {
        if let Some(news) = self
            .change(|state, now| state.leave(lease, outcome, now))
            .await
        {
            match news {
                BreakerStatus::Closed => {
                    info!(
                        phase = "extract",
                        event = "circuit_closed",
                        "the API answers again"
                    );
                }
                BreakerStatus::Open {
                    retry_at, failures, ..
                } => {
                    let wait_s = (retry_at - Utc::now()).num_seconds().max(0);
                    warn!(
                        phase = "extract",
                        event = "circuit_opened",
                        failures,
                        wait_s,
                        "the API failed {failures} times in a row: nothing is sent for {wait_s} s, then one request to see"
                    );
                }
            }
        }
    }

    /// Changes the shared state; if it cannot be reached, a state of our own until it can.
    async fn change<T: Send>(&self, rule: impl FnOnce(&mut State, DateTime<Utc>) -> T + Send) -> T {
        // The rule must run exactly once, whichever state it is for.
        let rule = Mutex::new(Some(rule));
        let outcome = Mutex::new(None);
        let run = |text: Option<&str>, now: DateTime<Utc>| {
            let before = State::parse(text);
            let mut state = before.clone();
            let rule = lock(&rule).take()?;
            *lock(&outcome) = Some(rule(&mut state, now));
            // Who only looks writes nothing.
            (state != before).then(|| state.to_text())
        };
        let change: Change<'_> = Box::new(run);
        match self.shared.update(change).await {
            Ok(()) => self.is_alone.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.is_alone.swap(true, Ordering::Relaxed) {
                    warn!(
                        phase = "extract",
                        event = "limits_not_shared",
                        "{error}; until that works again, limits are kept in this process only"
                    );
                }
                if let Some(rule) = lock(&rule).take() {
                    let mut alone = lock(&self.alone);
                    let mut state = State::parse(Some(&alone));
                    *lock(&outcome) = Some(rule(&mut state, Utc::now()));
                    *alone = state.to_text();
                }
            }
        }
        let outcome = lock(&outcome).take();
        #[allow(clippy::expect_used, reason = "one of the two states has run the rule")]
        outcome.expect("the rule has run")
    }

    fn warn_of_quota(&self, reads: u64) {
        let step = match self.monthly_quota {
            0 => 0,
            most if reads >= most => 2,
            most if reads.saturating_mul(5) >= most.saturating_mul(4) => 1,
            _ => 0,
        };
        if step > self.warned.fetch_max(step, Ordering::Relaxed) {
            warn!(
                phase = "extract",
                event = "monthly_reads",
                reads,
                quota = self.monthly_quota,
                "{reads} of this month's {} reads are used (QBO_MONTHLY_QUOTA); beyond it Intuit refuses or charges",
                self.monthly_quota
            );
        }
    }
}

impl Permit {
    /// Sends the request: its place among those in flight is kept until the answer has come.
    pub async fn hold<T>(&self, request: impl Future<Output = T>) -> T {
        let renew = async {
            loop {
                sleep(RENEWAL).await;
                if let Some(lease) = &self.lease {
                    self.control
                        .change(|state, now| state.renew(lease, now + LEASE))
                        .await;
                }
            }
        };
        if self.control.limits.in_flight == 0 {
            return request.await;
        }
        tokio::select! {
            answer = request => answer,
            never = renew => never,
        }
    }

    /// Makes room for the next, and says how it went.
    pub async fn leave(mut self, outcome: Outcome) {
        if let Some(lease) = self.lease.take() {
            self.control.leave(&lease, outcome).await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let (Some(lease), Ok(runtime)) =
            (self.lease.take(), tokio::runtime::Handle::try_current())
        {
            let control = self.control.clone();
            runtime.spawn(async move { control.leave(&lease, Outcome::Unknown).await });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;

    /// A state whose clock is tokio's, so that tests can pause it.
    #[derive(Debug, Clone)]
    struct Paused(Arc<Mutex<Option<String>>>, Instant, bool);

    impl SharedState for Paused {
        fn update<'s>(
            &'s self,
            change: Change<'s>,
        ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 's>> {
            Box::pin(async move {
                if self.2 {
                    return Err(Error::Database {
                        reason: "gone".into(),
                        sqlstate: None,
                    });
                }
                let now = DateTime::UNIX_EPOCH + self.1.elapsed();
                let mut text = lock(&self.0);
                if let Some(changed) = change(text.as_deref(), now) {
                    *text = Some(changed);
                }
                Ok(())
            })
        }
    }

    fn home() -> Paused {
        Paused(Arc::default(), Instant::now(), false)
    }

    fn control(limits: Limits, home: &Paused) -> Arc<AdmissionControl> {
        Arc::new(AdmissionControl::new(
            limits,
            Duration::from_secs(600),
            Box::new(home.clone()),
            0,
        ))
    }

    const NO_LIMITS: Limits = Limits {
        per_minute: 0,
        per_second: 0,
        in_flight: 0,
        batches_per_minute: 0,
    };

    async fn send(control: &Arc<AdmissionControl>, count: usize) -> Vec<Instant> {
        let mut sent = Vec::new();
        for _ in 0..count {
            let permit = control.enter(false).await.unwrap();
            sent.push(Instant::now());
            permit.leave(Outcome::Answered).await;
        }
        sent
    }

    fn busiest(sent: &[Instant], span: Duration) -> usize {
        sent.iter()
            .map(|&from| {
                sent.iter()
                    .filter(|&&t| t >= from && t < from + span)
                    .count()
            })
            .max()
            .unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_and_no_minute_holds_more_than_its_limit_and_little_is_left_unused() {
        let control = control(
            Limits {
                per_minute: 500,
                ..Limits::default()
            },
            &home(),
        );
        let sent = send(&control, 1500).await;
        assert!(busiest(&sent, Duration::from_secs(1)) <= 10);
        let minute = busiest(&sent, Duration::from_secs(60));
        assert!((490..=500).contains(&minute), "{minute}");
        assert!(
            sent[1499] - sent[0] < Duration::from_secs(185),
            "{:?}",
            sent[1499] - sent[0]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn several_processes_keep_the_limits_together() {
        let home = home();
        let senders = (0..4).map(|_| {
            let control = control(
                Limits {
                    in_flight: 0,
                    ..Limits::default()
                },
                &home,
            );
            tokio::spawn(async move { send(&control, 200).await })
        });
        let mut sent = Vec::new();
        for sender in senders.collect::<Vec<_>>() {
            sent.extend(sender.await.unwrap());
        }
        sent.sort();
        assert!(busiest(&sent, Duration::from_secs(1)) <= 10);
        assert!(busiest(&sent, Duration::from_secs(60)) <= 500);
        assert!(sent[799] - sent[0] < Duration::from_secs(100));
    }

    #[tokio::test(start_paused = true)]
    async fn who_looks_writes_nothing() {
        let home = home();
        let control = control(Limits::default(), &home);
        let before = control.traffic().await;
        assert_eq!((before.requests_last_minute, before.in_flight), (0, 0));
        let text = |home: &Paused| lock(&home.0).clone();
        // All that there is to know is which minute and month it is.
        send(&control, 3).await;
        let written = text(&home);
        assert_eq!(control.traffic().await.requests_last_minute, 3);
        assert_eq!(text(&home), written);
        sleep(Duration::from_secs(200)).await;
        assert_eq!(control.traffic().await.requests_last_minute, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_means_no_limit() {
        let sent = send(&control(NO_LIMITS, &home()), 1000).await;
        assert_eq!(sent[0], sent[999]);
    }

    #[tokio::test(start_paused = true)]
    async fn batches_have_a_limit_of_their_own() {
        let control = control(
            Limits {
                batches_per_minute: 40,
                ..NO_LIMITS
            },
            &home(),
        );
        let mut sent = Vec::new();
        for _ in 0..80 {
            control
                .enter(true)
                .await
                .unwrap()
                .leave(Outcome::Answered)
                .await;
            sent.push(Instant::now());
        }
        assert!(busiest(&sent, Duration::from_secs(60)) <= 40);
        assert_eq!(
            send(&control, 50).await[49],
            Instant::now(),
            "queries need not wait"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone_back_also_in_other_processes_and_those_who_have_a_turn() {
        let home = home();
        let (mine, other) = (
            control(Limits::default(), &home),
            control(Limits::default(), &home),
        );
        let begin = Instant::now();
        // Ten turns are given, the last a second ahead.
        let turns: Vec<_> = (0..10)
            .map(|_| {
                tokio::spawn({
                    let mine = mine.clone();
                    async move { send(&mine, 1).await }
                })
            })
            .collect();
        sleep(Duration::from_millis(500)).await;
        mine.pause(Duration::from_secs(60)).await;
        let in_another = tokio::spawn(async move { send(&other, 1).await });
        let mut late = 0;
        for turn in turns {
            let sent = turn.await.unwrap()[0] - begin;
            late += usize::from(sent >= Duration::from_millis(60_500));
            assert!(
                sent <= Duration::from_millis(500) || sent >= Duration::from_millis(60_500),
                "{sent:?}"
            );
        }
        assert!(late >= 4, "{late}");
        assert!(in_another.await.unwrap()[0] - begin >= Duration::from_millis(60_500));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_are_counted_over_processes_and_those_of_a_dead_one_end() {
        let home = home();
        let limits = Limits {
            in_flight: 2,
            ..NO_LIMITS
        };
        let (mine, other) = (control(limits, &home), control(limits, &home));
        let first = mine.enter(false).await.unwrap();
        let mut second = mine.enter(false).await.unwrap();
        assert!(
            tokio::time::timeout(Duration::from_secs(9), other.enter(false))
                .await
                .is_err()
        );
        // As if its process were gone: nobody leaves or renews it.
        second.lease = None;
        tokio::time::timeout(Duration::from_secs(10), other.enter(false))
            .await
            .unwrap()
            .unwrap()
            .leave(Outcome::Answered)
            .await;
        first.leave(Outcome::Answered).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_long_keeps_its_place() {
        let home = home();
        let limits = Limits {
            in_flight: 1,
            ..NO_LIMITS
        };
        let (mine, other) = (control(limits, &home), control(limits, &home));
        let permit = mine.enter(false).await.unwrap();
        let late = tokio::spawn(async move { send(&other, 1).await });
        permit.hold(sleep(Duration::from_secs(60))).await;
        assert!(!late.is_finished());
        permit.leave(Outcome::Answered).await;
        late.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_the_circuit_one_probe_closes_it_and_long_silence_ends_the_run()
    {
        let home = home();
        let (mine, other) = (control(NO_LIMITS, &home), control(NO_LIMITS, &home));
        for _ in 0..10 {
            mine.enter(false)
                .await
                .unwrap()
                .leave(Outcome::Failed)
                .await;
        }
        assert!(matches!(
            other.traffic().await.breaker,
            BreakerStatus::Open { failures: 10, .. }
        ));
        let begin = Instant::now();
        let probe = other.enter(false).await.unwrap();
        assert!(
            begin.elapsed() >= Duration::from_secs(5),
            "{:?}",
            begin.elapsed()
        );
        // Nobody else is let through before the probe has come back.
        assert!(
            tokio::time::timeout(Duration::from_secs(3), mine.enter(false))
                .await
                .is_err()
        );
        probe.leave(Outcome::Answered).await;
        assert!(matches!(
            mine.traffic().await.breaker,
            BreakerStatus::Closed
        ));
        for _ in 0..10 {
            mine.enter(false)
                .await
                .unwrap()
                .leave(Outcome::Failed)
                .await;
        }
        let begin = Instant::now();
        let error = loop {
            match mine.enter(false).await {
                Ok(probe) => probe.leave(Outcome::Failed).await,
                Err(error) => break error,
            }
        };
        assert!(
            error.ends_run() && error.to_string().contains("has not answered since"),
            "{error}"
        );
        assert!(
            begin.elapsed() >= Duration::from_secs(540),
            "{:?}",
            begin.elapsed()
        );
        // What others have waited is not held against a process that begins now.
        control(NO_LIMITS, &home)
            .enter(false)
            .await
            .unwrap()
            .leave(Outcome::Answered)
            .await;
        // Faults of the service are found out about more slowly.
        for _ in 0..79 {
            mine.enter(false)
                .await
                .unwrap()
                .leave(Outcome::Faulted)
                .await;
        }
        assert!(matches!(
            mine.traffic().await.breaker,
            BreakerStatus::Closed
        ));
        mine.enter(false)
            .await
            .unwrap()
            .leave(Outcome::Faulted)
            .await;
        assert!(matches!(
            mine.traffic().await.breaker,
            BreakerStatus::Open { .. }
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn without_its_home_a_process_keeps_the_limits_alone() {
        let control = control(
            Limits::default(),
            &Paused(Arc::default(), Instant::now(), true),
        );
        // By the machine's clock, which the test cannot pause: only that it goes on and still makes
        // turns.
        assert_eq!(send(&control, 3).await.len(), 3);
        assert!(lock(&control.alone).contains("second"));
    }

    #[tokio::test(start_paused = true)]
    async fn reads_of_the_month_are_counted_once_they_succeed() {
        let control = control(NO_LIMITS, &home());
        for outcome in [
            Outcome::Answered,
            Outcome::Failed,
            Outcome::Read,
            Outcome::Read,
            Outcome::Unknown,
        ] {
            control.enter(false).await.unwrap().leave(outcome).await;
        }
        assert_eq!(control.traffic().await.monthly_reads, 2);
    }
}
