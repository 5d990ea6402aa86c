//! Results of comparisons with the ids of QuickBooks, in the report of an entity.

use crate::domain::{EntitySync, FailureKind, too_many_rejects};
use crate::error::Result;

/// Result of a comparison of ids.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Rows that are newly marked as deleted.
    pub deleted: u64,
    /// Records that exist and cannot be read.
    pub set_aside: SetAside,
}

/// Records that were set aside because they cannot be read when they are looked up.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    /// Number of them.
    pub count: u64,
    /// Reason why the first of them cannot be read.
    pub first: String,
}

impl SetAside {
    /// Adds the records to a report. With more of them than a window may have, the entity has failed,
    /// as a window has.
    pub(super) fn added_to(&self, report: EntitySync) -> EntitySync {
        let report = EntitySync {
            rows: report.rows + self.count,
            rejected: report.rejected + self.count,
            ..report
        };
        match too_many_rejects(self.count, &self.first) {
            Some(error) => report.failed(error.to_string(), FailureKind::of(&error)),
            None => report,
        }
    }
}

/// Returns the report with what a comparison of ids has found, or with the reason why it failed.
pub(super) fn with_comparison(report: EntitySync, compared: Result<Compared>) -> EntitySync {
    match compared {
        Ok(found) => found
            .set_aside
            .added_to(with_deletions(report, Ok(found.deleted))),
        Err(error) => with_deletions(report, Err(error)),
    }
}

/// Returns the report with the number of deletions, or with the reason why they are unknown.
pub(super) fn with_deletions(report: EntitySync, marked: Result<u64>) -> EntitySync {
    match marked {
        Ok(deleted) => EntitySync { deleted, ..report },
        Err(error) => report.failed(format!("deletions: {error}"), FailureKind::of(&error)),
    }
}
