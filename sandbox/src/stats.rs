//! Counters of the requests that the server has received.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

/// Counts of the requests that the server has received. Requests to the control API do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests for tokens.
    pub token_requests: u64,
    /// Requests for tokens that were answered with tokens.
    pub refreshes: u64,
    /// Requests for data, throttled ones included.
    pub data_requests: u64,
    /// Requests for data that the throttle refused.
    pub throttled: u64,
    /// Highest number of requests for data in flight at the same time.
    pub most_in_flight: usize,
    /// Highest number of requests for data that arrived within one second.
    pub most_per_second: usize,
    /// Bytes of all answers' bodies, as sent.
    pub bytes_sent: u64,
    /// Number of requests by kind and status. Status 0 stands for a request without an answer.
    pub requests: BTreeMap<&'static str, BTreeMap<u16, u64>>,
}

/// The counters behind [`Stats`]. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    stats: Stats,
    in_flight: usize,
    /// Arrivals of the last second, oldest first.
    last_second: VecDeque<Instant>,
}

impl Counters {
    /// Returns the counts so far.
    pub(crate) fn stats(&self) -> Stats {
        self.0.lock().stats.clone()
    }

    /// Sets all counts to zero. Requests that are still being answered stay counted as in flight.
    pub(crate) fn reset(&self) {
        let mut counts = self.0.lock();
        counts.stats = Stats {
            most_in_flight: counts.in_flight,
            ..Stats::default()
        };
    }

    /// Counts a request that the throttle refused.
    pub(crate) fn count_throttled(&self) {
        self.0.lock().stats.throttled += 1;
    }

    /// Counts a request for tokens that was answered with tokens.
    pub(crate) fn count_refresh(&self) {
        self.0.lock().stats.refreshes += 1;
    }

    /// Counts the arrival of a request, which is in flight until the returned value is dropped.
    pub(crate) fn begin_request(&self, kind: &'static str) -> RequestInFlight {
        self.0.lock().count_arrival(kind, Instant::now());
        RequestInFlight {
            counters: self.clone(),
            kind,
            status: 0,
            bytes: 0,
        }
    }
}

impl Counts {
    fn count_arrival(&mut self, kind: &'static str, now: Instant) {
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

/// A request from its arrival to its end. It ends when this value is dropped, which also happens
/// when the client closes the connection early.
pub(crate) struct RequestInFlight {
    counters: Counters,
    kind: &'static str,
    status: u16,
    bytes: usize,
}

impl RequestInFlight {
    /// Ends the request with the status and the body size that were sent.
    pub(crate) fn finish(mut self, status: u16, bytes: usize) {
        (self.status, self.bytes) = (status, bytes);
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let mut counts = self.counters.0.lock();
        let by_status = counts.stats.requests.entry(self.kind).or_default();
        *by_status.entry(self.status).or_default() += 1;
        counts.stats.bytes_sent += self.bytes as u64;
        if is_data(self.kind) {
            counts.in_flight -= 1;
        }
    }
}
