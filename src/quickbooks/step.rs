//! One query about a span of time.

use chrono::{DateTime, Utc};

use crate::domain::query::Condition;

/// The next query to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub conditions: Vec<Condition>,
    pub start_position: u32,
    pub max_results: u32,
    /// Asks for the number of rows instead of the rows.
    pub is_count: bool,
}

impl Step {
    /// Returns the first `max_results` rows changed in `[from, until)`.
    pub(super) fn rows(from: DateTime<Utc>, until: DateTime<Utc>, max_results: u32) -> Self {
        Self {
            from,
            until,
            conditions: Vec::new(),
            start_position: 1,
            max_results,
            is_count: false,
        }
    }
}
