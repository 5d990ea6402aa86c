//! Differences that are known from elsewhere than one look.

use std::collections::HashMap;

use crate::books::tie_out::{Cause, TransactionDifference};

/// Differences that are no news: they stood in an earlier look, or in an earlier comparison.
pub(super) struct Certain<'d>(
    HashMap<(&'d str, &'d str, Option<Cause>), Vec<&'d TransactionDifference>>,
);

impl<'d> Certain<'d> {
    pub(super) fn of(differences: impl Iterator<Item = &'d TransactionDifference>) -> Self {
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        for difference in differences {
            all.entry(key(difference)).or_default().push(difference);
        }
        Self(all)
    }

    /// Returns whether a difference is one of them. Payroll and its like stand in reports only, in each of them.
    pub(super) fn has(&self, difference: &TransactionDifference) -> bool {
        let known = self.0.get(&key(difference));
        difference.cause.is_some_and(Cause::is_only_reported)
            || difference.cause.is_some() && known.is_some_and(|known| known.contains(&difference))
    }
}

fn key(difference: &TransactionDifference) -> (&str, &str, Option<Cause>) {
    (&difference.entity, &difference.id, difference.cause)
}
