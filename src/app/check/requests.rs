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
    fn next(&self) -> Option<&dyn Progress> {
        Some(&*self.next)
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::RunName;

    /// Keeps the names of the events that arrive.
    #[derive(Default)]
    struct Arrived(Mutex<Vec<&'static str>>);

    impl Progress for Arrived {
        fn call_started(&self, _realm_id: &str, _runs: &[(&str, usize)]) {
            self.0.lock().push("call");
        }

        fn run_finished(&self, _run: RunName<'_>) {
            self.0.lock().push("run");
        }

        fn request_ended(&self, _endpoint: Endpoint, _status: Option<u16>, _elapsed: Duration) {
            self.0.lock().push("request");
        }

        fn paused(&self, _wait: Duration) {
            self.0.lock().push("pause");
        }
    }

    #[test]
    fn an_observer_passes_on_what_it_does_not_name() {
        let arrived = Arc::new(Arrived::default());
        let requests = Requests::new(arrived.clone());
        requests.call_started("9", &[("invoices", 1)]);
        requests.request_ended(Endpoint::Data, Some(429), Duration::from_secs(1));
        requests.paused(Duration::from_secs(5));
        requests.run_finished(RunName {
            realm_id: "9",
            entity: "invoices",
        });
        assert_eq!(requests.seen().count, 1);
        assert_eq!(*arrived.0.lock(), ["call", "request", "pause", "run"]);
    }
}
