//! The state of the window that is being read.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::domain::LoadCounts;
use crate::port::{ReadSummary, RequestCounts, WindowWriter};

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
    /// The instant up to which the window is committed, by whichever run.
    pub committed_until: Option<DateTime<Utc>>,
    /// The end of the last part that was committed.
    pub part: Option<PartEnd>,
}

/// The state of a window when a part of it was committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartEnd {
    /// The end of its time.
    pub until: DateTime<Utc>,
    pub rows: u64,
    pub pages: u32,
    pub bytes: u64,
    /// Counts of the records so far.
    pub counts: LoadCounts,
}

impl<W: WindowWriter> OpenWindow<W> {
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
            committed_until: None,
            part: None,
        }
    }

    /// Returns the window as it was when its last part was committed, to be read from there.
    pub(super) fn back_to_part(mut self) -> Self {
        let Some((part, mut writer)) = self.part.zip(self.writer.take()) else {
            return Self::new(self.counts);
        };
        writer.back_to_part();
        Self {
            writer: Some(writer),
            pages: part.pages,
            rejects: 0,
            rows: part.rows,
            bytes: part.bytes,
            ..self
        }
    }

    /// Returns what was read of the window, which is complete to its end or to `read_until`.
    pub(super) fn summary(&self, read_until: Option<DateTime<Utc>>) -> ReadSummary {
        ReadSummary {
            pages: self.pages,
            requests: self.counts.requests,
            retries: self.counts.retries,
            bytes: self.bytes,
            extract_ms: self.page_wait.as_millis() as u64,
            read_until,
        }
    }
}
