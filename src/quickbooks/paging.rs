//! A cursor that keeps its place in a span by time of change, not by offset.
//!
//! With offsets, a record that is edited during the read moves to the end, all later ones shift
//! left, and the next page skips one (qbo-facts 3.8). Here the next page starts at the last second
//! seen, inclusive, and records of that second that were seen already are dropped. An edit can only
//! move a record forward, to a place that is still to be read.
//!
//! A second that fills a whole page cannot be passed that way. Only such a second is read by offset,
//! ordered by `Id`. Each page begins with the last row of the page before, so that a record that
//! leaves the second is noticed and the second is read again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::domain::query::Order;
use crate::domain::{Ordering, PageSize, Record};
use crate::error::{Error, Result};

/// The next query to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub order: Order,
    pub start_position: u32,
    pub max_results: u32,
}

/// Position in a span of time.
#[derive(Debug)]
pub(super) struct Cursor {
    page_size: u32,
    /// All records changed before this instant have been returned.
    from: DateTime<Utc>,
    mode: Mode,
    /// Records of the second `from` that have been returned: id and a hash of the payload, because a
    /// record can change twice within a second.
    seen: HashMap<String, u64>,
    /// Number of times in a row that a crowded second was restarted without bringing a new record.
    fruitless_restarts: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Mode {
    ByTime,
    WithinSecond {
        position: u32,
        last_id: Option<String>,
    },
    /// The order of rows is unreliable: only a page that is not full is known to be complete. A full
    /// page is requested again with half of the time.
    Halving {
        until: Option<DateTime<Utc>>,
        size: u32,
    },
}

/// Smallest page that can overlap the next one by a row.
const MIN_OVERLAPPING_PAGE: u32 = 2;

/// Cap of restarts. Records that leave a second cause a restart each, and run out; a server that
/// changes the order of rows each time would cause restarts for ever.
const MAX_FRUITLESS_RESTARTS: u32 = 20;

impl Cursor {
    pub(super) fn new(from: DateTime<Utc>, page_size: u32, ordering: Ordering) -> Self {
        let mode = match ordering {
            Ordering::By(_) => Mode::ByTime,
            Ordering::Unreliable => Mode::Halving {
                until: None,
                size: page_size,
            },
        };
        Self {
            page_size,
            from,
            mode,
            seen: HashMap::new(),
            fruitless_restarts: 0,
        }
    }

    /// Returns the instant before which all changes have been returned.
    pub(super) fn covered_until(&self) -> DateTime<Utc> {
        self.from
    }

    /// Returns the current page size.
    pub(super) fn size(&self) -> u32 {
        self.page_size
    }

    /// Sets the size of the pages from now on, at least 1.
    pub(super) fn set_size(&mut self, size: u32) {
        self.page_size = size.max(1);
        if let Mode::Halving { size, .. } = &mut self.mode {
            *size = self.page_size;
        }
    }

    /// Accepts all rows of a second that was read by other means and continues after it; returns the
    /// rows not seen before.
    pub(super) fn accept_second(
        &mut self,
        second: DateTime<Utc>,
        rows: Vec<Record>,
    ) -> Vec<Record> {
        let fresh = if second == self.from {
            self.keep_unseen(rows)
        } else {
            rows
        };
        if matches!(self.mode, Mode::WithinSecond { .. }) {
            self.mode = Mode::ByTime;
        }
        self.advance_to(second + TimeDelta::seconds(1));
        fresh
    }

    /// Returns the next query of a span that currently ends at `end`, or `None` if the span has been
    /// read.
    pub(super) fn next_step(&self, end: DateTime<Utc>) -> Option<Step> {
        if self.from >= end {
            return None;
        }
        let (until, order, start_position, max_results) = match self.mode {
            Mode::ByTime => (end, Order::LastUpdated, 1, self.page_size),
            Mode::Halving { until, size } => (
                until.map_or(end, |until| until.min(end)),
                Order::LastUpdated,
                1,
                size,
            ),
            Mode::WithinSecond { position, .. } => (
                self.end_of_second(),
                Order::WithinSecond,
                position,
                self.page_size.max(MIN_OVERLAPPING_PAGE),
            ),
        };
        Some(Step {
            from: self.from,
            until,
            order,
            start_position,
            max_results,
        })
    }

