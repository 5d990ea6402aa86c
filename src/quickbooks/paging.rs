//! A cursor that keeps its place in a span by time of change, not by offset.
//!
//! With offsets, a record that is edited during the read moves to the end, all later ones shift
//! left, and the next page skips one (qbo-facts 3.8). Here the next page starts at the last second
//! seen, inclusive, and records of that second that were seen already are dropped. An edit can only
//! move a record forward, to a place that is still to be read.
//!
//! A second that fills a whole page cannot be passed that way: see [`crowded_second`].
//!
//! A record that says another time than the service's (see [`places`]) must not end a page: the next
//! page would begin at a time at which the service holds other records. So each page must hold a row
//! with which the page before ended. If it does not, that row's time is not relied on, and the page
//! before is read again.
//!
//! [`crowded_second`]: super::crowded_second
//! [`places`]: super::places

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, TimeDelta, Utc};

use super::crowded_second::{CrowdedSecond, Progress, Query};
use super::halving::Halving;
use super::places::{Placed, UNEXPECTED_ANSWER, check_places, place, second_of};
use super::step::Step;
use crate::domain::instant::format_instant;
use crate::domain::{EntitySpec, Ordering, PageSize, Record};
use crate::error::{Error, Result};

/// Position in a span of time.
#[derive(Debug)]
pub(super) struct Cursor {
    entity: EntitySpec,
    page_size: u32,
    /// Most rows of any page.
    max_page_size: u32,
    /// Page size within a crowded second.
    crowded_page_size: u32,
    /// All records changed before this instant have been returned.
    from: DateTime<Utc>,
    mode: Mode,
    /// Records of the second `from` that have been returned: id and a hash of the payload, because a
    /// record can change twice within a second.
    seen: HashMap<String, u64>,
    /// The end of the page before, until the next page confirms it.
    page_end: Option<PageEnd>,
    /// Rows whose times are not relied on, as ids and hashes of payloads.
    distrusted: HashSet<(String, u64)>,
    /// Number of pages that were read again because of their ends.
    rereads: u32,
    /// Rows that were returned and say other times: later pages can hold them again.
    misplaced: HashSet<(String, u64)>,
}

/// The end of a page, at the second `from` of the cursor.
#[derive(Debug)]
struct PageEnd {
    /// Rows of the last second: one of them must be in the next page.
    rows: Vec<(String, u64)>,
    /// Second of the row before the last one.
    before_last: DateTime<Utc>,
    /// The new ones among them, which have not been returned.
    held: Vec<Record>,
    /// Start of the page.
    from: DateTime<Utc>,
    /// Rows of that page and before that have been returned.
    seen: HashMap<String, u64>,
}

/// Maximum number of pages of a span that are read again because of their ends.
const MAX_REREADS: u32 = 100;

#[derive(Debug)]
enum Mode {
    ByTime,
    /// The second `from` holds more than a page.
    Crowded(CrowdedSecond),
    /// No row says where a full page ends.
    Halving(Halving),
}

impl Cursor {
    pub(super) fn new(from: DateTime<Utc>, page_size: u32, entity: &EntitySpec) -> Self {
        let mode = match entity.ordering {
            Ordering::Reliable => Mode::ByTime,
            Ordering::Unreliable => Mode::Halving(Halving::new(page_size)),
        };
        Self {
            entity: *entity,
            page_size,
            max_page_size: PageSize::MAX,
            crowded_page_size: PageSize::MAX,
            from,
            mode,
            seen: HashMap::new(),
            page_end: None,
            distrusted: HashSet::new(),
            rereads: 0,
            misplaced: HashSet::new(),
        }
    }

    /// Returns the instant before which all changes have been returned.
    pub(super) fn covered_until(&self) -> DateTime<Utc> {
        self.page_end
            .as_ref()
            .map_or(self.from, |end| end.before_last)
    }

