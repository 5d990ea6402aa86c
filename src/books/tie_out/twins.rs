//! Records that equal another one in all but their id.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::side::Side;

/// The properties that equal records share.
type Likeness<'a> = (&'a str, NaiveDate, Vec<(&'a str, Decimal)>);

/// The likenesses of records that QuickBooks shows.
#[derive(Debug, Default)]
pub(super) struct Twins<'a>(HashSet<Likeness<'a>>);

impl<'a> Twins<'a> {
    /// Takes the records that stand in the reports.
    pub(super) fn of(shown: impl Iterator<Item = (&'a str, &'a Side<'a>)>) -> Self {
        Self(
            shown
                .filter_map(|(entity, side)| likeness(entity, side))
                .collect(),
        )
    }

    /// Returns whether a record that the reports do not show equals one that they show.
    pub(super) fn has(&self, entity: &'a str, side: &'a Side<'a>) -> bool {
        likeness(entity, side).is_some_and(|likeness| self.0.contains(&likeness))
    }
}

/// Stock is left out: its cost follows from earlier records.
fn likeness<'a>(entity: &'a str, side: &'a Side<'a>) -> Option<Likeness<'a>> {
    let mut sums: HashMap<&str, Decimal> = HashMap::new();
    for line in side.lines.iter().filter(|line| !line.is_stock) {
        *sums.entry(line.account).or_default() += line.amount;
    }
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, sum)| !sum.is_zero()).collect();
    sums.sort();
    (!sums.is_empty()).then_some((entity, side.date, sums))
}