    /// Accepts the rows that a step brought; returns those not seen before. `count` includes the rows
    /// that could not be read.
    ///
    /// # Errors
    /// [`Error::Decode`] if the rows are not those requested: continuing could lose records.
    pub(super) fn accept(
        &mut self,
        step: &Step,
        rows: Vec<Record>,
        count: usize,
    ) -> Result<Vec<Record>> {
        check_rows(step, &rows, !matches!(self.mode, Mode::Halving { .. }))?;
        let is_full = count >= step.max_results as usize;
        match std::mem::replace(&mut self.mode, Mode::ByTime) {
            Mode::WithinSecond { last_id, .. } => {
                self.accept_within_second(rows, step, last_id, is_full)
            }
            Mode::Halving { size, .. } => self.accept_halving(rows, step, size, is_full),
            Mode::ByTime => Ok(self.accept_by_time(rows, step, is_full)),
        }
    }

    /// Accepts a page whose order is unreliable. A full page is requested again with half of the time,
    /// and within one second with twice the size.
    fn accept_halving(
        &mut self,
        rows: Vec<Record>,
        step: &Step,
        size: u32,
        is_full: bool,
    ) -> Result<Vec<Record>> {
        let seconds = (step.until - step.from).num_seconds();
        if !is_full {
            self.mode = Mode::Halving {
                until: None,
                size: self.page_size,
            };
            self.from = step.until;
            return Ok(rows);
        }
        self.mode = if seconds > 1 {
            Mode::Halving {
                until: Some(step.from + TimeDelta::seconds(seconds / 2)),
                size,
            }
        } else if size < PageSize::MAX {
            Mode::Halving {
                until: Some(step.until),
                size: PageSize::MAX.min(size * 2),
            }
        } else {
            let (count, second) = (rows.len(), self.from.to_rfc3339());
            let reason = format!(
                "{count} or more records changed at {second}, and their order cannot be relied on"
            );
            return Err(Error::decode(UNEXPECTED_ANSWER, reason));
        };
        Ok(Vec::new())
    }

    fn accept_by_time(&mut self, rows: Vec<Record>, step: &Step, is_full: bool) -> Vec<Record> {
        let last = rows.last().map(second_of).filter(|_| is_full);
        let fresh = self.keep_unseen(rows);
        match last {
            None => self.advance_to(step.until),
            Some(second) if second > self.from => {
                self.from = second;
                self.seen = fresh
                    .iter()
                    .filter(|row| second_of(row) == second)
                    .map(fingerprint)
                    .collect();
            }
            Some(_) => {
                self.seen.extend(fresh.iter().map(fingerprint));
                self.mode = Mode::WithinSecond {
                    position: 1,
                    last_id: None,
                };
            }
        }
        fresh
    }

    fn advance_to(&mut self, to: DateTime<Utc>) {
        self.from = to;
        self.seen.clear();
    }

    fn accept_within_second(
        &mut self,
        rows: Vec<Record>,
        step: &Step,
        last_id: Option<String>,
        is_full: bool,
    ) -> Result<Vec<Record>> {
        let overlaps = last_id.is_none() || rows.first().map(|row| &row.id) == last_id.as_ref();
        let end_id = rows.last().map(|row| row.id.clone());
        let advance = step.max_results - 1;
        let fresh = self.keep_unseen(rows);
        self.seen.extend(fresh.iter().map(fingerprint));
        if !overlaps {
            self.fruitless_restarts = if fresh.is_empty() {
                self.fruitless_restarts + 1
            } else {
                0
            };
            if self.fruitless_restarts > MAX_FRUITLESS_RESTARTS {
                let reason = format!(
                    "the records of {} arrive in a different order each time",
                    self.from.to_rfc3339()
                );
                return Err(Error::decode(UNEXPECTED_ANSWER, reason));
            }
            self.mode = Mode::WithinSecond {
                position: 1,
                last_id: None,
            };
        } else if is_full {
            self.mode = Mode::WithinSecond {
                position: step.start_position + advance,
                last_id: end_id,
            };
        } else {
            self.advance_to(self.end_of_second());
        }
        Ok(fresh)
    }

