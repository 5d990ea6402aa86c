//! The parts of a window that its writer has committed, and the numbers of the window as a whole.

use chrono::{DateTime, Utc};

use crate::domain::{DistinctIds, LoadCounts, PartTotals};
use crate::port::ReadSummary;

/// The parts of a window that are committed.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Ids of their records.
    ids: DistinctIds,
    /// Counts of the records.
    pub counts: LoadCounts,
    /// The instant as of which they are committed: that of the first one.
    pub committed_at: Option<DateTime<Utc>>,
}

impl Parts {
    /// Returns a counter of the records of the next part.
    pub(super) fn next(&self) -> DistinctIds {
        self.ids.another()
    }

    /// Returns the counts of the window with a further part. A record that was edited between two parts
    /// counts as what it was in the first one: the second has updated its row.
    pub(super) fn with(&self, part: LoadCounts, ids: &DistinctIds) -> LoadCounts {
        let known = self.ids.shared_with(ids);
        let updated = part.updated.saturating_sub(known);
        let unchanged = part.unchanged - known.saturating_sub(part.updated).min(part.unchanged);
        LoadCounts {
            rows: self.counts.rows + part.inserted + updated + unchanged,
            inserted: self.counts.inserted + part.inserted,
            updated: self.counts.updated + updated,
            unchanged: self.counts.unchanged + unchanged,
            rejected: 0,
        }
    }

    /// Takes note that a part is committed.
    pub(super) fn add(&mut self, counts: LoadCounts, ids: DistinctIds, at: DateTime<Utc>) {
        self.ids.absorb(ids);
        self.counts = counts;
        self.committed_at = Some(at);
    }
}

/// Returns counts without some records, which count again when they are read again.
pub(super) fn without(counts: LoadCounts, mut records: u64) -> LoadCounts {
    let mut take = |count: u64| {
        let taken = records.min(count);
        records -= taken;
        count - taken
    };
    let (inserted, updated) = (take(counts.inserted), take(counts.updated));
    let unchanged = take(counts.unchanged);
    LoadCounts {
        rows: inserted + updated + unchanged,
        inserted,
        updated,
        unchanged,
        rejected: counts.rejected,
    }
}

/// The numbers of a ledger row.
pub(super) struct WindowSums {
    pub pages: i32,
    /// Rows, inserted, updated, unchanged, rejected.
    pub counts: [i64; 5],
    /// Requests, retries, bytes, milliseconds of waiting and of storing.
    pub costs: [i64; 5],
}

impl WindowSums {
    /// Adds what a run has read to the parts that earlier runs have committed.
    pub(super) fn of(
        begun: PartTotals,
        summary: ReadSummary,
        counts: LoadCounts,
        busy_ms: u64,
    ) -> Self {
        let add = |(before, now): (u64, u64)| (before + now) as i64;
        Self {
            pages: summary.pages as i32,
            counts: [
                (begun.counts.rows, counts.rows),
                (begun.counts.inserted, counts.inserted),
                (begun.counts.updated, counts.updated),
                (begun.counts.unchanged, counts.unchanged),
                (begun.counts.rejected, counts.rejected),
            ]
            .map(add),
            costs: [
                (begun.requests, summary.requests),
                (begun.retries, summary.retries),
                (begun.bytes, summary.bytes),
                (begun.extract_ms, summary.extract_ms),
                (begun.load_ms, busy_ms),
            ]
            .map(add),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(parts: &Parts, ids: &[&str]) -> DistinctIds {
        let mut part = parts.next();
        ids.iter().for_each(|id| part.insert(id));
        part
    }

    #[test]
    fn a_record_that_is_edited_between_two_parts_counts_once() {
        let counts = |inserted, updated, unchanged| LoadCounts {
            rows: inserted + updated + unchanged,
            inserted,
            updated,
            unchanged,
            rejected: 0,
        };
        let mut parts = Parts::default();
        let first = ids(&parts, &["1", "2", "3"]);
        let so_far = parts.with(counts(2, 0, 1), &first);
        assert_eq!(so_far, counts(2, 0, 1));
        parts.add(so_far, first, DateTime::UNIX_EPOCH);
        // 2 was edited, and 3 by another process that has stored it too.
        let second = ids(&parts, &["2", "3", "4", "5"]);
        assert_eq!(parts.with(counts(1, 2, 1), &second), counts(3, 0, 2));
        assert_eq!(parts.with(counts(1, 1, 2), &second), counts(3, 0, 2));
        assert_eq!(without(counts(3, 1, 2), 5), counts(0, 0, 1));
    }
}
