//! A few turns for work that strangers can ask for as well. Who makes progress keeps its turn, and
//! the others wait for it a while. Whoever stalls, is slow or has had a turn for long is asked to let
//! go for one who waits, so that nobody can keep them all. A turn passes on when it is dropped, after
//! the memory that it stands for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The longest wait for a turn.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The time without a byte after which a turn can be lost. It is also the most that a holder can be
/// ahead of [`SLOW`], so that whoever has sent much at first cannot be slow for long afterwards.
const STALLED: Duration = Duration::from_secs(2);
/// The bytes a second below which a turn can be lost.
const SLOW: f64 = 65_536.0;
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
    /// When the turn can be lost because too little has arrived.
    slow_at: Mutex<Instant>,
    is_asked_to_let_go: AtomicBool,
    lost: Notify,
}

impl Holder {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            slow_at: Mutex::new(now + STALLED),
            is_asked_to_let_go: AtomicBool::new(false),
            lost: Notify::new(),
        }
    }

    /// Returns when the turn can be lost to another one, unless more arrives until then.
    fn yields_at(&self) -> Instant {
        (*self.slow_at.lock()).min(self.began + LONG)
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    holder: Arc<Holder>,
}

impl Turns {
    /// Creates `max` turns, which is at least one.
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
                Err(next) => next.min(deadline),
            };
            if Instant::now() >= deadline {
                return None;
            }
            tokio::select! {
                () = freed => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Takes a turn that is free, or asks a holder to let go whose turn can be lost. The error says
    /// when to look again.
    fn look(&self) -> Result<Turn<'_>, Instant> {
        let now = Instant::now();
        let mut holders = self.holders.lock();
        if holders.len() >= self.max {
            let held = holders
                .iter()
                .filter(|holder| !holder.is_asked_to_let_go.load(Ordering::Relaxed))
                .min_by_key(|holder| holder.yields_at());
            if let Some(held) = held {
                let at = held.yields_at();
                if at > now {
                    return Err(at);
                }
                held.is_asked_to_let_go.store(true, Ordering::Relaxed);
                held.lost.notify_one();
            }
            // Another one can take the turn that is freed now, and can be asked after this time.
            return Err(now + STALLED);
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
        let mut slow_at = self.holder.slow_at.lock();
        let now = Instant::now();
        let paced = (*slow_at).max(now) + Duration::from_secs_f64(bytes as f64 / SLOW);
        *slow_at = paced.min(now + STALLED);
    }

    /// Completes when another one waits for the turn, which is to be dropped then.
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
    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Holds a turn until it is lost, while so many bytes arrive at once and then every second;
    /// returns after how many seconds another one has taken it.
    async fn lost_after(at_once: usize, bytes: usize) -> u64 {
        let turns = Turns::new(1);
        let (held, begin) = (turns.take().await.unwrap(), Instant::now());
        held.progress(at_once);
        let holding = async move {
            let arriving = async {
                for _ in 0..60 {
                    sleep(SECOND).await;
                    held.progress(bytes);
                }
            };
            tokio::select! {
                () = arriving => {}
                () = held.lost() => {}
            }
        };
        let other = async {
            // Who finds no turn comes again.
            while turns.take().await.is_none() {}
            begin.elapsed().as_secs()
        };
        tokio::join!(holding, other).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_passes_on_when_its_holder_has_let_go() {
        let turns = Turns::new(1);
        let held = turns.take().await.unwrap();
        let letting_go = async move {
            held.lost().await;
            // What it has read is still in the memory.
            sleep(SECOND).await;
        };
        let begin = Instant::now();
        let (taken, ()) = tokio::join!(turns.take(), letting_go);
        assert!(taken.is_some());
        assert_eq!(begin.elapsed(), STALLED + SECOND);
        assert_eq!(turns.holders.lock().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stalls_is_slow_or_has_had_a_turn_for_long_loses_it() {
        let much = 1024 * 1024;
        assert_eq!(lost_after(0, 0).await, STALLED.as_secs());
        assert_eq!(lost_after(0, 1).await, STALLED.as_secs());
        assert_eq!(lost_after(much, 1).await, STALLED.as_secs());
        assert_eq!(lost_after(much, much).await, LONG.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_stalls_passes_on_to_each_who_waits() {
        let turns = Turns::new(1);
        let begin = Instant::now();
        let visits = (0..3).map(|_| async {
            let turn = turns.take().await?;
            let taken = begin.elapsed();
            // Nobody asks the last one to let go.
            let _ = timeout(LONG, turn.lost()).await;
            Some(taken)
        });
        let taken = [0, 1, 2].map(|round| Some(round * STALLED));
        assert_eq!(join_all(visits).await, taken);
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
