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
        found.sort_by(|(_, one), (_, other)| (one.len(), one).cmp(&(other.len(), other)));
        found
    }
}
