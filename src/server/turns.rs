//! A few turns for work that strangers can ask for as well. Who has had a turn longest loses it to
//! the next one, so that nobody can keep them all.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A number of turns.
#[derive(Debug)]
pub(super) struct Turns {
    max: usize,
    /// The holders of a turn, the oldest first.
    holders: Mutex<VecDeque<Arc<Notify>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    lost: Arc<Notify>,
}

impl Turns {
    /// Creates `max` turns.
    pub(super) const fn new(max: usize) -> Self {
        Self {
            max,
            holders: Mutex::new(VecDeque::new()),
        }
    }

    /// Returns a turn, if need be that of another.
    pub(super) fn take(&self) -> Turn<'_> {
        let lost = Arc::new(Notify::new());
        let mut holders = self.holders.lock();
        if holders.len() >= self.max
            && let Some(oldest) = holders.pop_front()
        {
            oldest.notify_one();
        }
        holders.push_back(lost.clone());
        Turn { turns: self, lost }
    }
}

impl Turn<'_> {
    /// Completes when another one has taken the turn.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut holders = self.turns.holders.lock();
        holders.retain(|holder| !Arc::ptr_eq(holder, &self.lost));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_oldest_loses_its_turn_to_the_next() {
        let turns = Turns::new(2);
        let (first, second) = (turns.take(), turns.take());
        assert!(first.lost().now_or_never().is_none());
        let third = turns.take();
        assert!(first.lost().now_or_never().is_some());
        drop(first);
        assert!(second.lost().now_or_never().is_none());
        drop(second);
        let _fourth = turns.take();
        assert!(third.lost().now_or_never().is_none());
    }
}
