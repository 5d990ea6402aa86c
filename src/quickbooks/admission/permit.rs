//! The right to send one request: it keeps the place of the request among those in flight, and takes
//! its outcome.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use super::crowd::Pace;
use super::month::Month;
use super::state::Outcome;
use super::{AdmissionControl, LEASE_LIFETIME, RENEWAL_INTERVAL};
use crate::error::Error;

/// The right to send one request. Ends with [`complete`](Permit::complete); if it is dropped instead,
/// the request ends without an outcome.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(super) control: Arc<AdmissionControl>,
    pub(super) lease: Option<String>,
    pub(super) slot: Option<OwnedSemaphorePermit>,
    /// Begin of its slot.
    pub(super) held_since: Instant,
    /// Time that it has waited for the general rate; `None` if it has waited for something else, too.
    pub(super) waited: Option<Duration>,
    /// The month whose cap its read is taken from.
    pub(super) read: Option<Month>,
}

impl Permit {
    /// Runs the request and renews its place among those in flight until it ends.
    pub(crate) async fn run<T>(&self, request: impl Future<Output = T>) -> T {
        let renew = async {
            loop {
                sleep(RENEWAL_INTERVAL).await;
                if let Some(lease) = &self.lease {
                    self.control
                        .change(|state, now| state.renew(lease, now + LEASE_LIFETIME))
                        .await;
                }
            }
        };
        if self.control.limits.in_flight == 0 {
            return request.await;
        }
        tokio::select! {
            biased;
            answer = request => answer,
            never = renew => never,
        }
    }

    /// Gives its place back, because nothing may be sent at its turn; returns its slot.
    pub(super) async fn put_off(mut self) -> Option<OwnedSemaphorePermit> {
        if let Some(lease) = self.lease.take() {
            let unsent = Outcome::Unknown;
            self.control.complete(&lease, unsent, None).await;
        }
        self.slot.take()
    }

    /// Ends the request with its outcome, and with its error if it failed, and frees its place.
    pub(crate) async fn complete(mut self, outcome: Outcome, error: Option<&Error>) {
        if let Some(lease) = self.lease.take() {
            let text = error.map(Error::to_string);
            self.control
                .complete(&lease, outcome, text.as_deref())
                .await;
        }
        if let (Some(cap), Some(month)) = (&self.control.cap, self.read.take()) {
            cap.end(month, outcome).await;
        }
        // Whatever keeps the slot from others counts, also the changes of a shared state that is slow.
        let held = self.held_since.elapsed();
        let pace = self.waited.map(|waited| Pace {
            waited,
            elapsed: held.saturating_sub(waited),
        });
        let slot = self.slot.take();
        self.slot = self.control.slots.learn(slot, pace, outcome);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let (Some(lease), Ok(runtime)) =
            (self.lease.take(), tokio::runtime::Handle::try_current())
        {
            let control = self.control.clone();
            runtime.spawn(async move { control.complete(&lease, Outcome::Unknown, None).await });
        }
    }
}
