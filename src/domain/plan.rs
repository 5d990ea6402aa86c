//! What a run is asked to do, checked once at the door.

use chrono::{DateTime, Utc};

use crate::domain::instant::parse_instant;
use crate::domain::{EntitySpec, Window, WindowReport};
use crate::error::{Error, Result};

/// How many records to ask for in one page: 1 to 1000 (qbo-facts 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageSize(u32);

impl Default for PageSize {
    fn default() -> Self {
        Self(Self::MAX)
    }
}

impl PageSize {
    /// QBO's cap on the rows of one answer.
    pub const MAX: u32 = 1000;

    /// A page size, if QBO can serve it.
    ///
    /// # Errors
    /// [`Error::Config`] with the value.
    pub fn new(size: i64) -> Result<Self> {
        match u32::try_from(size) {
            Ok(size @ 1..=Self::MAX) => Ok(Self(size)),
            _ => Err(Error::config(
                "page_size",
                format!("{size} is not between 1 and {}", Self::MAX),
            )),
        }
    }

    /// The number of records.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// One entity's share of a run: which windows, and which of them are done already.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The record type.
    pub entity: EntitySpec,
    /// The windows to read, oldest first.
    pub windows: Vec<Window>,
    /// Windows that an earlier run stored; reported as they are, not read.
    pub skipped: Vec<WindowReport>,
    /// What was changed before this instant is known already and not read again; the window that
    /// holds it is committed as a whole all the same.
    pub read_from: Option<DateTime<Utc>>,
    /// Records in a page.
    pub page_size: PageSize,
    /// Windows read at the same time.
    pub concurrency: usize,
    /// Each window has requests of its own, even if it turns out to be empty.
    pub strict_windows: bool,
    /// What turns out to be empty is not told at the level of news: it is looked at again and
    /// again.
    pub is_quiet: bool,
}

/// How many windows are in flight unless told otherwise: enough to hide the latency of one request
/// behind another, few enough to stay far below QBO's ten at a time (qbo-facts 6.1).
pub const DEFAULT_CONCURRENCY: usize = 4;

/// Reads both bounds of a range; the names are those the user knows them by.
///
/// # Errors
/// [`Error::Config`] that names the bound.
pub fn parse_range(start: (&str, &str), end: (&str, &str)) -> Result<Window> {
    let (from, until) = (
        parse_instant(start.0, start.1)?,
        parse_instant(end.0, end.1)?,
    );
    Window::new(from, until).map_err(|_| {
        Error::config(
            end.0,
            format!(
                "'{}' is not after {} '{}'",
                end.1.trim(),
                start.0,
                start.1.trim()
            ),
        )
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
        let error = parse_range(("--start", "2025-02-01"), ("--end", "2025-01-01")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--end: '2025-01-01' is not after --start '2025-02-01'"
        );
    }
}