    /// Returns the current page size.
    pub(super) fn size(&self) -> u32 {
        self.page_size
    }

    /// Returns true while a second is read that holds more than a page.
    pub(super) fn is_crowded(&self) -> bool {
        matches!(self.mode, Mode::Crowded(_))
    }

    /// Sets the size of the pages from now on, at least 1.
    pub(super) fn set_size(&mut self, size: u32) {
        self.page_size = size.max(1);
        if let Mode::Halving(halving) = &mut self.mode {
            halving.set_size(self.page_size);
        }
    }

    /// Asks for smaller pages, because the step failed. Returns false if the pages are as small as
    /// `smallest` already.
    pub(super) fn shrink(&mut self, step: &Step, smallest: u32) -> bool {
        let size = (step.max_results / 2).max(smallest);
        if step.max_results <= smallest {
            return false;
        }
        if self.is_crowded() {
            self.crowded_page_size = size;
            self.mode = Mode::Crowded(CrowdedSecond::new(&self.entity, size, 0));
            return true;
        }
        if self.page_size <= smallest {
            return false;
        }
        self.set_size(size);
        true
    }

    /// Accepts all rows of a second that was read by other means and continues after it; returns the
    /// rows not seen before.
    pub(super) fn accept_second(
        &mut self,
        second: DateTime<Utc>,
        mut rows: Vec<Record>,
    ) -> Vec<Record> {
        let outside = |row: &&mut Record| second_of(row) != second;
        rows.iter_mut()
            .filter(outside)
            .for_each(|row| row.updated_at = second);
        let fresh = if second == self.from {
            self.keep_unseen(rows)
        } else {
            rows
        };
        self.skip_to(second + TimeDelta::seconds(1));
        fresh
    }

    /// Returns the instant from which a range can be divided by time; `None` within a crowded second
    /// and as long as the end of the page before is not confirmed.
    pub(super) fn unread_from(&self) -> Option<DateTime<Utc>> {
        (!self.is_crowded() && self.page_end.is_none()).then_some(self.from)
    }

    /// Returns the end of the second that confirms the page before, if it is not confirmed.
    pub(super) fn unconfirmed_until(&self) -> Option<DateTime<Utc>> {
        self.page_end.as_ref().map(|_| self.end_of_second())
    }

    /// Continues at an instant: what is before it was read by other means.
    pub(super) fn skip_to(&mut self, instant: DateTime<Utc>) {
        if self.is_crowded() {
            self.mode = Mode::ByTime;
        }
        self.page_end = None;
        self.advance_to(instant);
    }

