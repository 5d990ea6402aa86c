//! The cap on the reads of a month, which all companies of an app share, because Intuit counts their reads
//! together (qbo-facts 6.2).
//!
//! A read is reserved in a document that all processes change in turn, before its request is sent, and given
//! back if the answer was no read, or the request did not leave. So no process needs to know of others, and none has reads in reserve that others
//! lack. A process that dies leaves its requests under way counted: they may have been answered.

use chrono::{DateTime, Datelike, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::state::Outcome;
use crate::error::{Error, Result};
use crate::port::{Change, SharedState};

/// The cap on the reads of a month.
#[derive(Debug)]
pub(crate) struct MonthlyCap {
    max: u64,
    shared: Box<dyn SharedState>,
}

/// The year and month in which a read is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Month(i32, u32);

/// The shared document.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Reserved {
    month: Month,
    reads: u64,
}

impl Reserved {
    /// An unreadable document counts as empty, as for all other limits.
    fn parse(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    fn to_text(&self) -> String {
        // Serialising it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reserves a read; `None` if all of the month are reserved.
    fn reserve(&mut self, max: u64, now: DateTime<Utc>) -> Option<Month> {
        let month = Month(now.year(), now.month());
        if self.month != month {
            *self = Self { month, reads: 0 };
        }
        (self.reads < max).then(|| {
            self.reads += 1;
            month
        })
    }

    /// Gives a read back, unless its month has ended.
    fn give_back(&mut self, month: Month) {
        if self.month == month {
            self.reads = self.reads.saturating_sub(1);
        }
    }
}

impl MonthlyCap {
    /// Returns the cap on the reads that are counted in `shared`.
    pub(crate) fn new(max: u64, shared: Box<dyn SharedState>) -> Self {
        Self { max, shared }
    }

    /// Reserves a read.
    ///
    /// # Errors
    /// [`Error::ReadCap`] if there is none; errors of the shared state, without which nobody knows.
    pub(super) async fn reserve(&self) -> Result<Month> {
        let reserved = Mutex::new(None);
        let reserve: Change<'_> = Box::new(|text, now| {
            let mut document = Reserved::parse(text);
            *reserved.lock() = document.reserve(self.max, now);
            Some(document.to_text())
        });
        self.shared.update(reserve).await?;
        let reserved = reserved.lock().take();
        reserved.ok_or(Error::ReadCap { max: self.max })
    }

    /// Ends a reserved read with its outcome. An answer that Intuit does not meter gives it back, and so does a request
    /// that did not leave. Silence does not, because the answer may only have been lost.
    pub(super) async fn end(&self, month: Month, outcome: Outcome) {
        let may_be_metered = match outcome {
            Outcome::Read | Outcome::Failed | Outcome::Unknown => true,
            Outcome::Answered | Outcome::Faulted | Outcome::Throttled | Outcome::Unsent => false,
        };
        if may_be_metered {
            return;
        }
        let give_back: Change<'_> = Box::new(|text, _| {
            let mut document = Reserved::parse(text);
            document.give_back(month);
            Some(document.to_text())
        });
        // One that cannot be given back stays counted, so that the cap holds.
        let _ = self.shared.update(give_back).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_has_so_many_reads_and_the_next_one_has_them_again() {
        let (november, december) = (at("2026-11-30T23:59:59Z"), at("2026-12-01T00:00:00Z"));
        let mut document = Reserved::default();
        let first = document.reserve(2, november).unwrap();
        assert!(document.reserve(2, november).is_some());
        assert_eq!(document.reserve(2, november), None);
        document.give_back(first);
        assert!(document.reserve(2, november).is_some());
        assert_eq!(document.reserve(2, november), None);
        let document_text = document.to_text();
        let mut document = Reserved::parse(Some(&document_text));
        assert!(document.reserve(2, december).is_some());
        // A read of the month before was not taken from this one.
        document.give_back(first);
        assert!(document.reserve(2, december).is_some());
        assert_eq!(document.reserve(2, december), None);
    }
}
