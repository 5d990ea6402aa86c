//! Admission control: rate limits, a maximum of requests in flight, and a circuit breaker. All
//! processes that read a company share its state; the rules are pure functions ([`state`]).
//!
//! The state is a small JSON document in a [`SharedState`]: a file, a row in Postgres, or memory.
//! Every change of it takes the same way:
//!
//! ```text
//! admit(kind)                complete(outcome)         pause(wait)
//!     |                           |                        |
//!     +------------- change(rule: State -> T) -------------+
//!                         |
//!     SharedState::update: lock the document, read it and the clock
//!                         |
//!     parse -> run the rule once -> write back if anything changed -> unlock
//! ```
//!
//! A request that is admitted leaves a lease in the document, which its process renews while the
//! request is on the way; the lease of a process that died expires. If the document cannot be
//! reached, the same rule runs on a copy in this process until it can be reached again.

mod breaker;
mod bucket;
mod crowd;
mod month;
mod permit;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

pub use self::breaker::BreakerStatus;
#[cfg(feature = "cli")]
pub(crate) use self::bucket::Pace;
use self::crowd::Slots;
pub(crate) use self::month::MonthlyCap;
pub(crate) use self::permit::Permit;
pub use self::state::Limits;
use self::state::{Decision, Request, State};
pub(super) use self::state::{Outcome, RequestKind};
use crate::domain::instant::{format_instant, format_span};
use crate::error::{Error, Result, Trace};
use crate::port::{Change, SharedState};

/// Lifetime of a lease. It is renewed while its request is on the way, so that the leases of a process
/// that died expire soon.
const LEASE_LIFETIME: Duration = Duration::from_secs(15);
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);
/// Time by which the clock of the shared state may end a pause later than that of this process. It is no second pause.
const CLOCKS_APART: Duration = Duration::from_secs(1);

/// Present traffic of a company.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Traffic {
    /// The circuit breaker.
    pub breaker: BreakerStatus,
    /// Number of successful reads in this month, which Intuit meters (qbo-facts 6.2).
    pub monthly_reads: u64,
    /// Number of requests without an answer yet, of all processes.
    pub in_flight: usize,
    /// No request is sent before this instant, because the company was throttled.
    pub paused_until: Option<DateTime<Utc>>,
    /// Approximate number of requests in the last 60 s.
    pub requests_last_minute: u32,
}

impl Traffic {
    /// Reads the traffic of a company from its shared document, as of `now`.
    pub(crate) fn read(text: Option<&str>, now: DateTime<Utc>) -> Self {
        State::parse(text).traffic(now)
    }
}

/// Admission control of one company. Shared by cloning its `Arc`.
#[derive(Debug)]
pub(crate) struct AdmissionControl {
    limits: Limits,
    /// Time that requests wait for an open circuit.
    circuit_timeout: Duration,
    /// Time that a request waits for pauses that QuickBooks has asked for.
    max_pause: Duration,
    shared: Box<dyn SharedState>,
    /// Document used while the shared state cannot be reached.
    local_state: Mutex<String>,
    is_local: AtomicBool,
    /// Keeps the requests of this process in the order of their arrival.
    slots: Slots,
    paused_until: Mutex<Option<Instant>>,
    /// End of the latest pause that was told, by the clock of the shared state.
    told_until: Mutex<Option<DateTime<Utc>>>,
    /// Instant of the first request, by the clock of the shared state.
    first_request_at: Mutex<Option<DateTime<Utc>>>,
    /// Number of reads in a month to warn about; 0 means no warning.
    monthly_quota: u64,
    warned_level: AtomicU8,
    cap: Option<MonthlyCap>,
}

impl AdmissionControl {
    /// Creates the control. `limits` apply to all processes that share `shared`. Requests wait up to
    /// `circuit_timeout` for an open circuit, and up to `max_pause` if QuickBooks asks to wait. A warning is logged when the reads of a month come near
    /// `monthly_quota`, unless that is 0.
    pub(crate) fn new(
        limits: Limits,
        circuit_timeout: Duration,
        max_pause: Duration,
        shared: Box<dyn SharedState>,
        monthly_quota: u64,
    ) -> Self {
        Self {
            limits,
            circuit_timeout,
            max_pause,
            shared,
            local_state: Mutex::default(),
            is_local: AtomicBool::new(false),
            slots: Slots::new(&limits),
            paused_until: Mutex::default(),
            told_until: Mutex::default(),
            first_request_at: Mutex::default(),
            monthly_quota,
            warned_level: AtomicU8::new(0),
            cap: None,
        }
    }

    /// Caps the reads of a month, which all companies of an app share.
    #[must_use]
    pub(crate) fn capped(self, cap: Option<MonthlyCap>) -> Self {
        Self { cap, ..self }
    }

