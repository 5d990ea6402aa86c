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
use super::places::{MAX_MISPLACED, Placed, place, second_of};
use crate::domain::instant::format_instant;
use crate::domain::query::Condition;
use crate::domain::{EntitySpec, Ordering, PageSize, Record};
use crate::error::{Error, Result};

/// The next query to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub conditions: Vec<Condition>,
    pub start_position: u32,
    pub max_results: u32,
    /// Asks for the number of rows instead of the rows.
    pub is_count: bool,
}

impl Step {
    /// Returns the first `max_results` rows changed in `[from, until)`.
    pub(super) fn rows(from: DateTime<Utc>, until: DateTime<Utc>, max_results: u32) -> Self {
        Self {
            from,
            until,
            conditions: Vec::new(),
            start_position: 1,
            max_results,
            is_count: false,
        }
    }
}

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
    /// Start of the page.
    from: DateTime<Utc>,
    /// Rows of that page and before that have been returned.
    seen: HashMap<String, u64>,
}

/// Maximum number of pages of a span that are read again because of their ends.
const MAX_DISTRUSTED: usize = 100;

#[derive(Debug)]
enum Mode {
    ByTime,
    /// The second `from` holds more than a page.
    Crowded(CrowdedSecond),
    /// The order of rows is unreliable: only a page that is not full is known to be complete. A full
    /// page is requested again with half of the time.
    Halving {
        until: Option<DateTime<Utc>>,
        size: u32,
    },
}

impl Cursor {
    pub(super) fn new(from: DateTime<Utc>, page_size: u32, entity: &EntitySpec) -> Self {
        let mode = match entity.ordering {
            Ordering::Reliable => Mode::ByTime,
            Ordering::Unreliable => Mode::Halving {
                until: None,
                size: page_size,
            },
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
        if let Mode::Halving { size, .. } = &mut self.mode {
            *size = self.page_size;
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
            Mode::Halving { until, size } => {
                let until = until.map_or(end, |until| until.min(end));
                Step::rows(self.from, until, *size)
            }
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
            Mode::Halving { size, .. } => {
                let size = *size;
                self.accept_halving(placed.rows, step, size, is_full)
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
            Mode::ByTime | Mode::Halving { .. } => Ok(()),
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
        let is_reliable = self.entity.ordering == Ordering::Reliable;
        if !is_full {
            self.mode = match is_reliable {
                true => Mode::ByTime,
                false => Mode::Halving {
                    until: None,
                    size: self.page_size,
                },
            };
            let fresh = self.keep_unseen(rows);
            self.advance_to(step.until);
            return Ok(fresh);
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
        } else if is_reliable {
            Mode::Crowded(CrowdedSecond::new(
                &self.entity,
                self.crowded_page_size,
                size,
            ))
        } else {
            let (count, second) = (rows.len(), self.from.to_rfc3339());
            let reason = format!(
                "{count} or more records changed at {second}, and their order cannot be relied on"
            );
            return Err(Error::decode(UNEXPECTED_ANSWER, reason));
        };
        Ok(Vec::new())
    }

    fn accept_by_time(
        &mut self,
        placed: Placed,
        step: &Step,
        is_full: bool,
    ) -> Result<Vec<Record>> {
        if !self.confirm_page_end(&placed.rows)? {
            return Ok(Vec::new());
        }
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
                let seconds = (step.until - step.from).num_seconds();
                self.mode = Mode::Halving {
                    until: Some(step.from + TimeDelta::seconds((seconds / 2).max(1))),
                    size: step.max_results,
                };
                fresh.clear();
            }
            Some(second) if second > self.from => {
                // The rows of the last second are in the next page again, which confirms them.
                fresh.retain(|row| last_rows.iter().all(|(id, _)| *id != row.id));
                let mut seen = self.seen.clone();
                self.seen
                    .retain(|id, _| last_rows.iter().any(|(last, _)| last == id));
                seen.extend(fresh.iter().map(fingerprint));
                self.page_end = Some(PageEnd {
                    rows: last_rows,
                    before_last,
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
        Ok(fresh)
    }

    /// Returns false if the page before must be read again, because it ended with rows that are not
    /// where they say.
    fn confirm_page_end(&mut self, rows: &[Record]) -> Result<bool> {
        let Some(end) = self.page_end.take() else {
            return Ok(true);
        };
        let is_in_page = |(id, _): &(String, u64)| rows.iter().any(|row| row.id == *id);
        if end.rows.iter().any(is_in_page) {
            return Ok(true);
        }
        self.distrusted.extend(end.rows);
        if self.distrusted.len() > MAX_DISTRUSTED {
            let reason = "pages do not begin with the rows that the pages before ended with";
            return Err(Error::decode(UNEXPECTED_ANSWER, reason));
        }
        (self.from, self.seen) = (end.from, end.seen);
        Ok(false)
    }

    fn advance_to(&mut self, to: DateTime<Utc>) {
        self.from = to;
        self.seen.clear();
    }

    fn keep_unseen(&self, rows: Vec<Record>) -> Vec<Record> {
        let is_unseen = |row: &Record| {
            let print = fingerprint(row);
            self.seen.get(&row.id) != Some(&print.1) && !self.misplaced.contains(&print)
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

const UNEXPECTED_ANSWER: &str = "answer of QuickBooks is not what was requested";

fn check_places(step: &Step, placed: &Placed) -> Result<()> {
    if placed.misplaced() <= MAX_MISPLACED {
        return Ok(());
    }
    let reason = format!(
        "{} of {} records say times outside the requested range or the requested order, from {} to {}",
        placed.misplaced(),
        placed.rows.len(),
        format_instant(step.from),
        format_instant(step.until)
    );
    Err(Error::decode(UNEXPECTED_ANSWER, reason))
}

#[cfg(test)]
mod tests;
