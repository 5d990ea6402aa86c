//! The parts of a window that its writer has committed, and the numbers of the window as a whole.

use chrono::{DateTime, Utc};
use serde::Serialize;

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

/// The numbers of a ledger row, by the names of its columns.
#[derive(Debug, Serialize)]
pub(super) struct WindowSums {
    pub pages: u32,
    pub rows: u64,
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub rejected: u64,
    pub requests: u64,
    pub retries: u64,
    pub bytes: u64,
    pub extract_ms: u64,
    pub load_ms: u64,
}

impl WindowSums {
    /// The columns, for the statements that write them.
    pub(super) const COLUMNS: &str = include_str!("sql/window_sums.sql").trim_ascii_end();

    /// Adds what a run has read to the parts that earlier runs have committed.
    pub(super) fn of(
        begun: PartTotals,
        summary: ReadSummary,
        counts: LoadCounts,
        busy_ms: u64,
    ) -> Self {
        Self {
            pages: summary.pages,
            rows: begun.counts.rows + counts.rows,
            inserted: begun.counts.inserted + counts.inserted,
            updated: begun.counts.updated + counts.updated,
            unchanged: begun.counts.unchanged + counts.unchanged,
            rejected: begun.counts.rejected + counts.rejected,
            requests: begun.requests + summary.requests,
            retries: begun.retries + summary.retries,
            bytes: begun.bytes + summary.bytes,
            extract_ms: begun.extract_ms + summary.extract_ms,
            load_ms: begun.load_ms + busy_ms,
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

    #[test]
    fn the_numbers_are_sent_by_the_names_of_their_columns() {
        let sums = WindowSums::of(
            PartTotals::default(),
            ReadSummary::default(),
            LoadCounts::default(),
            0,
        );
        let sent = serde_json::to_value(sums).unwrap();
        let mut columns: Vec<_> = WindowSums::COLUMNS.split(", ").collect();
        columns.sort_unstable();
        let mut names: Vec<_> = sent.as_object().unwrap().keys().collect();
        names.sort_unstable();
        assert_eq!(names, columns);
    }
}