    /// Returns the next query of a span that currently ends at `end`, or `None` if the span has been
    /// read.
    pub(super) fn next_step(&self, end: DateTime<Utc>) -> Option<Step> {
        let is_confirmed = |end_of_page: &PageEnd| end_of_page.before_last >= end;
        if self.from >= end {
            // The page may have ended with a row that says a later time than the service's.
            let is_reached = self.page_end.as_ref().is_none_or(is_confirmed);
            let step = Step::rows(self.from, self.end_of_second(), self.page_size);
            return (!is_reached).then_some(step);
        }
        Some(match &self.mode {
            Mode::ByTime => Step::rows(self.from, end, self.page_size),
            Mode::Halving(halving) => Step::rows(self.from, halving.until(end), halving.size()),
            Mode::Crowded(second) => {
                let Query {
                    conditions,
                    max_results,
                    is_count,
                } = second.query();
                Step {
                    conditions,
                    is_count,
                    ..Step::rows(self.from, self.end_of_second(), max_results)
                }
            }
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
        let is_full = count >= step.max_results as usize;
        let is_ordered = self.entity.ordering == Ordering::Reliable && !self.is_crowded();
        let is_trusted = |row: &Record| {
            self.distrusted.is_empty() || !self.distrusted.contains(&fingerprint(row))
        };
        let placed = place(step, rows, is_trusted, is_ordered);
        check_places(step, &placed)?;
        match &mut self.mode {
            Mode::Crowded(second) => {
                let progress = second.accept_rows(&placed.rows, count);
                let fresh = self.keep_unseen(placed.rows);
                self.seen.extend(fresh.iter().map(fingerprint));
                self.follow(progress)?;
                Ok(fresh)
            }
            Mode::Halving(_) if is_full => {
                self.divide(placed.rows.len(), step).map(|()| Vec::new())
            }
            Mode::Halving(halving) => {
                let goes_on = halving.accept(step, count, self.page_size);
                if self.entity.ordering == Ordering::Reliable && !goes_on {
                    self.mode = Mode::ByTime;
                }
                let fresh = self.keep_unseen(placed.rows);
                self.advance_to(step.until);
                Ok(fresh)
            }
            Mode::ByTime => self.accept_by_time(placed, step, is_full),
        }
    }

    /// Accepts the number of rows that a step asked for.
    ///
    /// # Errors
    /// [`Error::Decode`] if the second cannot be read.
    pub(super) fn accept_count(&mut self, count: u64) -> Result<()> {
        match &mut self.mode {
            Mode::Crowded(second) => {
                let progress = second.accept_count(count);
                self.follow(progress)
            }
            Mode::ByTime | Mode::Halving(_) => Ok(()),
        }
    }

    /// Continues within a crowded second or after it.
    fn follow(&mut self, progress: Progress) -> Result<()> {
        match progress {
            Progress::Continues => Ok(()),
            Progress::Complete => {
                self.mode = Mode::ByTime;
                self.crowded_page_size = self.max_page_size;
                self.advance_to(self.end_of_second());
                Ok(())
            }
            Progress::Failed(reason) => Err(Error::decode(
                format!(
                    "{} changed at {}",
                    self.entity.name,
                    format_instant(self.from)
                ),
                format!("this second cannot be read completely: {reason}"),
            )),
        }
    }

    /// Divides the range of a step that filled a page, of which no row says where it ends.
    fn divide(&mut self, count: usize, step: &Step) -> Result<()> {
        let Mode::Halving(halving) = &mut self.mode else {
            return Ok(());
        };
        if halving.divide(step) {
            return Ok(());
        }
        if self.entity.ordering == Ordering::Reliable {
            let second = CrowdedSecond::new(&self.entity, self.crowded_page_size, step.max_results);
            self.mode = Mode::Crowded(second);
            return Ok(());
        }
        let second = self.from.to_rfc3339();
        let reason = format!(
            "{count} or more records changed at {second}, and their order cannot be relied on"
        );
        Err(Error::decode(UNEXPECTED_ANSWER, reason))
    }

    fn accept_by_time(
        &mut self,
        placed: Placed,
        step: &Step,
        is_full: bool,
    ) -> Result<Vec<Record>> {
        let Some(mut returned) = self.confirm_page_end(&placed.rows)? else {
            return Ok(Vec::new());
        };
        let last = placed.second_from_end(0);
        let before_last = placed.second_from_end(1).unwrap_or(step.from);
        let is_last = |row: &&Record| Some(second_of(row)) == last;
        let in_order = placed.in_order.iter().map(|at| &placed.rows[*at]);
        let last_rows: Vec<_> = in_order.filter(is_last).map(fingerprint).collect();
        let misplaced = placed.misplaced_ids();
        let mut fresh = self.keep_unseen(placed.rows);
        let outside = fresh.iter().filter(|row| misplaced.contains(&row.id));
        self.misplaced.extend(outside.map(fingerprint));
        match last {
            _ if !is_full => self.advance_to(step.until),
            // No row says at which time the page ends.
            None => {
                self.mode = Mode::Halving(Halving::new(step.max_results));
                self.divide(0, step)?;
                fresh.clear();
            }
            Some(second) if second > self.from => {
                // The rows of the last second are in the next page again, which confirms them.
                let is_held = |row: &mut Record| last_rows.iter().any(|(id, _)| *id == row.id);
                let held = fresh.extract_if(.., is_held).collect();
                let mut seen = self.seen.clone();
                self.seen
                    .retain(|id, _| last_rows.iter().any(|(last, _)| last == id));
                seen.extend(fresh.iter().map(fingerprint));
                self.page_end = Some(PageEnd {
                    rows: last_rows,
                    before_last,
                    held,
                    from: self.from,
                    seen,
                });
                self.from = second;
            }
            Some(_) => {
                self.seen.extend(fresh.iter().map(fingerprint));
                let (size, tried) = (self.crowded_page_size, step.max_results);
                self.mode = Mode::Crowded(CrowdedSecond::new(&self.entity, size, tried));
            }
        }
        returned.append(&mut fresh);
        Ok(returned)
    }

    /// Returns the rows at the end of the page before that this page does not hold: each was edited
    /// meanwhile, or says a later time than the service's. Returns `None` if the page before must be
    /// read again, because none of its last rows is where it says.
    fn confirm_page_end(&mut self, rows: &[Record]) -> Result<Option<Vec<Record>>> {
        let Some(mut end) = self.page_end.take() else {
            return Ok(Some(Vec::new()));
        };
        let is_in_page = |id: &str| rows.iter().any(|row| row.id == id);
        if end.rows.iter().any(|(id, _)| is_in_page(id)) {
            end.held.retain(|row| !is_in_page(&row.id));
            return Ok(Some(end.held));
        }
        self.distrusted.extend(end.rows);
        self.rereads += 1;
        if self.rereads > MAX_REREADS {
            let reason = "pages do not begin with the rows that the pages before ended with";
            return Err(Error::decode(UNEXPECTED_ANSWER, reason));
        }
        (self.from, self.seen) = (end.from, end.seen);
        Ok(None)
    }

    fn advance_to(&mut self, to: DateTime<Utc>) {
        if let Mode::Halving(halving) = &mut self.mode {
            halving.skip_to(to);
        }
        self.from = to;
        self.seen.clear();
    }

    fn keep_unseen(&self, rows: Vec<Record>) -> Vec<Record> {
        // Nearly no row was seen before, and the hash of a whole payload is dear.
        let is_unseen = |row: &Record| {
            let seen = self.seen.get(&row.id);
            if seen.is_none() && self.misplaced.is_empty() {
                return true;
            }
            let print = fingerprint(row);
            seen != Some(&print.1) && !self.misplaced.contains(&print)
        };
        rows.into_iter().filter(is_unseen).collect()
    }

    fn end_of_second(&self) -> DateTime<Utc> {
        self.from + TimeDelta::seconds(1)
    }
}

fn fingerprint(row: &Record) -> (String, u64) {
    let mut hasher = DefaultHasher::new();
    row.payload.as_bytes().hash(&mut hasher);
    (row.id.clone(), hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::query::{Comparison, Condition};
    use crate::domain::{Payload, find_entity};
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

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

    fn customers() -> &'static EntitySpec {
        find_entity("customers").unwrap()
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    /// Returns the value of a property. Some records share their time of creation, some lack a
    /// display name, and all have a full name of their own.
    fn value(id: u32, property: &str) -> Option<String> {
        match property {
            "MetaData.CreateTime" => Some(format_instant(at(i64::from(id % 3) - 1000))),
            "DisplayName" => (!id.is_multiple_of(4)).then(|| format!("name {}", id % 7)),
            "FullyQualifiedName" => Some(id.to_string()),
            _ => None,
        }
    }

    fn record(id: u32, second: i64, version: u32) -> Record {
        let text = |property| value(id, property).unwrap_or_default();
        let name = match value(id, "DisplayName") {
            Some(name) => format!(r#""DisplayName":"{name}","#),
            None => String::new(),
        };
        let (full_name, created) = (text("FullyQualifiedName"), text("MetaData.CreateTime"));
        let payload = format!(
            r#"{{"v":{version},{name}"FullyQualifiedName":"{full_name}","MetaData":{{"CreateTime":"{created}"}}}}"#
        );
        Record {
            id: id.to_string(),
            updated_at: at(second),
            sync_token: 0,
            payload: Payload::from_valid_json(Bytes::from(payload)),
        }
    }

    fn meets(id: u32, condition: &Condition) -> bool {
        value(id, condition.property).is_some_and(|value| match condition.comparison {
            Comparison::Below => value < condition.value,
            Comparison::Equal => value == condition.value,
            Comparison::Above => value > condition.value,
        })
    }

    impl Books {
        fn edit(&mut self, id: u32) {
            self.now += 1;
            let now = self.now;
            if let Some(row) = self.rows.get_mut(&id) {
                *row = (now, row.1 + 1);
            }
        }

        fn matching(&self, step: &Step) -> Vec<(u32, i64, u32)> {
            self.rows
                .iter()
                .map(|(&id, &(second, version))| (id, second, version))
                .filter(|row| at(row.1) >= step.from && at(row.1) < step.until)
                .filter(|row| {
                    step.conditions
                        .iter()
                        .all(|condition| meets(row.0, condition))
                })
                .collect()
        }

        fn answer(&self, step: &Step) -> Vec<Record> {
            let mut rows = self.matching(step);
            // Ties in an order of their own, unlike that of ids.
            rows.sort_by_key(|(id, second, version)| (*second, (id + version) * 7919 % 101, *id));
            let rows = rows.into_iter().take(step.max_results as usize);
            rows.map(|(id, second, version)| record(id, second, version))
                .collect()
        }

        /// Answers a step; returns the rows that are new to the cursor.
        fn serve(&self, cursor: &mut Cursor, step: &Step) -> Result<Vec<Record>> {
            match step.is_count {
                true => {
                    let count = self.matching(step).len() as u64;
                    cursor.accept_count(count).map(|()| Vec::new())
                }
                false => take(cursor, step, self.answer(step)),
            }
        }
    }

    fn cursor(page_size: u32, max_page_size: u32) -> Cursor {
        Cursor {
            max_page_size,
            crowded_page_size: max_page_size,
            ..Cursor::new(at(0), page_size, customers())
        }
    }

    /// Reads the window while `edits` happen, one batch before each request; returns the newest
    /// version read of each id.
    fn read(
        books: &mut Books,
        end: i64,
        page_size: u32,
        edits: &[Vec<u32>],
    ) -> (BTreeMap<u32, u32>, usize) {
        #[derive(serde::Deserialize)]
        struct Version {
            v: u32,
        }
        let mut cursor = cursor(page_size, page_size + 1);
        let mut edits = edits.iter();
        let (mut read, mut handed_on) = (BTreeMap::new(), 0);
        while let Some(step) = cursor.next_step(at(end)) {
            for row in books.serve(&mut cursor, &step).unwrap() {
                handed_on += 1;
                let Version { v } = serde_json::from_slice(row.payload.as_bytes()).unwrap();
                read.insert(row.id.parse().unwrap(), v);
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
        #![proptest_config(crate::testing::cases(500))]

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
        let mut cursor = Cursor::new(at(0), 100, customers());
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
        let page = |rows: &[(u32, i64)]| -> Vec<Record> {
            let rows = rows.iter().map(|(id, millis)| {
                let mut row = record(*id, 0, 0);
                row.updated_at = at(0) + TimeDelta::milliseconds(*millis);
                row
            });
            rows.collect()
        };
        let mut cursor = Cursor::new(at(0), 2, customers());
        let mut read = |rows: &[(u32, i64)]| -> Vec<String> {
            let step = cursor.next_step(at(10)).unwrap();
            let taken = take(&mut cursor, &step, page(rows)).unwrap();
            taken.into_iter().map(|row| row.id).collect()
        };
        // The second page begins within the second that the first one ended in, and a row without a
        // fraction follows one with a fraction.
        assert_eq!(read(&[(1, 900), (2, 1500)]), ["1"]);
        assert_eq!(read(&[(2, 1500), (3, 1000)]), ["2", "3"]);
    }

    /// Returns the number of requests for a second of `count` records, and how many arrived.
    fn read_crowd(count: u32, page_size: u32) -> (u32, usize) {
        let books = Books {
            rows: (0..count).map(|id| (id, (3, 0))).collect(),
            now: SPAN,
        };
        let mut cursor = cursor(page_size, 1000);
        let (mut requests, mut read) = (0, 0);
        while let Some(step) = cursor.next_step(at(SPAN)) {
            requests += 1;
            read += books.serve(&mut cursor, &step).unwrap().len();
        }
        (requests, read)
    }

    #[test]
    fn a_crowded_second_costs_a_larger_page_or_a_few_parts() {
        // A full page, the same second from its start, one page of the whole second, and the rest.
        assert_eq!(read_crowd(900, 200), (4, 900));
        let (requests, read) = read_crowd(5_000, 200);
        assert!(requests < 75 && read == 5_000, "{requests} {read}");
    }

    /// Reads a second whose records differ in nothing that queries can filter by.
    #[test]
    fn a_second_that_cannot_be_divided_is_a_failure_that_says_so() {
        let mut cursor = Cursor::new(at(0), 2, find_entity("transfers").unwrap());
        let rows = |count: u32| (0..count).map(|id| record(3 * id, 0, 0)).collect();
        let mut outcome = Ok(Vec::new());
        while let (Ok(_), Some(step)) = (&outcome, cursor.next_step(at(10))) {
            let is_equal = |condition: &Condition| condition.comparison == Comparison::Equal;
            outcome = match step.is_count {
                true if step.conditions.iter().all(is_equal) => {
                    cursor.accept_count(1500).map(|()| Vec::new())
                }
                true => cursor.accept_count(0).map(|()| Vec::new()),
                false => take(&mut cursor, &step, rows(step.max_results)),
            };
        }
        let text = outcome.unwrap_err().to_string();
        for part in [
            "transfers",
            "2023-11-14T22:13:20Z",
            "1500",
            "MetaData.CreateTime, TxnDate",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    /// Reads a second whose counts and rows never agree.
    #[test]
    fn a_service_that_contradicts_itself_about_a_second_is_asked_a_few_times() {
        for (counted, delivered) in [(900, 899), (900, 1), (5, 0)] {
            let mut cursor = cursor(1, 900);
            let (mut requests, mut outcome) = (0, Ok(Vec::new()));
            while let (Ok(_), Some(step)) = (&outcome, cursor.next_step(at(10))) {
                requests += 1;
                let full = requests <= 3;
                let rows = if full { step.max_results } else { delivered };
                outcome = match step.is_count {
                    true => cursor.accept_count(counted).map(|()| Vec::new()),
                    false => {
                        let rows = (0..rows).map(|id| record(id, 0, 0)).collect();
                        take(&mut cursor, &step, rows)
                    }
                };
            }
            assert!(requests < 20, "{requests} requests");
            assert!(outcome.unwrap_err().to_string().contains("counted"));
        }
    }

    #[test]
    fn rows_out_of_order_or_range_are_taken_at_their_places() {
        let accept = |seconds: &[i64]| {
            let mut cursor = Cursor::new(at(0), 100, customers());
            let step = cursor.next_step(at(10)).unwrap();
            let rows = seconds
                .iter()
                .zip(0..)
                .map(|(second, id)| record(id, *second, 0));
            let taken = take(&mut cursor, &step, rows.collect())?;
            let places = taken
                .iter()
                .map(|row| (row.updated_at - at(0)).num_seconds());
            Ok::<_, Error>(places.collect::<Vec<_>>())
        };
        assert_eq!(accept(&[1, 2, 9, 3, 4]).unwrap(), [1, 2, 2, 3, 4]);
        assert_eq!(accept(&[5, 6, 1, 7]).unwrap(), [5, 6, 6, 7]);
        assert_eq!(accept(&[-400, 5, 10]).unwrap(), [0, 5, 5]);
        // A few such records are taken; more of them mean that the order is not that of the request.
        assert!(accept(&[20; 10]).is_ok());
        let error = accept(&[20; 11]).unwrap_err().to_string();
        assert!(error.contains("11 of 11"), "{error}");
    }

    /// Reads a crowded second in which two records exchange all values that divide it, before the
    /// request of this number; returns the ids that arrive. Every part keeps its count.
    fn read_exchanged(count: u32, request: usize, (one, other): (u32, u32)) -> BTreeSet<String> {
        let mut named: Vec<u32> = (0..count).collect();
        let mut cursor = cursor(3, 4);
        let (mut read, mut requests) = (BTreeSet::new(), 0);
        while let Some(step) = cursor.next_step(at(SPAN)) {
            if requests == request {
                named.swap(one as usize, other as usize);
            }
            requests += 1;
            let is_inside = at(3) >= step.from && at(3) < step.until;
            let meets_all = |name: u32| step.conditions.iter().all(|wanted| meets(name, wanted));
            let ids = (0..count).filter(|id| is_inside && meets_all(named[*id as usize]));
            let ids: Vec<u32> = ids.collect();
            if step.is_count {
                cursor.accept_count(ids.len() as u64).unwrap();
                continue;
            }
            let ids = ids.into_iter().take(step.max_results as usize);
            let rows = ids.map(|id| Record {
                id: id.to_string(),
                ..record(named[id as usize], 3, 0)
            });
            let rows = rows.collect();
            read.extend(
                take(&mut cursor, &step, rows)
                    .unwrap()
                    .into_iter()
                    .map(|row| row.id),
            );
        }
        read
    }

    /// Counts of parts do not show that a record moves from a part that is still to be read to one that
    /// has been read, while another takes its place. The count of all of them at the end does.
    #[test]
    fn no_record_is_lost_that_moves_between_parts_of_a_second() {
        const COUNT: u32 = 12;
        for request in 0..40 {
            for one in 0..COUNT {
                for other in 0..one {
                    let read = read_exchanged(COUNT, request, (one, other));
                    assert_eq!(read.len(), COUNT as usize, "{request} {one} {other}");
                }
            }
        }
    }

    /// Records by id, the second at which the service holds them, and the second that they say.
    fn read_misplaced(records: &[(u32, i64, i64)], page_size: u32, end: i64) -> BTreeMap<u32, i64> {
        let mut cursor = cursor(page_size, 1000);
        let mut read = BTreeMap::new();
        let mut requests = 0;
        while let Some(step) = cursor.next_step(at(end)) {
            requests += 1;
            assert!(requests < 20 * (records.len() + 2), "no end");
            let matching = records
                .iter()
                .filter(|row| at(row.1) >= step.from && at(row.1) < step.until)
                .filter(|row| {
                    step.conditions
                        .iter()
                        .all(|condition| meets(row.0, condition))
                });
            let mut rows: Vec<_> = matching.collect();
            rows.sort_by_key(|row| (row.1, row.0));
            if step.is_count {
                cursor.accept_count(rows.len() as u64).unwrap();
                continue;
            }
            let rows = rows.into_iter().take(step.max_results as usize);
            let rows = rows.map(|row| record(row.0, row.2, 0)).collect();
            for row in take(&mut cursor, &step, rows).unwrap() {
                let place = (row.updated_at - at(0)).num_seconds();
                // A page that is read again can bring a row twice; the sink keeps one.
                read.insert(row.id.parse().unwrap(), place);
            }
        }
        read
    }

    proptest! {
        #![proptest_config(crate::testing::cases(500))]

        #[test]
        fn a_record_that_says_another_time_hides_no_neighbour(
            seconds in prop::collection::vec(0..SPAN, 1..60), page_size in 2u32..9,
            odd in 0u32..60, says in -100i64..200,
        ) {
            let records: Vec<_> = seconds.iter().zip(0..).map(|(&second, id)| {
                (id, second, if id == odd { says } else { second })
            }).collect();
            let read = read_misplaced(&records, page_size, SPAN);
            prop_assert_eq!(read.len(), records.len());
        }
    }

    /// The page ends with a second that a row of an earlier second says too.
    #[test]
    fn a_row_that_says_the_last_second_of_its_page_is_kept() {
        let mut records: Vec<_> = (0..20).map(|id| (id, 5, 5)).collect();
        records.extend([(20, 0, 0), (21, 0, 0), (22, 0, 5)]);
        assert_eq!(read_misplaced(&records, 4, SPAN).len(), records.len());
    }

    /// A page ends with a second of many records, and all of them are edited before the next page.
    #[test]
    fn an_edit_of_a_whole_second_between_two_pages_fails_nothing() {
        for crowd in [150, 400] {
            let rows = (0..50 + crowd).map(|id| (id, (i64::from(id.min(50)), 0)));
            let mut books = Books {
                rows: rows.chain([(9_999, (60, 0))]).collect(),
                now: 70,
            };
            let edits: Vec<Vec<u32>> = vec![(50..50 + crowd).collect()];
            let (read, _) = read(&mut books, 10_000, 50 + crowd, &edits);
            assert_eq!(read.len(), books.rows.len());
            assert!((50..50 + crowd).all(|id| read[&id] == 1));
        }
    }

    /// The end of the pages is edited before each next page, without end.
    #[test]
    fn pages_are_read_again_a_bounded_number_of_times() {
        let rows = (0..2000).map(|id| (id, (i64::from(id), 0))).collect();
        let mut books = Books { rows, now: 5000 };
        let mut cursor = cursor(10, 1000);
        let (mut requests, mut outcome) = (0, Ok(Vec::new()));
        while let (Ok(_), Some(step)) = (&outcome, cursor.next_step(at(100_000))) {
            requests += 1;
            let answer = books.answer(&step);
            let last = answer.last().map(|row| row.id.parse().unwrap());
            outcome = take(&mut cursor, &step, answer);
            last.into_iter().for_each(|id| books.edit(id));
        }
        assert!(requests <= 250, "{requests}");
        assert!(outcome.unwrap_err().to_string().contains("pages before"));
    }

    /// Shows why a page must begin with the row that the page before ended with.
    #[test]
    fn a_later_time_at_the_end_of_a_page_skips_nothing() {
        let records: Vec<_> = (0..12)
            .map(|id| (id, i64::from(id), if id == 3 { 40 } else { i64::from(id) }))
            .collect();
        let read = read_misplaced(&records, 4, SPAN);
        assert_eq!((read.len(), read[&3]), (12, 2));
        // The same where the span ends before that time.
        assert_eq!(read_misplaced(&records, 4, 12).len(), 12);
    }

    #[test]
    fn rows_in_no_order_are_read_by_halving_until_pages_are_not_full() {
        let rows = (0..200)
            .map(|id| (id, (i64::from(id * 7 % 50), 0)))
            .collect();
        let books = Books { rows, now: SPAN };
        let mut cursor = Cursor::new(at(0), 13, find_entity("tax_agencies").unwrap());
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
            let mut cursor = Cursor::new(at(0), 13, find_entity("tax_agencies").unwrap());
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
        let mut cursor = Cursor::new(at(0), 10, customers());
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