    /// Waits until a request may be sent. Nobody is admitted during a pause: whoever waits for its end asks
    /// again then, so that the limits hold from there on. `paused` is called with the wait for a pause that nobody in
    /// this process was told of: another process has met it.
    ///
    /// # Errors
    /// [`Error::CircuitOpen`] if the API has not answered for longer than requests wait;
    /// [`Error::AskedToWait`] if QuickBooks has asked for a longer pause; [`Error::ReadCap`] if the reads of the
    /// month are used.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        kind: RequestKind,
        paused: impl Fn(Duration),
    ) -> Result<Permit> {
        let mut slot = self.slots.take().await;
        let held_since = Instant::now();
        let mut lease = crate::chance::unique_id().simple().to_string();
        // A request that waits for something else than the general rate tells nothing about it.
        let mut tells = kind == RequestKind::Single;
        // What is left of the time that it waits for pauses, all together.
        let mut patience = self.max_pause + CLOCKS_APART;
        loop {
            let waited = self.wait_for_pause(patience).await?;
            patience = patience.saturating_sub(waited);
            tells &= waited.is_zero();
            let decision = self
                .change(|state, now| {
                    let request = Request {
                        lease: &lease,
                        kind,
                        lifetime: LEASE_LIFETIME,
                        first_request_at: *self.first_request_at.lock().get_or_insert(now),
                        circuit_timeout: self.circuit_timeout,
                        max_pause: patience.min(self.max_pause),
                    };
                    state.admit(now, &self.limits, &request)
                })
                .await;
            match decision {
                Decision::Admit {
                    after,
                    monthly_reads,
                } => {
                    // Created first: from here on the lease ends, whatever happens.
                    let mut permit = Permit {
                        control: self.clone(),
                        lease: Some(lease),
                        slot,
                        held_since,
                        waited: None,
                        read: None,
                    };
                    self.warn_of_quota(monthly_reads);
                    sleep(after).await;
                    if self.is_paused() {
                        // Its turn in the limits passes during the pause, so that it needs another one.
                        slot = permit.put_off().await;
                        lease = crate::chance::unique_id().simple().to_string();
                        continue;
                    }
                    permit.waited = tells.then_some(after);
                    // Last, so that nothing that is reserved is not sent.
                    if let Some(cap) = &self.cap {
                        permit.read = Some(cap.reserve().await?);
                    }
                    return Ok(permit);
                }
                Decision::Wait(wait) => {
                    tells = false;
                    sleep(wait).await;
                }
                Decision::Pause { until, wait } => {
                    tells = false;
                    patience = patience.saturating_sub(wait);
                    if self.is_news(Some(until)) {
                        warn_of_pause(wait);
                        paused(wait);
                    }
                    sleep(wait).await;
                }
                Decision::PausedTooLong(until) => return Err(paused_until(until)),
                Decision::Refuse(reason) => return Err(Error::CircuitOpen { reason }),
            }
        }
    }

    /// Returns the number of requests that fill the allowed rate at the present latency.
    pub(crate) fn enough_requests(&self) -> usize {
        self.slots.enough()
    }

    /// Returns whether a request of this process has been told of a pause that has not ended.
    fn is_paused(&self) -> bool {
        self.paused_until
            .lock()
            .is_some_and(|until| until > Instant::now())
    }

    /// Waits for the end of a pause that a request of this process was told of; returns the time that it
    /// has waited, which is not longer than `patience`.
    async fn wait_for_pause(&self, patience: Duration) -> Result<Duration> {
        let mut waited = Duration::ZERO;
        loop {
            let (until, now) = (*self.paused_until.lock(), Instant::now());
            let left = patience.saturating_sub(waited).min(self.max_pause);
            match until.filter(|until| *until > now) {
                Some(until) if until - now > left => {
                    // Somebody may have lifted it, in another process.
                    self.refuse_pause_beyond(left).await?;
                    *self.paused_until.lock() = None;
                }
                Some(until) => {
                    sleep_until(until).await;
                    waited += until - now;
                }
                None => return Ok(waited),
            }
        }
    }

    /// Returns at once if no pause is longer than requests wait for.
    ///
    /// # Errors
    /// [`Error::AskedToWait`].
    pub(crate) async fn check_pause(&self) -> Result<()> {
        self.refuse_pause_beyond(self.max_pause).await
    }

    async fn refuse_pause_beyond(&self, wait: Duration) -> Result<()> {
        let paused = self
            .change(|state, now| state.paused_beyond(wait, now))
            .await;
        paused.map_or(Ok(()), |until| Err(paused_until(until)))
    }

    /// Holds all requests of the company back for a while, because the server has said that the
    /// company is over its limit.
    pub(crate) async fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        self.slots.halve();
        {
            let mut paused_until = self.paused_until.lock();
            *paused_until = Some(paused_until.map_or(until, |earlier| earlier.max(until)));
        }
        let until = self.change(|state, now| state.pause(now + wait, now)).await;
        self.is_news(Some(until));
    }

    /// Ends a pause of the company, for all processes: somebody knows that QuickBooks answers again. Returns
    /// when it would have ended.
    pub(crate) async fn lift_pause(&self) -> Option<DateTime<Utc>> {
        *self.paused_until.lock() = None;
        self.change(|state, now| state.lift_pause(now)).await
    }

    /// Returns true if nobody was told of a pause up to this instant. The next time it is no news.
    fn is_news(&self, until: Option<DateTime<Utc>>) -> bool {
        let mut told = self.told_until.lock();
        let is_news = until > *told;
        *told = until.max(*told);
        is_news
    }

    /// Returns the present traffic of the company.
    pub(crate) async fn traffic(&self) -> Traffic {
        self.change(|state, now| state.traffic(now)).await
    }

    /// Returns the reads of the month that all processes have counted.
    ///
    /// # Errors
    /// If the state of all processes is out of reach.
    pub(crate) async fn monthly_reads(&self) -> Result<u64> {
        let reads = Mutex::new(0);
        let look: Change<'_> = Box::new(|text, now| {
            *reads.lock() = State::parse(text).traffic(now).monthly_reads;
            None
        });
        self.shared.update(look).await?;
        let reads = *reads.lock();
        Ok(reads)
    }

    /// Returns whether the last look was at the state of all processes, and not at that of this one alone.
    pub(crate) fn is_shared(&self) -> bool {
        !self.is_local.load(Ordering::Relaxed)
    }

    /// Ends a request and logs a change of the circuit breaker.
    async fn complete(&self, lease: &str, outcome: Outcome, error: Option<&str>) {
        if let Some(status) = self
            .change(|state, now| state.complete(lease, outcome, error, now))
            .await
        {
            match status {
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
                    let wait_s = (retry_at - crate::clock::now()).num_seconds().max(0);
                    warn!(
                        phase = "extract",
                        event = "circuit_opened",
                        failures,
                        wait_s,
                        "the API failed {failures} times in a row: no request is sent for {wait_s} s, then one probe"
                    );
                }
            }
        }
    }

    /// Applies a rule to the shared state, or to a state of this process while the shared one cannot
    /// be reached.
    async fn change<T: Send>(&self, rule: impl FnOnce(&mut State, DateTime<Utc>) -> T + Send) -> T {
        // The rule must run exactly once, on either state.
        let rule = Mutex::new(Some(rule));
        let outcome = Mutex::new(None);
        let run = |text: Option<&str>, now: DateTime<Utc>| {
            let before = State::parse(text);
            let mut state = before.clone();
            let rule = rule.lock().take()?;
            *outcome.lock() = Some(rule(&mut state, now));
            // A rule that changes nothing causes no write.
            (state != before).then(|| state.to_text())
        };
        let change: Change<'_> = Box::new(run);
        match self.shared.update(change).await {
            Ok(()) => self.is_local.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.is_local.swap(true, Ordering::Relaxed) {
                    warn!(
                        phase = "extract",
                        event = "limits_not_shared",
                        "{error}; until the shared state is back, this process keeps the limits on its own"
                    );
                }
                if let Some(rule) = rule.lock().take() {
                    let mut local = self.local_state.lock();
                    let mut state = State::parse(Some(&local));
                    *outcome.lock() = Some(rule(&mut state, crate::clock::now()));
                    *local = state.to_text();
                }
            }
        }
        let outcome = outcome.lock().take();
        #[allow(
            clippy::expect_used,
            reason = "the rule has run on one of the two states"
        )]
        outcome.expect("the rule has run")
    }

    fn warn_of_quota(&self, reads: u64) {
        let level = match self.monthly_quota {
            0 => 0,
            quota if reads >= quota => 2,
            quota if reads.saturating_mul(5) >= quota.saturating_mul(4) => 1,
            _ => 0,
        };
        if level > self.warned_level.fetch_max(level, Ordering::Relaxed) {
            warn!(
                phase = "extract",
                event = "monthly_reads",
                reads,
                quota = self.monthly_quota,
                "{reads} of this month's {} reads are used (QBO_MONTHLY_QUOTA); beyond them Intuit refuses or charges",
                self.monthly_quota
            );
        }
    }
}

