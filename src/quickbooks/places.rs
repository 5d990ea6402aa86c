//! The places of a page's rows in the order of the service.
//!
//! A record can say another time than the one that the service filters and orders by. It is taken
//! all the same, at the time of the row before it: there the service counts it, and there its
//! neighbours are not hidden by what it says.

use std::collections::HashSet;

use chrono::{DateTime, SubsecRound, Utc};

use super::step::Step;
use crate::domain::Record;
use crate::domain::instant::format_instant;
use crate::error::{Error, Result};

/// Rows of a page that may say other times than their neighbours. With more of them, the order of the
/// page cannot be relied on.
const MAX_MISPLACED: usize = 10;

/// Rows with the times at which the service holds them.
#[derive(Debug)]
pub(super) struct Placed {
    pub rows: Vec<Record>,
    /// Positions of the rows that say the time at which they are.
    pub in_order: Vec<usize>,
}

impl Placed {
    /// Number of rows that say another time.
    pub(super) fn misplaced(&self) -> usize {
        self.rows.len() - self.in_order.len()
    }

    /// Returns the ids of these rows.
    pub(super) fn misplaced_ids(&self) -> HashSet<String> {
        let in_order: HashSet<usize> = self.in_order.iter().copied().collect();
        let rows = self.rows.iter().enumerate();
        rows.filter(|(at, _)| !in_order.contains(at))
            .map(|(_, row)| row.id.clone())
            .collect()
    }

    /// Returns the second of the row in order that is `back` rows before the last of them.
    pub(super) fn second_from_end(&self, back: usize) -> Option<DateTime<Utc>> {
        let position = self.in_order.len().checked_sub(back + 1)?;
        self.in_order
            .get(position)
            .map(|row| second_of(&self.rows[*row]))
    }
}

/// Places the rows of a step. `is_trusted` is false for rows whose times are known to be wrong;
/// `is_ordered` is false if the rows come in no order.
pub(super) fn place(
    step: &Step,
    mut rows: Vec<Record>,
    is_trusted: impl Fn(&Record) -> bool,
    is_ordered: bool,
) -> Placed {
    let is_inside = |row: &Record| {
        second_of(row) >= step.from && second_of(row) < step.until && is_trusted(row)
    };
    let mut in_order: Vec<usize> = (0..rows.len()).filter(|at| is_inside(&rows[*at])).collect();
    let is_sorted = in_order.is_sorted_by_key(|at| second_of(&rows[*at]));
    if is_ordered && !is_sorted {
        in_order = longest_ascending(&rows, &in_order);
    }
    let (mut place, mut next) = (step.from, in_order.iter().copied().peekable());
    for (position, row) in rows.iter_mut().enumerate() {
        match next.next_if_eq(&position) {
            Some(_) if is_ordered => place = second_of(row),
            Some(_) => {}
            None => row.updated_at = place,
        }
    }
    Placed { rows, in_order }
}

/// Returns the positions of the longest subsequence whose seconds do not descend.
fn longest_ascending(rows: &[Record], positions: &[usize]) -> Vec<usize> {
    // For each length: the position at which a sequence of this length ends earliest.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; rows.len()];
    for &position in positions {
        let second = second_of(&rows[position]);
        let length = ends.partition_point(|end| second_of(&rows[*end]) <= second);
        before[position] = length.checked_sub(1).map(|shorter| ends[shorter]);
        match ends.get_mut(length) {
            Some(end) => *end = position,
            None => ends.push(position),
        }
    }
    let mut sequence: Vec<usize> =
        std::iter::successors(ends.last().copied(), |at| before[*at]).collect();
    sequence.reverse();
    sequence
}

/// Returns the second in which a record was changed. QBO has no fractions of a second; if one appears,
/// it must not hide neighbouring records.
pub(super) fn second_of(row: &Record) -> DateTime<Utc> {
    row.updated_at.trunc_subsecs(0)
}

pub(super) const UNEXPECTED_ANSWER: &str = "answer of QuickBooks is not what was requested";

/// Checks that few rows of a page are outside of its range or order.
///
/// # Errors
/// [`Error::Decode`] if there are many: the service does not answer what was asked.
pub(super) fn check_places(step: &Step, placed: &Placed) -> Result<()> {
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
