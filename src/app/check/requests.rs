//! The requests of a check: their number, and the time that the last one for data took.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::port::{Endpoint, Progress};

/// Counts requests, and passes them on.
pub(super) struct Requests {
    next: Arc<dyn Progress>,
    seen: Mutex<Seen>,
}

/// The requests that have ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Number of requests.
    pub count: u32,
    /// Duration of the last request for data.
    pub latency: Option<Duration>,
}

impl Requests {
    pub(super) fn new(next: Arc<dyn Progress>) -> Self {
        Self {
            next,
            seen: Mutex::default(),
        }
    }

    pub(super) fn seen(&self) -> Seen {
        *self.seen.lock()
    }
}

impl Progress for Requests {
    fn request_ended(&self, endpoint: Endpoint, status: Option<u16>, elapsed: Duration) {
        {
            let mut seen = self.seen.lock();
            seen.count += 1;
            if endpoint == Endpoint::Data {
                seen.latency = Some(elapsed);
            }
        }
        self.next.request_ended(endpoint, status, elapsed);
    }
}
