//! The rules of admission. They are pure functions of the shared document, so that they are the same
//! wherever the document is stored.

use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Traffic;
use super::breaker::{Breaker, BreakerDecision, BreakerStatus, Health, MAX_FUTURE};
use super::bucket::Rate;

/// Rate limits of a company (qbo-facts 6.1). 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of requests in any 60 s.
    pub per_minute: u32,
    /// Maximum number of requests in any second.
    pub per_second: u32,
    /// Maximum number of requests without an answer yet.
    pub in_flight: u32,
    /// Maximum number of batches in any 60 s.
    pub batches_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_minute: 500,
            per_second: 10,
            in_flight: 10,
            batches_per_minute: 40,
        }
    }
}

/// Outcome of a request, as far as other requests are affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer that counts as a read (qbo-facts 6.2).
    Read,
    /// Any other answer: the API is available.
    Answered,
    /// A fault of the service itself.
    Faulted,
    /// An answer that puts the request off. It says nothing about the health of the API.
    Throttled,
    /// No answer, or a gateway's answer because the service gave none.
    Failed,
    /// No answer, because the request did not leave.
    Unsent,
    /// Says nothing about the API.
    Unknown,
}

/// Kind of a request, which determines its rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// One read.
    Single,
    /// Several statements in one request; batches have an additional limit.
    Batch,
    /// A report, which costs QuickBooks much more than a read; reports have an additional limit.
    Report,
}

/// A request that asks for admission.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'l> {
    /// Id of its place among the requests in flight.
    pub lease: &'l str,
    pub kind: RequestKind,
    /// Time that it keeps that place without a renewal.
    pub lifetime: Duration,
    /// Instant of its process's first request, by the clock of the shared state.
    pub first_request_at: DateTime<Utc>,
    /// Time that it waits for an open circuit.
    pub circuit_timeout: Duration,
    /// Time that it still waits for a pause that QuickBooks has asked for.
    pub max_pause: Duration,
}

/// Decision about a request.
pub(super) enum Decision {
    /// It may be sent after this time.
    Admit { after: Duration, monthly_reads: u64 },
    /// Ask again after this time.
    Wait(Duration),
    /// QuickBooks has asked to send nothing until an instant. Ask again then, after this time.
    Pause {
        until: DateTime<Utc>,
        wait: Duration,
    },
    /// The same, and that is longer than the request waits.
    PausedTooLong(DateTime<Utc>),
    /// It must not be sent; with the reason.
    Refuse(String),
}

/// The shared document: the state that all requests to one company have in common. Its fields are
/// stored as JSON and read by processes of other versions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    minute: Option<DateTime<Utc>>,
    second: Option<DateTime<Utc>>,
    batches: Option<DateTime<Utc>>,
    reports: Option<DateTime<Utc>>,
    paused_until: Option<DateTime<Utc>>,
    in_flight: Vec<(String, DateTime<Utc>)>,
    breaker: Breaker,
    /// Year and month of `reads`.
    month: (i32, u32),
    reads: u64,
    sent: Sent,
    /// Extra distance between requests, beyond that of the limits, since QuickBooks has refused some.
    slowed: Slowed,
}

/// Number of requests in the present minute and in the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Sent {
    minute: i64,
    present: u32,
    before: u32,
}

impl Sent {
    /// Moves on to the minute of `now`.
    fn roll_over(&mut self, now: DateTime<Utc>) {
        let minute = now.timestamp().div_euclid(60);
        let before = match minute - self.minute {
            0 => return,
            1 => self.present,
            _ => 0,
        };
        *self = Self {
            minute,
            present: 0,
            before,
        };
    }

    /// Estimates the requests of the last 60 s, as if those of the minute before had been sent
    /// evenly.
    fn last_minute(&self, now: DateTime<Utc>) -> u32 {
        let remaining = 60 - now.timestamp().rem_euclid(60) as u32;
        self.present + (self.before * remaining).div_ceil(60)
    }
}

/// The distance between requests beyond that of the limits, in 5,000ths of it. Requests arrive less evenly
/// than they leave, and other programs may read the company too. A refusal adds a fifth, and each
/// read takes a little of it back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Slowed(u32);

impl Slowed {
    const WHOLE: u32 = 5000;

    fn more(&mut self) {
        self.0 = (self.0 + Self::WHOLE / 5).min(Self::WHOLE);
    }

