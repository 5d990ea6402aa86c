//! A few turns for work that strangers can ask for as well. Who makes progress keeps its turn, and
//! the others wait for it a while. Who stalls, is slow or has had a turn for long loses it to one
//! who waits, so that nobody can keep them all.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The longest wait for a turn.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The time without a byte after which a turn can be lost. A slow one begins with as much.
const STALLED: Duration = Duration::from_secs(2);
/// The bytes a second below which a turn can be lost.
const SLOW: u64 = 64 * 1024;
/// The time after which a turn can be lost in any case.
const LONG: Duration = Duration::from_secs(10);

/// A number of turns.
#[derive(Debug)]
pub(super) struct Turns {
    max: usize,
    holders: Mutex<Vec<Arc<Holder>>>,
    freed: Notify,
}

/// A holder of a turn.
#[derive(Debug)]
struct Holder {
    began: Instant,
    progress: Mutex<Progress>,
    lost: Notify,
}

/// The bytes that have arrived since the turn began.
#[derive(Debug)]
struct Progress {
    bytes: u64,
    last: Instant,
}

impl Holder {
    fn new() -> Self {
        let now = Instant::now();
        let progress = Progress {
            bytes: 0,
            last: now,
        };
        Self {
            began: now,
            progress: Mutex::new(progress),
            lost: Notify::new(),
        }
    }

    /// Returns when the turn can be lost to another one, unless more arrives until then.
    fn yields_at(&self) -> Instant {
        let progress = self.progress.lock();
        let paced = STALLED + Duration::from_secs(progress.bytes / SLOW);
        (progress.last + STALLED).min(self.began + paced.min(LONG))
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    holder: Arc<Holder>,
}

impl Turns {
    /// Creates `max` turns, at least one.
    pub(super) const fn new(max: usize) -> Self {
        Self {
            max,
            holders: Mutex::new(Vec::new()),
            freed: Notify::const_new(),
        }
    }

    /// Waits for a turn. Returns `None` after [`MAX_WAIT`].
    pub(super) async fn take(&self) -> Option<Turn<'_>> {
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // A turn that is freed after the look must end the wait.
            freed.as_mut().enable();
            let next = match self.look() {
                Ok(turn) => return Some(turn),
                Err(next) => next,
            };
            if Instant::now() >= deadline {
                return None;
            }
            tokio::select! {
                () = freed => {}
                () = sleep_until(next.min(deadline)) => {}
            }
        }
    }

    /// Takes a turn that is free or can be lost; the error says when the next one can be lost.
    fn look(&self) -> Result<Turn<'_>, Instant> {
        let mut holders = self.holders.lock();
        if holders.len() >= self.max {
            let yields = holders.iter().map(|holder| holder.yields_at());
            if let Some((at, position)) = yields.zip(0..).min() {
                if at > Instant::now() {
                    return Err(at);
                }
                holders.remove(position).lost.notify_one();
            }
        }
        let holder = Arc::new(Holder::new());
        holders.push(holder.clone());
        let turns = self;
        Ok(Turn { turns, holder })
    }
}

impl Turn<'_> {
    /// Records that bytes have arrived.
    pub(super) fn progress(&self, bytes: usize) {
        let mut progress = self.holder.progress.lock();
        progress.bytes = progress.bytes.saturating_add(bytes as u64);
        progress.last = Instant::now();
    }

    /// Completes when another one has taken the turn.
    pub(super) async fn lost(&self) {
        self.holder.lost.notified().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut holders = self.turns.holders.lock();
        holders.retain(|holder| !Arc::ptr_eq(holder, &self.holder));
        self.turns.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Holds a turn until it is lost, while so many bytes arrive every second; returns after how
    /// many seconds another one has taken it.
    async fn lost_after(bytes: usize) -> u64 {
        let turns = Turns::new(1);
        let (held, begin) = (turns.take().await.unwrap(), Instant::now());
        let arriving = async {
            for _ in 0..60 {
                sleep(SECOND).await;
                held.progress(bytes);
            }
        };
        let other = async {
            // Who finds no turn comes again.
            while turns.take().await.is_none() {}
            begin.elapsed().as_secs()
        };
        tokio::select! {
            () = arriving => 0,
            (taken, ()) = async { tokio::join!(other, held.lost()) } => taken,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stalls_is_slow_or_has_had_a_turn_for_long_loses_it() {
        let turns = Turns::new(1);
        let _stalled = turns.take().await.unwrap();
        let begin = Instant::now();
        assert!(turns.take().await.is_some());
        assert_eq!(begin.elapsed(), STALLED);
        assert_eq!(lost_after(1).await, STALLED.as_secs());
        assert_eq!(lost_after(1024 * 1024).await, LONG.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_makes_progress_keeps_its_turn_while_others_wait_for_a_while() {
        let turns = Turns::new(1);
        let held = turns.take().await.unwrap();
        let begin = Instant::now();
        let arriving = async {
            for _ in 0..7 {
                sleep(SECOND).await;
                held.progress(1024 * 1024);
            }
        };
        let (refused, ()) = tokio::join!(turns.take(), arriving);
        assert!(refused.is_none() && held.lost().now_or_never().is_none());
        let (taken, ()) = tokio::join!(turns.take(), async { drop(held) });
        assert!(taken.is_some());
        assert_eq!(begin.elapsed(), 7 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_has_a_turn_if_nobody_keeps_it() {
        let turns = Turns::new(2);
        let (begin, pause) = (Instant::now(), Duration::from_millis(10));
        let visits = (0..100).map(|_| async {
            let turn = turns.take().await;
            sleep(pause).await;
            turn.is_some_and(|turn| turn.lost().now_or_never().is_none())
        });
        assert!(join_all(visits).await.into_iter().all(|is_kept| is_kept));
        assert_eq!(begin.elapsed(), 50 * pause);
        assert!(turns.holders.lock().is_empty());
    }
}
