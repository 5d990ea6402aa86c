//! A document of one process.

use chrono::Utc;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

use crate::error::Result;
use crate::port::{Change, SharedState};

/// A document that only this process sees.
#[derive(Debug, Default)]
pub(crate) struct MemoryState(Mutex<Option<String>>);

impl SharedState for MemoryState {
    fn update<'s>(&'s self, change: Change<'s>) -> BoxFuture<'s, Result<()>> {
        async move {
            let mut text = self.0.lock();
            if let Some(changed) = change(text.as_deref(), Utc::now()) {
                *text = Some(changed);
            }
            Ok(())
        }
        .boxed()
    }
}
