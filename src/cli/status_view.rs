//! Facts about the reader of a status: zone, time, and how much is shown.

use chrono::{DateTime, Utc};

use super::local::LocalTime;

/// The view of the reader.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'v> {
    pub zone: LocalTime,
    pub now: DateTime<Utc>,
    /// Reads a month that the app is granted; 0: not metered.
    pub monthly_quota: u64,
    /// The width that lines may have.
    pub columns: usize,
    /// Every entity is shown.
    pub is_whole: bool,
    /// The flag that names the file of the settings, which the commands need, too.
    pub env_file_flag: &'v str,
}
