//! Differences that are known from elsewhere than one look.

use std::collections::HashMap;

use super::known::Memory;
use crate::books::tie_out::{Cause, TransactionDifference};

/// Differences that are no news: they stood in an earlier look, or in an earlier comparison.
pub(super) struct Certain<'d>(HashMap<Key<'d>, Vec<&'d TransactionDifference>>);

type Key<'d> = (&'d str, &'d str, Option<Cause>);

impl<'d> Certain<'d> {
    /// A difference without a cause may have come from a change between two reports. It is certain only if an earlier
    /// comparison was sure of it.
    pub(super) fn of(known: &'d Memory, before: &'d [TransactionDifference]) -> Self {
        let named = before.iter().filter(|it| it.cause.is_some());
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        for difference in known.differences().chain(named) {
            all.entry(key(difference)).or_default().push(difference);
        }
        Self(all)
    }

    /// Returns whether a difference is one of them. Payroll and its like stand in reports only, in each of them.
    pub(super) fn has(&self, difference: &TransactionDifference) -> bool {
        let known = self.0.get(&key(difference));
        difference.cause.is_some_and(Cause::is_only_reported)
            || known.is_some_and(|known| known.contains(&difference))
    }
}

fn key(difference: &TransactionDifference) -> Key<'_> {
    (&difference.entity, &difference.id, difference.cause)
}
