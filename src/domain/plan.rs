//! The plan of a run, with values that were checked when they were created.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::domain::instant::parse_instant;
use crate::domain::{EntitySpec, LoadCounts, Window, WindowReport, split_committed};
use crate::error::{Error, Result};

/// Number of records in one page: 1 to 1000 (qbo-facts 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Value")]
pub struct PageSize(u32);

impl Default for PageSize {
    fn default() -> Self {
        Self(Self::MAX)
    }
}

impl PageSize {
    /// Maximum number of rows in one answer of QBO.
    pub const MAX: u32 = 1000;

    /// Creates a page size.
    ///
    /// # Errors
    /// [`Error::Config`] with the value, if it is not between 1 and [`Self::MAX`].
    pub fn new(size: i64) -> Result<Self> {
        match u32::try_from(size) {
            Ok(size @ 1..=Self::MAX) => Ok(Self(size)),
            _ => Err(Error::config(
                "page_size",
                format!("{size} is not between 1 and {}", Self::MAX),
            )),
        }
    }

    /// Returns the number of records.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for PageSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().parse() {
            Ok(size) => Self::new(size),
            Err(_) => Err(Error::config(
                "page_size",
                format!("'{text}' is not between 1 and {}", Self::MAX),
            )),
        }
    }
}

/// Reads a number, or its text.
impl TryFrom<Value> for PageSize {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        match value.as_str() {
            Some(text) => text.parse(),
            None => value.to_string().parse(),
        }
    }
}

/// The time that records which are written now may take to become visible (qbo-facts 3.9). What was
/// read of the minutes before the present is no proof that nothing is missing there.
pub const VISIBLE_LATE: TimeDelta = TimeDelta::minutes(5);
/// The time before what is known that a sync reads again: records become visible late, deletions become known late
/// (qbo-facts 3.9), and QuickBooks' clock may have been as far ahead.
pub const LOOK_BACK: TimeDelta = VISIBLE_LATE;

/// The beginning of a read that continues earlier ones. The window that contains it is still
/// committed as a whole, and other windows are read as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Continuation {
    /// Instant before which changes are known and not read again.
    pub from: DateTime<Utc>,
    /// Instant at which they were known, by the sink's clock: not after the sink was asked.
    pub known_at: DateTime<Utc>,
    /// The window, if the time before is that of its own parts: page numbers and counts then go on.
    pub begun: Option<BegunWindow>,
}

impl Continuation {
    /// Returns true if the read of a window begins here.
    pub fn is_within(&self, window: Window) -> bool {
        window.start < self.from && self.from < window.end
    }
}

/// A window that an earlier run has committed in parts, and not to its end.
#[derive(Debug, Clone, Copy)]
pub struct BegunWindow {
    /// The window.
    pub window: Window,
    /// Sums over its parts.
    pub parts: PartTotals,
}

/// Sums over the parts of a window.
#[derive(Debug, Clone, Copy, Default)]
pub struct PartTotals {
    /// Counts of records.
    pub counts: LoadCounts,
    /// Requests, retries included.
    pub requests: u64,
    /// Number of those requests that were retries.
    pub retries: u64,
    /// Total size of the payloads, bytes.
    pub bytes: u64,
    /// Time spent waiting for pages, milliseconds.
    pub extract_ms: u64,
    /// Time spent storing pages, milliseconds.
    pub load_ms: u64,
}

/// A range as a resumed run reads it.
#[derive(Debug, Default)]
pub struct Resumed {
    /// Windows to read.
    pub remaining: Vec<Window>,
    /// Committed time, as windows.
    pub skipped: Vec<Window>,
    /// The beginnings of windows of which parts are committed.
    pub read_from: Vec<Continuation>,
    /// The run that has not ended and goes on: what was committed before this instant it reads again.
    pub reads_since: Option<DateTime<Utc>>,
}

