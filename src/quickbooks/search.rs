//! The state of a search for bad records.

use chrono::{DateTime, Utc};

/// The search of one reader, and its cost in the current window.
#[derive(Debug)]
pub(super) struct Search {
    /// End of the window.
    pub window_end: DateTime<Utc>,
    pub requests: u64,
    /// Number of requests of the reader up to which they have been added to the cost, if they belong to
    /// it.
    pub charged_until: u64,
    /// A range that failed is being searched.
    pub is_active: bool,
    /// Rows have arrived since the search began. An answer without rows does not show that the service
    /// can deliver any.
    pub has_delivered: bool,
    /// Number of ranges that failed.
    pub failures: u32,
    /// The last failure.
    pub failure: String,
}

impl Search {
    pub(super) fn new() -> Self {
        Self {
            window_end: DateTime::<Utc>::MIN_UTC,
            requests: 0,
            charged_until: 0,
            is_active: false,
            has_delivered: false,
            failures: 0,
            failure: String::new(),
        }
    }
}