    fn keep_unseen(&self, rows: Vec<Record>) -> Vec<Record> {
        rows.into_iter()
            .filter(|row| self.seen.get(&row.id) != Some(&fingerprint(row).1))
            .collect()
    }

    fn end_of_second(&self) -> DateTime<Utc> {
        self.from + TimeDelta::seconds(1)
    }
}

/// Returns the second in which a record was changed. QBO has no fractions of a second; if one appears,
/// it must not hide neighbouring records.
fn second_of(row: &Record) -> DateTime<Utc> {
    row.updated_at.trunc_subsecs(0)
}

fn fingerprint(row: &Record) -> (String, u64) {
    let mut hasher = DefaultHasher::new();
    row.payload.as_bytes().hash(&mut hasher);
    (row.id.clone(), hasher.finish())
}

const UNEXPECTED_ANSWER: &str = "answer of QuickBooks is not what was requested";

fn check_rows(step: &Step, rows: &[Record], is_ordered: bool) -> Result<()> {
    let wrong = |why: &str, row: &Record| {
        let reason = format!(
            "record {} changed at {} is {why}",
            row.id,
            row.updated_at.to_rfc3339()
        );
        Err(Error::decode(UNEXPECTED_ANSWER, reason))
    };
    if let Some(row) = rows
        .iter()
        .find(|row| second_of(row) < step.from || second_of(row) >= step.until)
    {
        return wrong("outside the requested range", row);
    }
    if is_ordered
        && step.order == Order::LastUpdated
        && let Some(pair) = rows
            .windows(2)
            .find(|pair| pair[1].updated_at < pair[0].updated_at)
    {
        return wrong("out of order", &pair[1]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Payload;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Simulated books: records as (id, second, version), edited between pages.
    #[derive(Debug, Clone)]
    struct Books {
        rows: BTreeMap<u32, (i64, u32)>,
        now: i64,
    }

    fn take(cursor: &mut Cursor, step: &Step, rows: Vec<Record>) -> Result<Vec<Record>> {
        let count = rows.len();
        cursor.accept(step, rows, count)
    }

    const SPAN: i64 = 50;
    const ORDERED: Ordering = Ordering::By("Id");

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    fn record(id: u32, second: i64, version: u32) -> Record {
        let payload = Payload::from_valid_json(Bytes::from(format!("{{\"v\":{version}}}")));
        Record {
            id: id.to_string(),
            updated_at: at(second),
            sync_token: 0,
            payload,
        }
    }

    impl Books {
        fn edit(&mut self, id: u32) {
            self.now += 1;
            let now = self.now;
            if let Some(row) = self.rows.get_mut(&id) {
                *row = (now, row.1 + 1);
            }
        }

        fn answer(&self, step: &Step) -> Vec<Record> {
            let mut rows: Vec<_> = self
                .rows
                .iter()
                .map(|(&id, &(second, version))| record(id, second, version))
                .filter(|row| row.updated_at >= step.from && row.updated_at < step.until)
                .collect();
            match step.order {
                Order::WithinSecond => rows.sort_by_key(|row| row.id.clone()),
                // Ties in an order of their own, unlike that of ids.
                Order::LastUpdated => {
                    rows.sort_by_key(|row| (row.updated_at, fingerprint(row).1, row.id.clone()))
                }
            }
            let first = step.start_position as usize - 1;
            rows.into_iter()
                .skip(first)
                .take(step.max_results as usize)
                .collect()
        }
    }

    /// Reads the window while `edits` happen, one batch before each page; returns the newest
    /// version read of each id.
    fn read(
        books: &mut Books,
        end: i64,
        page_size: u32,
        edits: &[Vec<u32>],
    ) -> (BTreeMap<u32, u32>, usize) {
        let mut cursor = Cursor::new(at(0), page_size, ORDERED);
        let mut edits = edits.iter();
        let (mut read, mut handed_on) = (BTreeMap::new(), 0);
        while let Some(step) = cursor.next_step(at(end)) {
            for row in take(&mut cursor, &step, books.answer(&step)).unwrap() {
                handed_on += 1;
                let version = std::str::from_utf8(row.payload.as_bytes()).unwrap();
                let version = version
                    .trim_start_matches("{\"v\":")
                    .trim_end_matches('}')
                    .parse()
                    .unwrap();
                read.insert(row.id.parse().unwrap(), version);
            }
            // What is edited after the last answer belongs to a later read.
            if cursor.next_step(at(end)).is_some() {
                edits
                    .next()
                    .into_iter()
                    .flatten()
                    .for_each(|&id| books.edit(id));
            }
        }
        (read, handed_on)
    }

    proptest! {
        #![proptest_config(crate::testing::cases(2000))]

        #[test]
        fn no_record_is_lost_or_stale_whatever_is_edited_between_pages(
            seconds in prop::collection::vec(0..SPAN, 1..120), crowded in any::<bool>(), page_size in 1u32..9,
            edits in prop::collection::vec(prop::collection::vec(0u32..120, 0..4), 0..40),
        ) {
            let squeeze = if crowded { 12 } else { 1 };
            let rows = seconds.iter().enumerate().map(|(id, s)| (id as u32, (s / squeeze, 0))).collect();
            let mut books = Books { rows, now: SPAN };
            // The window's end lies beyond every edit, so all records stay inside it.
            let (read, _) = read(&mut books, 10_000, page_size, &edits);
            let truth: BTreeMap<_, _> = books.rows.iter().map(|(&id, &(_, version))| (id, version)).collect();
            prop_assert_eq!(read, truth);
        }

        #[test]
        fn records_that_stay_in_a_closed_window_are_read_and_nothing_twice_when_nothing_changes(
            seconds in prop::collection::vec(0..SPAN, 1..120), page_size in 1u32..9,
            edits in prop::collection::vec(prop::collection::vec(0u32..120, 0..4), 0..40),
        ) {
            let rows = seconds.iter().enumerate().map(|(id, s)| (id as u32, (s / 10, 0))).collect();
            let mut books = Books { rows, now: SPAN };
            let (_, handed_on) = read(&mut books.clone(), SPAN, page_size, &[]);
            prop_assert_eq!(handed_on, seconds.len());
            // Edits move records out of this window; those never edited must all be there.
            let (read, _) = read(&mut books, SPAN, page_size, &edits);
            let stayed = books.rows.iter().filter(|(_, row)| row.1 == 0);
            for (id, _) in stayed {
                prop_assert!(read.contains_key(id), "lost {}", id);
            }
        }
    }

    #[test]
    fn a_quiet_window_costs_one_request_a_page() {
        let rows = (0..1000).map(|id| (id, (i64::from(id / 20), 0))).collect();
        let books = Books { rows, now: SPAN };
        let mut cursor = Cursor::new(at(0), 100, ORDERED);
        let mut requests = 0;
        while let Some(step) = cursor.next_step(at(SPAN)) {
            requests += 1;
            take(&mut cursor, &step, books.answer(&step)).unwrap();
        }
        // 1000 rows, and at most one second's 20 read again on each page.
        assert_eq!(requests, 13);
    }

    #[test]
    fn fractions_of_a_second_hide_no_records() {
        let with_fraction = |id: u32, millis: i64| {
            let mut row = record(id, 0, 0);
            row.updated_at = at(0) + TimeDelta::milliseconds(millis);
            row
        };
        let mut cursor = Cursor::new(at(0), 2, ORDERED);
        let step = cursor.next_step(at(10)).unwrap();
        assert_eq!(
            take(
                &mut cursor,
                &step,
                vec![with_fraction(1, 900), with_fraction(2, 1500)]
            )
            .unwrap()
            .len(),
            2
        );
        // The second page begins within the second that the first one ended in.
        let rows = vec![with_fraction(3, 1200), with_fraction(2, 1500)];
        let step = cursor.next_step(at(10)).unwrap();
        assert_eq!(
            take(&mut cursor, &step, rows)
                .unwrap()
                .iter()
                .map(|row| row.id.as_str())
                .collect::<Vec<_>>(),
            ["3"]
        );
    }

    #[test]
    fn reading_stops_if_the_server_shuffles_a_crowded_second() {
        let mut cursor = Cursor::new(at(0), 2, ORDERED);
        let page = |first, second| vec![record(first, 0, 0), record(second, 0, 0)];
        let outcome = (0..100).try_for_each(|turn| {
            let rows = if turn % 2 == 0 {
                page(1, 2)
            } else {
                page(3, 4)
            };
            let step = cursor.next_step(at(10)).unwrap();
            take(&mut cursor, &step, rows).map(|_| ())
        });
        assert!(outcome.is_err());
    }

    #[test]
    fn rows_out_of_order_or_range_are_refused() {
        let accept = |rows| {
            let mut cursor = Cursor::new(at(0), 10, ORDERED);
            let step = cursor.next_step(at(10)).unwrap();
            take(&mut cursor, &step, rows)
        };
        assert!(accept(vec![record(1, 5, 0), record(2, 4, 0)]).is_err());
        assert!(accept(vec![record(1, 10, 0)]).is_err());
    }

    #[test]
    fn rows_in_no_order_are_read_by_halving_until_pages_are_not_full() {
        let rows = (0..200)
            .map(|id| (id, (i64::from(id * 7 % 50), 0)))
            .collect();
        let books = Books { rows, now: SPAN };
        let mut cursor = Cursor::new(at(0), 13, Ordering::Unreliable);
        let mut read = std::collections::BTreeSet::new();
        while let Some(step) = cursor.next_step(at(SPAN)) {
            let mut rows = books.answer(&step);
            rows.reverse();
            read.extend(
                take(&mut cursor, &step, rows)
                    .unwrap()
                    .into_iter()
                    .map(|row| row.id),
            );
        }
        assert_eq!(read.len(), 200);
        let crowded = |count: u32| {
            let books = Books {
                rows: (0..count).map(|id| (id, (3, 0))).collect(),
                now: SPAN,
            };
            let mut cursor = Cursor::new(at(0), 13, Ordering::Unreliable);
            let mut read = 0;
            while let Some(step) = cursor.next_step(at(SPAN)) {
                read += take(&mut cursor, &step, books.answer(&step))?.len();
            }
            Ok::<_, Error>(read)
        };
        assert_eq!(crowded(999).unwrap(), 999);
        assert!(
            crowded(1000)
                .unwrap_err()
                .to_string()
                .contains("cannot be relied on")
        );
    }

    #[test]
    fn a_span_that_is_shortened_during_the_read_ends_there() {
        let rows = (0..100).map(|id| (id, (i64::from(id / 2), 0))).collect();
        let books = Books { rows, now: SPAN };
        let mut cursor = Cursor::new(at(0), 10, ORDERED);
        let (mut end, mut read) = (at(SPAN), 0);
        while let Some(step) = cursor.next_step(end) {
            read += take(&mut cursor, &step, books.answer(&step))
                .unwrap()
                .iter()
                .filter(|row| row.updated_at < at(20))
                .count();
            end = at(20);
        }
        assert!(read == 40 && cursor.covered_until() >= at(20));
    }
}