impl Resumed {
    /// Splits windows into what is still to read and what is committed, as it was known at `known_at`.
    /// A begun window of which only the end is lacking stays whole, so that its ledger row goes on.
    pub fn new(
        windows: &[Window],
        committed: &[Window],
        begun: &[BegunWindow],
        known_at: DateTime<Utc>,
    ) -> Self {
        let mut resumed = Self::default();
        for window in windows {
            let begun = begun.iter().find(|begun| begun.window == *window);
            match (begun, window.minus(committed).as_slice()) {
                (Some(begun), [rest]) if window.start < rest.start && rest.end == window.end => {
                    resumed.remaining.push(*window);
                    resumed.read_from.push(Continuation {
                        from: rest.start,
                        known_at,
                        begun: Some(*begun),
                    });
                }
                _ => {
                    let (remaining, skipped) = split_committed(&[*window], committed);
                    resumed.remaining.extend(remaining);
                    resumed.skipped.extend(skipped);
                }
            }
        }
        resumed
    }
}

/// Plan of one entity's run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The record type.
    pub entity: EntitySpec,
    /// Windows to read, oldest first.
    pub windows: Vec<Window>,
    /// Windows that an earlier run has stored. They are reported, but not read.
    pub skipped: Vec<WindowReport>,
    /// Beginnings of the reads of windows of which earlier runs have committed what comes before.
    pub read_from: Vec<Continuation>,
    /// It goes on with a run that reads again what was committed before this instant.
    pub reads_since: Option<DateTime<Utc>>,
    /// Maximum number of records in a page.
    pub page_size: PageSize,
    /// Maximum number of windows that are read at the same time.
    pub concurrency: usize,
    /// Each window is read with its own requests, even if it is empty.
    pub strict_windows: bool,
    /// Id of the run, if it is in the ledger already.
    pub run_id: Option<String>,
    /// Log empty runs at debug level; used for syncs, which check the same time often.
    pub is_quiet: bool,
}

/// Default number of windows read at the same time: enough to hide the latency of requests, and far
/// below QBO's limit of ten requests at a time (qbo-facts 6.1).
pub const DEFAULT_CONCURRENCY: usize = 4;

/// Most windows read at the same time, where QuickBooks answers so slowly that fewer do not fill the
/// allowed rate: its limit of requests at a time.
pub const MAX_CONCURRENCY: usize = 10;

/// One bound of a range, as the user gave it.
#[derive(Debug, Clone, Copy)]
pub struct RangeBound<'a> {
    /// Name of the setting, for error texts, such as `--start`.
    pub setting: &'a str,
    /// Text of the bound; see [`parse_instant`].
    pub text: &'a str,
}

impl<'a> RangeBound<'a> {
    /// Creates a bound given as `setting`.
    pub fn new(setting: &'a str, text: &'a str) -> Self {
        Self { setting, text }
    }
}

/// Parses both bounds of a range.
///
/// # Errors
/// [`Error::Config`] with the setting of the bound that is wrong.
pub fn parse_range(start: RangeBound<'_>, end: RangeBound<'_>) -> Result<Window> {
    let from = parse_instant(start.setting, start.text)?;
    let until = parse_instant(end.setting, end.text)?;
    Window::new(from, until).map_err(|_| {
        let reason = format!(
            "'{}' is not after {} '{}'",
            end.text.trim(),
            start.setting,
            start.text.trim()
        );
        Error::config(end.setting, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_outside_qbo_limits_are_refused() {
        assert!(PageSize::new(1).is_ok() && PageSize::new(1000).is_ok());
        for size in [0, -1, 1001, i64::MAX] {
            assert!(
                PageSize::new(size)
                    .unwrap_err()
                    .to_string()
                    .contains(&size.to_string())
            );
        }
    }

    #[test]
    fn a_range_names_the_bound_that_is_wrong() {
        let error = parse_range(
            RangeBound::new("--start", "2025-02-01"),
            RangeBound::new("--end", "2025-01-01"),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "--end: '2025-01-01' is not after --start '2025-02-01'"
        );
    }
}