/// Returns the error of a request that must not be sent before the end of a wait. `trace` names the
/// answer that has asked for it, if this process has seen it.
pub(super) fn asked_to_wait(wait: Duration, trace: Trace) -> Error {
    let (span, until) = (format_span(wait), crate::clock::now() + wait);
    let until = format_instant(until);
    Error::AskedToWait {
        reason: format!("QuickBooks asks to wait {span}, until {until}; run it again then"),
        wait,
        trace,
    }
}

fn warn_of_pause(wait: Duration) {
    warn!(
        phase = "extract",
        event = "paused",
        wait_ms = wait.as_millis() as u64,
        "QuickBooks has asked another process to slow down: no request for {}",
        format_span(wait)
    );
}

/// Returns the same error for a pause that ends at an instant.
fn paused_until(until: DateTime<Utc>) -> Error {
    let left = until - crate::clock::now();
    asked_to_wait(left.to_std().unwrap_or_default(), Trace::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::measured;
    use std::pin::Pin;

    /// A shared state with tokio's clock, which tests can pause.
    #[derive(Debug, Clone)]
    struct PausedState {
        text: Arc<Mutex<Option<String>>>,
        started_at: Instant,
        is_unreachable: bool,
        /// Time that a change takes.
        latency: Duration,
    }

    impl SharedState for PausedState {
        fn update<'s>(
            &'s self,
            change: Change<'s>,
        ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 's>> {
            Box::pin(async move {
                if !self.latency.is_zero() {
                    sleep(self.latency).await;
                }
                if self.is_unreachable {
                    return Err(Error::Database {
                        reason: "gone".into(),
                        sqlstate: None,
                        source: None,
                    });
                }
                let now = DateTime::UNIX_EPOCH + self.started_at.elapsed();
                let mut text = self.text.lock();
                if let Some(changed) = change(text.as_deref(), now) {
                    *text = Some(changed);
                }
                Ok(())
            })
        }
    }

    fn shared() -> PausedState {
        PausedState {
            text: Arc::default(),
            started_at: Instant::now(),
            is_unreachable: false,
            latency: Duration::ZERO,
        }
    }

    fn control(limits: Limits, shared: &PausedState) -> Arc<AdmissionControl> {
        Arc::new(AdmissionControl::new(
            limits,
            Duration::from_secs(600),
            Duration::from_secs(600),
            Box::new(shared.clone()),
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
            let permit = control.admit(RequestKind::Single, |_| {}).await.unwrap();
            sent.push(Instant::now());
            permit.complete(Outcome::Answered, None).await;
        }
        sent
    }

    /// Sends requests that take `latency` from as many places as may ever be; returns how many a second
    /// and how many were under way at the end, at most.
    async fn send_slowly(latency: Duration, shared: &PausedState) -> (f64, usize) {
        let control = control(Limits::default(), shared);
        let (under_way, begin) = (Arc::new(Mutex::new((0_usize, 0_usize))), Instant::now());
        let senders = (0..10).map(|_| {
            let (control, under_way) = (control.clone(), under_way.clone());
            tokio::spawn(async move {
                for round in 0..100 {
                    let permit = control.admit(RequestKind::Single, |_| {}).await.unwrap();
                    {
                        let (now, most) = &mut *under_way.lock();
                        *now += 1;
                        *most = if round < 50 { 0 } else { *now.max(most) };
                    }
                    sleep(latency).await;
                    under_way.lock().0 -= 1;
                    permit.complete(Outcome::Read, None).await;
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
        let most = under_way.lock().1;
        (1000.0 / begin.elapsed().as_secs_f64(), most)
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_filled_at_any_latency_with_no_more_requests_than_it_takes() {
        for (millis, most_under_way) in [(50, 1), (500, 6), (1000, 10)] {
            let (rate, most) = send_slowly(Duration::from_millis(millis), &shared()).await;
            assert!(rate > 8.0, "{millis} ms: {rate}");
            assert!((1..=most_under_way).contains(&most), "{millis} ms: {most}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_filled_also_where_the_shared_state_takes_its_time() {
        for (millis, most_under_way) in [(50, 2), (90, 2), (500, 6)] {
            let shared = PausedState {
                latency: Duration::from_millis(30),
                ..shared()
            };
            let (rate, most) = send_slowly(Duration::from_millis(millis), &shared).await;
            assert!(rate > 8.0, "{millis} ms: {rate}");
            assert!((1..=most_under_way).contains(&most), "{millis} ms: {most}");
        }
    }

    /// Sends requests of a kind that take half a second from as many places as may ever be.
    async fn send_of_kind(control: &Arc<AdmissionControl>, kind: RequestKind, count: usize) {
        let senders = (0..10).map(|_| {
            let control = control.clone();
            tokio::spawn(async move {
                for _ in 0..count {
                    let permit = control.admit(kind, |_| {}).await.unwrap();
                    sleep(Duration::from_millis(500)).await;
                    permit.complete(Outcome::Read, None).await;
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_anything_but_the_general_rate_leave_the_number_of_requests_as_it_is() {
        for kind in [RequestKind::Batch, RequestKind::Report] {
            let control = control(Limits::default(), &shared());
            send_of_kind(&control, kind, 10).await;
            assert_eq!(control.enough_requests(), 4, "{kind:?}");
        }
        let shared = shared();
        let (mine, other) = (
            control(Limits::default(), &shared),
            control(Limits::default(), &shared),
        );
        // Each of four waits for the end of a pause of another process, one after the other.
        for _ in 0..10 {
            other.pause(Duration::from_secs(60)).await;
            send(&mine, 1).await;
        }
        assert_eq!(mine.enough_requests(), 4);
        // So do requests for which others leave no place.
        let mut places = Vec::new();
        for _ in 0..10 {
            let free = control(Limits::default(), &shared);
            places.push(free.admit(RequestKind::Single, |_| {}).await.unwrap());
        }
        let waiting = tokio::spawn({
            let mine = mine.clone();
            async move { send_of_kind(&mine, RequestKind::Single, 1).await }
        });
        sleep(Duration::from_secs(10)).await;
        drop(places);
        waiting.await.unwrap();
        assert!(mine.enough_requests() >= 4);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_refusal_requests_are_further_apart_for_a_while() {
        let control = control(Limits::default(), &shared());
        let pace = async |count: usize| {
            let begin = Instant::now();
            for _ in 0..count {
                let permit = control.admit(RequestKind::Single, |_| {}).await.unwrap();
                permit.complete(Outcome::Read, None).await;
            }
            (begin.elapsed() / count as u32).as_millis()
        };
        pace(200).await;
        let undisturbed = pace(100).await;
        // Refused together.
        control.pause(Duration::from_secs(1)).await;
        control.pause(Duration::from_secs(1)).await;
        sleep(Duration::from_secs(1)).await;
        // What the pause has saved is used first.
        pace(50).await;
        let slowed = pace(100).await;
        assert!(
            (undisturbed * 112..undisturbed * 122).contains(&(slowed * 100)),
            "{slowed}"
        );
        pace(1000).await;
        assert!(pace(100).await.abs_diff(undisturbed) <= 1);
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
            &shared(),
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
        let shared = shared();
        let senders = (0..4).map(|_| {
            let control = control(
                Limits {
                    in_flight: 0,
                    ..Limits::default()
                },
                &shared,
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
    async fn reading_the_traffic_writes_nothing() {
        let shared = shared();
        let control = control(Limits::default(), &shared);
        let before = control.traffic().await;
        assert_eq!((before.requests_last_minute, before.in_flight), (0, 0));
        let text = |shared: &PausedState| shared.text.lock().clone();
        // Only the minute and the month are known so far.
        send(&control, 3).await;
        let written = text(&shared);
        assert_eq!(control.traffic().await.requests_last_minute, 3);
        assert_eq!(text(&shared), written);
        sleep(Duration::from_secs(200)).await;
        assert_eq!(control.traffic().await.requests_last_minute, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_means_no_limit() {
        let sent = send(&control(NO_LIMITS, &shared()), 1000).await;
        assert_eq!(sent[0], sent[999]);
    }

    #[tokio::test(start_paused = true)]
    async fn batches_have_a_limit_of_their_own() {
        let control = control(
            Limits {
                batches_per_minute: 40,
                ..NO_LIMITS
            },
            &shared(),
        );
        let mut sent = Vec::new();
        for _ in 0..80 {
            control
                .admit(RequestKind::Batch, |_| {})
                .await
                .unwrap()
                .complete(Outcome::Answered, None)
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
    async fn reports_have_a_limit_of_their_own() {
        let limits = Limits {
            per_minute: 500,
            ..NO_LIMITS
        };
        let control = control(limits, &shared());
        let mut sent = Vec::new();
        for _ in 0..250 {
            let report = control.admit(RequestKind::Report, |_| {}).await.unwrap();
            report.complete(Outcome::Answered, None).await;
            sent.push(Instant::now());
        }
        let busiest_minute = busiest(&sent, Duration::from_secs(60));
        assert!((90..=100).contains(&busiest_minute), "{busiest_minute}");
        let now = Instant::now();
        let queries = send(&control, 10).await;
        assert!(
            queries[9] - now < Duration::from_secs(1),
            "queries need not wait"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_back_other_processes_and_requests_already_admitted() {
        let shared = shared();
        let (mine, other) = (
            control(Limits::default(), &shared),
            control(Limits::default(), &shared),
        );
        let begin = Instant::now();
        // Ten requests are admitted, the last one a second ahead.
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
    async fn after_a_pause_of_any_length_requests_keep_the_limits_of_all_processes() {
        let limits = Limits {
            in_flight: 5,
            ..Limits::default()
        };
        for pause in [60, 5400] {
            let (shared, sent) = (shared(), Arc::new(Mutex::new(Vec::new())));
            let under_way = Arc::new(Mutex::new((0_usize, 0_usize)));
            let patient = || {
                let (circuit, pause) = (Duration::from_secs(600), Duration::from_secs(7200));
                let shared = Box::new(shared.clone());
                Arc::new(AdmissionControl::new(limits, circuit, pause, shared, 0))
            };
            let (mine, other) = (patient(), patient());
            let send = |control: &Arc<AdmissionControl>| {
                let (control, sent, under_way) = (control.clone(), sent.clone(), under_way.clone());
                tokio::spawn(async move {
                    let permit = control.admit(RequestKind::Single, |_| {}).await.unwrap();
                    sent.lock().push(Instant::now());
                    {
                        let (now, most) = &mut *under_way.lock();
                        *now += 1;
                        *most = (*now).max(*most);
                    }
                    permit.run(sleep(Duration::from_secs(2))).await;
                    under_way.lock().0 -= 1;
                    permit.complete(Outcome::Answered, None).await;
                })
            };
            // Some are admitted before the pause and have their turn in it, the others come during it.
            let mut senders: Vec<_> = (0..4).map(|_| send(&mine)).collect();
            sleep(Duration::from_millis(150)).await;
            mine.pause(Duration::from_secs(pause)).await;
            sleep(Duration::from_secs(1)).await;
            senders.extend((0..20).map(|at| send(if at % 2 == 0 { &mine } else { &other })));
            for sender in senders {
                sender.await.unwrap();
            }
            let mut sent = std::mem::take(&mut *sent.lock());
            sent.sort();
            assert!(busiest(&sent, Duration::from_millis(100)) <= 1, "{sent:?}");
            assert!(under_way.lock().1 <= 5, "{pause} s: {under_way:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_pauses_no_longer_than_it_may_also_if_one_follows_another() {
        let shared = shared();
        let (mine, other) = (control(NO_LIMITS, &shared), control(NO_LIMITS, &shared));
        let begin = Instant::now();
        mine.pause(Duration::from_secs(400)).await;
        let waiting = [mine.clone(), other].map(|control| {
            tokio::spawn(async move { control.admit(RequestKind::Single, |_| {}).await.err() })
        });
        sleep(Duration::from_secs(399)).await;
        mine.pause(Duration::from_secs(150)).await;
        sleep(Duration::from_secs(149)).await;
        mine.pause(Duration::from_secs(100)).await;
        for waiting in waiting {
            let error = waiting.await.unwrap().unwrap();
            assert!(error.ends_company(), "{error}");
        }
        assert!(begin.elapsed() <= Duration::from_secs(600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_just_the_time_that_requests_wait_is_waited_for() {
        let shared = shared();
        let (mine, other) = (control(NO_LIMITS, &shared), control(NO_LIMITS, &shared));
        mine.pause(Duration::from_secs(600)).await;
        let waiting = tokio::spawn(async move { send(&mine, 1).await });
        // A request that was refused together with that of the first process.
        sleep(Duration::from_millis(300)).await;
        other.pause(Duration::from_secs(600)).await;
        waiting.await.unwrap();
    }

    #[test]
    fn instants_that_nobody_of_ours_writes_are_not_obeyed() {
        let now = Utc::now();
        let far = "2099-01-01T00:00:00Z";
        let breaker = format!(
            "{{\"failures\":9,\"weight\":99,\"since\":\"{far}\",\"retry_at\":\"{far}\",\"probe\":[\"p\",\"{far}\"]}}"
        );
        let text = format!(
            "{{\"paused_until\":\"{far}\",\"minute\":\"{far}\",\"in_flight\":[[\"a\",\"{far}\"]],\"breaker\":{breaker}}}"
        );
        let mut state = State::parse(Some(&text));
        let traffic = state.traffic(now);
        assert_eq!((traffic.paused_until, traffic.in_flight), (None, 0));
        assert!(!traffic.breaker.is_open());
        // A server that asks for two days is not asked before, and one that asks for a month after a week.
        let (two, week) = (chrono::TimeDelta::days(2), chrono::TimeDelta::days(7));
        for (asked, kept) in [(two, two), (chrono::TimeDelta::days(30), week)] {
            state.pause(now + asked, now);
            let until = state.traffic(now).paused_until;
            assert_eq!(until, Some(now + kept));
        }
        let later = now + week - chrono::TimeDelta::seconds(1);
        assert!(state.traffic(later).paused_until.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_another_process_met_is_told_once() {
        let shared = shared();
        let (mine, other) = (control(NO_LIMITS, &shared), control(NO_LIMITS, &shared));
        let told = Mutex::new(Vec::new());
        let paused = |wait| told.lock().push(wait);
        mine.pause(Duration::from_secs(60)).await;
        // The one that was throttled knows.
        drop(mine.admit(RequestKind::Single, paused).await.unwrap());
        assert!(told.lock().is_empty());
        mine.pause(Duration::from_secs(40)).await;
        let (first, second) = tokio::join!(
            other.admit(RequestKind::Single, paused),
            other.admit(RequestKind::Single, paused),
        );
        drop((first.unwrap(), second.unwrap()));
        drop(other.admit(RequestKind::Single, paused).await.unwrap());
        assert_eq!(*told.lock(), [Duration::from_secs(40)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_is_too_long_is_told_at_once_also_in_other_processes() {
        let shared = shared();
        let (mine, other) = (control(NO_LIMITS, &shared), control(NO_LIMITS, &shared));
        let begin = Instant::now();
        mine.pause(Duration::from_secs(601)).await;
        for control in [&mine, &other] {
            assert!(control.check_pause().await.is_err());
            let error = control
                .admit(RequestKind::Single, |_| {})
                .await
                .unwrap_err();
            assert!(error.ends_company(), "{error}");
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        sleep(Duration::from_secs(1)).await;
        assert!(other.check_pause().await.is_ok());
        send(&other, 1).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(601));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_is_lifted_holds_back_no_process_any_more() {
        let shared = shared();
        let (mine, other) = (control(NO_LIMITS, &shared), control(NO_LIMITS, &shared));
        let begin = Instant::now();
        mine.pause(Duration::from_secs(100_000)).await;
        assert!(mine.check_pause().await.is_err());
        assert!(other.lift_pause().await.is_some());
        assert_eq!(other.lift_pause().await, None);
        // The one that had met it knows it by a clock of its own.
        send(&mine, 1).await;
        send(&other, 1).await;
        assert!(begin.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_are_counted_over_processes_and_leases_of_a_dead_one_expire() {
        let shared = shared();
        let limits = Limits {
            in_flight: 2,
            ..NO_LIMITS
        };
        let (mine, other) = (control(limits, &shared), control(limits, &shared));
        let first = mine.admit(RequestKind::Single, |_| {}).await.unwrap();
        let mut second = mine.admit(RequestKind::Single, |_| {}).await.unwrap();
        assert!(
            tokio::time::timeout(
                Duration::from_secs(9),
                other.admit(RequestKind::Single, |_| {})
            )
            .await
            .is_err()
        );
        // As if its process had died: the lease is neither ended nor renewed.
        second.lease = None;
        tokio::time::timeout(
            Duration::from_secs(10),
            other.admit(RequestKind::Single, |_| {}),
        )
        .await
        .unwrap()
        .unwrap()
        .complete(Outcome::Answered, None)
        .await;
        first.complete(Outcome::Answered, None).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_long_keeps_its_place() {
        let shared = shared();
        let limits = Limits {
            in_flight: 1,
            ..NO_LIMITS
        };
        let (mine, other) = (control(limits, &shared), control(limits, &shared));
        let permit = mine.admit(RequestKind::Single, |_| {}).await.unwrap();
        let late = tokio::spawn(async move { send(&other, 1).await });
        permit.run(sleep(Duration::from_secs(60))).await;
        assert!(!late.is_finished());
        permit.complete(Outcome::Answered, None).await;
        late.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_the_circuit_one_probe_closes_it_and_long_silence_ends_the_run()
    {
        let shared = shared();
        let (mine, other) = (control(NO_LIMITS, &shared), control(NO_LIMITS, &shared));
        for _ in 0..10 {
            mine.admit(RequestKind::Single, |_| {})
                .await
                .unwrap()
                .complete(Outcome::Failed, None)
                .await;
        }
        assert!(matches!(
            other.traffic().await.breaker,
            BreakerStatus::Open { failures: 10, .. }
        ));
        let begin = Instant::now();
        let probe = other.admit(RequestKind::Single, |_| {}).await.unwrap();
        assert!(
            begin.elapsed() >= Duration::from_secs(5),
            "{:?}",
            begin.elapsed()
        );
        // No other request is admitted before the probe has returned.
        assert!(
            tokio::time::timeout(
                Duration::from_secs(3),
                mine.admit(RequestKind::Single, |_| {})
            )
            .await
            .is_err()
        );
        probe.complete(Outcome::Answered, None).await;
        assert!(matches!(
            mine.traffic().await.breaker,
            BreakerStatus::Closed
        ));
        for _ in 0..10 {
            mine.admit(RequestKind::Single, |_| {})
                .await
                .unwrap()
                .complete(Outcome::Failed, None)
                .await;
        }
        let begin = Instant::now();
        let error = loop {
            match mine.admit(RequestKind::Single, |_| {}).await {
                Ok(probe) => {
                    let cause = Error::decode("answer of QuickBooks", "it is HTML");
                    probe.complete(Outcome::Failed, Some(&cause)).await;
                }
                Err(error) => break error,
            }
        };
        assert!(
            error.ends_run()
                && error.to_string().contains("has not answered since")
                && error
                    .to_string()
                    .contains("the last failure was: answer of QuickBooks: it is HTML"),
            "{error}"
        );
        assert!(
            begin.elapsed() >= Duration::from_secs(540),
            "{:?}",
            begin.elapsed()
        );
        // Silence before a process began does not count against it.
        control(NO_LIMITS, &shared)
            .admit(RequestKind::Single, |_| {})
            .await
            .unwrap()
            .complete(Outcome::Answered, None)
            .await;
        // Faults of the service open the circuit more slowly.
        for _ in 0..79 {
            mine.admit(RequestKind::Single, |_| {})
                .await
                .unwrap()
                .complete(Outcome::Faulted, None)
                .await;
        }
        assert!(matches!(
            mine.traffic().await.breaker,
            BreakerStatus::Closed
        ));
        mine.admit(RequestKind::Single, |_| {})
            .await
            .unwrap()
            .complete(Outcome::Faulted, None)
            .await;
        assert!(matches!(
            mine.traffic().await.breaker,
            BreakerStatus::Open { .. }
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_keeps_the_limits_alone_if_the_shared_state_is_unreachable() {
        let control = control(
            Limits::default(),
            &PausedState {
                is_unreachable: true,
                ..shared()
            },
        );
        // The local state uses the machine's clock, which the test cannot pause, so only progress and
        // the use of the local state are checked.
        assert_eq!(send(&control, 3).await.len(), 3);
        assert!(control.local_state.lock().contains("second"));
    }

    #[tokio::test(start_paused = true)]
    async fn reads_of_the_month_are_counted_once_they_succeed() {
        let control = control(NO_LIMITS, &shared());
        for outcome in [
            Outcome::Answered,
            Outcome::Failed,
            Outcome::Read,
            Outcome::Read,
            Outcome::Unknown,
        ] {
            control
                .admit(RequestKind::Single, |_| {})
                .await
                .unwrap()
                .complete(outcome, None)
                .await;
        }
        assert_eq!(control.traffic().await.monthly_reads, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn no_read_is_sent_beyond_the_cap_of_all_companies_and_what_was_none_is_given_back() {
        let month = shared();
        let company = || {
            let control = AdmissionControl::new(
                NO_LIMITS,
                Duration::from_secs(600),
                Duration::from_secs(600),
                Box::new(shared()),
                0,
            );
            let cap = MonthlyCap::new(10, Box::new(month.clone()));
            Arc::new(control.capped(Some(cap)))
        };
        let reader = |control: Arc<AdmissionControl>| {
            tokio::spawn(async move {
                let mut reads = 0;
                loop {
                    match control.admit(RequestKind::Single, |_| {}).await {
                        Ok(permit) => permit.complete(Outcome::Read, None).await,
                        Err(error) => return (reads, error),
                    }
                    reads += 1;
                    tokio::task::yield_now().await;
                }
            })
        };
        // Requests that are under way while others read.
        let control = company();
        let mut permits = Vec::new();
        for _ in 0..6 {
            permits.push(control.admit(RequestKind::Single, |_| {}).await.unwrap());
        }
        let readers: Vec<_> = (0..4).map(|_| reader(company())).collect();
        let mut reads = 0;
        for reader in readers {
            let (some, error) = reader.await.unwrap();
            reads += some;
            assert!(matches!(error, Error::ReadCap { max: 10 }), "{error}");
        }
        assert_eq!(reads, 4);
        let outcomes = [
            Outcome::Answered,
            Outcome::Faulted,
            Outcome::Throttled,
            Outcome::Unsent,
            // The answer may have been lost on the way.
            Outcome::Failed,
            Outcome::Unknown,
        ];
        for (permit, outcome) in permits.into_iter().zip(outcomes) {
            let reader = reader(company());
            permit.complete(outcome, None).await;
            reads += reader.await.unwrap().0;
        }
        reads += reader(company()).await.unwrap().0;
        assert_eq!(reads, 8);
    }

    #[test]
    fn instructions_of_admitting_requests() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        // Time passes by the waits alone, so that all of them are the same in every run.
        let sent = measured(|| {
            runtime.block_on(async {
                let control = control(Limits::default(), &shared());
                send(&control, 1000).await
            })
        });
        assert_eq!(sent.len(), 1000);
    }
}
