//! The circuit breaker: after several failures in a row no request is sent for a while, then one
//! request probes the API (M. Nygard, "Release It!", 2007).
//!
//! By hand, because its state is a serialisable value that several processes share.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::instant::format_instant;

/// Maximum distance from the present of everything in the shared document. A later instant was written
/// by a wrong clock, or by somebody who wants to hold requests back.
pub(super) const MAX_FUTURE: TimeDelta = TimeDelta::hours(1);
/// Weight that opens the circuit: ten failures in a row, more than the retries of one request cause.
const OPEN_WEIGHT: u32 = 80;
const FAILURE_WEIGHT: u32 = 8;
/// A fault of the service weighs less than a failure: one bad record can cause many faults in a row
/// until it is found (qbo-facts 3.10).
const FAULT_WEIGHT: u32 = 1;
const INITIAL_WAIT: TimeDelta = TimeDelta::seconds(5);
const MAX_WAIT: TimeDelta = TimeDelta::seconds(60);
/// Lifetime of a probe. A probe without an answer by then is lost: the server gives up after 120 s.
const PROBE_LIFETIME: TimeDelta = TimeDelta::seconds(150);
/// Interval at which requests that wait for a probe check its result.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Status of a company's circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum BreakerStatus {
    /// Requests are sent.
    Closed,
    /// No request is sent before `retry_at`; then one probe is.
    Open {
        /// Instant at which the circuit opened.
        since: DateTime<Utc>,
        /// Earliest instant of the next probe.
        retry_at: DateTime<Utc>,
        /// Failures in a row.
        failures: u32,
    },
}

impl BreakerStatus {
    /// Returns true if requests are held back.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// State of the breaker, part of the shared document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Breaker {
    failures: u32,
    weight: u32,
    since: Option<DateTime<Utc>>,
    retry_at: Option<DateTime<Utc>>,
    probe: Option<(String, DateTime<Utc>)>,
    /// Text of the last failure, so that the error of an open circuit can quote it.
    last_error: Option<String>,
}

/// Length of the text of a failure that is kept, in characters.
const MAX_ERROR_LENGTH: usize = 300;

/// Health of the API according to one outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// The API answers.
    Good,
    /// The API answers with a fault of its own.
    Faulty,
    /// The API does not answer.
    Dead,
}

/// Decision of the breaker about a request.
pub(super) enum BreakerDecision {
    Pass,
    Wait(Duration),
    /// With the reason.
    Refuse(String),
}

impl Breaker {
    pub(super) fn status(&self) -> BreakerStatus {
        match (self.since, self.retry_at) {
            (Some(since), Some(retry_at)) => BreakerStatus::Open {
                since,
                retry_at,
                failures: self.failures,
            },
            _ => BreakerStatus::Closed,
        }
    }

    /// Forgets what lies further in the future than the breaker ever writes.
    pub(super) fn expire(&mut self, now: DateTime<Utc>) {
        let is_sane = |at: &DateTime<Utc>| *at <= now + MAX_FUTURE;
        self.probe = self.probe.take().filter(|(_, until)| is_sane(until));
        if !self.since.iter().chain(&self.retry_at).all(is_sane) {
            *self = Self::default();
        }
    }

    /// Decides about the request `lease` of a process that sent its first request at
    /// `first_request_at`. The first request after the wait is the probe. A request is refused if the
    /// API has been silent for `circuit_timeout`.
    pub(super) fn admit(
        &mut self,
        lease: &str,
        now: DateTime<Utc>,
        first_request_at: DateTime<Utc>,
        circuit_timeout: Duration,
    ) -> BreakerDecision {
        let (Some(since), Some(retry_at)) = (self.since, self.retry_at) else {
            return BreakerDecision::Pass;
        };
        // Do not start a wait that ends after the timeout. Silence from before this process began
        // does not count against it.
        let silence = (retry_at - since.max(first_request_at))
            .to_std()
            .unwrap_or_default();
        if silence >= circuit_timeout && retry_at > now {
            let refusal = format!(
                "the API has not answered since {} ({} failures in a row); nothing is sent before {}",
                format_instant(since),
                self.failures,
                format_instant(retry_at)
            );
            let last_error = self.last_error.as_deref().unwrap_or_default();
            return BreakerDecision::Refuse(match last_error {
                "" => refusal,
                text => refusal + "; " + &format!("the last failure was: {text}"),
            });
        }
        if let Ok(wait) = (retry_at - now).to_std()
            && !wait.is_zero()
        {
            return BreakerDecision::Wait(wait);
        }
        match &self.probe {
            Some((_, until)) if *until > now => BreakerDecision::Wait(POLL_INTERVAL),
            _ => {
                self.probe = Some((lease.to_owned(), now + PROBE_LIFETIME));
                BreakerDecision::Pass
            }
        }
    }

    /// Records the outcome of a request, with the text of its failure; returns the new status if it
    /// has changed.
    pub(super) fn record(
        &mut self,
        lease: &str,
        health: Option<Health>,
        error: Option<&str>,
        now: DateTime<Utc>,
    ) -> Option<BreakerStatus> {
        if self.probe.as_ref().is_some_and(|(probe, _)| probe == lease) {
            self.probe = None;
        }
        match health {
            None => None,
            Some(Health::Good) => {
                let was_open = self.since.is_some();
                *self = Self::default();
                was_open.then_some(BreakerStatus::Closed)
            }
            Some(Health::Faulty | Health::Dead) => {
                self.failures = self.failures.saturating_add(1);
                if let Some(error) = error {
                    self.last_error = Some(error.chars().take(MAX_ERROR_LENGTH).collect());
                }
                self.weight = self.weight.saturating_add(if health == Some(Health::Dead) {
                    FAILURE_WEIGHT
                } else {
                    FAULT_WEIGHT
                });
                // Failures of requests that were on their way when the circuit opened.
                let is_late = self.retry_at.is_some_and(|retry_at| retry_at > now);
                if self.weight < OPEN_WEIGHT || is_late {
                    return None;
                }
                let since = *self.since.get_or_insert(now);
                // As long as the circuit has been open, so each wait is twice as long as the last.
                let wait = (now - since).clamp(INITIAL_WAIT, MAX_WAIT);
                self.retry_at = Some(now + wait);
                Some(self.status())
            }
        }
    }
}
