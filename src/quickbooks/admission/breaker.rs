//! The circuit breaker: after failures in a row nothing is sent for a while, then one request to
//! see (M. Nygard, "Release It!", 2007).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::instant::format_instant;

/// Ten failures in a row, more than one request makes by itself, open the circuit.
const THRESHOLD: u32 = 80;
const FAILURE: u32 = 8;
/// A fault of the service weighs less: one bad record can make many in a row until it is found
/// (qbo-facts 3.10).
const FAULT: u32 = 1;
const INITIAL_WAIT: TimeDelta = TimeDelta::seconds(5);
const MAX_WAIT: TimeDelta = TimeDelta::seconds(60);
/// A probe that has not come back by then never will: the server gives up after 120 s.
const PROBE: TimeDelta = TimeDelta::seconds(150);
/// How often those who wait for a probe look.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How a company's circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum BreakerStatus {
    /// Requests go.
    Closed,
    /// Nothing goes before `retry_at`, and then one probe.
    Open {
        /// Since when.
        since: DateTime<Utc>,
        /// When the next probe may go.
        retry_at: DateTime<Utc>,
        /// Failures in a row.
        failures: u32,
    },
}

impl BreakerStatus {
    /// Whether requests are held back.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// The breaker's memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Breaker {
    failures: u32,
    weight: u32,
    since: Option<DateTime<Utc>>,
    retry_at: Option<DateTime<Utc>>,
    probe: Option<(String, DateTime<Utc>)>,
}

/// What an outcome says about the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers.
    Good,
    /// It answers that it cannot.
    Faulty,
    /// It does not answer.
    Dead,
}

/// Whether a request may pass.
pub(super) enum Passage {
    Free,
    Wait(Duration),
    Refused(String),
}

impl Breaker {
    pub fn status(&self) -> BreakerStatus {
        match (self.since, self.retry_at) {
            (Some(since), Some(retry_at)) => BreakerStatus::Open {
                since,
                retry_at,
                failures: self.failures,
            },
            _ => BreakerStatus::Closed,
        }
    }

    /// Whether the request `lease` of a process that began at `begun` may go. The first one after
    /// the wait is the probe.
    pub fn ask(
        &mut self,
        lease: &str,
        now: DateTime<Utc>,
        begun: DateTime<Utc>,
        patience: Duration,
    ) -> Passage {
        let (Some(since), Some(retry_at)) = (self.since, self.retry_at) else {
            return Passage::Free;
        };
        // A wait that ends after anybody's patience is not begun; what was before a process does
        // not try its own.
        let silence = (retry_at - since.max(begun)).to_std().unwrap_or_default();
        if silence >= patience && retry_at > now {
            return Passage::Refused(format!(
                "the API has not answered since {} ({} failures in a row); nothing is sent before {}",
                format_instant(since),
                self.failures,
                format_instant(retry_at)
            ));
        }
        if let Ok(wait) = (retry_at - now).to_std()
            && !wait.is_zero()
        {
            return Passage::Wait(wait);
        }
        match &self.probe {
            Some((_, until)) if *until > now => Passage::Wait(POLL_INTERVAL),
            _ => {
                self.probe = Some((lease.to_owned(), now + PROBE));
                Passage::Free
            }
        }
    }

    /// Takes note of an outcome; the new status, if it has changed.
    pub fn hear(
        &mut self,
        lease: &str,
        health: Option<Health>,
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
                self.weight = self.weight.saturating_add(if health == Some(Health::Dead) {
                    FAILURE
                } else {
                    FAULT
                });
                // Of requests that were on their way when it opened.
                let is_late = self.retry_at.is_some_and(|retry_at| retry_at > now);
                if self.weight < THRESHOLD || is_late {
                    return None;
                }
                let since = *self.since.get_or_insert(now);
                // Twice as long each time, since the waits add up to the time since.
                let wait = (now - since).clamp(INITIAL_WAIT, MAX_WAIT);
                self.retry_at = Some(now + wait);
                Some(self.status())
            }
        }
    }
}
