//! The end of a sandbox that a program serves until somebody asks it to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A request to end, and whether a program waits for one.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    is_awaited: AtomicBool,
    requested: Notify,
}

impl Stopping {
    /// Waits for a request.
    pub(crate) async fn wait(&self) {
        self.is_awaited.store(true, Ordering::SeqCst);
        self.requested.notified().await;
    }

    /// Requests the end.
    ///
    /// # Errors
    /// The reason, if no program waits for it.
    pub(crate) fn request(&self) -> Result<(), String> {
        if !self.is_awaited.load(Ordering::SeqCst) {
            return Err("this sandbox ends with the program that it is a part of".to_owned());
        }
        self.requested.notify_one();
        Ok(())
    }
}
