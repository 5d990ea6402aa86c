//! A document of one process.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use chrono::Utc;

use crate::error::Result;
use crate::port::{Change, SharedState};

/// A document of one process.
#[derive(Debug, Default)]
pub struct MemoryState(Mutex<Option<String>>);

impl SharedState for MemoryState {
    fn update<'s>(
        &'s self,
        change: Change<'s>,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 's>> {
        Box::pin(async move {
            let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(changed) = change(text.as_deref(), Utc::now()) {
                *text = Some(changed);
            }
            Ok(())
        })
    }
}
