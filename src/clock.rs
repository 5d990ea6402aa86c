//! The present. Every instant of the clock on the wall comes from here, so that a simulation can set
//! it; `disallowed-methods` of clippy holds this. Waits and elapsed times come from `tokio::time`,
//! whose clock a simulation pauses.

use chrono::{DateTime, Utc};

/// Returns the present by the clock of this machine.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub(crate) fn now() -> DateTime<Utc> {
    #[cfg(test)]
    if let Some(now) = crate::simulation::now_of_this_machine() {
        return now;
    }
    Utc::now()
}
