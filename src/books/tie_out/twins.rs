//! Records that equal another one in all but their id.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::side::Side;

/// Account, customer or vendor, and memo of an amount.
type Place<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// The properties that equal records share: two customers may buy the same on one day, and one customer twice.
type Likeness<'a> = (
    (&'a str, Option<&'a str>, NaiveDate),
    Vec<(Place<'a>, Decimal)>,
);

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
    let mut sums: BTreeMap<Place<'a>, Decimal> = BTreeMap::new();
    for line in side.lines.iter().filter(|line| !line.is_stock) {
        let place = (line.account, line.party, line.memo);
        *sums.entry(place).or_default() += line.amount;
    }
    sums.retain(|_, sum| !sum.is_zero());
    let head = (entity, side.number, side.date);
    (!sums.is_empty()).then(|| (head, sums.into_iter().collect()))
}
