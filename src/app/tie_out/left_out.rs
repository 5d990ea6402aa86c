//! Records that a comparison has to leave out: never loaded, not posted, or not read yet.

use std::collections::{BTreeMap, HashSet};

use super::findings::{Findings, key};
use crate::books::tie_out::Cause;
use crate::domain::{EntitySpec, find_entity};

impl Findings {
    /// Returns the entities that were never loaded, and whose transactions the reports show.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let is_shown = |name: &str| {
            self.differences.iter().any(|difference| {
                let entity = find_entity(&difference.entity);
                matches!(difference.cause, Some(Cause::NotLanded | Cause::NotRead))
                    && entity.is_ok_and(|entity| entity.name == name)
            })
        };
        let missing = self.landed.missing.iter().copied();
        missing.filter(|name| is_shown(name)).collect()
    }

    /// Counts the transactions that could not be posted and that the reports show, by reason.
    pub(super) fn not_posted(&self) -> BTreeMap<&str, usize> {
        let differences = self.differences.iter();
        let shown: HashSet<(&str, &str)> = differences
            .filter(|difference| difference.cause == Some(Cause::NotPosted))
            .map(key)
            .collect();
        let listed = self.landed.ledger.unbalanced.iter();
        let listed = listed.filter(|it| shown.contains(&(it.entity.as_str(), it.id.as_str())));
        let mut reasons = BTreeMap::new();
        for it in listed {
            *reasons.entry(it.reason.as_str()).or_default() += 1;
        }
        reasons
    }

    /// Returns the transactions that reports show, whose entity has no queries, and that are not landed.
    pub(super) fn unqueried(&self) -> Vec<(&'static EntitySpec, String)> {
        let reported = self.reported.iter().flatten();
        let reported = reported.map(|it| (it.entity(), &it.id));
        let kept = self.kept.iter().map(|it| (it.entity.as_str(), &it.id));
        let shown: HashSet<(&str, &String)> = reported.chain(kept).collect();
        let mut found: Vec<_> = shown
            .into_iter()
            .filter_map(|(entity, id)| {
                let spec = find_entity(entity).ok().filter(|spec| !spec.has_query)?;
                let key = (entity.to_owned(), id.clone());
                let is_there = self.landed.changed_at.contains_key(&key);
                (!is_there).then(|| (spec, id.clone()))
            })
            .collect();
        sort(&mut found);
        found
    }
}

/// Brings transactions into the order in which they are read: those of an entity beside one another, the oldest first.
fn sort(transactions: &mut [(&'static EntitySpec, String)]) {
    transactions.sort_by(|(of, one), (of_other, other)| {
        (of.name, one.len(), one).cmp(&(of_other.name, other.len(), other))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transactions_of_an_entity_stand_beside_one_another() {
        let found = |name: &str, id: &str| (find_entity(name).unwrap(), id.to_owned());
        let mut all = [
            found("invoices", "9"),
            found("bills", "10"),
            found("invoices", "100"),
            found("bills", "2"),
        ];
        sort(&mut all);
        let sorted = all.map(|(entity, id)| (entity.name, id));
        let expected = [
            ("bills", "2"),
            ("bills", "10"),
            ("invoices", "9"),
            ("invoices", "100"),
        ];
        assert_eq!(sorted, expected.map(|(name, id)| (name, id.to_owned())));
    }
}
