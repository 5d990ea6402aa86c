//! The state of the window that is being read.

use std::sync::Arc;
use std::time::Duration;

use crate::port::RequestCounts;
use tokio::time::Instant;

/// The window that is being read.
pub(super) struct OpenWindow<W> {
    pub started_at: Instant,
    pub writer: Option<W>,
    /// Number of the last page written.
    pub pages: u32,
    pub rejects: usize,
    pub request: Option<Arc<str>>,
    pub rows: u64,
    pub bytes: u64,
    pub counts: RequestCounts,
    /// Time spent waiting for pages.
    pub page_wait: Duration,
    /// The sink has been told that the window has started.
    pub is_started: bool,
}

impl<W> OpenWindow<W> {
    /// `spent` is the cost of earlier attempts to read the window.
    pub(super) fn new(spent: RequestCounts) -> Self {
        Self {
            started_at: Instant::now(),
            writer: None,
            pages: 0,
            rejects: 0,
            request: None,
            rows: 0,
            bytes: 0,
            counts: spent,
            page_wait: Duration::ZERO,
            is_started: false,
        }
    }
}
