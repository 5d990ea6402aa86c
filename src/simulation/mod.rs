//! Deterministic simulation: the core over a clock, a network and a store that one seed decides.
//!
//! ```text
//! the core: reader, paging, retries, limits, tokens, pipeline, resume
//!    |            |              |                 |              |
//!  clock,      network        sandbox            store         tokens, limits
//!  chance    (network.rs)  (in this process)   (store.rs)       (shared.rs)
//! ```
//!
//! A seed decides the company, how it is read, and when it is edited; which request or commit fails,
//! before or after its effect; when a process is killed; and how the clocks jump. Time is virtual: a
//! wait of an hour costs nothing. The same seed always makes the same run, so a failure is repeated
//! with `SEED`. `SEEDS` is the number of seeds, `SIMULATION_SECONDS` a time in place of a number.
//!
//! The invariant is that of `docs/exactness.md`. After every commit, and after every process: what the
//! ledger calls complete is in the table, payload for payload. At the end: the table equals the books, and the stored
//! tokens still work.

#![allow(clippy::print_stdout, reason = "figures of a test")]

mod ledger;
mod network;
mod process;
mod sabotage;
mod shared;
mod store;
mod tests;
mod world;

use std::cell::{Cell, RefCell};

use chrono::{DateTime, TimeDelta, Utc};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tokio::time::Instant;

/// The simulated time of this thread.
#[derive(Clone, Copy)]
struct Time {
    start: DateTime<Utc>,
    began: Instant,
    /// Sum of the jumps of all clocks.
    jumped: TimeDelta,
    /// Error of this machine's clock.
    skew: TimeDelta,
}

thread_local! {
    static TIME: Cell<Option<Time>> = const { Cell::new(None) };
    static CHANCE: RefCell<Option<Pcg64Mcg>> = const { RefCell::new(None) };
}

impl Time {
    fn is(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.began.elapsed()).unwrap_or_default();
        self.start + self.jumped + elapsed
    }
}

/// Returns the present by the clock of the simulated machine; `None` outside of a simulation.
pub(crate) fn now_of_this_machine() -> Option<DateTime<Utc>> {
    TIME.get().map(|time| time.is() + time.skew)
}

/// Returns the present by the clocks of the server and of the store.
fn true_time() -> DateTime<Utc> {
    TIME.get().map_or_else(Utc::now, |time| time.is())
}

/// Draws a number from the seed of this thread's simulation; `None` outside of one.
pub(crate) fn draw() -> Option<u64> {
    CHANCE.with_borrow_mut(|chance| chance.as_mut().map(Rng::next_u64))
}

/// Begins simulated time at `start`, on the paused clock of the present runtime.
fn begin(seed: u64, start: DateTime<Utc>) {
    TIME.set(Some(Time {
        start,
        began: Instant::now(),
        jumped: TimeDelta::zero(),
        skew: TimeDelta::zero(),
    }));
    CHANCE.set(Some(Pcg64Mcg::seed_from_u64(seed ^ 0xC0_4E)));
}

/// Ends the simulation of this thread.
fn end() {
    TIME.set(None);
    CHANCE.set(None);
}

/// Moves all clocks forward, as when a machine sleeps.
fn jump(by: TimeDelta) {
    if let Some(time) = TIME.get() {
        let jumped = time.jumped + by;
        TIME.set(Some(Time { jumped, ..time }));
    }
}

/// Sets the error of this machine's clock.
fn set_skew(skew: TimeDelta) {
    if let Some(time) = TIME.get() {
        TIME.set(Some(Time { skew, ..time }));
    }
}
