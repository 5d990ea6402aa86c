//! Work that goes on when its caller is dropped.
//!
//! A call is dropped when its job is cancelled, its client hangs up or a person presses Ctrl-C. An
//! exchange of tokens must not end like that: its answer may hold the only copy of the new refresh
//! token (qbo-facts 1.4). So it runs as a task of its own, and the end of a process waits for it. So does a
//! first call that is stopped, which gives back its schema.

use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(any(feature = "cli", test))]
use std::time::Duration;

use tracing::Instrument;

use crate::error::{Error, Result};

/// The time that the end of a process waits for such work. Below the ten seconds after which Docker
/// kills a container that was told to stop.
#[cfg(any(feature = "cli", test))]
pub(crate) const LIMIT: Duration = Duration::from_secs(8);
#[cfg(any(feature = "cli", test))]
const CHECK: Duration = Duration::from_millis(10);

static UNBROKEN: Works = Works::none();

/// The works of one kind that run in this process, counted without a lock, which a fork could leave
/// locked in the child.
///
/// Id of the process in the upper half, number of its works in the lower one. A forked child begins
/// with none, because the tasks of its parent do not exist in it.
#[derive(Debug)]
pub(crate) struct Works(AtomicU64);

/// One of the works, until it is dropped.
#[derive(Debug)]
pub(crate) struct Running(&'static Works);

impl Works {
    pub(crate) const fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn begin(&'static self) -> Running {
        self.change(|works| works + 1);
        Running(self)
    }

    fn change(&self, next: impl Fn(u32) -> u32) {
        let here = std::process::id();
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| {
                Some(u64::from(here) << 32 | u64::from(next(works_of(here, state))))
            });
    }

    /// Waits until none of them runs in this process, at most `limit`.
    #[cfg(any(feature = "cli", test))]
    pub(crate) async fn ended(&self, limit: Duration) {
        let here = std::process::id();
        let ended = async {
            while works_of(here, self.0.load(Ordering::SeqCst)) > 0 {
                tokio::time::sleep(CHECK).await;
            }
        };
        let _ = tokio::time::timeout(limit, ended).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.change(|works| works.saturating_sub(1));
    }
}

fn works_of(process: u32, state: u64) -> u32 {
    match (state >> 32) as u32 == process {
        true => state as u32,
        false => 0,
    }
}

/// Runs `work` to its end, even if the caller is dropped.
///
/// # Errors
/// Those of `work`; [`Error::Internal`] if it panicked or its runtime has ended.
pub(crate) fn unbroken<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> impl Future<Output = Result<T>> + Send + 'static {
    // Counted before it is polled, so that the end of a process waits for work that is only spawned yet.
    let running = UNBROKEN.begin();
    let task = async move {
        let outcome = work.await;
        drop(running);
        outcome
    };
    async move {
        match tokio::spawn(task.in_current_span()).await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => Err(Error::from_panic(&*panic)),
                Err(_) => Err(Error::Cancelled),
            },
        }
    }
}

/// Waits until no such work runs in this process, at most [`LIMIT`].
#[cfg(any(feature = "cli", test))]
pub(crate) async fn all_ended() {
    UNBROKEN.ended(LIMIT).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[tokio::test]
    async fn work_ends_although_its_caller_is_dropped_and_the_end_waits_for_it() {
        let is_done = Arc::new(AtomicBool::new(false));
        let done = is_done.clone();
        // Tests beside this one have works of their own, so that their number says nothing.
        let (begin, begun) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn(unbroken(async move {
            let _ = begin.send(());
            tokio::time::sleep(Duration::from_millis(200)).await;
            done.store(true, Ordering::SeqCst);
            Ok(())
        }));
        begun.await.unwrap();
        caller.abort();
        assert!(!is_done.load(Ordering::SeqCst));
        all_ended().await;
        assert!(is_done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let outcome = unbroken::<()>(async { panic!("of a test") }).await;
        assert!(outcome.unwrap_err().to_string().contains("of a test"));
    }

    #[test]
    fn a_forked_child_has_none_of_the_works_of_its_parent() {
        assert_eq!(works_of(7, 7 << 32 | 3), 3);
        assert_eq!(works_of(8, 7 << 32 | 3), 0);
    }
}