    fn less(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    /// Returns a rate with this distance.
    fn applied(self, rate: Rate) -> Rate {
        rate.stretched(self.0.min(Self::WHOLE), Self::WHOLE)
    }
}

/// Interval at which a request checks for a free place among those in flight.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// Reports that are asked for in a minute. Intuit once limited them to 200 (qbo-facts 13.11); half of it
/// leaves room for other programs, and a run of reports holds no sync back.
const MAX_REPORTS_PER_MINUTE: u32 = 100;
/// Longest pause that processes obey, which is also the longest `Retry-After` that is read. A longer one is
/// a mistake of somebody, or would outlive whoever knows of it.
const MAX_PAUSE: TimeDelta = TimeDelta::days(7);

impl State {
    /// Parses the document. An unreadable one counts as empty: at worst a request is throttled.
    pub(super) fn parse(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    pub(super) fn to_text(&self) -> String {
        // Serialising it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Decides about a request and, if it is admitted, reserves its place in the limits.
    pub(super) fn admit(
        &mut self,
        now: DateTime<Utc>,
        limits: &Limits,
        request: &Request<'_>,
    ) -> Decision {
        let Request {
            lease,
            kind,
            lifetime,
            first_request_at,
            circuit_timeout,
            max_pause,
        } = *request;
        self.expire(now);
        if let Some(until) = self.paused_beyond(max_pause, now) {
            return Decision::PausedTooLong(until);
        }
        // A place in the limits that lies after a pause would be lost if the pause became longer, and all
        // whose turn it was then would leave together.
        if let Some(until) = self.paused_until {
            let wait = (until - now).to_std().unwrap_or_default();
            return Decision::Pause { until, wait };
        }
        if limits.in_flight > 0 && self.in_flight.len() >= limits.in_flight as usize {
            return Decision::Wait(POLL_INTERVAL);
        }
        match self
            .breaker
            .admit(lease, now, first_request_at, circuit_timeout)
        {
            BreakerDecision::Pass => {}
            BreakerDecision::Wait(wait) => return Decision::Wait(wait),
            BreakerDecision::Refuse(reason) => return Decision::Refuse(reason),
        }
        let mut buckets = vec![
            (Rate::bursty(limits.per_minute, 60.0), &mut self.minute),
            (Rate::even(limits.per_second, 1.0), &mut self.second),
        ];
        if kind == RequestKind::Batch {
            buckets.push((
                Rate::bursty(limits.batches_per_minute, 60.0),
                &mut self.batches,
            ));
        }
        if kind == RequestKind::Report {
            let max = limits.per_minute.min(MAX_REPORTS_PER_MINUTE);
            buckets.push((Rate::bursty(max, 60.0), &mut self.reports));
        }
        let at = buckets
            .iter()
            .filter_map(|(rate, bucket)| Some(rate.as_ref()?.earliest(**bucket, now)))
            .fold(now, DateTime::max);
        for (rate, bucket) in buckets {
            let rate = rate.map(|rate| self.slowed.applied(rate));
            if let Some(rate) = rate {
                *bucket = Some(rate.after_request(*bucket, at));
            }
        }
        if limits.in_flight > 0 {
            self.in_flight.push((lease.to_owned(), at + lifetime));
        }
        self.sent.present += 1;
        Decision::Admit {
            after: (at - now).to_std().unwrap_or_default(),
            monthly_reads: self.reads,
        }
    }

    /// Extends the lease of a request that is still in flight.
    pub(super) fn renew(&mut self, lease: &str, until: DateTime<Utc>) {
        if let Some((_, end)) = self.in_flight.iter_mut().find(|(known, _)| known == lease) {
            *end = until;
        }
    }

    /// Ends the lease of a request and records its outcome, with the text of its failure; returns the
    /// breaker's new status if it has changed.
    pub(super) fn complete(
        &mut self,
        lease: &str,
        outcome: Outcome,
        error: Option<&str>,
        now: DateTime<Utc>,
    ) -> Option<BreakerStatus> {
        self.expire(now);
        self.in_flight.retain(|(known, _)| known != lease);
        if outcome == Outcome::Read {
            self.reads += 1;
            self.slowed.less();
        }
        let health = match outcome {
            Outcome::Read | Outcome::Answered => Some(Health::Good),
            Outcome::Faulted => Some(Health::Faulty),
            Outcome::Failed | Outcome::Unsent => Some(Health::Dead),
            Outcome::Throttled | Outcome::Unknown => None,
        };
        self.breaker.record(lease, health, error, now)
    }

    /// Holds all requests back until an instant, but not longer than the longest pause. Returns the
    /// end of the pause.
    pub(super) fn pause(&mut self, until: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        self.expire(now);
        // Requests that were under way together are refused together.
        if self.paused_until.is_none() {
            self.slowed.more();
        }
        let until = until.min(now + MAX_PAUSE);
        let until = self.paused_until.map_or(until, |known| known.max(until));
        self.paused_until = Some(until);
        until
    }

    /// Ends the present pause; returns when it would have ended.
    pub(super) fn lift_pause(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.expire(now);
        self.paused_until.take()
    }

    /// Returns the end of the present pause, if it is further away than `wait`.
    pub(super) fn paused_beyond(
        &self,
        wait: Duration,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        self.paused_until
            .filter(|until| (*until - now).to_std().is_ok_and(|left| left > wait))
    }

    /// Returns the present traffic.
    pub(super) fn traffic(&mut self, now: DateTime<Utc>) -> Traffic {
        self.expire(now);
        Traffic {
            breaker: self.breaker.status(),
            monthly_reads: self.reads,
            in_flight: self.in_flight.len(),
            paused_until: self.paused_until,
            requests_last_minute: self.sent.last_minute(now),
        }
    }

    /// Removes everything that has expired, and instants that a wrong clock has written.
    fn expire(&mut self, now: DateTime<Utc>) {
        let is_sane = |at: &DateTime<Utc>| *at <= now + MAX_FUTURE;
        self.in_flight
            .retain(|(_, until)| *until > now && is_sane(until));
        for bucket in [
            &mut self.minute,
            &mut self.second,
            &mut self.batches,
            &mut self.reports,
        ] {
            *bucket = bucket.filter(is_sane);
        }
        self.paused_until = self
            .paused_until
            .filter(|until| *until > now && *until <= now + MAX_PAUSE);
        self.breaker.expire(now);
        self.sent.roll_over(now);
        if self.month != (now.year(), now.month()) {
            self.month = (now.year(), now.month());
            self.reads = 0;
        }
    }
}
