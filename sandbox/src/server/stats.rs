//! What the server has seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::State;
use crate::lock;

/// What the server has seen. Requests to the control API do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests for tokens.
    pub token_requests: u64,
    /// Of those, answered with tokens.
    pub refreshes: u64,
    /// Requests for data, throttled ones included.
    pub data_requests: u64,
    /// Of those, refused by the throttle.
    pub throttled: u64,
    /// Most requests for data at the same time.
    pub most_in_flight: usize,
    /// Most requests for data that arrived in any second.
    pub most_per_second: usize,
    /// Bytes of answers' bodies, as sent.
    pub bytes_sent: u64,
    /// Requests by kind and status; 0 is an answer that never left.
    pub requests: BTreeMap<&'static str, BTreeMap<u16, u64>>,
}

/// Counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    stats: Stats,
    in_flight: usize,
    last_second: VecDeque<Instant>,
}

impl Counts {
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Begins anew; requests that are being answered stay counted as in flight.
    pub fn reset(&mut self) {
        self.stats = Stats {
            most_in_flight: self.in_flight,
            ..Stats::default()
        };
    }

    pub fn throttled(&mut self) {
        self.stats.throttled += 1;
    }

    pub fn refreshed(&mut self) {
        self.stats.refreshes += 1;
    }

    fn arrive(&mut self, kind: &'static str, now: Instant) {
        match kind {
            "token" => self.stats.token_requests += 1,
            kind if is_data(kind) => {
                self.stats.data_requests += 1;
                self.in_flight += 1;
                self.stats.most_in_flight = self.stats.most_in_flight.max(self.in_flight);
                self.last_second.push_back(now);
                while self
                    .last_second
                    .front()
                    .is_some_and(|&oldest| now - oldest >= Duration::from_secs(1))
                {
                    self.last_second.pop_front();
                }
                self.stats.most_per_second = self.stats.most_per_second.max(self.last_second.len());
            }
            _ => {}
        }
    }
}

fn is_data(kind: &str) -> bool {
    matches!(kind, "query" | "cdc" | "batch" | "read")
}

/// One request, from its arrival until it is dropped.
pub(super) struct Arrival {
    state: Arc<State>,
    kind: &'static str,
    outcome: (u16, usize),
}

impl Arrival {
    pub fn new(state: &Arc<State>, kind: &'static str) -> Self {
        lock(&state.counts).arrive(kind, Instant::now());
        Self {
            state: state.clone(),
            kind,
            outcome: (0, 0),
        }
    }

    pub fn finish(mut self, status: u16, bytes: usize) {
        self.outcome = (status, bytes);
    }
}

/// A client that goes away drops its request: that too is an end.
impl Drop for Arrival {
    fn drop(&mut self) {
        let mut counts = lock(&self.state.counts);
        let (status, bytes) = self.outcome;
        *counts
            .stats
            .requests
            .entry(self.kind)
            .or_default()
            .entry(status)
            .or_default() += 1;
        counts.stats.bytes_sent += bytes as u64;
        if is_data(self.kind) {
            counts.in_flight -= 1;
        }
    }
}
