//! The rules of admission: pure, so that every home of the state has the same.

use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Traffic;
use super::breaker::{Breaker, BreakerStatus, Health, Passage};
use super::bucket::Rate;

/// The limits of a company (qbo-facts 6.1). 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any 60 s.
    pub per_minute: u32,
    /// Requests in any second.
    pub per_second: u32,
    /// Requests without an answer yet.
    pub in_flight: u32,
    /// Batches in any 60 s.
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

/// How a request went, as far as it matters to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that counts as a read (qbo-facts 6.2).
    Read,
    /// Another answer: the API is there.
    Answered,
    /// A fault of the service itself.
    Faulted,
    /// No answer, or one of a gateway that could not get one.
    Failed,
    /// It says nothing about the API.
    Unknown,
}

/// A request that wants to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'l> {
    /// Names its place among those in flight.
    pub lease: &'l str,
    pub is_batch: bool,
    /// How long it keeps that place without being renewed.
    pub lifetime: Duration,
    /// When its process first asked, by the clock of the state.
    pub begun: Option<DateTime<Utc>>,
    /// How long it waits for an open circuit.
    pub patience: Duration,
}

/// What is to become of a request.
pub(super) enum Answer {
    /// It goes after this time.
    Go { after: Duration, monthly_reads: u64 },
    /// Ask again after this time.
    Wait(Duration),
    /// It does not go; why.
    Refused(String),
}

/// What all requests to one company share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    minute: Option<DateTime<Utc>>,
    second: Option<DateTime<Utc>>,
    batches: Option<DateTime<Utc>>,
    paused_until: Option<DateTime<Utc>>,
    in_flight: Vec<(String, DateTime<Utc>)>,
    breaker: Breaker,
    /// Year and month of `reads`.
    month: (i32, u32),
    reads: u64,
    sent: Sent,
}

/// Requests of the present minute and of the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Sent {
    minute: i64,
    present: u32,
    before: u32,
}

impl Sent {
    fn settle(&mut self, now: DateTime<Utc>) {
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

    /// Of the last 60 s, as if those of the minute before had been sent evenly.
    fn last_minute(&self, now: DateTime<Utc>) -> u32 {
        let left = 60 - now.timestamp().rem_euclid(60) as u32;
        self.present + (self.before * left).div_ceil(60)
    }
}

/// How often a request looks for room that other processes take.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// Nobody has booked further ahead: a state from there was left by a clock that ran elsewhere.
const MAX_FUTURE: TimeDelta = TimeDelta::hours(1);

impl State {
    /// Anything that cannot be read is as nothing: the worst that follows is a throttled request.
    pub fn parse(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    pub fn to_text(&self) -> String {
        // Serialising it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn enter(&mut self, now: DateTime<Utc>, limits: &Limits, request: &Request<'_>) -> Answer {
        let Request {
            lease,
            is_batch,
            lifetime,
            begun,
            patience,
        } = *request;
        self.settle(now);
        if limits.in_flight > 0 && self.in_flight.len() >= limits.in_flight as usize {
            return Answer::Wait(POLL_INTERVAL);
        }
        match self.breaker.ask(lease, now, begun.unwrap_or(now), patience) {
            Passage::Free => {}
            Passage::Wait(wait) => return Answer::Wait(wait),
            Passage::Refused(reason) => return Answer::Refused(reason),
        }
        let mut buckets = vec![
            (Rate::bursty(limits.per_minute, 60.0), &mut self.minute),
            (Rate::even(limits.per_second, 1.0), &mut self.second),
        ];
        if is_batch {
            buckets.push((
                Rate::bursty(limits.batches_per_minute, 60.0),
                &mut self.batches,
            ));
        }
        let earliest = self.paused_until.map_or(now, |until| until.max(now));
        let at = buckets
            .iter()
            .filter_map(|(rate, bucket)| Some(rate.as_ref()?.earliest(**bucket, now)))
            .fold(earliest, DateTime::max);
        for (rate, bucket) in buckets {
            if let Some(rate) = rate {
                *bucket = Some(rate.book(*bucket, at));
            }
        }
        if limits.in_flight > 0 {
            self.in_flight.push((lease.to_owned(), at + lifetime));
        }
        self.sent.present += 1;
        Answer::Go {
            after: (at - now).to_std().unwrap_or_default(),
            monthly_reads: self.reads,
        }
    }

    pub fn renew(&mut self, lease: &str, until: DateTime<Utc>) {
        if let Some((_, end)) = self.in_flight.iter_mut().find(|(known, _)| known == lease) {
            *end = until;
        }
    }

    pub fn leave(
        &mut self,
        lease: &str,
        outcome: Outcome,
        now: DateTime<Utc>,
    ) -> Option<BreakerStatus> {
        self.settle(now);
        self.in_flight.retain(|(known, _)| known != lease);
        self.reads += u64::from(outcome == Outcome::Read);
        let health = match outcome {
            Outcome::Read | Outcome::Answered => Some(Health::Good),
            Outcome::Faulted => Some(Health::Faulty),
            Outcome::Failed => Some(Health::Dead),
            Outcome::Unknown => None,
        };
        self.breaker.hear(lease, health, now)
    }

    pub fn pause(&mut self, until: DateTime<Utc>) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    pub fn traffic(&mut self, now: DateTime<Utc>) -> Traffic {
        self.settle(now);
        Traffic {
            breaker: self.breaker.status(),
            monthly_reads: self.reads,
            in_flight: self.in_flight.len(),
            paused_until: self.paused_until,
            requests_last_minute: self.sent.last_minute(now),
        }
    }

    /// Lets go what time has ended.
    fn settle(&mut self, now: DateTime<Utc>) {
        self.in_flight.retain(|(_, until)| *until > now);
        let is_sane = |at: &DateTime<Utc>| *at <= now + MAX_FUTURE;
        for bucket in [&mut self.minute, &mut self.second, &mut self.batches] {
            *bucket = bucket.filter(is_sane);
        }
        self.paused_until = self.paused_until.filter(|until| *until > now);
        self.sent.settle(now);
        if self.month != (now.year(), now.month()) {
            self.month = (now.year(), now.month());
            self.reads = 0;
        }
    }
}
