//! Reads a span whose rows say no reliable place: only a page that is not full is known to be complete.
//!
//! A range that fills a page is read again as two halves, a single second with twice the size. If the
//! first half holds nothing, the second half fills a page, too: it is halved at once, and its whole is not
//! asked for again. So one record in a year costs about 25 requests, one for each halving. Behind rows,
//! the next range is the widest of those left that would fit a page if rows went on as densely.

use chrono::{DateTime, TimeDelta, Utc};

use super::step::Step;
use crate::domain::PageSize;

/// State of a read by halves.
#[derive(Debug)]
pub(super) struct Halving {
    /// Ranges that are to be read, the next one last. Each begins where the next one ends.
    ranges: Vec<Range>,
    size: u32,
}

#[derive(Debug)]
struct Range {
    until: DateTime<Utc>,
    /// It filled a page together with what was before it, which held nothing.
    is_full: bool,
}

impl Halving {
    pub(super) fn new(size: u32) -> Self {
        let ranges = Vec::new();
        Self { ranges, size }
    }

    pub(super) fn size(&self) -> u32 {
        self.size
    }

    pub(super) fn set_size(&mut self, size: u32) {
        self.size = size;
    }

    /// Returns the end of the next range of a span that ends at `end`.
    pub(super) fn until(&self, end: DateTime<Utc>) -> DateTime<Utc> {
        self.ranges.last().map_or(end, |range| end.min(range.until))
    }

    /// Continues at an instant.
    pub(super) fn skip_to(&mut self, instant: DateTime<Utc>) {
        self.ranges.retain(|range| range.until > instant);
    }

    /// Divides the range of a step that filled a page. Returns false if it is a second that was read
    /// with the largest page.
    pub(super) fn divide(&mut self, step: &Step) -> bool {
        let until = step.until;
        self.skip_to(until);
        let is_full = true;
        self.ranges.push(Range { until, is_full });
        if self.halve(step.from) {
            return true;
        }
        let can_grow = self.size < PageSize::MAX;
        self.size = PageSize::MAX.min(self.size.saturating_mul(2));
        can_grow
    }

    /// Goes on behind the range of a step that brought `count` rows, less than a page, with pages of
    /// `size`. Returns true if what follows is known to fill a page.
    pub(super) fn accept(&mut self, step: &Step, count: usize, size: u32) -> bool {
        self.size = size;
        self.skip_to(step.until);
        if count == 0 && self.ranges.last().is_some_and(|range| range.is_full) {
            self.halve(step.until);
            return true;
        }
        let read = seconds(step.from, step.until).max(1);
        while let [.., wider, _] = &self.ranges[..]
            && count as u64 * seconds(step.until, wider.until) < u64::from(size) * read
        {
            self.ranges.pop();
        }
        self.ranges
            .iter_mut()
            .for_each(|range| range.is_full = false);
        false
    }

    /// Halves the next range, which begins at `from`. Returns false if it is a second.
    fn halve(&mut self, from: DateTime<Utc>) -> bool {
        let seconds = self
            .ranges
            .last()
            .map_or(0, |range| (range.until - from).num_seconds());
        if seconds > 1 {
            let until = from + TimeDelta::seconds(seconds / 2);
            let is_full = false;
            self.ranges.push(Range { until, is_full });
        }
        seconds > 1
    }
}

fn seconds(from: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
    u64::try_from((until - from).num_seconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const YEAR: i64 = 366 * 24 * 3600;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    /// Reads a year whose rows are at these seconds; returns the rows that arrived and the requests.
    fn read(rows: &[i64], size: u32) -> (usize, u32) {
        let (mut halving, mut from, end) = (Halving::new(size), at(0), at(YEAR));
        let (mut arrived, mut requests) = (0, 0);
        while from < end {
            let until = halving.until(end);
            assert!(from < until && until <= end, "[{from}, {until})");
            requests += 1;
            let is_inside = |row: &&i64| at(**row) >= from && at(**row) < until;
            let found = rows.iter().filter(is_inside).count();
            let step = Step::rows(from, until, halving.size());
            if found >= halving.size() as usize {
                assert!(halving.divide(&step));
                continue;
            }
            arrived += found;
            halving.accept(&step, found, size);
            from = until;
        }
        (arrived, requests)
    }

    #[test]
    fn a_row_in_a_year_costs_a_request_for_each_halving() {
        for row in [0, 1, YEAR / 3, YEAR - 1] {
            let (arrived, requests) = read(&[row], 1);
            assert_eq!(arrived, 1);
            // 25 halvings, the second by itself, again with twice the size, and the time behind it.
            assert!(requests <= 30, "{row}: {requests} requests");
        }
    }

    #[test]
    fn even_rows_cost_less_than_two_requests_a_range() {
        let rows: Vec<i64> = (0..20_000).map(|row| row * YEAR / 20_000).collect();
        let (arrived, requests) = read(&rows, 100);
        assert_eq!(arrived, rows.len());
        assert!(requests < 2 * 256, "{requests} requests");
    }

    proptest! {
        #[test]
        fn every_row_arrives_once(
            rows in proptest::collection::vec(0..YEAR, 0..200),
            size in 1_u32..50,
        ) {
            prop_assert_eq!(read(&rows, size).0, rows.len());
        }
    }
}
